"""Chapter 8's equations on laws where every density is a finite sum: a few points on a line, and noise.

The points have mean 0 and variance 1. Derivatives are taken by complex steps, exact to rounding, and
integrals on a grid on which smooth densities are summed without another error.
"""

import math
from itertools import product

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, exceeds, identity, quadrature, sampled
from scipy.integrate import quad, solve_ivp
from scipy.special import i0e
from scipy.stats import norm

RAW, P = np.array([-1.3, 0.2, 0.9, 2.0]), np.array([0.2, 0.4, 0.3, 0.1])
X = (RAW - P @ RAW) / math.sqrt(P @ (RAW - P @ RAW) ** 2)  # the points
S = 0.6  # σ
V = S**2
Z = np.linspace(-12, 12, 4801)
PLACES = np.linspace(-2.2, 2.6, 9)
ROUNDING, INTEGRAL = 1e-10, 1e-9
POINTS = "points on a line, seen through noise"


def parts(z, sigma=S):
    """Share times density of each point's noisy version, at z (n,): (n, points); σ may be complex."""
    away = np.asarray(z)[..., None] - X
    return P * np.exp(-(away**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))


def density(z, sigma=S):
    return parts(z, sigma).sum(axis=-1)


def log_density(z, sigma=S):
    return np.log(density(z, sigma))


def answer(z, sigma=S):
    """E[x_0 | z]."""
    return parts(z, sigma) @ X / density(z, sigma)


def velocity(z, sigma=S):
    """dz/dσ."""
    return (z - answer(z, sigma)) / sigma


def derivative(f, at):
    """By a complex step."""
    return np.imag(f(at + 1e-30j)) / 1e-30


def score(z, sigma=S):
    return derivative(lambda place: log_density(place, sigma), z)


@quadrature
def integral(values, step=0.005):
    """Over the grid Z."""
    return float(values.sum()) * step


def entropy(var):
    """Of z with noise of this variance."""
    p = density(Z, math.sqrt(var))
    return -integral(p * np.log(np.maximum(p, 1e-300)))


def error(sigma):
    """E (x_0 − x̂_0)², by summing over points and places."""
    squared = (X - answer(Z, sigma)[:, None]) ** 2
    return integral((parts(Z, sigma) * squared).sum(axis=1))


def told(sigma):
    """I(x_0; z) from its definition: the mean of log p(z | x_0)/p(z)."""
    joint = parts(Z, sigma)
    ratio = np.log(np.maximum(joint / P, 1e-300)) - np.log(np.maximum(density(Z, sigma), 1e-300))[:, None]
    return integral((joint * ratio).sum(axis=1))


# --- densities of data on a curve ---------------------------------------------------------------------------

DELTA = 0.3


@checks("bits-noisy", on=POINTS, alike={"x_0 - DELTA * e": "the noise is symmetric"})
def noisy():
    r"""y = x_0 + \delta e, \qquad e\sim\mathcal N(0, I),"""
    rng = np.random.default_rng(0)
    x_0, e = rng.choice(X, 200_000, p=P), rng.standard_normal(200_000)
    y = x_0 + DELTA * e
    # The mean of a function of y is its integral over the blurred density.
    sampled(np.square(y), integral(density(Z, DELTA) * np.square(Z)))
    sampled(np.cos(3 * y), integral(density(Z, DELTA) * np.cos(3 * Z)))


@checks("bits-entropy", on="a Gaussian")
def of_gauss():
    r"""h(y) = -\,\mathbb E\,\log p_\delta(y),"""
    p = norm.pdf(Z, 0.3, 0.8)
    agree(-integral(p * np.log(p)), norm(0.3, 0.8).entropy(), INTEGRAL)


RADIUS, THIN = 1.3, 0.004


