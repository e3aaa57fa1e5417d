"""Chapter 2's equations, each restated from definitions, on a chain in which everything is known.

The chain has three levels of one number each. Encoder and model are linear and Gaussian, so every joint
distribution is a Gaussian whose covariance follows from how the draws are made. Averages are exact: that of a
polynomial of degree two needs mean and covariance alone. Where a distribution is not Gaussian, quadrature or
a simulation with its standard error takes their place.
"""

import itertools
import math

import numpy as np
from equations import checks
from evidence import agree, exceeds, quadrature, sampled
from scipy.stats import multivariate_normal, norm

T = 3
X = 0.7  # the point whose bound is taken
UP = {1: (0.8, 0.5), 2: (-0.6, 0.7), 3: (0.9, 0.4)}  # z_t = a z_{t−1} + s ε, with s a standard deviation
DOWN = {1: (0.5, 0.2, 0.6), 2: (-0.7, -0.1, 0.9), 3: (0.4, 0.3, 0.8)}  # z_{t−1} = c z_t + d + w ε
ROUNDING = 1e-11  # sums and products of some thousand numbers, none of which exceeds a hundred


def q(t, z_prev):
    """q(z_t | z_{t−1})."""
    a, s = UP[t]
    return norm(a * z_prev, s)


def p(t, z_t):
    """p(z_{t−1} | z_t)."""
    c, d, w = DOWN[t]
    return norm(c * z_t + d, w)


# --- the two joint Gaussians, and averages over them --------------------------------------------------------


def encoder_maps():
    """Mean of (z_0, …, z_T) given z_0 = x, and z_t's deviation from it as a linear map of (ε_1, …, ε_T)."""
    mean, noise = np.full(T + 1, X), np.zeros((T + 1, T))
    for t, (a, s) in UP.items():
        mean[t], noise[t] = a * mean[t - 1], a * noise[t - 1]
        noise[t, t - 1] = s
    return mean, noise


def model_maps():
    """The same of (x, z_1, …, z_T) under the model, from ancestral draws."""
    mean, noise = np.zeros(T + 1), np.eye(T + 1)
    for t in range(T, 0, -1):
        c, d, w = DOWN[t]
        mean[t - 1], noise[t - 1] = c * mean[t] + d, c * noise[t]
        noise[t - 1, t - 1] = w
    return mean, noise


def moments(maps, levels):
    """Mean and covariance of these z_t."""
    mean, noise = maps
    index = list(levels)
    return mean[index], noise[index] @ noise[index].T


def log_joint(maps, z, levels):
    """The log density of these z_t, from the joint Gaussian."""
    points = np.stack(np.broadcast_arrays(*[z[t] for t in levels]), axis=-1)
    return multivariate_normal(*moments(maps, levels)).logpdf(points)


def log_p(z, *levels):
    """log p of the z_t of these levels, of which level 0 is x; there is none above T."""
    levels = [t for t in levels if t <= T]
    return log_joint(model_maps(), z, levels) if levels else 0.0


def log_q(z, *levels):
    """log q of the z_t of these levels given x; level 0 is x, which is given."""
    levels = [t for t in levels if t > 0]
    return log_joint(encoder_maps(), z, levels) if levels else 0.0


def posterior_moments():
    """Mean and covariance of (z_1, …, z_T) given x under the model, by regression on x."""
    mean, cov = moments(model_maps(), range(T + 1))
    gain = cov[1:, 0] / cov[0, 0]
    return mean[1:] + gain * (X - mean[0]), cov[1:, 1:] - np.outer(gain, cov[0, 1:])


LOG_P = norm.logpdf(X, model_maps()[0][0], np.linalg.norm(model_maps()[1][0]))  # log p(x)
POSTERIOR = posterior_moments()
ENCODER = moments(encoder_maps(), range(1, T + 1))
WIDE = multivariate_normal(ENCODER[0], 6 * ENCODER[1])  # as an encoder, it keeps p / q bounded
POINTS = np.array([[X, X, X], [0.3, -1.2, 2.0], [-0.8, 0.4, 1.5], [1.1, 0.2, -0.6]])  # three chains, upwards

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)
EPS = np.array(list(itertools.product(NODES, repeat=T)))  # exact up to degree five
CHANCES = np.array([math.prod(w) for w in itertools.product(WEIGHTS / WEIGHTS.sum(), repeat=T)])


