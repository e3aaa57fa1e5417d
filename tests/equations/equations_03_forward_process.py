"""Chapter 3's equations, each restated from definitions.

Identities are proved by SymPy. What is about distributions is asked of a scalar chain of which everything is
known (`linear_chain`): there averages of log densities are exact. Where vectors appear, one coordinate stands
for all, or the coordinates are added up. What the book defines, a step and the schedules, is held against the
library, which must mean the same.
"""

import math
from itertools import product

import numpy as np
import sympy as sp
import torch
from equations import checks
from evidence import agree, exceeds, identity, quadrature, sampled, shares
from linear_chain import (
    ALPHA,
    COVARIANCE,
    KEPT,
    SHIFT,
    SLOPE,
    START,
    VAR,
    WEIGHTS,
    T,
    chain_weights,
    gap,
    joint_p,
    joint_q,
    kl,
    log_chain,
    log_evidence,
    log_model,
    log_p,
    log_q,
    mean,
)
from scipy.special import expit
from scipy.stats import multivariate_normal, norm
from support import EPS, seeded

from diffusion_lib.process import forward, schedules

# α_t, α_{t−1} and ᾱ_{t−1}; one coordinate of some states and noises.
alpha, alpha_before, kept = shares("alpha_t alpha_before alphabar_before")
x_0, x_2, x_t, e_1, e_2, eps, guess = sp.symbols("x_0 x_before_2 x_t e_1 e_2 epsilon n_theta", real=True)
D, STARTS = 3, (START, -1.2, 0.4)  # the coordinates of x_0
ROUNDING = 1e-11  # sums of some hundred float64 terms of size 10, and integrals with smaller errors


def step(x, share, noise):
    """One forward step that keeps this share of the variance."""
    return sp.sqrt(share) * x + sp.sqrt(1 - share) * noise


PATHS = np.array([[START, 0.3, -0.8, 1.1, 0.4], [START, 1.5, 0.2, -0.6, -1.3], [START, -0.4, 0.9, 2.0, 0.1]])


# --- one step, all steps ------------------------------------------------------------------------------------


@checks(
    "fwd-step",
    on="what the library makes of this definition: three quantiles of the noise, after a large past state",
)
def _():
    r"""x_t = \sqrt{\alpha_t}\;x_{t-1} + \sqrt{1-\alpha_t}\;\varepsilon^*_t, \qquad \varepsilon^*_t \sim
    \mathcal N(0, I)."""
    # A quantile of ε*_t makes one of x_t in the library's chains, given x_{t−1}; also in the half of them in
    # which a state of the past is large, for the noise knows nothing of the past.
    n, schedule = 20_000, schedules.Schedule(torch.tensor(ALPHA))
    start = torch.rand(n, 2, generator=seeded(), dtype=torch.float64)
    chain = forward.trajectory(start, schedule, seeded(1))[..., 0].numpy()
    for t, chance in product(range(1, T + 1), (0.1, 0.5, 0.8)):
        noise = norm.ppf(chance)
        below = chain[t] < math.sqrt(ALPHA[t]) * chain[t - 1] + math.sqrt(1 - ALPHA[t]) * noise
        for past in chain[:t]:
            sampled(below[past > np.median(past)], chance)


@checks(
    "fwd-step-density",
    on="steps 1, 2 and 4 of a chain, one number each: the noise's density by a change of variables",
)
def _():
    r"""q(x_t\mid x_{t-1}) = \mathcal N\big(x_t;\ \sqrt{\alpha_t}\,x_{t-1},\ (1-\alpha_t) I\big)."""
    # The density of x_t by a change of variables from that of the noise.
    for t, before, x in ((1, 0.7, 0.2), (2, -1.0, 1.5), (4, 2.0, -0.3)):
        density = norm.logpdf(x, math.sqrt(ALPHA[t]) * before, math.sqrt(1 - ALPHA[t]))
        agree(density, log_q(x, before, t), ROUNDING)


@checks(
    "fwd-beta",
    on="what follows from this definition: it is the variance that a step adds, in the library too",
)
def _():
    r"""\beta_t = 1 - \alpha_t ."""
    # The variance that a step adds; and what the library calls by this name.
    identity(1 - alpha, sp.diff(step(x_2, alpha, e_1), e_1) ** 2)
    schedule = schedules.Schedule(torch.tensor(ALPHA))
    agree(schedule.beta, 1 - ALPHA, 0)
    agree(schedules.Schedule.from_beta(schedule.beta[1:]).alpha, ALPHA, EPS, relative=True)