@quadrature
def ring_entropy():
    """Of points on a circle with noise, whose density has a Bessel function."""

    def density_at(r):
        at_least = -((r - RADIUS) ** 2) / (2 * THIN**2)
        return i0e(r * RADIUS / THIN**2) * math.exp(at_least) / (2 * math.pi * THIN**2)

    r = np.linspace(RADIUS - 12 * THIN, RADIUS + 12 * THIN, 20_001)
    p = np.array([density_at(one) for one in r])
    return float((-2 * math.pi * r * p * np.log(p)).sum() * (r[1] - r[0]))


@checks("bits-halving", on="a circle with noise of a 300th of its radius")
def halving():
    r"""h(y) \approx h_{\text{along}} + \log\big(\delta\sqrt{2\pi e}\big)."""
    h_along = math.log(2 * math.pi * RADIUS)
    agree(h_along + math.log(THIN * math.sqrt(2 * math.pi * math.e)), ring_entropy(), 1e-4)


@quadrature
def along_the_roll(n=2_000_001):
    """The entropy of the place along the roll, in even pieces of its length."""
    theta = np.linspace(1.5 * math.pi, 4.5 * math.pi, n)
    x, y = theta * np.cos(theta) / 10, theta * np.sin(theta) / 10
    length = np.concatenate([[0], np.hypot(np.diff(x), np.diff(y)).cumsum()])
    even = np.linspace(0, length[-1], 20_001)
    share = np.diff(np.interp(even, length, theta)) / (3 * math.pi)
    return float(-(share * np.log(share / even[1])).sum())


@checks("bits-along", on="the Swiss roll")
def along():
    r"""h_{\text{along}} = \log 3\pi + \mathbb E\,\log\Big\lVert\frac{dx_0}{d\varphi}\Big\rVert ."""
    theta = (np.arange(100_000) + 0.5) / 100_000 * 3 * math.pi + 1.5 * math.pi
    # dx_0/dθ of θ (cos θ, sin θ)/10 has the length √(1 + θ²)/10
    agree(math.log(3 * math.pi) + speeds(theta).mean(), along_the_roll(), 1e-6)


def speeds(theta):
    """log v, by complex steps of the curve."""
    dx, dy = (derivative(lambda t, f=f: t * f(t) / 10, theta) for f in (np.cos, np.sin))
    return np.log(np.hypot(dx, dy))


# --- bounds -------------------------------------------------------------------------------------------------

# One step: q(x_1 | y) = N(0.8 y, 0.36); the model has x_1 ~ N(0, 1) and y | x_1 ~ N(0.5 x_1, 0.7).
Y = 1.7
Q_MEAN, Q_VAR, SLOPE, P_VAR = 0.8 * Y, 0.36, 0.5, 0.7
NODE, WEIGHT = np.polynomial.hermite_e.hermegauss(40)
WEIGHT = WEIGHT / WEIGHT.sum()
X_1 = Q_MEAN + math.sqrt(Q_VAR) * NODE
LOG_Q = norm.logpdf(X_1, Q_MEAN, math.sqrt(Q_VAR))
LOG_JOINT = norm.logpdf(X_1) + norm.logpdf(Y, SLOPE * X_1, math.sqrt(P_VAR))
MINUS_LOG_P = -norm.logpdf(Y, 0, math.sqrt(SLOPE**2 + P_VAR))
# p(x_1 | y), by conditioning one of two joint Gaussians on the other
GIVEN_VAR = 1 / (1 + SLOPE**2 / P_VAR)
GIVEN_MEAN = GIVEN_VAR * SLOPE * Y / P_VAR


@quadrature
def over_q(values):
    return float(values @ WEIGHT)


def kl(mean, var, other_mean, other_var):
    """Of two Gaussians on a line."""
    return 0.5 * (var / other_var - 1 - math.log(var / other_var) + (mean - other_mean) ** 2 / other_var)


