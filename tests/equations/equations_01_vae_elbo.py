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
from evidence import agree, exceeds, identity, quadrature, sampled
from scipy.stats import norm

GRID, SPACING = np.linspace(-12, 12, 2401, retstep=True)
ROUNDING = 1e-11  # sums and products of some thousand numbers, none of which exceeds a hundred

X = 0.7  # the data point
M, S = 0.4, 0.8  # the encoder's mean and standard deviation
ENCODERS = ((0.4, 0.8), (-0.3, 0.5), (1.0, 1.2))
MEANS, STDS = np.array(ENCODERS).T
MIRRORED = "ε and −ε have the same distribution"


def mu(z):
    """The bent decoder's mean."""
    return np.sin(2 * z) + 0.5 * z


def var(z):
    """Its variance."""
    return 0.3 + 0.1 * np.cos(z) ** 2


@quadrature
def integral(values, spacing=SPACING):
    """The integral of a function, or of one of two variables, from its values on a grid."""
    return float(np.sum(values) * spacing**values.ndim)


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


def elbo(m=M, s=S, x=X):
    """E_q[log joint − log q] over the grid."""
    return integral(q(GRID, m, s) * (log_joint(GRID, x) - log_q(GRID, m, s)))


def kl(log_p, log_r):
    """KL(p ‖ r) from the two log densities on the grid."""
    return integral(np.exp(log_p) * (log_p - log_r))


def kl_gaussians(m, s, n, r):
    """KL(N(m, s²) ‖ N(n, r²)) in closed form."""
    return np.log(r / s) + (s**2 + (m - n) ** 2) / (2 * r**2) - 0.5


def gaussian(mean, std, shape=400_000, seed=0):
    """Draws from N(mean, std²)."""
    return mean + std * np.random.default_rng(seed).standard_normal(shape)


class LinearModel:
    """x = a z + b + noise of variance v: jointly Gaussian with z, so regression gives the posterior."""

    a, b, v = 1.4, -0.2, 0.35
    var_x = a**2 + v
    std = math.sqrt(1 - a**2 / var_x)  # the posterior's

    def mean(self, x=X):
        """The posterior's mean: cov(z, x) / var(x), times x's deviation."""
        return self.a * (x - self.b) / self.var_x

    def likelihood(self, z, x=X):
        return norm.pdf(x, self.a * z + self.b, math.sqrt(self.v))

    def log_p(self, x=X):
        return norm.logpdf(x, self.b, math.sqrt(self.var_x))


LINEAR = LinearModel()
POSTERIOR = (LINEAR.mean(), LINEAR.std)
PLACES = np.linspace(-1, 2, 7)  # some values of z


# --- the model ----------------------------------------------------------------------------------------------


@quadrature
def over_rectangle(density, zs, xs):
    """The integral of a density from its values at zs × xs."""
    return np.trapezoid(np.trapezoid(density, xs, axis=1), zs)


@checks(
    "vae-model", on="this definition: pairs drawn by it, z and x of one number, counted in two rectangles"
)
def _():
    r"""p(z)\,p_\theta(x\mid z) = \mathcal N\big(z;\ 0, I\big)\;\mathcal N\big(x;\ \mu_\theta(z),
    \Sigma_\theta(z)\big)."""
    # Make (z, x) as the text says; the chance of a rectangle is the integral of the density over it.
    z = gaussian(0, 1)
    x = gaussian(mu(z), np.sqrt(var(z)), seed=1)
    for (left, right), (low, high) in (((0.2, 1.5), (-0.3, 0.9)), ((-1.5, 0.1), (-1, 0.2))):
        zs, xs = np.linspace(left, right, 401), np.linspace(low, high, 401)
        density = norm.pdf(zs[:, None], 0, 1) * norm.pdf(xs, mu(zs)[:, None], np.sqrt(var(zs))[:, None])
        inside = (left < z) & (z < right) & (low < x) & (x < high)
        sampled(inside, over_rectangle(density, zs, xs))


@checks(
    "vae-marginal", on="a linear model, z and x of one number, where p(x) is a known Gaussian; three points x"
)
def _():
    r"""p_\theta(x) = \int p(z)\,p_\theta(x\mid z)\,dz."""
    for x in (-1.0, 0.7, 2.5):
        agree(math.log(integral(prior(GRID) * LINEAR.likelihood(GRID, x))), LINEAR.log_p(x), ROUNDING)