@quadrature
def average(f, mean, noise):
    """E f(z) for z = mean + noise ε, by nodes and weights; f takes the numbers of z one by one."""
    return float(CHANCES @ f((mean + EPS @ noise.T).T))


def over_chains(f):
    """E f(z) for z_0 = x and z_1, …, z_T from the encoder."""
    return average(f, *encoder_maps())


def elbo():
    """The joint form of the bound, by the joint Gaussians."""
    return over_chains(lambda z: log_p(z, 0, 1, 2, 3) - log_q(z, 1, 2, 3))


def term(t):
    """𝓛_t from the joint Gaussians, averaged over whole chains: q of z_{t−1} given z_{t−2}, p given z_t.

    t = T + 1 is 𝓛_prior, for there is no z_{T+1}.
    """
    return over_chains(lambda z: log_q(z, t - 2, t - 1) - log_q(z, t - 2) - log_p(z, t - 1, t) + log_p(z, t))


def gaussian(mean, std, shape, seed):
    """Draws from N(mean, std²)."""
    return mean + std * np.random.default_rng(seed).standard_normal(shape)


def chains(n=200_000):
    """Chains x, z_1, …, z_T, simulated step by step."""
    z = {0: np.full(n, X)}
    for t, (a, s) in UP.items():
        z[t] = gaussian(a * z[t - 1], s, n, seed=t)
    return z


def kl_gaussians(mean, cov, other_mean, other_cov):
    """KL of two Gaussians of several numbers, in closed form."""
    apart, inverse = other_mean - mean, np.linalg.inv(other_cov)
    volumes = math.log(np.linalg.det(other_cov) / np.linalg.det(cov))
    return (np.trace(inverse @ cov) + apart @ inverse @ apart - len(mean) + volumes) / 2


# --- densities on a grid ------------------------------------------------------------------------------------

GRID, SPACING = np.linspace(-12, 12, 2401, retstep=True)
GRID = GRID[:, None]  # a row for each z; a column for each of several densities


@quadrature
def integral(values, spacing=SPACING):
    """The integrals of functions from their values on the grid, which is exact to rounding."""
    return values.sum(axis=0) * spacing


def kl(log_one, log_other):
    """KL from the log densities on the grid."""
    return integral(np.exp(log_one) * (log_one - log_other))


# --- the model ----------------------------------------------------------------------------------------------


@checks(
    "hvae-model",
    on="what follows from this definition: for three linear levels it is the joint Gaussian of their draws",
)
def _():
    r"""p_\theta(x, z_1, \dots, z_T) = p(z_T)\,\prod_{t=1}^{T} p_\theta(z_{t-1}\mid z_t)."""
    z = POINTS
    product = norm.pdf(z[T]) * math.prod(p(t, z[t]).pdf(z[t - 1]) for t in range(1, T + 1))
    agree(np.log(product), log_p(z, 0, 1, 2, 3), ROUNDING)


def bent(t, z):
    """Mean and variance of a level that is neither linear nor of constant width."""
    return np.sin(t * z) + 0.3, 0.3 + 0.2 * np.cos(t * z)


def waves(low, high):
    """Functions of two neighbours, to compare distributions by."""
    return np.cos(low), np.sin(low), np.cos(2 * high), np.sin(2 * low - high), np.cos(low + high)


@quadrature
def bent_averages(t):
    """E of the waves of z_{t−1} and z_t under two bent levels, from the densities on a grid."""
    line, spacing = np.linspace(-9, 9, 361, retstep=True)

    def step(t):
        mean, var = bent(t, line[:, None])
        return norm.pdf(line, mean, np.sqrt(var)) * spacing  # a row for each z_t, a column for each z_{t−1}

    top = norm.pdf(line) * spacing
    joint = (top if t == 2 else top @ step(2))[:, None] * step(t)
    return [float(np.sum(joint * wave)) for wave in waves(line, line[:, None])]