@checks("bits-elbo", on="a chain of one linear step")
def elbo():
    r"""\ell = \log\frac{q(x_{1:T}\mid y)}{p_\theta(y, x_{1:T})}, \qquad -\log p_\theta(y) \;\le\; \mathbb
    E_q\,[\,\ell\,]."""
    bound = over_q(LOG_Q - LOG_JOINT)
    exceeds(bound, MINUS_LOG_P)
    # Term by term, from the moments of a Gaussian.
    log_q = -0.5 * np.log(2 * math.pi * math.e * Q_VAR)
    log_prior = -0.5 * np.log(2 * math.pi) - (Q_MEAN**2 + Q_VAR) / 2
    miss = (Y - SLOPE * Q_MEAN) ** 2 + SLOPE**2 * Q_VAR
    agree(bound, log_q - log_prior + 0.5 * np.log(2 * math.pi * P_VAR) + miss / (2 * P_VAR), ROUNDING)


@checks("bits-gap", on="a chain of one linear step")
def gap():
    r"""\mathbb E_q\,[\,\ell\,] = -\log p_\theta(y) + D_{\mathrm{KL}}\big(q(x_{1:T}\mid
    y)\,\big\Vert\,p_\theta(x_{1:T}\mid y)\big)."""
    agree(MINUS_LOG_P + kl(Q_MEAN, Q_VAR, GIVEN_MEAN, GIVEN_VAR), over_q(LOG_Q - LOG_JOINT), ROUNDING)


@quadrature
def over_pairs(values):
    return float(WEIGHT @ values @ WEIGHT)


@checks("bits-importance", on="a chain of one linear step, two paths")
def importance():
    r"""-\log p_\theta(y) \;\le\; \mathbb E\Big[-\log\frac1K\sum_{j=1}^{K} e^{-\ell_j}\Big]."""
    one = np.exp(LOG_JOINT - LOG_Q)  # e^{−ℓ}
    both = one[:, None] + one[None]
    bound = over_pairs(-np.log(both / 2))
    agree(over_q(one), math.exp(-MINUS_LOG_P), ROUNDING)
    exceeds(bound, MINUS_LOG_P)
    exceeds(over_q(LOG_Q - LOG_JOINT), bound)
    agree(over_pairs(both), 2 * math.exp(-MINUS_LOG_P), ROUNDING)


# --- the ODE ------------------------------------------------------------------------------------------------


@checks("bits-at-a-place", on=POINTS)
def at_a_place():
    r"""\frac{\partial\log p}{\partial\sigma} = -\nabla\cdot u - u\cdot\nabla\log p ."""
    exact = derivative(lambda sigma: log_density(PLACES, sigma), S)
    u = velocity(PLACES)
    agree(-derivative(velocity, PLACES) - u * score(PLACES), exact, ROUNDING)


@checks("bits-instant", on=POINTS)
def instant():
    r"""\frac{d}{d\sigma}\,\log p\big(z(\sigma),\sigma\big) = -\nabla\cdot u ."""
    u = velocity(PLACES)
    exact = derivative(lambda time: log_density(PLACES + (time - S) * u, time), S)
    agree(-derivative(velocity, PLACES), exact, ROUNDING)


def two_answers(z):
    """Some x̂_0 in the plane, z (2,)."""
    return np.array([np.sin(z[0]) * z[1], np.cos(z[0] - 0.3 * z[1])])


def derivatives(f, at):
    """The matrix ∂f_i/∂z_j."""
    return np.array([derivative(lambda t, axis=axis: f(at + (t - 0) * axis), 0.0) for axis in np.eye(2)]).T


@checks("bits-divergence", on="a function of the plane")
def divergence():
    r"""\nabla\cdot u\;d\sigma = \Big(D - \mathrm{tr}\,\frac{\partial\hat x_0}{\partial z}\Big)\,d\log\sigma
    ."""
    at, D = np.array([0.4, -1.1]), 2
    diverging = np.trace(derivatives(lambda z: (z - two_answers(z)) / S, at))
    d_log_sigma = 0.01
    d_sigma = S * d_log_sigma
    agree((D - np.trace(derivatives(two_answers, at))) * d_log_sigma, diverging * d_sigma, ROUNDING)


TOP = 60.0