def variance(law):
    """The variance of a number whose values have these chances."""
    mean = sum(chance * x for x, chance in law.items())
    return sum(chance * (x - mean) ** 2 for x, chance in law.items())


@checks("fwd-variance", on="an x_{t−1} with the values −1, 2 and 5, and noise that is −1 or 1; for every α_t")
def _():
    r"""\mathrm{Var}(x_t) = \alpha_t\,\mathrm{Var}(x_{t-1}) + (1-\alpha_t)."""
    # Any x_{t−1} will do, here one with three values, and any independent noise of mean 0 and variance 1.
    half, third, sixth = sp.Rational(1, 2), sp.Rational(1, 3), sp.Rational(1, 6)
    before = {-1: half, 2: third, 5: sixth}
    after = {step(x, alpha, e): chance / 2 for x, chance in before.items() for e in (-1, 1)}
    identity(variance(after), alpha * variance(before) + (1 - alpha))


TWO_STEPS = step(step(x_2, alpha_before, e_1), alpha, e_2)


@checks("fwd-unroll-multiply")
def _():
    r"""x_t = \sqrt{\alpha_t\alpha_{t-1}}\;x_{t-2} + \sqrt{\alpha_t(1-\alpha_{t-1})}\;\varepsilon^*_{t-1} +
    \sqrt{1-\alpha_t}\;\varepsilon^*_t ."""
    noises = sp.sqrt(alpha * (1 - alpha_before)) * e_1 + sp.sqrt(1 - alpha) * e_2
    identity(sp.sqrt(alpha * alpha_before) * x_2 + noises, TWO_STEPS)


@quadrature
def density_of_sum(r, s, x):
    """The density of r a + s b: the convolution of the two densities, summed over a grid."""
    grid = np.arange(-9, 9, 0.1)
    return (norm.pdf(grid, 0, r) * norm.pdf(x - grid, 0, s)).sum() * 0.1


@checks(
    "fwd-sum",
    on="a and b of one number, three choices of r and s, against the convolution of the two densities",
)
def _():
    r"""r\,a + s\,b \;\sim\; \mathcal N\big(0,\ (r^2+s^2)\,I\big)."""
    for r, s, x in ((0.8, 0.5, 0.0), (0.8, 0.5, 0.3), (0.6, 1.1, -1.7)):
        agree(norm.pdf(x, 0, math.sqrt(r**2 + s**2)), density_of_sum(r, s, x), ROUNDING)


@checks("fwd-unroll-variance")
def _():
    r"""\alpha_t(1-\alpha_{t-1}) + (1-\alpha_t) = 1 - \alpha_t\alpha_{t-1} ."""
    left = alpha * (1 - alpha_before) + (1 - alpha)
    identity(left, sp.diff(TWO_STEPS, e_1) ** 2 + sp.diff(TWO_STEPS, e_2) ** 2)
    identity(left, 1 - alpha * alpha_before)


@checks(
    "fwd-two-steps",
    on="the mix of the two noises as ε̄, with which it is exact; the squared weights in it add up to 1",
)
def _():
    r"""x_t = \sqrt{\alpha_t\alpha_{t-1}}\;x_{t-2} + \sqrt{1-\alpha_t\alpha_{t-1}}\;\bar\varepsilon ."""
    # The ε̄ with which this is true: two independent noises, whose squared weights add up to 1.
    first, second = sp.diff(TWO_STEPS, e_1), sp.diff(TWO_STEPS, e_2)
    merged = (first * e_1 + second * e_2) / sp.sqrt(first**2 + second**2)
    identity(sp.sqrt(alpha * alpha_before) * x_2 + sp.sqrt(1 - alpha * alpha_before) * merged, TWO_STEPS)
    identity(sp.diff(merged, e_1) ** 2 + sp.diff(merged, e_2) ** 2, 1)


@checks(
    "fwd-alpha-bar",
    on="what follows from this definition in four steps: the share of the variance of x_0 that is left",
)
def _():
    r"""\bar\alpha_t = \alpha_1\alpha_2\cdots\alpha_t, \qquad \bar\alpha_0 = 1 ."""
    # The share of the data's variance that is left; and the library's array, entry 0 included.
    found = schedules.Schedule(torch.tensor(ALPHA)).alpha_bar
    for t in range(T + 1):
        product = math.prod(ALPHA[s] for s in range(1, t + 1))
        agree(product, WEIGHTS[t, 0] ** 2, ROUNDING)
        agree(product, found[t], ROUNDING)


