"""Chapter 1's equations, each restated from definitions: sums over a grid, exact algebra, simulation.

Most checks use a model in one dimension whose decoder is bent and of varying width, so that nothing is equal
by accident. The linear model beside it has a likelihood and a posterior in closed form. Integrands are smooth
and gone at the ends of the grid, where a sum of small spacing is exact to rounding.
"""

import itertools
import math

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, sampled
from scipy.stats import norm

GRID, SPACING = np.linspace(-14, 14, 28001, retstep=True)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
ROUNDING = 1e-10  # sums of 28,000 terms of size 1
SE = 5  # simulations may be off by this many standard errors

X = 0.7  # the data point
M, S = 0.4, 0.8  # the encoder's mean and standard deviation
ENCODERS = ((0.4, 0.8), (-0.3, 0.5), (1.0, 1.2))


def mu(z):
    """The bent decoder's mean."""
    return np.sin(2 * z) + 0.5 * z


def var(z):
    """Its variance."""
    return 0.3 + 0.1 * np.cos(z) ** 2


def integral(values):
    return float(np.sum(values) * SPACING)


def prior(z):
    return norm.pdf(z)


def decoder(z, x=X):
    return norm.pdf(x, mu(z), np.sqrt(var(z)))


def q(z, m=M, s=S):
    return norm.pdf(z, m, s)


def log_q(z, m=M, s=S):
    return norm.logpdf(z, m, s)


def log_joint(z, x=X):
    return norm.logpdf(z) + norm.logpdf(x, mu(z), np.sqrt(var(z)))


def log_p(x=X):
    """The likelihood's logarithm, by its definition as an integral."""
    return math.log(integral(prior(GRID) * decoder(GRID, x)))


def log_weight(z, m=M, s=S):
    return log_joint(z) - log_q(z, m, s)


def elbo(m=M, s=S):
    """E_q[log joint − log q] over the grid."""
    return integral(q(GRID, m, s) * log_weight(GRID, m, s))


def kl(p, log_p, log_r):
    """KL over the grid, from the first density and both logarithms."""
    return integral(p * (log_p - log_r))


def mean_over(f):
    """E f(ε) for ε ~ N(0, 1) by Gauss–Hermite nodes."""
    return float(np.sum(WEIGHTS * f(NODES)))


class LinearModel:
    """x = a z + b + noise of variance v: jointly Gaussian with z, so regression gives the posterior."""

    a, b, v = 1.4, -0.2, 0.35
    var_x = a**2 + v
    mean = a * (X - b) / var_x  # cov(z, x) / var(x), times x's deviation
    var = 1 - a**2 / var_x

    def likelihood(self, z):
        return norm.pdf(X, self.a * z + self.b, math.sqrt(self.v))

    def log_p(self):
        return norm.logpdf(X, self.b, math.sqrt(self.var_x))


LINEAR = LinearModel()


def simulated(n=400_000, seed=0):
    return np.random.default_rng(seed).standard_normal((2, n))


# --- the model ----------------------------------------------------------------------------------------------


@checks("vae-model")
def _():
    r"""p(z)\,p_\theta(x\mid z) = \mathcal N\big(z;\ 0, I\big)\;\mathcal N\big(x;\ \mu_\theta(z),
    \Sigma_\theta(z)\big)."""
    # Make (z, x) as the text says; the chance of a rectangle is the integral of the density over it.
    z, noise = simulated()
    x = mu(z) + np.sqrt(var(z)) * noise
    inside = (z > 0.2) & (z < 1.5) & (x > -0.3) & (x < 0.9)
    zs, xs = (np.linspace(low, high, 801) for low, high in ((0.2, 1.5), (-0.3, 0.9)))
    density = norm.pdf(zs[:, None], 0, 1) * norm.pdf(xs, mu(zs)[:, None], np.sqrt(var(zs))[:, None])
    chance = np.trapezoid(np.trapezoid(density, xs, axis=1), zs)
    agree(inside.mean(), chance, SE * math.sqrt(chance * (1 - chance) / len(z)))