@quadrature
def way_up(y):
    """Where the ODE takes y from S to TOP, and the integral of 1 − dx̂_0/dz by log σ, by SciPy."""

    def slope(log_sigma, state):
        sigma = math.exp(log_sigma)
        at = state[:1]
        return [float(at[0] - answer(at, sigma)[0]), float(1 - derivative(lambda z: answer(z, sigma), at)[0])]

    path = solve_ivp(slope, (math.log(S), math.log(TOP)), [y, 0.0], rtol=1e-10, atol=1e-12)
    return path.y[:, -1]


@checks("bits-ode", on=POINTS + ", up to σ = 60")
def ode():
    r"""\log p_\delta(y) = \log\mathcal N\big(z_{\max};\,0,\,(1+\sigma_{\max}^2)\,I\big) +
    \int_{\log\delta}^{\log\sigma_{\max}}\Big(D-\mathrm{tr}\,\frac{\partial\hat x_0}{\partial
    z}\Big)\,d\log\sigma ."""
    for y in (-1.1, 0.3, 1.9):
        end, gained = way_up(y)
        log_p = norm.logpdf(end, 0, np.sqrt(1 + TOP**2)) + gained
        agree(log_p, log_density(np.array([y]))[0], 1e-5)


SIGNS = np.array(list(product([-1.0, 1.0], repeat=3)))
MATRIX = np.array([[0.5, -0.2, 0.3], [0.7, -1.4, 0.1], [-0.6, 0.9, 0.4]])


@checks("bits-hutchinson", on="a matrix, over all vectors of signs")
def hutchinson():
    r"""\mathbb E\,[\,\xi^\top J\,\xi\,] = \sum_{ij} J_{ij}\,\mathbb E[\xi_i\xi_j] = \mathrm{tr}\,J ."""
    estimates = np.einsum("ki,ij,kj->k", SIGNS, MATRIX, SIGNS)
    agree(estimates.mean(), MATRIX[0, 0] + MATRIX[1, 1] + MATRIX[2, 2], ROUNDING)


@checks("bits-hutchinson-var", on="a symmetric matrix, over all vectors of signs")
def hutchinson_var():
    r"""\mathrm{Var}\,[\,\xi^\top J\,\xi\,] = 2\sum_{i\ne j} J_{ij}^2 ."""
    J = SYMMETRIC
    estimates = np.einsum("ki,ij,kj->k", SIGNS, J, SIGNS)
    off = J[~np.eye(3, dtype=bool)]
    agree(2 * np.square(off).sum(), estimates.var(), ROUNDING)


SYMMETRIC = MATRIX + MATRIX.T


@checks("bits-claim", on="a symmetric matrix with a negative trace")
def claim():
    r"""\log\det(I+aJ) = \sum_i\log(1+a\,\lambda_i) \;\le\; \sum_i a\,\lambda_i = a\,\mathrm{tr}\,J,"""
    h, values = 0.2, np.linalg.eigvalsh(SYMMETRIC)
    assert np.trace(SYMMETRIC) < 0
    kept = np.log(1 + h * values).sum()
    agree(kept, np.linalg.slogdet(np.eye(3) + h * SYMMETRIC)[1], ROUNDING)
    claimed = h * np.trace(SYMMETRIC)
    agree(claimed, sum(h * one for one in values), ROUNDING)
    exceeds(claimed, kept)


# --- information --------------------------------------------------------------------------------------------


@checks("bits-information", on=POINTS)
def of_entropies():
    r"""I(x_0; z) = h(z) - \tfrac D2\log(2\pi e\,\sigma^2)."""
    D = 1
    agree(entropy(V) - D / 2 * math.log(2 * math.pi * math.e * V), told(S), INTEGRAL)


def bends():
    """p, p′ and p″ on the grid, point by point."""
    away = (X - Z[:, None]) / V
    each = parts(Z)
    return each.sum(axis=1), (away * each).sum(axis=1), ((away**2 - 1 / V) * each).sum(axis=1)