@checks("fwd-induction")
def _():
    r"""\alpha_t\,(1-\bar\alpha_{t-1}) + (1-\alpha_t) = 1-\bar\alpha_t ."""
    # From one jump to t − 1 and one step: the squared weights of the two noises.
    jump_and_step = step(step(x_0, kept, e_1), alpha, e_2)
    left = alpha * (1 - kept) + (1 - alpha)
    identity(left, sp.diff(jump_and_step, e_1) ** 2 + sp.diff(jump_and_step, e_2) ** 2)
    identity(left, 1 - alpha * kept)  # ᾱ_t = α_t ᾱ_{t−1}


@checks(
    "fwd-jump",
    on="a chain of four steps, one number each: three quantiles of ε against those of x_t, noises added up",
)
def _():
    r"""x_t = \sqrt{\bar\alpha_t}\;x_0 + \sqrt{1-\bar\alpha_t}\;\varepsilon, \qquad \varepsilon \sim \mathcal
    N(0, I),"""
    # Quantiles of ε become those of the chain, run step by step: a sum of independent Gaussian noises.
    chances = np.array([0.02, 0.5, 0.7])
    for t in range(1, T + 1):
        jump = math.sqrt(KEPT[t]) * START + math.sqrt(1 - KEPT[t]) * norm.ppf(chances)
        noise = np.linalg.norm(WEIGHTS[t, 1:])
        agree(norm.cdf(jump, WEIGHTS[t, 0] * START, noise), chances, ROUNDING)


@quadrature
def pushed(x, t):
    """q(x_t | x_0) step by step: ∫ q(x_t | x_{t−1}) q(x_{t−1} | x_0) dx_{t−1}, summed over the grid x."""
    if t == 1:
        return np.exp(log_q(x, START, 1))
    return np.exp(log_q(x[:, None], x, t)) @ pushed(x, t - 1) * (x[1] - x[0])


@checks(
    "fwd-marginal",
    on="a chain of four steps, one number each: the densities of its steps, integrated one after the other",
)
def _():
    r"""q(x_t\mid x_0) = \mathcal N\big(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t) I\big)."""
    x = np.arange(-9, 9, 0.1)
    for t in range(1, T + 1):
        density = norm.pdf(x, math.sqrt(KEPT[t]) * START, math.sqrt(1 - KEPT[t]))
        agree(density, pushed(x, t), ROUNDING)


@checks(
    "fwd-noise-mix",
    on="a chain of four steps: the weights of its noises in x_t, scaled: their squares add up to 1",
)
def _():
    r"""\varepsilon = \frac{1}{\sqrt{1-\bar\alpha_t}}\,\sum_{s=1}^{t}
    \sqrt{\frac{\bar\alpha_t}{\bar\alpha_s}}\,\sqrt{1-\alpha_s}\;\varepsilon^*_s ."""
    # The noises as the chain weighs them, divided by the standard deviation of their sum.
    for t in range(1, T + 1):
        mix, s = np.zeros(T + 1), np.arange(1, t + 1)
        mix[s] = np.sqrt(KEPT[t] / KEPT[s]) * np.sqrt(1 - ALPHA[s]) / math.sqrt(1 - KEPT[t])
        whole = np.linalg.norm(WEIGHTS[t, 1:])
        agree(mix[1:], WEIGHTS[t, 1:] / whole, ROUNDING)


# --- schedules ----------------------------------------------------------------------------------------------


@checks(
    "fwd-snr",
    on="what follows from this definition for data of variance 1, in four steps, and in the library",
)
def _():
    r"""\mathrm{SNR}(t) = \frac{\bar\alpha_t}{1-\bar\alpha_t} ."""
    # For data of variance 1: the variances of the signal and of all the noises in x_t.
    found = schedules.Schedule(torch.tensor(ALPHA)).snr
    for t in range(1, T + 1):
        ratio = KEPT[t] / (1 - KEPT[t])
        agree(ratio, WEIGHTS[t, 0] ** 2 / (WEIGHTS[t, 1:] ** 2).sum(), ROUNDING)
        agree(ratio, found[t], ROUNDING)