@checks(
    "hvae-ancestral",
    on="two levels of one number, whose mean and variance are waves of z_t, by averages of five waves",
    alike={"mean - np.sqrt(var) * eps": "ε and −ε have the same distribution"},
)
def _():
    r"""z_{t-1} = \mu_t(z_t) + \Sigma_t^{1/2}(z_t)\,\varepsilon_t, \qquad \varepsilon_t \sim
    \mathcal N(0, I), \qquad t = T, \dots, 1."""
    # Two levels, simulated, against the densities that the text says they have.
    z = {2: gaussian(0, 1, 200_000, seed=0)}
    for t in (2, 1):
        (mean, var), eps = bent(t, z[t]), gaussian(0, 1, 200_000, seed=t)
        z[t - 1] = mean + np.sqrt(var) * eps
        for wave, exact in zip(waves(z[t - 1], z[t]), bent_averages(t), strict=True):
            sampled(wave, exact)


@checks("hvae-marginal", on="a linear model of three levels of one number each, at one x")
def _():
    r"""p_\theta(x) = \int p_\theta(x, z_1, \dots, z_T)\;dz_1 \cdots dz_T,"""
    line, spacing = np.linspace(-9, 9, 73, retstep=True)
    z_1, z_2, z_3 = np.ix_(line, line, line)
    joint = norm.pdf(z_3) * p(3, z_3).pdf(z_2) * p(2, z_2).pdf(z_1) * p(1, z_1).pdf(X)
    agree(math.log(integral(integral(integral(joint, spacing), spacing), spacing)), LOG_P, ROUNDING)


@checks(
    "hvae-inference",
    on="what follows from this definition: for three linear levels it is the joint Gaussian of their draws",
)
def _():
    r"""q_\phi(z_1, \dots, z_T\mid x) = \prod_{t=1}^{T} q_\phi(z_t\mid z_{t-1})."""
    z = POINTS
    product = math.prod(q(t, z[t - 1]).pdf(z[t]) for t in range(1, T + 1))
    agree(np.log(product), log_q(z, 1, 2, 3), ROUNDING)


# --- the bound ----------------------------------------------------------------------------------------------


@checks(
    "hvae-rewrite",
    on="a linear model of three levels of one number each, at one x, with a wide Gaussian for q",
)
def _():
    r"""p_\theta(x) = \mathbb E_{q_\phi(z_1, \dots, z_T\mid x)}\left[
    \frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)}\right]."""
    z = WIDE.rvs(400_000, random_state=0)
    weight = np.exp(log_p((X, *z.T), 0, 1, 2, 3)) / WIDE.pdf(z)
    sampled(weight, math.exp(LOG_P))
    assert weight.std() / math.sqrt(len(z)) < 0.01 * math.exp(LOG_P)


@checks(
    "hvae-joint",
    on="a linear model of three levels of one number each, at one x; the gap is the KL to the posterior",
)
def _():
    r"""\log p_\theta(x) \;\ge\; \mathbb E_{q_\phi(z_1, \dots, z_T\mid x)}\left[
    \log\frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)}\right] = \mathrm{ELBO}(x)."""
    # The gap is the KL to the exact posterior, a Gaussian here.
    bound = over_chains(lambda z: log_p(z, 0, 1, 2, 3) - log_q(z, 1, 2, 3))
    exceeds(LOG_P, bound)
    agree(LOG_P - bound, kl_gaussians(*ENCODER, *POSTERIOR), ROUNDING)
    agree(elbo(), bound, ROUNDING)


@checks("hvae-logs", on="a linear model and encoder of three levels of one number each, at three chains")
def _():
    r"""\begin{aligned}
    \log\frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)} = \log p(z_T)
    &+ \sum_{t=1}^{T}\log p_\theta(z_{t-1}\mid z_t) \\
    &- \sum_{t=1}^{T}\log q_\phi(z_t\mid z_{t-1}).
    \end{aligned}"""
    z = POINTS
    down = sum(p(t, z[t]).logpdf(z[t - 1]) for t in range(1, T + 1))
    up = sum(q(t, z[t - 1]).logpdf(z[t]) for t in range(1, T + 1))
    agree(norm.logpdf(z[T]) + down - up, log_p(z, 0, 1, 2, 3) - log_q(z, 1, 2, 3), ROUNDING)