@checks("vae-marginal")
def _():
    r"""p_\theta(x) = \int p(z)\,p_\theta(x\mid z)\,dz."""
    agree(math.log(integral(prior(GRID) * LINEAR.likelihood(GRID))), LINEAR.log_p(), ROUNDING)


@checks("vae-posterior")
def _():
    r"""p_\theta(z\mid x) = \frac{p(z)\,p_\theta(x\mid z)}{p_\theta(x)}."""
    z = np.linspace(-1, 2, 7)
    formula = prior(z) * LINEAR.likelihood(z) / math.exp(LINEAR.log_p())
    agree(formula, norm.pdf(z, LINEAR.mean, math.sqrt(LINEAR.var)), 1e-12, relative=True)


@checks("vae-quadrature")
def _():
    r"""p_\theta(x) \approx h^d \sum_j p(z_j)\,p_\theta(x\mid z_j)."""
    # d = 2: x = a · z + noise of variance v has the variance |a|² + v.
    a, v = np.array([1.1, -0.6]), 0.4
    truth = norm.pdf(X, 0, math.sqrt(a @ a + v))
    for h in (0.1, 0.05):
        line = np.arange(-8 + h / 2, 8, h)
        z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        terms = norm.pdf(z).prod(axis=1) * norm.pdf(X, z @ a, math.sqrt(v))
        agree(h**2 * terms.sum(), truth, ROUNDING)


@checks("vae-encoder")
def _():
    r"""q_\phi(z\mid x) = \mathcal N\big(z;\ \mu_\phi(x), \Sigma_\phi(x)\big)."""
    # For the linear model there is a μ_φ and a variance Σ_φ with which the guess is the posterior itself.
    posterior = prior(GRID) * LINEAR.likelihood(GRID) / math.exp(LINEAR.log_p())
    agree(integral(posterior * GRID), LINEAR.mean, ROUNDING)
    agree(integral(posterior * (GRID - LINEAR.mean) ** 2), LINEAR.var, ROUNDING)
    gaussian = np.exp(-((GRID - LINEAR.mean) ** 2) / (2 * LINEAR.var)) / math.sqrt(2 * math.pi * LINEAR.var)
    agree(posterior, gaussian, ROUNDING)


# --- the bound ----------------------------------------------------------------------------------------------


@checks("vae-rewrite")
def _():
    r"""\log p_\theta(x) = \log\int q_\phi(z\mid x)\,\frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)}\,dz =
    \log\,\mathbb E_{q_\phi(z\mid x)}\,w(z),"""
    middle = integral(np.exp(log_q(GRID)) * np.exp(log_joint(GRID) - log_q(GRID)))
    agree(math.log(middle), log_p(), ROUNDING)
    z = M + S * simulated()[0]
    w = np.exp(log_joint(z)) / q(z)
    sampled(w, math.exp(log_p()), SE)


@checks("vae-weight")
def _():
    r"""w(z) = \frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)}."""
    # With the posterior as guess, the weight is p(x) for every z.
    z = np.linspace(-1, 2, 7)
    w = prior(z) * LINEAR.likelihood(z) / norm.pdf(z, LINEAR.mean, math.sqrt(LINEAR.var))
    agree(np.log(w), LINEAR.log_p(), 1e-12)


@checks("vae-jensen")
def _():
    r"""\log\,\mathbb E_{q_\phi(z\mid x)}\,w(z) \;\ge\; \mathbb E_{q_\phi(z\mid x)}\log w(z)."""
    for m, s in ENCODERS:
        w = np.exp(log_weight(GRID, m, s))
        assert math.log(integral(q(GRID, m, s) * w)) > integral(q(GRID, m, s) * np.log(w)) + 0.01


