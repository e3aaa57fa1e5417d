"""Chapter 6's equations, each restated from definitions: derivatives, integrals, sums over points.

One coordinate stands for all. The data is a few points with shares, seen through noise; densities are
differentiated by SymPy or by small differences, and integrated on a grid.
"""

import math

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, identity, quadrature, sampled, shares
from scipy.stats import norm

z, m, eps, eps_hat, score, x_0_hat = sp.symbols("z m epsilon epsilon_hat s x_0_hat", real=True)
v, V, h, tau, std, std_next = sp.symbols("v V h tau sigma sigma_next", positive=True)
(kept,) = shares("alphabar_t,")
DATA, SHARE = np.array([-1.0, 0.4, 1.7])[:, None], np.array([0.5, 0.2, 0.3])[:, None]
NOISE = 0.7
Z = np.linspace(-9, 9, 1801)  # in steps of 0.01
STEP = 1e-4  # of differences in the middle, whose error is STEP² times a third derivative
CLOSE = 1e-6
INTEGRAL = 1e-9  # a sum over the grid of a smooth density has no other error than rounding


def blurred(at, noise=NOISE):
    """p_σ, by adding up."""
    pairs = zip(SHARE[:, 0], DATA[:, 0], strict=True)
    return sum(share * norm.pdf(at, x_0, noise) for share, x_0 in pairs)


def left_of(at, noise):
    """The share of the crowd to the left, by adding up."""
    pairs = zip(SHARE[:, 0], DATA[:, 0], strict=True)
    return sum(share * norm.cdf(at, x_0, noise) for share, x_0 in pairs)


def stretched(at, time):
    """The density of a crowd that starts as p_σ and grows by e^{time/2}, by change of variables."""
    return blurred(at * math.exp(-0.5 * time)) * math.exp(-0.5 * time)