@checks("fwd-snr-inverse")
def _():
    r"""\bar\alpha_t = \frac{\mathrm{SNR}(t)}{1+\mathrm{SNR}(t)} ."""
    snr = step(x_0, kept, eps)
    snr = sp.diff(snr, x_0) ** 2 / sp.diff(snr, eps) ** 2
    identity(snr / (1 + snr), kept)


@checks(
    "fwd-linear",
    on="the library's schedule by this definition, and evenly spaced numbers: 0.0001 to 0.02, T = 1000",
)
def _():
    r"""\beta_t = \beta_1 + \frac{t-1}{T-1}\,(\beta_T - \beta_1)."""
    # Evenly spaced values between the two ends; and the library's default.
    beta_1, beta_T, steps, t = 1e-4, 0.02, 1000, np.arange(1, 1001)
    formula = beta_1 + (t - 1) / (steps - 1) * (beta_T - beta_1)
    agree(formula, np.linspace(beta_1, beta_T, steps), 4 * EPS)
    agree(schedules.linear(steps).alpha[1:], 1 - formula, 4 * EPS)


@checks(
    "fwd-cosine",
    on="the library's schedule by this definition, T = 1000, t < T; its last β_t is the limit, 0.999",
)
def _():
    r"""\bar\alpha_t = \frac{f(t)}{f(0)}, \qquad f(t) = \cos^2\Big(\frac{t/T + s}{1+s}\cdot\frac{\pi}{2}\Big),
    \qquad s = 0.008 ."""
    steps, s = 1000, 0.008
    f = np.cos((np.arange(steps + 1) / steps + s) / (1 + s) * math.pi / 2) ** 2
    schedule = schedules.cosine(steps)
    # One step's rounding is magnified where f is small, and there are a thousand steps.
    agree(schedule.alpha_bar[:-1], (f / f[0])[:-1], steps * EPS / f[-2] ** 0.5, relative=True)
    assert 1 - f[-1] / f[-2] > 0.999  # only the last step needs the limit
    agree(schedule.beta[-1], 0.999, 4 * EPS)


@checks(
    "fwd-sigmoid", on="the library's schedule by this definition, T = 40; and u_t on evenly spaced numbers"
)
def _():
    r"""\beta_t = 10^{-5} + (0.3 - 10^{-5})\;\mathrm{sigmoid}(u_t),
    \qquad u_t = -18 + 28\,\frac{t-1}{T-1} ."""
    u = -18 + 28 * (np.arange(1, 41) - 1) / (40 - 1)
    formula = 1e-5 + (0.3 - 1e-5) * expit(u)
    agree(u, np.linspace(-18, 10, 40), 40 * EPS)
    agree(schedules.sigmoid(40).alpha[1:], 1 - formula, 4 * EPS)


@checks(
    "fwd-even",
    on="the library's schedule by this definition, and numbers of constant ratio: 0.005 to 20, T = 100",
)
def _():
    r"""\log\sigma_t = \log\sigma_1 + \frac{t-1}{T-1}\,\big(\log\sigma_T - \log\sigma_1\big)."""
    # Each σ_t is the one before times the same factor; and the library's σ_t = SNR(t)^(−1/2).
    first, last, steps, t = math.log(0.005), math.log(20), 100, np.arange(1, 101)
    formula = first + (t - 1) / (steps - 1) * (last - first)
    agree(formula, np.log(np.geomspace(0.005, 20, steps)), ROUNDING)
    # The rounding of a hundred factors in ᾱ_t, magnified where 1 − ᾱ_t is small: 0.005² at t = 1.
    agree(-schedules.even_log_snr(steps).snr[1:].log() / 2, formula, steps * EPS / 0.005**2)


# --- does it end in pure noise? -----------------------------------------------------------------------------


def prior_gap(start):
    """KL(q(x_T | x_0) ‖ N(0, I)) by its definition, coordinate by coordinate, for the chain's x_T."""
    return sum(float(kl(x * WEIGHTS[T, 0], COVARIANCE[T, T], 0, 1)) for x in start)


@checks("fwd-prior-gap", on="D = 3, one x_0, and a chain of four steps; the divergence by its definition")
def _():
    r"""D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,\mathcal N(0, I)\big) = \frac12\Big(\bar\alpha_T\,\lVert
    x_0\rVert^2 - D\,\bar\alpha_T - D\log(1-\bar\alpha_T)\Big)."""
    square = math.hypot(*STARTS) ** 2
    formula = (KEPT[T] * square - D * KEPT[T] - D * math.log(1 - KEPT[T])) / 2
    agree(formula, prior_gap(STARTS), ROUNDING)