@checks("vae-elbo")
def _():
    r"""\mathrm{ELBO}(x) = \mathbb E_{q_\phi(z\mid x)}\log\frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)}
    \;\le\; \log p_\theta(x)."""
    for m, s in ENCODERS:
        z = m + s * simulated()[0]
        draws = np.log(prior(z) * decoder(z) / q(z, m, s))
        error = SE * draws.std() / math.sqrt(len(draws))
        assert draws.mean() + error < log_p()
        agree(draws.mean(), elbo(m, s), error)
    z = LINEAR.mean + math.sqrt(LINEAR.var) * NODES  # equal for the posterior itself
    ratio = prior(z) * LINEAR.likelihood(z) / norm.pdf(z, LINEAR.mean, math.sqrt(LINEAR.var))
    agree(np.sum(WEIGHTS * np.log(ratio)), LINEAR.log_p(), 1e-9)


@checks("vae-bayes-log")
def _():
    r"""\log p_\theta(x) = \log\frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)} + \log\frac{q_\phi(z\mid
    x)}{p_\theta(z\mid x)}."""
    # The posterior in closed form, the guess anything.
    z = np.linspace(-1, 2, 7)
    posterior = norm.pdf(z, LINEAR.mean, math.sqrt(LINEAR.var))
    right = np.log(prior(z) * LINEAR.likelihood(z) / q(z)) + np.log(q(z) / posterior)
    agree(right, LINEAR.log_p(), 1e-12)


@checks("vae-identity")
def _():
    r"""\log p_\theta(x) = \mathrm{ELBO}(x) + D_{\mathrm{KL}}\big(q_\phi(z\mid
    x)\,\big\|\,p_\theta(z\mid x)\big)."""
    # The linear model: ELBO by the grid, KL between two Gaussians in closed form.
    for m, s in ENCODERS:
        ratio = s**2 / LINEAR.var
        gap = (ratio - 1 - math.log(ratio) + (m - LINEAR.mean) ** 2 / LINEAR.var) / 2
        joint = norm.logpdf(GRID) + norm.logpdf(X, LINEAR.a * GRID + LINEAR.b, math.sqrt(LINEAR.v))
        bound = integral(q(GRID, m, s) * (joint - log_q(GRID, m, s)))
        agree(LINEAR.log_p() - bound, gap, ROUNDING)
        posterior = log_joint(GRID) - log_p()  # and the bent one, all by the grid
        gap = kl(q(GRID, m, s), log_q(GRID, m, s), posterior)
        agree(log_p() - elbo(m, s), gap, ROUNDING)
        assert gap > 0.01


# --- the two terms ------------------------------------------------------------------------------------------


@checks("vae-two-terms")
def _():
    r"""\mathrm{ELBO}(x) = \mathbb E_{q_\phi(z\mid x)}\log p_\theta(x\mid z) \;-\;
    D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,p(z)\big)."""
    for m, s in ENCODERS:
        reconstruction = integral(q(GRID, m, s) * np.log(decoder(GRID)))
        price = kl(q(GRID, m, s), log_q(GRID, m, s), norm.logpdf(GRID))
        agree(elbo(m, s), reconstruction - price, ROUNDING)


@checks("vae-kl-log")
def _():
    r"""D_{\mathrm{KL}}\big(\mathcal N(m, s^2)\,\big\|\,\mathcal N(0, 1)\big) = \mathbb E_{z\sim\mathcal
    N(m, s^2)}\Big[-\tfrac12\log s^2 - \frac{(z-m)^2}{2s^2} + \frac{z^2}{2}\Big]."""
    for m, s in ENCODERS:
        bracket = -0.5 * math.log(s**2) - (GRID - m) ** 2 / (2 * s**2) + GRID**2 / 2
        price = kl(q(GRID, m, s), log_q(GRID, m, s), norm.logpdf(GRID))
        agree(price, integral(q(GRID, m, s) * bracket), ROUNDING)


@checks("vae-kl-moments")
def _():
    r"""\mathbb E\,(z-m)^2 = s^2, \qquad \mathbb E\,z^2 = s^2 + m^2 ."""
    for m, s in ENCODERS:
        agree(integral(q(GRID, m, s) * (GRID - m) ** 2), s**2, ROUNDING)
        agree(integral(q(GRID, m, s) * GRID**2), s**2 + m**2, ROUNDING)