@checks("hvae-shift", on="a linear encoder of three levels of one number each, at three chains")
def _():
    r"""\sum_{t=1}^{T}\log q_\phi(z_t\mid z_{t-1}) = \sum_{t=2}^{T}\log q_\phi(z_{t-1}\mid z_{t-2}) +
    \log q_\phi(z_T\mid z_{T-1})."""
    # Each side by itself is the encoder's joint density.
    z = POINTS
    left = sum(q(t, z[t - 1]).logpdf(z[t]) for t in range(1, T + 1))
    right = sum(q(t - 1, z[t - 2]).logpdf(z[t - 1]) for t in range(2, T + 1)) + q(T, z[T - 1]).logpdf(z[T])
    agree(left, log_q(z, 1, 2, 3), ROUNDING)
    agree(right, log_q(z, 1, 2, 3), ROUNDING)


@checks("hvae-paired", on="a linear model and encoder of three levels of one number each, at three chains")
def _():
    r"""\begin{aligned}
    \log\frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)}
    ={}& \log p_\theta(x\mid z_1) \\
    &- \sum_{t=2}^{T}\big[\log q_\phi(z_{t-1}\mid z_{t-2}) - \log p_\theta(z_{t-1}\mid z_t)\big] \\
    &- \big[\log q_\phi(z_T\mid z_{T-1}) - \log p(z_T)\big].
    \end{aligned}"""
    z = POINTS
    pairs = (q(t - 1, z[t - 2]).logpdf(z[t - 1]) - p(t, z[t]).logpdf(z[t - 1]) for t in range(2, T + 1))
    top = q(T, z[T - 1]).logpdf(z[T]) - norm.logpdf(z[T])
    agree(p(1, z[1]).logpdf(X) - sum(pairs) - top, log_p(z, 0, 1, 2, 3) - log_q(z, 1, 2, 3), ROUNDING)


@checks(
    "hvae-elbo",
    on="a linear model and encoder of three levels of one number each, at one x, against the joint form",
)
def _():
    r"""-\mathrm{ELBO}(x) = \sum_{t=1}^{T}\mathcal L_t + \mathcal L_{\text{prior}} ."""
    agree(sum(term(t) for t in range(1, T + 1)) + term(T + 1), -elbo(), ROUNDING)


@checks("hvae-first", on="a linear model and encoder of three levels of one number each, at one x")
def _():
    r"""\mathcal L_1 = \mathbb E_{q_\phi(z_1\mid x)}\big[-\log p_\theta(x\mid z_1)\big]."""
    agree(integral(q(1, X).pdf(GRID) * -p(1, GRID).logpdf(X)), term(1), ROUNDING)


def afresh(t):
    """What 𝓛_t is not: a KL divergence, with z_{t−1} drawn afresh for each z_{t−2} and z_t."""
    return over_chains(lambda z: kl(q(t - 1, z[t - 2]).logpdf(GRID), p(t, z[t]).logpdf(GRID)))


@checks(
    "hvae-level",
    on="steps 2 and 3 of a linear chain of three, at one x; a KL divergence in its place is off by over 0.1",
)
def _():
    r"""\mathcal L_t = \mathbb E_{q_\phi(z_{t-2}, z_{t-1}, z_t\mid x)}\big[\log q_\phi(z_{t-1}\mid z_{t-2}) -
    \log p_\theta(z_{t-1}\mid z_t)\big]."""

    def log_ratio(z, t):
        return q(t - 1, z[t - 2]).logpdf(z[t - 1]) - p(t, z[t]).logpdf(z[t - 1])

    simulated = chains()
    for t in (2, 3):
        agree(over_chains(lambda z, t=t: log_ratio(z, t)), term(t), ROUNDING)
        sampled(log_ratio(simulated, t), term(t))
        assert abs(afresh(t) - term(t)) > 0.1


@checks("hvae-top", on="a linear encoder of three levels of one number each, at one x")
def _():
    r"""\mathcal L_{\text{prior}} = \mathbb E_{q_\phi(z_{T-1}\mid x)}\;D_{\mathrm{KL}}\big(
    q_\phi(z_T\mid z_{T-1})\,\big\|\,p(z_T)\big)."""
    top = over_chains(lambda z: kl(q(T, z[T - 1]).logpdf(GRID), norm.logpdf(GRID)))
    agree(top, term(T + 1), ROUNDING)