@checks("fwd-prior-gap-mean", on="four data points of the plane in standard units, and a chain of four steps")
def _():
    r"""\mathbb E_{x_0}\, D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,\mathcal N(0, I)\big) = -\frac
    D2\,\log(1-\bar\alpha_T)."""
    # Data in standard units: ‖x_0‖² is D = 2 on average, not in every point, nor alike in both coordinates.
    data = np.array([[1.8, 0.2], [-1.8, -0.2], [0.6, -0.6], [-0.6, 0.6]])
    gaps = [prior_gap(point) for point in data]
    agree(-2 / 2 * math.log(1 - KEPT[T]), np.mean(gaps), ROUNDING)
    assert np.ptp(gaps) > 0.01


def likelihoods(x_T, points):
    """q(x_T | x_0) for each point, of the chain run step by step."""
    return [multivariate_normal.pdf(x_T, WEIGHTS[T, 0] * x, COVARIANCE[T, T]) for x in points]


def by_bayes(likelihood):
    """The chances of points that are equally likely: joint densities, divided by that of the state."""
    joint = np.array(likelihood) / len(likelihood)
    return joint / joint.sum()


@checks("fwd-exact-return", on="three data points of the plane, one x_T, and a chain of four steps")
def _():
    r"""q(x_0 = x^{(i)}\mid x_T) = \frac{\mathcal N\big(x_T;\ \sqrt{\bar\alpha_T}\,x^{(i)},\ (1-\bar\alpha_T)
    I\big)}{\sum_j \mathcal N\big(x_T;\ \sqrt{\bar\alpha_T}\,x^{(j)},\ (1-\bar\alpha_T) I\big)} ."""
    points, x_T = np.array([[1.0, 0.0], [-0.5, 2.0], [0.3, -1.0]]), np.array([0.5, 0.2])
    density = norm.pdf(x_T, math.sqrt(KEPT[T]) * points, math.sqrt(1 - KEPT[T])).prod(axis=1)
    likelihood = likelihoods(x_T, points)
    agree(density, likelihood, ROUNDING, relative=True)
    agree(density / density.sum(), by_bayes(likelihood), ROUNDING, relative=True)


GRID = np.arange(-9, 9, 0.05)


@quadrature
def kl_on_grid(p, q):
    """KL(p ‖ q) of two densities on the grid."""
    return (p * np.log(p / q)).sum() * 0.05


def known_and_cloud(data):
    """q(x_2 | x_0) for each x_0 of the data, and q(x_2), on the grid."""
    known = [norm.pdf(GRID, WEIGHTS[2, 0] * x, math.sqrt(COVARIANCE[2, 2])) for x in data]
    return known, np.mean(known, axis=0)


@checks(
    "fwd-gap-split",
    on="data of three equally likely numbers, and a chain of two steps; neither part is near 0",
)
def _():
    r"""\begin{aligned} \mathbb E_{x_0} D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,\mathcal N(0, I)\big) ={}
    & \mathbb E_{x_0} D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,q(x_T)\big) \\ & +
    D_{\mathrm{KL}}\big(q(x_T)\,\big\|\,\mathcal N(0, I)\big). \end{aligned}"""
    # A chain that ends early, after two steps, and data that is one of three points.
    data = (-1.1, 0.2, 1.6)
    known, cloud = known_and_cloud(data)
    whole = np.mean([kl(WEIGHTS[2, 0] * x, COVARIANCE[2, 2], 0, 1) for x in data])
    told, paid = np.mean([kl_on_grid(q, cloud) for q in known]), kl_on_grid(cloud, norm.pdf(GRID))
    agree(whole, told + paid, ROUNDING)
    assert min(told, paid) > 0.01


# --- the model, and its bound -------------------------------------------------------------------------------


@checks(
    "fwd-model", on="four linear-Gaussian steps, one number each: three paths, against the joint Gaussian"
)
def _():
    r"""p_\theta(x_{0:T}) = p(x_T)\,\prod_{t=1}^{T} p_\theta(x_{t-1}\mid x_t)."""
    # The states as linear functions of the model's noises: their joint Gaussian density.
    for x in PATHS:
        steps = [norm.logpdf(x[T]), *(log_p(x[t - 1], x[t], t) for t in range(1, T + 1))]
        agree(math.prod(np.exp(steps)), joint_p().pdf(x), ROUNDING, relative=True)