@checks("vae-kl")
def _():
    r"""D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,p(z)\big) = \frac12\sum_{i=1}^{d}\big(m_i^2 + s_i^2 -
    1 - \log s_i^2\big)."""
    # Three coordinates at once, by simulation; and each alone, by the grid.
    means, stds = np.array(ENCODERS).T
    formula = 0.5 * np.sum(means**2 + stds**2 - 1 - np.log(stds**2))
    z = means + stds * np.random.default_rng(0).standard_normal((400_000, 3))
    draws = (norm.logpdf(z, means, stds) - norm.logpdf(z)).sum(axis=1)
    sampled(draws, formula, SE)
    alone = [kl(q(GRID, m, s), log_q(GRID, m, s), norm.logpdf(GRID)) for m, s in ENCODERS]
    agree(sum(alone), formula, ROUNDING)


@checks("vae-noise")
def _():
    r"""z = \mu_\phi(x) + \Sigma_\phi^{1/2}(x)\,\varepsilon, \qquad \varepsilon\sim\mathcal N(0, I)."""
    # Two coordinates with the variances 0.25 and 1.44: the draws have them, and the cumulated chances.
    mean, variance = np.array([0.4, -1.0]), np.array([0.25, 1.44])
    eps = simulated().T
    z = mean + eps @ np.diag(np.sqrt(variance))
    n = len(z)
    assert (np.abs(z.mean(axis=0) - mean) < SE * np.sqrt(variance / n)).all()
    assert (np.abs(z.var(axis=0) - variance) < SE * variance * math.sqrt(2 / n)).all()
    for place in (-1.0, 0.0, 0.9):
        chance = norm.cdf((place - mean) / np.array([0.5, 1.2]))
        assert (np.abs((z < place).mean(axis=0) - chance) < SE * np.sqrt(chance * (1 - chance) / n)).all()


def log_decoder(eps, m=M, s=S):
    """log p(x | z) at z = m + s ε."""
    return np.log(decoder(m + s * eps))


def over_pairs(f):
    """E f(ε¹, ε²) for independent standard normal numbers."""
    return float(np.einsum("i,j,ij->", WEIGHTS, WEIGHTS, f(NODES[:, None], NODES[None, :])))


@checks("vae-monte-carlo")
def _():
    r"""\mathbb E_{q_\phi(z\mid x)}\log p_\theta(x\mid z) \approx
    \frac1K\sum_{k=1}^{K}\log p_\theta(x\mid z^k)."""
    truth = integral(q(GRID) * np.log(decoder(GRID)))
    z = M + S * simulated()[0].reshape(-1, 8)  # K = 8
    estimates = np.log(decoder(z)).sum(axis=1) / 8
    sampled(estimates, truth, SE)


@checks("vae-monte-carlo-var")
def _():
    r"""\mathrm{Var}\Big[\frac1K\sum_{k=1}^{K}\log p_\theta(x\mid z^k)\Big] =
    \frac1K\,\mathrm{Var}_{q_\phi(z\mid x)}\big[\log p_\theta(x\mid z)\big]."""
    one = mean_over(lambda e: log_decoder(e) ** 2) - mean_over(log_decoder) ** 2

    def pair(a, b):
        return (log_decoder(a) + log_decoder(b)) / 2

    two = over_pairs(lambda a, b: pair(a, b) ** 2) - over_pairs(pair) ** 2
    agree(two, one / 2, 1e-9)
    estimates = log_decoder(simulated()[0]).reshape(-1, 8).mean(axis=1)
    error = np.var((estimates - estimates.mean()) ** 2) / len(estimates)
    agree(estimates.var(), one / 8, SE * math.sqrt(error))


# --- gradients ----------------------------------------------------------------------------------------------