@checks("bits-de-bruijn", on=POINTS)
def de_bruijn():
    r"""\frac{dh}{dv} = -\frac12\int p''\,\log p\;dz = \frac12\int\frac{(p')^2}{p}\,dz = \frac12\,\mathbb
    E\,[s^2]."""
    p, first, second = bends()
    step = 1e-4
    exact = (entropy(V + step) - entropy(V - step)) / 2e-4
    inside = p > 1e-200
    p, first, second = p[inside], first[inside], second[inside]
    agree(-integral(second * np.log(p)) / 2, exact, 1e-6)
    agree(integral(np.square(first) / p) / 2, exact, 1e-6)


@checks("bits-score-mmse", on=POINTS)
def score_and_error():
    r"""\mathbb E\,\lVert s\rVert^2 = \frac Dv - \frac{\mathrm{mmse}}{v^2} ."""
    D, mmse = 1, error(S)
    agree(D / V - mmse / np.square(V), integral(density(Z) * np.square(score(Z))), 1e-8)


@checks("bits-immse", on=POINTS)
def immse():
    r"""\frac{d\,I(x_0; z)}{d\,\mathrm{SNR}} = \frac12\,\mathrm{mmse}."""
    snr, step = 1 / V, 1e-4
    exact = (told(1 / math.sqrt(snr + step)) - told(1 / math.sqrt(snr - step))) / 2e-4
    agree(error(S) / 2, exact, 1e-6)


@quadrature
def area(points, least=1e-6, most=4000.0, n=1200):
    """∫ mmse dSNR for equally likely points, even in log SNR; below `least` the error is their variance."""
    node, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    log_snr = np.linspace(math.log(least), math.log(most), n)
    values = []
    for snr in np.exp(log_snr):
        z = points[:, None] + node / math.sqrt(snr)
        log_joint = -((z[..., None] - points) ** 2) * snr / 2
        chance = np.exp(log_joint - log_joint.max(axis=-1, keepdims=True))
        guess = (chance @ points) / chance.sum(axis=-1)
        values.append(snr * (np.square(points[:, None] - guess) @ weight).mean())
    return np.trapezoid(values, log_snr) + least * np.var(points)


@checks("bits-conserved", on="five points on a line, in two arrangements")
def conserved():
    r"""\frac12\int_0^\infty\mathrm{mmse}\;d\,\mathrm{SNR} = \log N ."""
    for points in (np.array([-2.0, -1.0, 0.1, 1.2, 2.5]), np.array([-3.0, -2.6, 0.0, 0.4, 4.0])):
        N = len(points)
        agree(0.5 * area(points), math.log(N), 1e-3)


LEVELS = [3.0, 1.2, 0.6, 0.3]


def divergences():
    """E KL(q(z′ | z, x_0) ‖ the same with x̂_0 for x_0) of each step down LEVELS, by moments."""
    found = []
    for sigma, lower in zip(LEVELS, LEVELS[1:], strict=False):
        kept = lower**2 / sigma**2
        found.append((1 - kept) ** 2 * error(sigma) / (2 * lower**2 * (1 - kept)))
    return np.array(found)


@checks("bits-staircase", on=POINTS)
def staircase():
    r"""\sum_{t=2}^{T} \tfrac12\,\big(\mathrm{SNR}(t-1)-\mathrm{SNR}(t)\big)\,\mathrm{mmse}(t) \;\ge\;
    \frac12\int_{\mathrm{SNR}(T)}^{\mathrm{SNR}(1)}\mathrm{mmse}\;d\,\mathrm{SNR}."""
    snr = np.array([1 / sigma**2 for sigma in LEVELS])
    higher, lower = snr[1:], snr[:-1]
    errors = np.array([error(sigma) for sigma in LEVELS[:-1]])
    steps = 0.5 * (higher - lower) * errors
    agree(steps, divergences(), ROUNDING)
    exceeds(steps.sum(), between_levels())


def between_levels():
    """What I(x_0; z) grows by from the first to the last of LEVELS."""
    return told(LEVELS[-1]) - told(LEVELS[0])