@checks(
    "vae-posterior",
    on="a linear model, z and x of one number, where the posterior is a known Gaussian; one x, seven z",
)
def _():
    r"""p_\theta(z\mid x) = \frac{p(z)\,p_\theta(x\mid z)}{p_\theta(x)}."""
    formula = prior(PLACES) * LINEAR.likelihood(PLACES) / math.exp(LINEAR.log_p())
    agree(formula, norm.pdf(PLACES, *POSTERIOR), ROUNDING, relative=True)


@checks(
    "vae-quadrature",
    on="a linear model, z of two numbers and x of one, where p(x) is known; one x, h = 0.1 and h = 0.05",
)
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


@checks(
    "vae-encoder",
    on="what follows from this definition: for a linear model some such Gaussian is the posterior; three x",
)
def _():
    r"""q_\phi(z\mid x) = \mathcal N\big(z;\ \mu_\phi(x), \Sigma_\phi(x)\big)."""
    # For the linear model some μ_φ(x) and Σ_φ(x) make the guess the posterior: its mean and its variance.
    for x in (-1.0, 0.7, 2.5):
        posterior = prior(GRID) * LINEAR.likelihood(GRID, x) / math.exp(LINEAR.log_p(x))
        mean = integral(posterior * GRID)
        variance = integral(posterior * (GRID - mean) ** 2)
        formula = np.exp(-((GRID - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        agree(formula, posterior, ROUNDING)


# --- the bound ----------------------------------------------------------------------------------------------


@checks(
    "vae-rewrite",
    on="a linear decoder and one of mean sin 2z + z/2, z and x of one number; one x, one encoder",
)
def _():
    r"""\log p_\theta(x) = \log\int q_\phi(z\mid x)\,\frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)}\,dz =
    \log\,\mathbb E_{q_\phi(z\mid x)}\,w(z),"""
    middle = integral(q(GRID) * (prior(GRID) * LINEAR.likelihood(GRID) / q(GRID)))
    agree(math.log(middle), LINEAR.log_p(), ROUNDING)
    z = gaussian(M, S)
    sampled(prior(z) * LINEAR.likelihood(z) / q(z), math.exp(LINEAR.log_p()))
    sampled(prior(z) * decoder(z) / q(z), math.exp(log_p()))


@checks(
    "vae-weight",
    on="what follows from this definition: in a linear model, with the posterior as q, w(z) = p(x); seven z",
)
def _():
    r"""w(z) = \frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)}."""
    # With the posterior as guess, the weight is p(x) for every z.
    w = prior(PLACES) * LINEAR.likelihood(PLACES) / q(PLACES, *POSTERIOR)
    agree(np.log(w), LINEAR.log_p(), ROUNDING)


@checks(
    "vae-jensen",
    on="a linear model, z and x of one number, three encoders; what is lost is the KL to the posterior",
)
def _():
    r"""\log\,\mathbb E_{q_\phi(z\mid x)}\,w(z) \;\ge\; \mathbb E_{q_\phi(z\mid x)}\log w(z)."""
    # What is lost is the distance from the posterior, in closed form for the linear model.
    for m, s in ENCODERS:
        w = prior(GRID) * LINEAR.likelihood(GRID) / q(GRID, m, s)
        left, right = math.log(integral(q(GRID, m, s) * w)), integral(q(GRID, m, s) * np.log(w))
        exceeds(left, right)
        agree(left, LINEAR.log_p(), ROUNDING)
        agree(left - right, kl_gaussians(m, s, *POSTERIOR), ROUNDING)


@checks(
    "vae-elbo",
    on="three encoders, a decoder of mean sin 2z + z/2; equal for a linear model whose posterior is q",
)
def _():
    r"""\mathrm{ELBO}(x) = \mathbb E_{q_\phi(z\mid x)}\log\frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)}
    \;\le\; \log p_\theta(x)."""
    for m, s in ENCODERS:
        z = gaussian(m, s)
        draws = np.log(prior(z) * decoder(z) / q(z, m, s))
        sampled(draws, elbo(m, s))
        exceeds(log_p(), draws.mean())
    ratio = prior(GRID) * LINEAR.likelihood(GRID) / q(GRID, *POSTERIOR)  # equal for the posterior itself
    agree(integral(q(GRID, *POSTERIOR) * np.log(ratio)), LINEAR.log_p(), ROUNDING)


@checks(
    "vae-bayes-log",
    on="a linear model, z and x of one number, where the posterior is known; three encoders, seven z",
)
def _():
    r"""\log p_\theta(x) = \log\frac{p(z)\,p_\theta(x\mid z)}{q_\phi(z\mid x)} + \log\frac{q_\phi(z\mid
    x)}{p_\theta(z\mid x)}."""
    # The posterior in closed form, the guess anything.
    for m, s in ENCODERS:
        guess, posterior = q(PLACES, m, s), norm.pdf(PLACES, *POSTERIOR)
        right = np.log(prior(PLACES) * LINEAR.likelihood(PLACES) / guess) + np.log(guess / posterior)
        agree(right, LINEAR.log_p(), ROUNDING)


@checks(
    "vae-identity",
    on="a linear model, z and x of one number, where p(x) and the posterior are known; three encoders",
)
def _():
    r"""\log p_\theta(x) = \mathrm{ELBO}(x) + D_{\mathrm{KL}}\big(q_\phi(z\mid
    x)\,\big\|\,p_\theta(z\mid x)\big)."""
    # The linear model: ELBO by the grid, likelihood and KL in closed form.
    for m, s in ENCODERS:
        ratio = prior(GRID) * LINEAR.likelihood(GRID) / q(GRID, m, s)
        bound, gap = integral(q(GRID, m, s) * np.log(ratio)), kl_gaussians(m, s, *POSTERIOR)
        agree(bound + gap, LINEAR.log_p(), ROUNDING)
        assert gap > 0.01


# --- the two terms ------------------------------------------------------------------------------------------


@checks("vae-two-terms", on="a decoder of mean sin 2z + z/2, z and x of one number; three encoders, one x")
def _():
    r"""\mathrm{ELBO}(x) = \mathbb E_{q_\phi(z\mid x)}\log p_\theta(x\mid z) \;-\;
    D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,p(z)\big)."""
    for m, s in ENCODERS:
        reconstruction = integral(q(GRID, m, s) * np.log(decoder(GRID)))
        agree(reconstruction - kl_gaussians(m, s, 0, 1), elbo(m, s), ROUNDING)


@checks("vae-kl-log", on="three Gaussians of one dimension")
def _():
    r"""D_{\mathrm{KL}}\big(\mathcal N(m, s^2)\,\big\|\,\mathcal N(0, 1)\big) = \mathbb E_{z\sim\mathcal
    N(m, s^2)}\Big[-\tfrac12\log s^2 - \frac{(z-m)^2}{2s^2} + \frac{z^2}{2}\Big]."""
    for m, s in ENCODERS:
        bracket = -0.5 * math.log(s**2) - (GRID - m) ** 2 / (2 * s**2) + GRID**2 / 2
        agree(integral(q(GRID, m, s) * bracket), kl(log_q(GRID, m, s), norm.logpdf(GRID)), ROUNDING)


@checks("vae-kl-moments", on="three Gaussians of one dimension")
def _():
    r"""\mathbb E\,(z-m)^2 = s^2, \qquad \mathbb E\,z^2 = s^2 + m^2 ."""
    for m, s in ENCODERS:
        agree(integral(q(GRID, m, s) * (GRID - m) ** 2), s**2, ROUNDING)
        agree(integral(q(GRID, m, s) * GRID**2), s**2 + m**2, ROUNDING)


@checks("vae-kl", on="a Gaussian of three dimensions, whole by draws, and coordinate by coordinate")
def _():
    r"""D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,p(z)\big) = \frac12\sum_{i=1}^{d}\big(m_i^2 + s_i^2 -
    1 - \log s_i^2\big)."""
    # Three coordinates at once, by simulation; and each alone, by the grid.
    formula = 0.5 * np.sum(MEANS**2 + STDS**2 - 1 - np.log(STDS**2))
    z = gaussian(MEANS, STDS, (200_000, 3))
    sampled((norm.logpdf(z, MEANS, STDS) - norm.logpdf(z)).sum(axis=1), formula)
    agree(sum(kl(log_q(GRID, m, s), norm.logpdf(GRID)) for m, s in ENCODERS), formula, ROUNDING)
    agree(np.sum(kl_gaussians(MEANS, STDS, 0, 1)), formula, ROUNDING)


@checks(
    "vae-noise",
    on="two numbers with variances 0.25 and 1.44: the shares of draws below three places, each and both",
    alike={"mean - eps @ np.diag(np.sqrt(variance))": MIRRORED},
)
def _():
    r"""z = \mu_\phi(x) + \Sigma_\phi^{1/2}(x)\,\varepsilon, \qquad \varepsilon\sim\mathcal N(0, I)."""
    # Two coordinates with the variances 0.25 and 1.44, against the cumulated chances of N(μ, Σ).
    mean, variance, stds = np.array([0.4, -1.0]), np.array([0.25, 1.44]), np.array([0.5, 1.2])
    eps = gaussian(0, 1, (400_000, 2))
    z = mean + eps @ np.diag(np.sqrt(variance))
    for place in (-1.0, 0.0, 0.9):
        below = norm.cdf(place, mean, stds)
        sampled(z[:, 0] < place, below[0])
        sampled(z[:, 1] < place, below[1])
        sampled((z < place).all(axis=1), below.prod())  # the coordinates are independent


def log_decoder(eps, m=M, s=S):
    """log p(x | z) at z = m + s ε."""
    return np.log(decoder(m + s * eps))


@quadrature
def over_noise(f, K=1):
    """E f(ε¹, …, ε^K) for independent standard normal numbers, by a sum over a coarser grid."""
    line = GRID[::5]
    weights = math.prod(np.ix_(*[norm.pdf(line) * 5 * SPACING] * K))
    return float(np.sum(weights * f(*np.ix_(*[line] * K))))


@checks(
    "vae-monte-carlo",
    on="K = 8: right on average, with a decoder of mean sin 2z + z/2, z and x of one number",
)
def _():
    r"""\mathbb E_{q_\phi(z\mid x)}\log p_\theta(x\mid z) \approx
    \frac1K\sum_{k=1}^{K}\log p_\theta(x\mid z^k)."""
    z = gaussian(M, S, (50_000, 8))  # K = 8
    sampled(np.log(decoder(z)).sum(axis=1) / 8, integral(q(GRID) * np.log(decoder(GRID))))


@checks(
    "vae-monte-carlo-var",
    on="a decoder of mean sin 2z + z/2, z and x of one number: K = 2 by quadrature, K = 8 by draws",
)
def _():
    r"""\mathrm{Var}\Big[\frac1K\sum_{k=1}^{K}\log p_\theta(x\mid z^k)\Big] =
    \frac1K\,\mathrm{Var}_{q_\phi(z\mid x)}\big[\log p_\theta(x\mid z)\big]."""
    mean = over_noise(log_decoder)
    one = over_noise(lambda eps: (log_decoder(eps) - mean) ** 2)
    two = over_noise(lambda *eps: (sum(map(log_decoder, eps)) / 2 - mean) ** 2, K=2)
    agree(two, one / 2, ROUNDING)
    estimates = np.log(decoder(gaussian(M, S, (50_000, 8)))).sum(axis=1) / 8
    sampled((estimates - mean) ** 2, one / 8)


# --- gradients ----------------------------------------------------------------------------------------------

m, e, z = sp.symbols("m epsilon z", real=True)
v = sp.Symbol("v", positive=True)
F = z**3 - 2 * z**2 + z  # a function of z whose averages are polynomials
Q = sp.exp(-((z - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v)  # N(z; m, v), v a variance
LOG_Q = -((z - m) ** 2) / (2 * v) - sp.log(2 * sp.pi * v) / 2
MOMENTS = {1: m, 2: m**2 + v, 3: m**3 + 3 * m * v}  # of N(m, v)
MEAN_F = MOMENTS[3] - 2 * MOMENTS[2] + MOMENTS[1]  # E F
CASES = tuple(itertools.product((m, v), ({m: 0.4, v: 0.64}, {m: -1.1, v: 0.3})))  # φ, and where


def over_z(expression, place):
    """The integral of an expression in z over the grid, with the values of m and v that `place` gives."""
    return integral(sp.lambdify(z, expression.subs(place))(GRID) + 0 * GRID)


def mean_over_e(expression):
    """E of a polynomial in ε for ε ~ N(0, 1): odd powers have the mean 0, even ones (k − 1)!!"""
    terms = sp.Poly(expression, e).terms()
    return sum(factor * sp.factorial2(k - 1) for (k,), factor in terms if k % 2 == 0)


@checks(
    "vae-not-through",
    on="f(z) = z³ − 2z² + z and two Gaussians of one dimension, φ their mean or their variance",
    alike={"2 * (Q * sp.diff(F, phi))": "twice 0 is 0"},
)
def _():
    r"""\nabla_\phi\,\mathbb E_{q_\phi(z\mid x)} f(z) \;\neq\; \mathbb E_{q_\phi(z\mid x)}\nabla_\phi f(z)
    = 0 ."""
    for phi, place in CASES:
        agree(over_z(Q * F, place), MEAN_F.subs(place), ROUNDING)
        inside = over_z(Q * sp.diff(F, phi), place)
        agree(inside, 0, 0)
        exceeds(abs(sp.diff(MEAN_F, phi).subs(place)), inside, by=0.1)


@checks(
    "vae-log-trick", on="a Gaussian of one dimension with any mean and variance, φ its mean or its variance"
)
def _():
    r"""\nabla_\phi\,q_\phi(z\mid x) = q_\phi(z\mid x)\;\nabla_\phi\log q_\phi(z\mid x)."""
    for phi in (m, v):
        identity(sp.diff(Q, phi) / Q, sp.diff(LOG_Q, phi))  # both sides divided by q
    identity(sp.exp(LOG_Q) / Q, 1)


@checks(
    "vae-score-gradient",
    on="f(z) = z³ − 2z² + z and two Gaussians of one dimension, φ their mean or their variance",
)
def _():
    r"""\nabla_\phi\,\mathbb E_{q_\phi(z\mid x)} f(z) = \int f(z)\,\nabla_\phi\,q_\phi(z\mid x)\,dz =
    \mathbb E_{q_\phi(z\mid x)}\big[f(z)\,\nabla_\phi\log q_\phi(z\mid x)\big]."""
    for phi, place in CASES:
        left = sp.diff(MEAN_F, phi).subs(place)
        agree(over_z(F * sp.diff(Q, phi), place), left, ROUNDING)
        agree(over_z(Q * F * sp.diff(LOG_Q, phi), place), left, ROUNDING)


@checks(
    "vae-lotus",
    on="f(z) = cos 3z and two Gaussians of one dimension",
    alike={"a - math.sqrt(b) * eps": MIRRORED},
)
def _():
    r"""\mathbb E_{q_\phi(z\mid x)} f(z) = \mathbb E_{\varepsilon\sim\mathcal N(0, I)}\,f\big(\mu_\phi(x) +
    \Sigma_\phi^{1/2}(x)\,\varepsilon\big)."""
    for mean, variance in ((0.4, 0.64), (-1.1, 0.3)):
        by_z = integral(norm.pdf(GRID, mean, math.sqrt(variance)) * np.cos(3 * GRID))
        by_noise = over_noise(lambda eps, a=mean, b=variance: np.cos(3 * (a + math.sqrt(b) * eps)))
        agree(by_z, by_noise, ROUNDING)


@checks(
    "vae-path-gradient",
    on="f(z) = z³ − 2z² + z and a Gaussian of one dimension, φ its mean or its variance",
    alike={"m - sp.sqrt(v) * e": MIRRORED},
)
def _():
    r"""\nabla_\phi\,\mathbb E_{q_\phi(z\mid x)} f(z) = \mathbb E_{\varepsilon\sim\mathcal N(0,
    I)}\,\nabla_\phi\,f\big(\mu_\phi(x) + \Sigma_\phi^{1/2}(x)\,\varepsilon\big)."""
    for phi in (m, v):
        identity(mean_over_e(sp.diff(F.subs(z, m + sp.sqrt(v) * e), phi)), sp.diff(MEAN_F, phi))


@checks(
    "vae-loss",
    on="what follows from this definition: its mean is minus the mean ELBO; B = 3, z and x of one number",
)
def _():
    r"""L = -\frac1B\sum_{i=1}^{B}\Big[\log p_\theta\big(x_i\mid z_i\big) - D_{\mathrm{KL}}\big(q_\phi(z\mid
    x_i)\,\big\|\,p(z)\big)\Big]."""
    # B = 3 points, each with its own encoder: the average of L over the noise is minus the mean ELBO.
    x = np.array([0.7, -0.4, 1.3])
    z = gaussian(MEANS, STDS, (200_000, 3))
    loss = -(np.log(decoder(z, x)) - kl_gaussians(MEANS, STDS, 0, 1)).sum(axis=1) / 3
    bounds = [elbo(m, s, x_i) for (m, s), x_i in zip(ENCODERS, x, strict=True)]
    sampled(loss, -np.mean(bounds))


# --- more draws ---------------------------------------------------------------------------------------------


COARSE = 1e-7  # of the noise 2e-9 lies outside the next grid, where no log w is larger than 50


@quadrature
def bound_of(K):
    """L_K by a sum over a grid of the K draws, K-dimensional and coarse."""
    line, spacing = np.linspace(-6, 6, 31, retstep=True)
    z = M + S * line
    w = sum(np.ix_(*[prior(z) * decoder(z) / q(z)] * K))
    return float(np.sum(math.prod(np.ix_(*[norm.pdf(line) * spacing] * K)) * np.log(w / K)))


@checks(
    "vae-iwae",
    on="this definition for K = 1 to 4, by draws and by quadrature; a decoder of mean sin 2z + z/2",
)
def _():
    r"""\mathcal L_K = \mathbb E\,\log\Big(\frac1K\sum_{k=1}^{K} w(z^k)\Big), \qquad z^1,\dots,z^K \sim
    q_\phi(z\mid x)."""
    for K in (1, 2, 3, 4):
        z = gaussian(M, S, (100_000, K))
        w = np.exp(log_joint(z) - log_q(z))
        sampled(np.log(w.sum(axis=1) / K), bound_of(K))


@checks(
    "vae-iwae-climbs",
    on="K = 1 to 4: a decoder of mean sin 2z + z/2, z and x of one number; one x, one encoder",
)
def _():
    r"""\mathrm{ELBO}(x) = \mathcal L_1 \le \mathcal L_2 \le \mathcal L_3 \le \dots \le \log p_\theta(x)."""
    bounds = {K: bound_of(K) for K in (1, 2, 3, 4)}
    agree(elbo(), bounds[1], COARSE)
    for K in (2, 3, 4):
        exceeds(bounds[K], bounds[K - 1], by=COARSE)
    exceeds(log_p(), bounds[4], by=COARSE)


# --- what the encoder sends ---------------------------------------------------------------------------------


def aggregate(z):
    """q(z) for three equally likely points with these encoders."""
    return sum(q(z, *encoder) for encoder in ENCODERS) / 3


@checks(
    "vae-aggregate",
    on="this definition: z drawn for one of three data points, against the mean of their three densities",
)
def _():
    r"""q_\phi(z) = \mathbb E_{x\sim\text{data}}\;q_\phi(z\mid x)."""
    # Draw a point, then a z from its encoder, and forget the point; compare the characteristic functions.
    point = np.random.default_rng(1).integers(3, size=400_000)
    z = gaussian(MEANS[point], STDS[point])
    density = np.mean([q(GRID, m, s) for m, s in ENCODERS], axis=0)
    for k in (0.5, 1, 2, 3):
        sampled(np.cos(k * z), integral(density * np.cos(k * GRID)))
        sampled(np.sin(k * z), integral(density * np.sin(k * GRID)))
    agree(aggregate(GRID), density, ROUNDING)


@checks("vae-split", on="three data points, each with an encoder of its own, z of one number")
def _():
    r"""\mathbb E_x\,D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,p(z)\big) = \mathbb
    E_x\,D_{\mathrm{KL}}\big(q_\phi(z\mid x)\,\big\|\,q_\phi(z)\big) +
    D_{\mathrm{KL}}\big(q_\phi(z)\,\big\|\,p(z)\big)."""
    log_mixed = np.log(aggregate(GRID))
    left = np.mean(kl_gaussians(MEANS, STDS, 0, 1))
    told = np.mean([kl(log_q(GRID, m, s), log_mixed) for m, s in ENCODERS])
    rest = kl(log_mixed, norm.logpdf(GRID))
    agree(told + rest, left, ROUNDING)
    assert min(told, rest) > 0.01