LOG_GAUSS = sp.log(sp.exp(-((z - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v))


def slope(f, at, step=STEP):
    """The derivative of f, by a difference around the middle."""
    return (f(at + step) - f(at - step)) / (2 * step)


def log_slope(at, noise=NOISE):
    """The score: the derivative of the logarithm of p_σ."""
    return slope(lambda place: np.log(blurred(place, noise)), at)


def responsibility(at, noise=NOISE):
    """p(x_0 | z) for each data point, by Bayes' rule."""
    return SHARE * norm.pdf(at, DATA, noise) / blurred(at, noise)


def mean_given(at, noise=NOISE):
    """E[x_0 | z], as a sum."""
    return (responsibility(at, noise) * DATA).sum(axis=0)


@quadrature
def integral(values):
    """Over the grid."""
    return float(values.sum() * 0.01)


@quadrature
def both(f, nodes=60):
    """E f(z, ε) over data and noise, z = x_0 + σε."""
    e, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return float((SHARE * f(DATA + NOISE * e, e) * weight / weight.sum()).sum())


def guess(at):
    """Some score function, which is not the exact one."""
    return np.sin(at) - 0.5 * at


PLACES = np.linspace(-3, 3, 13)


@checks("score-def", on="points seen through noise")
def definition():
    r"""s(z) = \nabla_z \log p(z) = \frac{\nabla_z\, p(z)}{p(z)} ."""
    agree(slope(blurred, PLACES) / blurred(PLACES), log_slope(PLACES), CLOSE)


@checks("score-gauss")
def gauss():
    r"""\nabla_z \log \mathcal N(z;\, m, v) = \frac{m - z}{v} ."""
    identity((m - z) / v, sp.diff(LOG_GAUSS, z))


@checks("score-mixture", on="bumps of different widths")
def mixture():
    r"""s(z) = \sum_k \gamma_k(z)\,\frac{m_k - z}{v_k}, \qquad \gamma_k(z) = \frac{\pi_k\,p_k(z)}{\sum_j
    \pi_j\,p_j(z)} ."""
    var = np.array([0.3, 1.0, 0.6])[:, None]

    def density(at):
        return (SHARE * norm.pdf(at, DATA, np.sqrt(var))).sum(axis=0)

    exact = slope(lambda at: np.log(density(at)), PLACES)
    gamma = SHARE * norm.pdf(PLACES, DATA, np.sqrt(var)) / density(PLACES)
    agree((gamma * (DATA - PLACES) / var).sum(axis=0), exact, CLOSE)


@checks("score-blur", on="data with a density of its own")
def blur():
    r"""p_\sigma(z) = \int \mathcal N(z;\, x_0, \sigma^2 I)\; p(x_0)\; dx_0 ."""
    # x_0 is itself a mixture of bumps of variance 0.3, so that z is one of bumps of variance 0.3 + σ².
    density = (SHARE * norm.pdf(Z, DATA, math.sqrt(0.3))).sum(axis=0)
    found = [integral(norm.pdf(place, Z, NOISE) * density) for place in PLACES]
    agree(found, (SHARE * norm.pdf(PLACES, DATA, np.hypot(math.sqrt(0.3), NOISE))).sum(axis=0), INTEGRAL)


@checks("score-of-mean", on="points seen through noise")
def of_mean():
    r"""s(z, \sigma) = \nabla_z\log p_\sigma(z) = \int \frac{x_0 - z}{\sigma^2}\;p(x_0\mid z)\,dx_0 =
    \frac{\mathbb E[x_0\mid z] - z}{\sigma^2} ."""
    agree(((DATA - PLACES) / NOISE**2 * responsibility(PLACES)).sum(axis=0), log_slope(PLACES), CLOSE)
    agree((mean_given(PLACES) - PLACES) / NOISE**2, log_slope(PLACES), CLOSE)


@checks("score-tweedie", on="points seen through noise")
def tweedie():
    r"""\mathbb E[x_0\mid z] = z + \sigma^2\, s(z, \sigma) ."""
    agree(PLACES + NOISE**2 * log_slope(PLACES), mean_given(PLACES), CLOSE)


KEPT = 1 / (1 + NOISE**2)  # ᾱ_t where σ_t is NOISE


def in_x_t(at):
    """q(x_t), from the joint with each data point."""
    return (SHARE * norm.pdf(at, math.sqrt(KEPT) * DATA, math.sqrt(1 - KEPT))).sum(axis=0)


def given_x_t(at, values):
    """E[values | x_t], where `values` has a row for each data point."""
    joint = SHARE * norm.pdf(at, math.sqrt(KEPT) * DATA, math.sqrt(1 - KEPT))
    return (joint * values).sum(axis=0) / joint.sum(axis=0)


@checks("score-eps", on="points seen through noise")
def of_eps():
    r"""\nabla_{x_t}\log q(x_t) = \frac{s(z,\sigma_t)}{\sqrt{\bar\alpha_t}} = -\frac{\mathbb
    E[\varepsilon\mid x_t]}{\sqrt{1-\bar\alpha_t}} ."""
    exact = slope(lambda at: np.log(in_x_t(at)), PLACES)
    eps_given = given_x_t(PLACES, (PLACES - KEPT**0.5 * DATA) / (1 - KEPT) ** 0.5)
    agree(log_slope(PLACES / math.sqrt(KEPT)) / math.sqrt(KEPT), exact, CLOSE)
    agree(-eps_given / math.sqrt(1 - KEPT), exact, CLOSE)


@checks("score-tweedie-xt", on="points seen through noise")
def tweedie_in_x_t():
    r"""\mathbb E[x_0\mid x_t] = \frac{x_t + (1-\bar\alpha_t)\,\nabla_{x_t}\log
    q(x_t)}{\sqrt{\bar\alpha_t}} ."""
    exact = given_x_t(PLACES, DATA)
    slopes = slope(lambda at: np.log(in_x_t(at)), PLACES)
    agree((PLACES + (1 - KEPT) * slopes) / math.sqrt(KEPT), exact, CLOSE)


@checks("score-dsm", on="the best linear score function, and the variance that it leaves")
def denoising():
    r"""L_{\text{score}} = \mathbb E_{t,\,x_0,\,\varepsilon}\;\sigma_t^2\,\Big\lVert s_\theta(x_0 +
    \sigma_t\varepsilon,\ \sigma_t) + \frac{\varepsilon}{\sigma_t}\Big\rVert^2 ."""
    mean, var = float((SHARE * DATA).sum()), float((SHARE * DATA**2).sum()) - float((SHARE * DATA).sum()) ** 2
    total = var + NOISE**2

    def best(at):
        return (mean - at) / total

    found = both(lambda at, e: NOISE**2 * (best(at) + e / NOISE) ** 2)
    # What a linear guess of the noise misses is the share of its variance that z does not explain.
    agree(found, var / total, INTEGRAL)


@checks("score-same")
def same_loss():
    r"""\sigma_t^2\,\Big\lVert s_\theta + \frac{\varepsilon}{\sigma_t}\Big\rVert^2 = \lVert \varepsilon
    - \varepsilon_\theta\rVert^2 ."""
    identity((std**2 * (score + eps / std) ** 2).subs(score, -eps_hat / std), (eps - eps_hat) ** 2)


@checks("score-split", on="points seen through noise, and a score function that is not the exact one")
def split():
    r"""\mathbb E\,\Big\lVert s_\theta(z) + \frac{\varepsilon}{\sigma}\Big\rVert^2 = \mathbb E\,\lVert
    s_\theta(z) - s(z,\sigma)\rVert^2 + C_\sigma, \qquad C_\sigma = \mathbb E\,\Big\lVert s(z,\sigma) +
    \frac{\varepsilon}{\sigma}\Big\rVert^2 ."""
    exact = both(lambda at, e: (guess(at) + e / NOISE) ** 2)
    constant = both(lambda at, e: (log_slope(at) + e / NOISE) ** 2)
    explicit = integral(blurred(Z) * (guess(Z) - log_slope(Z)) ** 2)
    agree(explicit + constant, exact, CLOSE)


@checks("score-constant", on="points seen through noise")
def constant():
    r"""C_\sigma = \frac{D}{\sigma^2} - \mathbb E\,\lVert s(z,\sigma)\rVert^2 ,"""
    exact = both(lambda at, e: (log_slope(at) + e / NOISE) ** 2)
    D = 1
    agree(D / NOISE**2 - integral(blurred(Z) * log_slope(Z) ** 2), exact, CLOSE)


@checks("score-posterior", on="points seen through noise")
def posterior():
    r"""\nabla_z\log p(x_0\mid z) = \frac{x_0 - \mathbb E[x_0\mid z]}{\sigma^2} ."""
    exact = slope(lambda at: np.log(responsibility(at)), PLACES)
    agree((DATA - mean_given(PLACES)) / NOISE**2, exact, CLOSE)


def variance_given(at):
    """Var[x_0 | z], as a sum of squared distances from the mean."""
    return (responsibility(at) * np.square(DATA - mean_given(at))).sum(axis=0)


@checks("score-jacobian", on="points seen through noise")
def jacobian():
    r"""\frac{\partial\,\mathbb E[x_0\mid z]}{\partial z} = \frac{\mathrm{Cov}[x_0\mid z]}{\sigma^2} ."""
    agree(variance_given(PLACES) / NOISE**2, slope(mean_given, PLACES), CLOSE)


@checks("score-cov", on="points seen through noise")
def second_tweedie():
    r"""\mathrm{Cov}[x_0\mid z] = \sigma^2\big(I + \sigma^2\,\nabla_z s(z,\sigma)\big) ."""
    curvature = slope(lambda at: log_slope(at), PLACES, 1e-3)
    agree(NOISE**2 * (1 + NOISE**2 * curvature), variance_given(PLACES), 10 * CLOSE)


@checks("score-expand", on="points seen through noise, and a score function that is not the exact one")
def expand():
    r"""\mathbb E\,\lVert s_\theta - s\rVert^2 = \mathbb E\,\lVert s_\theta\rVert^2 - 2\,\mathbb
    E\,[s_\theta\cdot s] + \mathbb E\,\lVert s\rVert^2 ."""
    p, s = blurred(Z), log_slope(Z)
    exact = integral(p * np.square(guess(Z) - s))
    parts = integral(p * guess(Z) ** 2) - 2 * integral(p * guess(Z) * s) + integral(p * s**2)
    agree(parts, exact, INTEGRAL)


@checks("score-parts", on="points seen through noise, and a score function that is not the exact one")
def parts():
    r"""\mathbb E\,[s_\theta\cdot s] = \int s_\theta(z)\cdot\nabla p(z)\,dz = -\int p(z)\,\nabla\!\cdot
    s_\theta(z)\,dz ."""
    exact = integral(blurred(Z) * guess(Z) * log_slope(Z))
    agree(integral(guess(Z) * slope(blurred, Z)), exact, CLOSE)
    agree(-integral(blurred(Z) * slope(guess, Z)), exact, CLOSE)


@checks("score-implicit", on="points seen through noise, and a score function that is not the exact one")
def implicit():
    r"""\mathbb E\,\lVert s_\theta - s\rVert^2 = \mathbb E\big[\lVert s_\theta\rVert^2 +
    2\,\nabla\!\cdot s_\theta\big] + \mathbb E\,\lVert s\rVert^2 ."""
    p, s = blurred(Z), log_slope(Z)
    exact = integral(p * np.square(guess(Z) - s))
    agree(integral(p * (guess(Z) ** 2 + 2 * slope(guess, Z))) + integral(p * s**2), exact, CLOSE)


# --- walks --------------------------------------------------------------------------------------------------


TAU, SIZE, START, XI = 1.3, 0.6, 0.9, sp.Symbol("xi", real=True)


@checks(
    "score-langevin",
    on="points seen through noise, by the mean of functions over the crowd",
    alike={"at + small / 2 * log_slope(at) - np.sqrt(small) * e": "the noise is symmetric"},
)
def langevin():
    r"""z \;\leftarrow\; z + \frac h2\, s(z) + \sqrt h\;\xi, \qquad \xi\sim\mathcal N(0, I)."""
    # A small step leaves the mean of any function f of z as it is, to first order in h: here f = z⁴ and z².
    e, weight = np.polynomial.hermite_e.hermegauss(20)
    at, small = Z[:, None], 1e-5
    moved = at + small / 2 * log_slope(at) + np.sqrt(small) * e
    for power in (2, 4):
        after = (moved**power * weight / weight.sum()).sum(axis=1)
        agree(integral(blurred(Z) * after), integral(blurred(Z) * Z**power), 1e-3 * small)


@checks(
    "score-recursion",
    on="draws",
    alike={
        "place - SIZE / 2 * place / TAU ** 2 - math.sqrt(SIZE) * xi": "the noise is symmetric",
    },
)
def recursion():
    r"""V' = \Big(1-\frac{h}{2\tau^2}\Big)^2\,V + h ."""
    rng = np.random.default_rng(0)
    place, xi = math.sqrt(START) * rng.standard_normal(400_000), rng.standard_normal(400_000)
    exact = (1 - SIZE / (2 * TAU**2)) ** 2 * START + SIZE
    sampled((place - SIZE / 2 * place / TAU**2 + math.sqrt(SIZE) * xi) ** 2, exact)


@checks("score-bias")
def bias():
    r"""V_\infty = \frac{\tau^2}{1 - h/(4\tau^2)} ."""
    settled = sp.solve((1 - h / (2 * tau**2)) ** 2 * V + h - V, V)[0]
    identity(tau**2 / (1 - h / (4 * tau**2)), settled)


# --- back through the noise ---------------------------------------------------------------------------------

# In z's coordinates the forward step from σ' to σ adds noise of the variance σ² − σ'². Bayes' rule with
# symbols: the place y at σ', given z at σ and x_0, has the density N(z; y, σ² − σ'²) N(y; x_0, σ'²), scaled.
y = sp.Symbol("y", real=True)
LOG_JOINT = -((z - y) ** 2) / (2 * (std**2 - std_next**2)) - (y - x_0_hat) ** 2 / (2 * std_next**2)


def step_back():
    """Mean and variance of q(y | z, x_0 = x̂_0), from a logarithm that is quadratic in y."""
    var = sp.simplify(-1 / sp.diff(LOG_JOINT, y, 2))
    return sp.simplify(sp.diff(LOG_JOINT, y).subs(y, 0) * var), var


@checks("score-ancestral-mean")
def ancestral_mean():
    r"""\frac{\sigma'^2}{\sigma^2}\,z + \Big(1-\frac{\sigma'^2}{\sigma^2}\Big)\,\hat x_0 = z +
    (\sigma^2-\sigma'^2)\,s(z,\sigma) ."""
    mixed = std_next**2 / std**2 * z + (1 - std_next**2 / std**2) * x_0_hat
    identity(mixed, step_back()[0])
    identity((z + (std**2 - std_next**2) * score).subs(score, (x_0_hat - z) / std**2), step_back()[0])


@checks(
    "score-ancestral",
    alike={
        "z + (std ** 2 - std_next ** 2) * score - std_next / std * sp.sqrt(std ** 2 - std_next ** 2) * XI": (
            "the noise is symmetric"
        )
    },
)
def ancestral():
    r"""z' = z + (\sigma^2-\sigma'^2)\,s(z,\sigma) +
    \frac{\sigma'}{\sigma}\sqrt{\sigma^2-\sigma'^2}\;\xi ."""
    step = z + (std**2 - std_next**2) * score + std_next / std * sp.sqrt(std**2 - std_next**2) * XI
    mean, var = step_back()
    identity(step.subs(XI, 0).subs(score, (x_0_hat - z) / std**2), mean)
    identity(sp.diff(step, XI) ** 2, var)


def density(at, var):
    """p as a function of the place and of the noise's variance."""
    return blurred(at, np.sqrt(var))


@checks(
    "score-sde",
    on="points seen through noise, by the mean of functions over the crowd",
    alike={"at + log_slope(at) * dv - math.sqrt(dv) * e": "the noise is symmetric"},
)
def sde():
    r"""z' = z + s\,dv + \sqrt{dv}\;\xi ."""
    e, weight = np.polynomial.hermite_e.hermegauss(20)
    at, var, dv = Z[:, None], NOISE**2, 1e-5
    moved = at + log_slope(at) * dv + math.sqrt(dv) * e
    for power in (2, 4):
        before = integral(density(Z, var) * (moved**power * weight / weight.sum()).sum(axis=1))
        change = (before - integral(density(Z, var) * Z**power)) / dv
        exact = -slope(lambda now, k=power: integral(density(Z, now) * Z**k), var)
        agree(change, exact, 1e-3)


@checks("score-heat", on="points seen through noise")
def heat():
    r"""\frac{\partial p}{\partial v} = \frac12\,\frac{\partial^2 p}{\partial z^2} ."""
    curved = slope(lambda at: slope(blurred, at, 1e-3), PLACES, 1e-3)
    exact = slope(lambda var: density(PLACES, var), NOISE**2)
    agree(curved / 2, exact, 10 * CLOSE)


@checks("score-continuity", on="a crowd that is stretched: z grows in proportion")
def continuity():
    r"""\frac{\partial p}{\partial v} = -\frac{\partial\,(p\,u)}{\partial z} ."""
    # Whoever is at z_0 at the start is at z_0 e^{v/2}: the velocity is z/2.
    exact = slope(lambda time: stretched(PLACES, time), 0.3)
    agree(-slope(lambda at: stretched(at, 0.3) * (0.5 * at), PLACES), exact, CLOSE)


@checks("score-velocity", on="points seen through noise")
def velocity():
    r"""u = -\frac12\,\frac{\partial\log p}{\partial z} = -\frac12\,s ."""
    exact = slope(lambda var: density(PLACES, var), NOISE**2)  # what the flow has to bring about

    def flux(at):
        return blurred(at) * (-log_slope(at) / 2)

    agree(-slope(flux, PLACES, 1e-3), exact, 10 * CLOSE)


@checks("score-ode", on="points seen through noise: who has a share of the crowd to the left, keeps it")
def ode():
    r"""\frac{dz}{d\sigma} = -\sigma\,s(z,\sigma) = \frac{z-\hat x_0(z,\sigma)}{\sigma} ."""
    # Along a path with a constant share to the left, dz/dσ = −(∂share/∂σ)/(∂share/∂z).
    exact = -slope(lambda noise: left_of(PLACES, noise), NOISE) / slope(lambda at: left_of(at, NOISE), PLACES)
    agree(-NOISE * log_slope(PLACES), exact, CLOSE)
    agree((PLACES - mean_given(PLACES)) / NOISE, exact, CLOSE)