@checks("bits-twice", on=POINTS)
def twice():
    r"""\mathbb E\,\lVert x_0-x_0'\rVert^2 = 2\,\mathrm{mmse}."""
    chance = parts(Z) / density(Z)[:, None]
    pairs = np.einsum("zi,zj,ij->z", chance, chance, SQUARES)
    agree(2 * error(S), integral(density(Z) * pairs), INTEGRAL)


SQUARES = (X[:, None] - X[None]) ** 2  # between two draws


# --- cells, units, files ------------------------------------------------------------------------------------

WIDTH = 0.4


@quadrature
def mass(low, high, mean=0.0, std=1.0):
    """What a Gaussian has between two numbers."""
    return quad(norm(mean, std).pdf, low, high, epsabs=1e-13)[0]


@checks("bits-cell", on="narrow cells of a Gaussian")
def cell():
    r"""-\log_2 P(\text{cell}) \approx -\log_2 p(x) - D\,\log_2 w ."""
    w, D = 0.001, 1
    for x in (-1.2, 0.3):
        low, high = cell_around(x, w)
        agree(-np.log2(norm.pdf(x)) - D * np.log2(w), -math.log2(mass(low, high)), 1e-6)


def cell_around(x, w=WIDTH):
    return x - w / 2, x + w / 2


@checks(
    "bits-dequantise",
    on="cells of an exponential law, where both sides have closed forms",
    alike={"x - u": "the noise is symmetric"},
)
def dequantise():
    r"""-\log_2 P(\text{cell}) \;\le\; \mathbb E_\nu\big[-\log_2 p(x+\nu)\big] - D\,\log_2 w ."""
    x, D = 1.3, 1
    u, weight = uniform(WIDTH)
    bits = -np.log2(np.exp(-(x + u))) @ weight - D * np.log2(WIDTH)
    agree(bits, (x - math.log(WIDTH)) / math.log(2), ROUNDING)
    exceeds(bits, exponential_cell(x))


def uniform(w):
    """Nodes and weights for the mean over a cell."""
    node, weight = np.polynomial.legendre.leggauss(20)
    return w / 2 * node, weight / 2


def exponential_cell(x):
    """−log_2 of what e^{−x} has in a cell."""
    low, high = cell_around(x)
    return -math.log2(math.exp(-low) - math.exp(-high))


@checks("bits-ho", on="a cell of a Gaussian")
def ho():
    r"""P(x\mid x_1) = \Phi\Big(\frac{x+w/2-\mu}{b}\Big) - \Phi\Big(\frac{x-w/2-\mu}{b}\Big)."""
    x, mu, s, w = 0.7, 0.4, 0.3, WIDTH
    low, high = cell_around(x)
    agree(norm.cdf((x + w / 2 - mu) / s) - norm.cdf((x - w / 2 - mu) / s), mass(low, high, mu, s), ROUNDING)


@checks("bits-units", on="a Gaussian of the plane")
def units():
    r"""\log p_x(x) = \log p_{x'}(x') - D\log c ."""
    x, m, c, D = np.array([0.7, -1.9]), 0.4, 2.5, 2
    exact = norm.logpdf(x, m, c).sum()
    agree(norm.logpdf((x - m) / c).sum() - D * math.log(c), exact, ROUNDING)


z, y, x_0, std, lower = sp.symbols("z y x_0 sigma sigma_next", positive=True)
# Bayes: the density of z′ = y given z and x_0 is N(z; y, σ² − σ′²) N(y; x_0, σ′²), scaled.
LOG_BOTH = -((z - y) ** 2) / (2 * (std**2 - lower**2)) - (y - x_0) ** 2 / (2 * lower**2)
STEP_VAR = -1 / sp.diff(LOG_BOTH, y, 2)
STEP_MEAN = sp.diff(LOG_BOTH, y).subs(y, 0) * STEP_VAR