@checks("fwd-chain", on="a chain of four steps, one number each: three paths, against the joint Gaussian")
def _():
    r"""q(x_{1:T}\mid x_0) = \prod_{t=1}^{T} q(x_t\mid x_{t-1})."""
    for x in PATHS:
        product_of_steps = math.prod(np.exp(log_q(x[t], x[t - 1], t)) for t in range(1, T + 1))
        agree(product_of_steps, joint_q().pdf(x[1:]), ROUNDING, relative=True)


@quadrature
def over_latents(density):
    """∫ density(x_1, …, x_T) by a sum over a grid: its error is below rounding for Gaussians this wide."""
    grid = np.meshgrid(*[np.arange(-8, 8.1, 0.4)] * T, indexing="ij", sparse=True)
    return density(*grid).sum() * 0.4**T


@checks(
    "fwd-evidence",
    on="four linear-Gaussian steps, one number each, where p_θ(x_0) is a known Gaussian; one x_0",
)
def _():
    r"""\log p_\theta(x_0) = \log \int p_\theta(x_{0:T})\;dx_{1:T} ,"""

    def joint(*latents):
        x = (START, *latents)
        return np.exp(norm.logpdf(x[T]) + sum(log_p(x[t - 1], x[t], t) for t in range(1, T + 1)))

    agree(math.log(over_latents(joint)), log_evidence(), ROUNDING)


@checks(
    "fwd-multiply",
    on="a chain and a model of four linear-Gaussian steps, one number each, where p_θ(x_0) is known; one x_0",
)
def _():
    r"""\log p_\theta(x_0) = \log\, \mathbb E_{q(x_{1:T}\mid x_0)}\bigg[\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid
    x_0)}\bigg]."""
    average = mean(lambda *x: np.exp(log_model(*x) - log_chain(*x)), *range(1, T + 1), nodes=24)
    agree(math.log(average), log_evidence(), ROUNDING)


@checks(
    "fwd-elbo",
    on="a chain and a model of four linear-Gaussian steps, one number each, one x_0; what is lost is a KL",
)
def _():
    r"""\log p_\theta(x_0) \;\ge\; \mathbb E_{q(x_{1:T}\mid
    x_0)}\bigg[\log\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid x_0)}\bigg]."""
    # What the inequality loses is the KL divergence of the two distributions of the latents.
    elbo = mean(lambda *x: log_model(*x) - log_chain(*x), *range(1, T + 1))
    agree(elbo, log_evidence() - gap(), ROUNDING)
    exceeds(log_evidence(), elbo)


@checks("fwd-log-ratio", on="a chain and a model of four linear-Gaussian steps, one number each: three paths")
def _():
    r"""\log\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid x_0)} = \log p(x_T) + \sum_{t=1}^{T}\log
    p_\theta(x_{t-1}\mid x_t) - \sum_{t=1}^{T}\log q(x_t\mid x_{t-1})."""
    for x in PATHS:
        back = sum(log_p(x[t - 1], x[t], t) for t in range(1, T + 1))
        there = sum(log_q(x[t], x[t - 1], t) for t in range(1, T + 1))
        agree(norm.logpdf(x[T]) + back - there, log_model(*x[1:]) - log_chain(*x[1:]), ROUNDING)


@checks("fwd-pairs", on="a chain and a model of four linear-Gaussian steps, one number each: three paths")
def _():
    r"""\begin{aligned} \log\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid x_0)} ={} & \log p_\theta(x_0\mid x_1) -
    \log\frac{q(x_T\mid x_{T-1})}{p(x_T)} \\ & - \sum_{t=1}^{T-1}\log\frac{q(x_t\mid
    x_{t-1})}{p_\theta(x_t\mid x_{t+1})} . \end{aligned}"""
    for x in PATHS:
        pairs = [log_q(x[t], x[t - 1], t) - log_p(x[t], x[t + 1], t + 1) for t in range(1, T)]
        prior = log_q(x[T], x[T - 1], T) - norm.logpdf(x[T])
        ratio = log_model(*x[1:]) - log_chain(*x[1:])
        agree(log_p(x[0], x[1], 1) - prior - sum(pairs), ratio, ROUNDING)


def as_divergence(t):
    """The slip: the mean over q(x_{t−1}, x_{t+1} | x_0) of KL(q(x_t | x_{t−1}) ‖ p(x_t | x_{t+1}))."""

    def divergence(below, above):
        p_mean = SLOPE[t + 1] * above + SHIFT[t + 1]
        return kl(math.sqrt(ALPHA[t]) * below, 1 - ALPHA[t], p_mean, VAR[t + 1])

    return mean(divergence, t - 1, t + 1)