def regressed(low, up):
    """z_2 given z_1 and z_3, and z_3 given z_1, from the covariance of (z_2, z_3) given z_1."""
    (a, s), (b, r) = UP[2], UP[3]
    mean = np.array([a * low, b * a * low])
    cov = np.array([[s**2, b * s**2], [b * s**2, b**2 * s**2 + r**2]])
    gain = cov[0, 1] / cov[1, 1]
    tied = norm(mean[0] + gain * (up - mean[1]), math.sqrt(cov[0, 0] - gain * cov[0, 1]))
    return tied, norm(mean[1], math.sqrt(cov[1, 1]))


@checks(
    "hvae-tied",
    on="a linear encoder, one number a level: z_2 at three places, for each of two pairs of neighbours",
)
def _():
    r"""q_\phi(z_{t-1}\mid z_{t-2}, z_t) = \frac{q_\phi(z_{t-1}\mid z_{t-2})\;q_\phi(z_t\mid z_{t-1})}
    {q_\phi(z_t\mid z_{t-2})} ."""
    z = np.array([-1.0, 0.1, 0.8])
    for low, up in ((0.4, -0.9), (-1.3, 0.2)):
        tied, two_up = regressed(low, up)
        agree(q(2, low).pdf(z) * q(3, z).pdf(up) / two_up.pdf(up), tied.pdf(z), ROUNDING)
        assert abs(q(2, low).pdf(z) - tied.pdf(z)).min() > 1e-3  # not the guess from below


# --- a level as a network, and what it uses of its input ----------------------------------------------------


@checks(
    "hvae-network",
    on="the library's level, which follows this definition: two numbers, before training, two inputs",
)
def _():
    r"""v \sim \mathcal N\big(u + m(u),\ \mathrm{diag}(s(u)^2)\big), \qquad
    s(u) = 0.01 + \log\big(1 + e^{r(u)}\big),"""
    # A definition: the library's level against it, given what its perceptron says.
    import torch

    from diffusion_lib.models.hvae import GaussianMLP

    level, said = GaussianMLP(2, 2).double(), []
    level.body.register_forward_hook(lambda body, seen, output: said.append(output))
    u = torch.tensor([[0.5, 2.0], [-1.0, 0.3]], dtype=torch.float64)
    v = level(u)
    m, r = said[0].chunk(2, dim=1)
    s = 0.01 + torch.log(1 + torch.exp(r))
    assert abs(m).max() > 1e-3
    agree(v.mean, u + m, ROUNDING)
    agree(v.var, s**2, ROUNDING)


# A level whose input is one of three numbers: q(z) is a mixture, and I_t no Gaussian formula.
INPUTS, STDS, SHARES = np.array([[-1.0, 0.6, 1.6], [1.2, 0.4, 0.4], [0.6, 0.3, 0.1]])


def mixture(z, shares=SHARES):
    """q(z), the average of the Gaussians."""
    return norm.pdf(z, INPUTS, STDS) @ shares[:, None]


def information():
    """H(z) − H(z | input): the mutual information from the entropies."""
    density = mixture(GRID)
    return integral(-density * np.log(density)) - SHARES @ np.log(2 * math.pi * math.e * STDS**2) / 2


def expected_estimate(n):
    """E Î_t for n draws: given their inputs, a z is from any of n Gaussians, held against their average."""
    total = 0.0
    for drawn in itertools.product(range(len(INPUTS)), repeat=n):
        shares = np.bincount(drawn, minlength=len(INPUTS)) / n
        distances = kl(norm.logpdf(GRID, INPUTS, STDS), np.log(mixture(GRID, shares)))
        total += SHARES[list(drawn)].prod() * shares @ distances
    return total


@checks(
    "hvae-information",
    on="what follows from this definition, for a z_{t−1} of three values: it is H(z_t) − H(z_t | z_{t−1})",
)
def _():
    r"""I_t = \mathbb E_{q_\phi(z_{t-1})}\;D_{\mathrm{KL}}\big(q_\phi(z_t\mid z_{t-1})\,\big\|\,q_\phi(z_t)
    \big)."""
    distances = kl(norm.logpdf(GRID, INPUTS, STDS), np.log(mixture(GRID)))
    agree(SHARES @ distances, information(), ROUNDING)