m, v, e, z = sp.symbols("m v epsilon z", real=True)
F = z**3 - 2 * z**2 + z  # a function of z whose averages are polynomials
Q = sp.exp(-((z - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v)  # N(z; m, v), v a variance
PLACES = ({m: 0.4, v: 0.64}, {m: -1.1, v: 0.3})
MOMENTS = {1: m, 2: m**2 + v, 3: m**3 + 3 * m * v}  # of N(m, v)
MEAN_F = MOMENTS[3] - 2 * MOMENTS[2] + MOMENTS[1]  # E F


def gradient(phi, place):
    """The derivative of E F with respect to m or v, from the moments of a Gaussian."""
    return float(sp.diff(MEAN_F, phi).subs(place))


def over_z(expression, place):
    """The integral of an expression in z over the grid."""
    return integral(sp.lambdify(z, expression.subs(place))(GRID))


PAIRS = tuple(itertools.product((m, v), PLACES))


@checks("vae-not-through")
def _():
    r"""\nabla_\phi\,\mathbb E_{q_\phi(z\mid x)} f(z) \;\neq\; \mathbb E_{q_\phi(z\mid x)}\nabla_\phi f(z)
    = 0 ."""
    for phi, place in PAIRS:
        agree(over_z(Q * F, place), float(MEAN_F.subs(place)), ROUNDING)
        assert abs(gradient(phi, place)) > 0.1
        assert over_z(Q * (sp.diff(F, phi) + 0 * z), place) == 0


@checks("vae-log-trick")
def _():
    r"""\nabla_\phi\,q_\phi(z\mid x) = q_\phi(z\mid x)\;\nabla_\phi\log q_\phi(z\mid x)."""
    log_density = -((z - m) ** 2) / (2 * v) - sp.log(2 * sp.pi * v) / 2
    for phi, place in PAIRS:
        values = {**place, z: 0.9}
        agree(float((sp.diff(Q, phi) - Q * sp.diff(log_density, phi)).subs(values)), 0, 1e-14)


@checks("vae-score-gradient")
def _():
    r"""\nabla_\phi\,\mathbb E_{q_\phi(z\mid x)} f(z) = \int f(z)\,\nabla_\phi\,q_\phi(z\mid x)\,dz =
    \mathbb E_{q_\phi(z\mid x)}\big[f(z)\,\nabla_\phi\log q_\phi(z\mid x)\big]."""
    log_density = -((z - m) ** 2) / (2 * v) - sp.log(2 * sp.pi * v) / 2
    for phi, place in PAIRS:
        agree(over_z(F * sp.diff(Q, phi), place), gradient(phi, place), ROUNDING)
        agree(over_z(Q * F * sp.diff(log_density, phi), place), gradient(phi, place), ROUNDING)


@checks("vae-lotus")
def _():
    r"""\mathbb E_{q_\phi(z\mid x)} f(z) = \mathbb E_{\varepsilon\sim\mathcal N(0, I)}\,f\big(\mu_\phi(x) +
    \Sigma_\phi^{1/2}(x)\,\varepsilon\big)."""
    for mean, variance in ((0.4, 0.64), (-1.1, 0.3)):
        by_z = integral(norm.pdf(GRID, mean, math.sqrt(variance)) * np.cos(3 * GRID))
        by_noise = mean_over(lambda eps, a=mean, b=variance: np.cos(3 * (a + math.sqrt(b) * eps)))
        agree(by_z, by_noise, ROUNDING)


@checks("vae-path-gradient")
def _():
    r"""\nabla_\phi\,\mathbb E_{q_\phi(z\mid x)} f(z) = \mathbb E_{\varepsilon\sim\mathcal N(0,
    I)}\,\nabla_\phi\,f\big(\mu_\phi(x) + \Sigma_\phi^{1/2}(x)\,\varepsilon\big)."""
    inside = F.subs(z, m + sp.sqrt(v) * e)
    for phi, place in PAIRS:
        slope = sp.lambdify(e, sp.diff(inside, phi).subs(place))
        agree(mean_over(slope), gradient(phi, place), ROUNDING)


@checks("vae-loss")
def _():
    r"""L = -\frac1B\sum_{i=1}^{B}\Big[\log p_\theta\big(x_i\mid z_i\big) - D_{\mathrm{KL}}\big(q_\phi(z\mid
    x_i)\,\big\|\,p(z)\big)\Big]."""
    # B = 3 points, each with its own encoder: the average of L over the noise is minus the mean ELBO.
    batch = list(zip((0.7, -0.4, 1.3), ENCODERS, strict=True))
    noise = np.random.default_rng(0).standard_normal((200_000, 3))
    loss, truth = 0, 0
    for i, (x_i, (a, s)) in enumerate(batch):
        price = 0.5 * (a**2 + s**2 - 1 - math.log(s**2))
        loss = loss - (np.log(decoder(a + s * noise[:, i], x_i)) - price) / 3
        truth -= integral(q(GRID, a, s) * (log_joint(GRID, x_i) - log_q(GRID, a, s))) / 3
    sampled(loss, truth, SE)


# --- more draws ---------------------------------------------------------------------------------------------


def bound_of(K, nodes=40):
    """L_K by Gauss–Hermite nodes in each of the K draws."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    w = np.exp(log_weight(M + S * points))
    chance, total = 1.0, 0.0
    for axis in range(K):
        shape = [-1 if i == axis else 1 for i in range(K)]
        chance = chance * (weights / weights.sum()).reshape(shape)
        total = total + w.reshape(shape)
    return float(np.sum(chance * np.log(total / K)))


@checks("vae-iwae")
def _():
    r"""\mathcal L_K = \mathbb E\,\log\Big(\frac1K\sum_{k=1}^{K} w(z^k)\Big), \qquad z^1,\dots,z^K \sim
    q_\phi(z\mid x)."""
    # K = 1 is the ELBO; K = 3 by simulation from q; and both are bounds.
    agree(bound_of(1, nodes=80), elbo(), 1e-6)
    z = M + S * simulated()[0][:399_999].reshape(-1, 3)
    draws = np.log(np.exp(log_joint(z) - log_q(z)).sum(axis=1) / 3)
    error = SE * draws.std() / math.sqrt(len(draws))
    agree(draws.mean(), bound_of(3), error)
    assert elbo() + error < draws.mean() < log_p() - error


@checks("vae-iwae-climbs")
def _():
    r"""\mathrm{ELBO}(x) = \mathcal L_1 \le \mathcal L_2 \le \mathcal L_3 \le \dots \le \log p_\theta(x)."""
    values = [elbo(), *(bound_of(K) for K in (2, 3, 4)), log_p()]
    assert all(b - a > 1e-3 for a, b in itertools.pairwise(values))


# --- what the encoder sends ---------------------------------------------------------------------------------


def aggregate(z):
    """q(z) for three equally likely points with these encoders."""
    return sum(q(z, *encoder) for encoder in ENCODERS) / 3


@checks("vae-aggregate")
def _():
    r"""q_\phi(z) = \mathbb E_{x\sim\text{data}}\;q_\phi(z\mid x)."""
    # Draw a point, then a z from its encoder, and forget the point.
    generator = np.random.default_rng(0)
    means, stds = np.array(ENCODERS)[generator.integers(3, size=400_000)].T
    sent = means + stds * generator.standard_normal(400_000)
    for place in (-0.5, 0.3, 1.2):
        chance = integral(aggregate(GRID) * (GRID < place))
        error = SE * math.sqrt(chance * (1 - chance) / len(sent)) + SPACING  # the grid's edge at `place`
        agree((sent < place).mean(), chance, error)


@checks("vae-split")
def _():
    r"""\mathbb E_x\,D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,p(z)\big) = \mathbb
    E_x\,D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,q_\phi(z)\big) +
    D_{\mathrm{KL}}\big(q_\phi(z)\,\big\|\,p(z)\big)."""
    mixed = aggregate(GRID)
    log_mixed, log_prior = np.log(np.maximum(mixed, 1e-300)), norm.logpdf(GRID)
    each = [(q(GRID, *encoder), log_q(GRID, *encoder)) for encoder in ENCODERS]
    left = np.mean([kl(density, log, log_prior) for density, log in each])
    told = np.mean([kl(density, log, log_mixed) for density, log in each])
    rest = kl(mixed, log_mixed, log_prior)
    agree(left, told + rest, ROUNDING)
    assert min(told, rest) > 0.01