@checks(
    "fwd-first-form",
    on="a chain and a model of four linear-Gaussian steps, one x_0; with KLs, each term of line 3 differs",
)
def _():
    r"""\begin{aligned} \log p_\theta(x_0) \;\ge\;\; & \mathbb E_{q(x_1\mid x_0)}\big[\log p_\theta(x_0\mid
    x_1)\big] \\ & - \mathbb E_{q(x_{T-1}\mid x_0)}\big[D_{\mathrm{KL}}\big(q(x_T\mid
    x_{T-1})\,\big\|\,p(x_T)\big)\big] \\ & - \sum_{t=1}^{T-1}\mathbb E_{q(x_{t-1},\,x_t,\,x_{t+1}\mid
    x_0)}\Big[\log q(x_t\mid x_{t-1}) - \log p_\theta(x_t\mid x_{t+1})\Big]. \end{aligned}"""

    def consistency(t):
        def difference(below, x, above):
            return log_q(x, below, t) - log_p(x, above, t + 1)

        return mean(difference, t - 1, t, t + 1)

    reconstruction = mean(lambda x: log_p(START, x, 1), 1)
    prior = mean(lambda x: kl(math.sqrt(ALPHA[T]) * x, 1 - ALPHA[T], 0, 1), T - 1)
    terms = [consistency(t) for t in range(1, T)]
    bound = reconstruction - prior - sum(terms)
    exceeds(log_evidence(), bound)
    agree(bound, log_evidence() - gap(), ROUNDING)
    # Drawing x_t without regard to x_{t+1}, as a KL divergence does, gives other numbers.
    assert all(abs(as_divergence(t) - terms[t - 1]) > 0.01 for t in range(1, T))


@checks("fwd-entropy", on="a chain of four steps, D = 3, one x_0")
def _():
    r"""\mathbb E_{q(x_{t-1},\,x_t\mid x_0)}\big[\log q(x_t\mid x_{t-1})\big] = -\frac D2\,\log\big(2\pi
    e\,(1-\alpha_t)\big),"""

    def average(t):
        return sum(mean(lambda before, x: log_q(x, before, t), t - 1, t, start=start) for start in STARTS)

    for t in range(1, T + 1):
        agree(-D / 2 * math.log(2 * math.pi * math.e * (1 - ALPHA[t])), average(t), ROUNDING)


@checks("fwd-consistency", on="a chain and a model of four linear-Gaussian steps, D = 3, one x_0")
def _():
    r"""\begin{aligned} \mathbb E_{q(x_{t-1},\,x_t,\,x_{t+1}\mid x_0)}\Big[\log\frac{q(x_t\mid
    x_{t-1})}{p_\theta(x_t\mid x_{t+1})}\Big] ={} & \mathbb E_{q(x_t,\,x_{t+1}\mid x_0)}\big[-\log
    p_\theta(x_t\mid x_{t+1})\big] \\ & - \frac D2\,\log\big(2\pi e\,(1-\alpha_t)\big). \end{aligned}"""

    def ratio(t, start):
        def log_ratio(below, x, above):
            return log_q(x, below, t) - log_p(x, above, t + 1)

        return mean(log_ratio, t - 1, t, t + 1, start=start)

    def cross_entropy(t, start):
        return mean(lambda x, above: -log_p(x, above, t + 1), t, t + 1, start=start)

    for t in range(1, T):
        left = sum(ratio(t, start) for start in STARTS)
        entropy = D / 2 * math.log(2 * math.pi * math.e * (1 - ALPHA[t]))
        agree(left, sum(cross_entropy(t, start) for start in STARTS) - entropy, ROUNDING)


# --- train the way back -------------------------------------------------------------------------------------


@checks("fwd-undo")
def _():
    r"""x_{t-1} = \frac{x_t - \sqrt{1-\alpha_t}\;\varepsilon^*_t}{\sqrt{\alpha_t}} ."""
    after = step(x_2, alpha, e_1)
    identity((after - sp.sqrt(1 - alpha) * e_1) / sp.sqrt(alpha), x_2)


# Where the step must have begun if the guess is right: from there it leads to x_t.
(REVERSE_MEAN,) = sp.solve(step(x_2, alpha, guess) - x_t, x_2)