@checks("bits-step")
def step():
    r"""q(z'\mid z, x_0) = \mathcal N\big(\kappa z+(1-\kappa)\,x_0,\ \sigma'^2(1-\kappa)\,I\big)."""
    kappa = (lower / std) ** 2
    identity(kappa * z + (1 - kappa) * x_0, STEP_MEAN)
    identity(lower**2 * (1 - kappa), STEP_VAR)


@quadrature
def forecast_moments(at, x_0_hat, r, sigma, next_sigma):
    """Mean and variance of z′ if x_0 is x̂_0 give or take r: over both noises."""
    mean, var = (
        float(value.subs({z: at, x_0: 1, std: sigma, lower: next_sigma})) for value in (STEP_MEAN, STEP_VAR)
    )
    shift = float(sp.diff(STEP_MEAN, x_0).subs({std: sigma, lower: next_sigma}))
    first = mean + shift * (x_0_hat + r * NODE[:, None] - 1)
    both = first + math.sqrt(var) * NODE[None]
    centre = WEIGHT @ both @ WEIGHT
    return centre, WEIGHT @ (both - centre) ** 2 @ WEIGHT


@checks("bits-forecast", on="a guess that is off by Gaussian chance")
def forecast():
    r"""p(z'\mid z) = \mathcal N\big(\kappa z+(1-\kappa)\,\hat x_0,\
    \big(\sigma'^2(1-\kappa)+(1-\kappa)^2r^2\big)\,I\big)."""
    at, x_0_hat, r, sigma, next_sigma = 1.4, 0.8, 0.35, 0.9, 0.5
    mean, var = forecast_moments(at, x_0_hat, r, sigma, next_sigma)
    kappa = (next_sigma / sigma) ** 2
    agree(kappa * at + (1 - kappa) * x_0_hat, mean, ROUNDING)
    agree(next_sigma**2 * (1 - kappa) + (1 - kappa) ** 2 * r**2, var, ROUNDING)


SHIFTS = (np.arange(10_000) + 0.5) / 10_000


@checks("bits-universal", on="all shifts, for several numbers")
def universal():
    r"""k = \mathrm{round}\Big(\frac mw-g\Big), \qquad z' = (k+g)\,w ."""
    for m in (-1.37, 0.02, 2.2):
        u, w = SHIFTS, WIDTH
        k = np.round(m / w - u)
        z_next = (k + u) * w
        # Over all shifts the errors fill a cell evenly, whatever m is.
        agree(np.sort(z_next - m), EVEN, 1e-4)


EVEN = WIDTH * (SHIFTS - 0.5)


@checks("bits-universal-price", on="a cell of a Gaussian")
def price():
    r"""-\log_2\Big[\Phi\Big(\frac{z'-\mu+w/2}{b}\Big)-\Phi\Big(\frac{z'-\mu-w/2}{b}\Big)\Big]."""
    z_next, mu, s, w = 1.13, 0.6, 0.5, WIDTH
    low, high = cell_around(z_next)
    inside = norm.cdf((z_next - mu + w / 2) / s) - norm.cdf((z_next - mu - w / 2) / s)
    agree(-np.log2(inside), -math.log2(mass(low, high, mu, s)), ROUNDING)


@checks("bits-blurred", on="points on a line, with two noises")
def blurred():
    r"""\mathbb E[y\mid z] = z + \frac{\sigma^2}{\delta^2+\sigma^2}\,\big(\hat x_0(z,\tau)-z\big)."""
    sigma, delta = 0.5, DELTA
    for at in (-1.2, 0.4, 1.8):
        tau = np.sqrt(delta**2 + sigma**2)
        found = at + sigma**2 / (delta**2 + sigma**2) * (answer(np.array([at]), tau)[0] - at)
        agree(found, mean_of_noisy(at, sigma), 1e-8)


def mean_of_noisy(at, sigma):
    """E[y | z], by Bayes' rule over a grid of y."""
    joint = density(Z, DELTA) * norm.pdf(at, Z, sigma)
    return integral(joint * Z) / integral(joint)