@checks(
    "hvae-information-estimate",
    on="a z_{t−1} of three values, n = 2 and n = 4: the mean of many estimates, which lies below I_t",
)
def _():
    r"""\hat I_t = \frac1n\sum_{i=1}^{n}\log\frac{q_\phi(z_t^{(i)}\mid z_{t-1}^{(i)})}
    {\frac1n\sum_{j=1}^{n} q_\phi(z_t^{(i)}\mid z_{t-1}^{(j)})} ."""
    # Many estimates from n draws each. They are too small on average, by a KL of at most 2/n here.
    for n, repeats in ((2, 80_000), (4, 40_000)):
        drawn = np.random.default_rng(2).choice(3, (repeats, n), p=SHARES)
        low, std = INPUTS[drawn], STDS[drawn]
        z = gaussian(low, std, low.shape, seed=3)
        pairs = norm.pdf(z[:, :, None], low[:, None, :], std[:, None, :])  # a row for z^(i), a column for j
        ratios = norm.pdf(z, low, std) / (pairs.sum(axis=2) / n)
        sampled(np.log(ratios).sum(axis=1) / n, expected_estimate(n))
        assert 0 < information() - expected_estimate(n) < 2 / n
        assert ratios.max() <= n


def middle_term():
    """E 𝓛_t in closed form, for a z_{t−2} of three values, and above z_{t−1} UP[2] and DOWN[2]."""
    (a, r), (c, d, w) = UP[2], DOWN[2]
    missed = ((1 - c * a) * INPUTS - d) ** 2 + ((1 - c * a) * STDS) ** 2 + (c * r) ** 2  # (z_{t−1} − mean)²
    log_p = -math.log(2 * math.pi * w**2) / 2 - missed / (2 * w**2)
    return SHARES @ (-np.log(2 * math.pi * math.e * STDS**2) / 2 - log_p)


@checks(
    "hvae-fractions",
    on="a z_{t−2} of three values, linear levels of one number above it; q(z_{t−1} | z_t) from a grid",
    alike={"2 * (mixture(GRID) * q(2, GRID).pdf(up))": "it is divided by its own integral"},
)
def _():
    r"""\begin{aligned}
    \log\frac{q_\phi(z_{t-1}\mid z_{t-2})}{p_\theta(z_{t-1}\mid z_t)}
    ={}& \log\frac{q_\phi(z_{t-1}\mid z_{t-2})}{q_\phi(z_{t-1})}
    - \log\frac{q_\phi(z_t\mid z_{t-1})}{q_\phi(z_t)} \\
    &+ \log\frac{q_\phi(z_{t-1}\mid z_t)}{p_\theta(z_{t-1}\mid z_t)}.
    \end{aligned}"""
    for up in (-0.4, 0.9):  # z_t; q(z_t) is the integral over z_{t−1}, and q(z_{t−1} | z_t) by Bayes' rule
        joint = mixture(GRID) * q(2, GRID).pdf(up)
        back = joint / integral(joint)
        q_up = norm.pdf(up, UP[2][0] * INPUTS, np.hypot(UP[2][1], UP[2][0] * STDS)) @ SHARES
        for index in (1150, 1230, 1310):
            z, low = GRID[index, 0], norm(INPUTS, STDS)
            first = low.logpdf(z) - np.log(mixture(z))
            second = q(2, z).logpdf(up) - np.log(q_up)
            third = np.log(back[index]) - p(2, up).logpdf(z)
            agree(first - second + third, low.logpdf(z) - p(2, up).logpdf(z), ROUNDING)


@checks(
    "hvae-middle",
    on="a z_{t−2} of three values, linear levels of one number above it; q(z_{t−1} | z_t) by Bayes' rule",
)
def _():
    r"""\mathbb E_x\,\mathcal L_t = I_{t-1} - I_t + \mathbb E_{q_\phi(z_t)}\;D_{\mathrm{KL}}\big(
    q_\phi(z_{t-1}\mid z_t)\,\big\|\,p_\theta(z_{t-1}\mid z_t)\big), \quad 2 \le t \le T."""
    above, spacing = np.linspace(-9, 9, 181, retstep=True)  # z_t, a column for each
    log_q, log_up = np.log(mixture(GRID)), q(2, GRID).logpdf(above)
    q_above = integral(np.exp(log_q + log_up))
    divergences = kl(log_q + log_up - np.log(q_above), p(2, above).logpdf(GRID))
    entropy = integral(-q_above * np.log(q_above), spacing)
    sent_on = entropy - math.log(2 * math.pi * math.e * UP[2][1] ** 2) / 2
    mean_divergence = integral(q_above * divergences, spacing)
    agree(information() - sent_on + mean_divergence, middle_term(), ROUNDING)
    assert min(information(), sent_on, mean_divergence) > 0.01