@checks(
    "fwd-mean", on="what follows from this definition: from there, a step with the guessed noise leads to x_t"
)
def _():
    r"""\mu_\theta(x_t, t) = \frac{x_t - \sqrt{1-\alpha_t}\;n_\theta(x_t, t)}{\sqrt{\alpha_t}} ."""
    identity((x_t - sp.sqrt(1 - alpha) * guess) / sp.sqrt(alpha), REVERSE_MEAN)


@checks("fwd-noise-error", on="D = 3: one x_{t−1}, one noise and one guess, in each of four steps")
def _():
    r"""-\log p_\theta(x_{t-1}\mid x_t) = \frac{1}{2\alpha_t}\,\big\lVert \varepsilon^*_t - n_\theta(x_t,
    t)\big\rVert^2 + \frac D2\,\log\big(2\pi(1-\alpha_t)\big)."""
    noises, guesses = np.array([-0.6, 0.8, 1.7]), np.array([0.4, -1.3, 0.9])
    for share in ALPHA[1:]:
        after = math.sqrt(share) * np.array(STARTS) + math.sqrt(1 - share) * noises
        back = sp.lambdify((x_t, alpha, guess), REVERSE_MEAN)(after, share, guesses)
        density = norm.logpdf(STARTS, back, math.sqrt(1 - share)).sum()
        error = ((noises - guesses) ** 2).sum()
        agree(error / (2 * share) + D / 2 * math.log(2 * math.pi * (1 - share)), -density, ROUNDING)


@checks(
    "fwd-share",
    on="what follows from this definition in four steps: the last one's share of the noise's variance",
)
def _():
    r"""\rho_t = \frac{1-\alpha_t}{1-\bar\alpha_t} ."""
    # Of the variances of all noises in x_t, that of the last step.
    for t in range(1, T + 1):
        agree((1 - ALPHA[t]) / (1 - KEPT[t]), WEIGHTS[t, t] ** 2 / (WEIGHTS[t, 1:] ** 2).sum(), ROUNDING)


@checks("fwd-unexplained", on="a chain of four steps, by the weights of its noises; D = 3")
def _():
    r"""\mathbb E\,\big\lVert \varepsilon^*_t - \sqrt{\rho_t}\;\varepsilon\big\rVert^2 = (1-\rho_t)\,D"""
    # A sum of independent noises of variance 1: the squares of its weights add up.
    for t in range(1, T + 1):
        share, weights = (1 - ALPHA[t]) / (1 - KEPT[t]), WEIGHTS[t, 1:] / np.linalg.norm(WEIGHTS[t, 1:])
        left_over = np.eye(T)[t - 1] - math.sqrt(share) * weights
        agree(D * (left_over**2).sum(), (1 - share) * D, ROUNDING)
        assert abs(left_over @ weights) < ROUNDING  # uncorrelated with ε, so no other multiple leaves less


# --- the lens, an exercise ----------------------------------------------------------------------------------


@checks(
    "fwd-beta-tilde",
    on="a chain of four steps, one number each: the joint Gaussian of x_{t−1} and x_t, given x_0",
)
def _():
    r"""\tilde\beta_t = \frac{(1-\alpha_t)(1-\bar\alpha_{t-1})}{1-\bar\alpha_t},"""
    # x_{t−1} and x_t are jointly Gaussian given x_0: the rule for conditioning one on the other.
    for t in range(1, T + 1):
        var, covariance = COVARIANCE[t - 1, t - 1], COVARIANCE[t - 1, t]
        formula = (1 - ALPHA[t]) * (1 - KEPT[t - 1]) / (1 - KEPT[t])
        agree(formula, var - covariance**2 / COVARIANCE[t, t], ROUNDING)


@checks(
    "fwd-between",
    on="a chain of four steps: the weights of x_s and of the noises after it in x_t, for all s < t",
)
def _():
    r"""q(x_t\mid x_s) = \mathcal N\Big(x_t;\ \sqrt{\bar\alpha_t/\bar\alpha_s}\;x_s,\
    \big(1-\bar\alpha_t/\bar\alpha_s\big) I\Big)."""
    for s in range(T):
        weights = chain_weights(start=s)
        for t in range(s + 1, T + 1):
            agree(math.sqrt(KEPT[t] / KEPT[s]), weights[t, 0], ROUNDING)
            agree(1 - KEPT[t] / KEPT[s], (weights[t, 1:] ** 2).sum(), ROUNDING)