def neighbours(mean, v):
    """Means and variances that are not the data's."""
    return (mean, 0.9 * v), (mean, 1.1 * v), (mean - 0.1, v), (mean + 0.1, v)


@checks(
    "hvae-one-gaussian",
    on="500 points of the plane that follow no Gaussian; four Gaussians nearby all did worse",
)
def _():
    r"""\mathbb E_x\big[-\log \mathcal N(x;\ \bar x, \mathrm{diag}(\sigma_1^2, \sigma_2^2))\big] =
    \tfrac12\log(2\pi e\,\sigma_1^2) + \tfrac12\log(2\pi e\,\sigma_2^2),"""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.exponential(2, 500), rng.choice([-1.0, 0.5], 500)])  # any data: it is exact
    mean, v = x.mean(axis=0), x.var(axis=0)
    left = -multivariate_normal(mean, np.diag(v)).logpdf(x).mean()
    right = 0.5 * math.log(2 * math.pi * math.e * v[0]) + 0.5 * math.log(2 * math.pi * math.e * v[1])
    agree(left, right, ROUNDING)
    assert all(
        -multivariate_normal(m, np.diag(w)).logpdf(x).mean() > left for m, w in neighbours(mean, v)
    )  # it is the best


# --- a frozen encoder ---------------------------------------------------------------------------------------


@checks(
    "hvae-frozen",
    on="the library's frozen encoder, which follows this definition; α_t = 0.9, 0.5 and 0.3, at one point",
)
def _():
    r"""q(z_t\mid z_{t-1}) = \mathcal N\big(z_t;\ \sqrt{\alpha_t}\,z_{t-1},\ (1-\alpha_t) I\big), \qquad
    0 < \alpha_t < 1."""
    # A definition: the library's frozen encoder against it.
    import torch

    from diffusion_lib.models.hvae import HVAE
    from diffusion_lib.process.schedules import Schedule

    alphas = [1.0, 0.9, 0.5, 0.3]
    model = HVAE(T=3, schedule=Schedule(torch.tensor(alphas, dtype=torch.float64))).double()
    z = torch.tensor([[0.5, -2.0]], dtype=torch.float64)
    for t in (1, 2, 3):
        level = model.encode(z, t)
        agree(level.mean, math.sqrt(alphas[t]) * z, ROUNDING)
        agree(level.var, 1 - alphas[t], ROUNDING)


@checks("hvae-variance", on="a z_{t−1} of three values, with α_t = 0.2, 0.6 and 0.95")
def _():
    r"""\mathrm{Var}(z_t) = \alpha_t\,\mathrm{Var}(z_{t-1}) + (1-\alpha_t)."""
    # For an input that is one of three numbers: moments of the mixture, by quadrature.
    before = SHARES @ (INPUTS - SHARES @ INPUTS) ** 2
    for alpha in (0.2, 0.6, 0.95):
        density = norm.pdf(GRID, math.sqrt(alpha) * INPUTS, math.sqrt(1 - alpha)) @ SHARES[:, None]
        mean = integral(density * GRID)
        variance = integral(density * (GRID - mean) ** 2)
        agree(variance, alpha * before + (1 - alpha), ROUNDING)


@checks("hvae-split", on="a last level of one number, whose input has three values")
def _():
    r"""\mathbb E_x\,\mathcal L_{\text{prior}} = I_T + D_{\mathrm{KL}}\big(q(z_T)\,\big\|\,p(z_T)\big)."""
    left = SHARES @ kl(norm.logpdf(GRID, INPUTS, STDS), norm.logpdf(GRID))
    mismatch = kl(np.log(mixture(GRID)), norm.logpdf(GRID))
    agree(information() + mismatch, left, ROUNDING)
