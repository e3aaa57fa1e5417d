"""Chapter 4's equations of the second form of the bound, each restated from definitions.

They are asked of a scalar chain of which everything is known (`linear_chain`): there averages of log
densities are exact, and every distribution follows from covariances, the posterior by regression. One
coordinate stands for D of them where every term is a sum over coordinates.
"""

import math

import numpy as np
import sympy as sp
import torch
from equations import checks
from evidence import agree, exceeds, identity, quadrature
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
    gap,
    joint_p,
    kl,
    log_chain,
    log_evidence,
    log_model,
    log_p,
    log_q,
    mean,
)
from scipy.stats import multivariate_normal, norm
from torch.distributions import Independent, Normal, kl_divergence

ROUNDING = 1e-11  # sums of some hundred float64 terms of size 10
CHAIN = tuple(range(1, T + 1))  # x_1…x_T
PATHS = np.array([[START, 0.3, -0.8, 1.1, 0.4], [START, 1.5, 0.2, -0.6, -1.3], [START, -0.4, 0.9, 2.0, 0.1]])


def jump(t, start=START):
    """Mean and variance of q(x_t | x_0), from the weights of the noises."""
    return start * WEIGHTS[t, 0], COVARIANCE[t, t]


def back(x, t, start=START):
    """Mean and variance of q(x_{t−1} | x_t = x, x_0), by regression of x_{t−1} on x_t."""
    slope = COVARIANCE[t - 1, t] / COVARIANCE[t, t]
    centre = start * WEIGHTS[t - 1, 0] + slope * (x - start * WEIGHTS[t, 0])
    return centre, COVARIANCE[t - 1, t - 1] - slope * COVARIANCE[t, t - 1]


def model(x, t):
    """Mean and variance of p(x_{t−1} | x_t = x)."""
    return SLOPE[t] * x + SHIFT[t], VAR[t]


def log_normal(x, law):
    """The log density of a Gaussian given by its mean and variance."""
    return norm.logpdf(x, law[0], math.sqrt(law[1]))


def log_jump(x, t):
    """log q(x_t | x_0)."""
    return log_normal(x, jump(t))


def log_back(before, x, t):
    """log q(x_{t−1} | x_t, x_0)."""
    return log_normal(before, back(x, t))


def kl_normal(q, p):
    """KL(q ‖ p) of two Gaussians given by mean and variance, by the formula of a public library."""
    laws = ((torch.as_tensor(m, dtype=torch.float64), math.sqrt(v)) for m, v in (q, p))
    return kl_divergence(*(Normal(m, s) for m, s in laws)).numpy()


@quadrature
def over(f, m, v):
    """E f(y) over y ~ N(m, v) for each m; for smooth f, the trapezoidal rule is right to rounding."""
    z = np.linspace(-9, 9, 181)
    m = np.asarray(m)[..., None]
    y = m + math.sqrt(v) * z
    return np.trapezoid(norm.pdf(y, m, math.sqrt(v)) * f(y), y, axis=-1)


def over_back(f, x, t):
    """E f(x_{t−1}, x) over q(x_{t−1} | x_t = x, x_0), for each x."""
    return over(lambda y: f(y, np.asarray(x)[..., None]), *back(x, t))


@quadrature
def over_data(f):
    """E f(x_0) over x_0 ~ N(0, 1), exact for f of degree 5."""
    z, weight = np.polynomial.hermite_e.hermegauss(3)
    return weight @ [f(x_0) for x_0 in z] / weight.sum()


def given_start():
    """The Gaussian p(x_1…x_T | x_0), by conditioning the model's."""
    p = joint_p()
    lift = p.cov[1:, 0] / p.cov[0, 0]
    centre = p.mean[1:] + lift * (START - p.mean[0])
    return multivariate_normal(centre, p.cov[1:, 1:] - np.outer(lift, p.cov[0, 1:]))


# --- the second form ----------------------------------------------------------------------------------------


@checks(
    "post-ratio",
    on="a chain of four steps from x_0 = 0.7 and a linear Gaussian model, all of it numbers",
)
def _():
    r"""-\log p_\theta(x_0) \;\le\; \mathbb E_{q(x_{1:T}\mid x_0)}\Big[\log\frac{q(x_{1:T}\mid
    x_0)}{p_\theta(x_{0:T})}\Big] ."""
    surprise = -log_evidence()
    average = mean(lambda *x: log_chain(*x) - log_model(*x), *CHAIN)
    exceeds(average, surprise)
    agree(average - surprise, gap(), ROUNDING)


@checks("post-replace", on="three chains of four steps, all of it numbers, t = 2, 3 and 4")
def _():
    r"""q(x_t\mid x_{t-1}) = q(x_{t-1}\mid x_t, x_0)\;\frac{q(x_t\mid x_0)}{q(x_{t-1}\mid x_0)}, \qquad
    t \ge 2 ."""
    for x in PATHS:
        for t in range(2, T + 1):
            written = log_back(x[t - 1], x[t], t) + log_jump(x[t], t) - log_jump(x[t - 1], t - 1)
            agree(written, log_q(x[t], x[t - 1], t), ROUNDING)


JUMPS = sp.symbols("q_0:6", positive=True)  # the densities q(x_t | x_0) at any states, t = 0…T for T = 5


@checks("post-telescope", on="T = 5, and any positive numbers as densities")
def _():
    r"""\prod_{t=2}^{T}\frac{q(x_t\mid x_0)}{q(x_{t-1}\mid x_0)} = \frac{q(x_T\mid x_0)}{q(x_1\mid x_0)} ."""
    last = len(JUMPS) - 1
    quotients = sp.prod(JUMPS[t] / JUMPS[t - 1] for t in range(2, last + 1))
    identity(quotients, JUMPS[last] / JUMPS[1])


@checks(
    "post-chain-backwards",
    on="three chains of four steps, all of it numbers, against their joint Gaussian",
)
def _():
    r"""q(x_{1:T}\mid x_0) = q(x_T\mid x_0)\prod_{t=2}^{T} q(x_{t-1}\mid x_t, x_0) ."""
    for x in PATHS:
        backwards = log_jump(x[T], T) + sum(log_back(x[t - 1], x[t], t) for t in range(2, T + 1))
        agree(backwards, log_chain(*x[1:]), ROUNDING)


@checks("post-regrouped", on="three chains of four steps, all of it numbers, and a linear Gaussian model")
def _():
    r"""\begin{aligned} \log\frac{q(x_{1:T}\mid x_0)}{p_\theta(x_{0:T})} ={} & \log\frac{q(x_T\mid
    x_0)}{p(x_T)} + \sum_{t=2}^{T}\log\frac{q(x_{t-1}\mid x_t, x_0)}{p_\theta(x_{t-1}\mid x_t)} \\
    & - \log p_\theta(x_0\mid x_1) . \end{aligned}"""
    for x in PATHS:
        written = log_jump(x[T], T) - norm.logpdf(x[T]) - log_p(x[0], x[1], 1)
        written += sum(log_back(x[t - 1], x[t], t) - log_p(x[t - 1], x[t], t) for t in range(2, T + 1))
        agree(written, log_chain(*x[1:]) - log_model(*x[1:]), ROUNDING)


@checks(
    "post-tower",
    on="a chain of four steps from x_0 = 0.7 and a linear Gaussian model, all of it numbers, t = 2, 3, 4",
)
def _():
    r"""\begin{aligned} & \mathbb E_{q(x_{t-1}, x_t\mid x_0)}\Big[\log\frac{q(x_{t-1}\mid x_t,
    x_0)}{p_\theta(x_{t-1}\mid x_t)}\Big] \\ & \quad = \mathbb E_{q(x_t\mid x_0)}\,\mathbb
    E_{q(x_{t-1}\mid x_t, x_0)}\Big[\log\frac{q(x_{t-1}\mid x_t, x_0)}{p_\theta(x_{t-1}\mid
    x_t)}\Big] . \end{aligned}"""
    for t in range(2, T + 1):

        def ratio(y, x, t=t):
            return log_back(y, x, t) - log_p(y, x, t)

        nested = mean(lambda x, t=t, ratio=ratio: over_back(ratio, x, t), t)
        agree(nested, mean(ratio, t - 1, t), ROUNDING)
        # So far the ratio could be anything. That it is this one shows in its inner mean.
        agree(nested, mean(lambda x, t=t: kl_normal(back(x, t), model(x, t)), t), ROUNDING)


@checks(
    "post-bound",
    on="a chain of four steps from x_0 = 0.7 and a linear Gaussian model, all of it numbers",
)
def _():
    r"""-\log p_\theta(x_0) \;\le\; \mathcal L_{\text{prior}} + \sum_{t=2}^{T}\mathcal L_t + \mathcal L_1 ."""
    prior = kl_normal(jump(T), (0, 1))
    levels = [mean(lambda x, t=t: kl_normal(back(x, t), model(x, t)), t) for t in range(2, T + 1)]
    bound = prior + sum(levels) - mean(lambda x: log_p(START, x, 1), 1)
    surprise = -log_evidence()
    exceeds(bound, surprise)
    agree(bound - surprise, gap(), ROUNDING)


@checks(
    "post-prior",
    on="what follows from this definition: over a chain of four numbers, it is the mean of a log ratio",
)
def _():
    r"""\mathcal L_{\text{prior}} = D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,p(x_T)\big) ."""
    on_chains = mean(lambda *x: log_jump(x[-1], T) - norm.logpdf(x[-1]), *CHAIN)
    agree(kl_normal(jump(T), (0, 1)), on_chains, ROUNDING)


@checks(
    "post-kl-term",
    on="what follows from this definition: over a chain of four numbers, it is the mean of a log ratio",
)
def _():
    r"""\mathcal L_t = \mathbb E_{q(x_t\mid x_0)}\;D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big),"""
    for t in range(2, T + 1):
        written = mean(lambda x, t=t: kl_normal(back(x, t), model(x, t)), t)
        on_chains = mean(
            lambda *x, t=t: log_back(x[t - 2], x[t - 1], t) - log_p(x[t - 2], x[t - 1], t), *CHAIN
        )
        agree(written, on_chains, ROUNDING)


@checks(
    "post-first-term",
    on="what follows from this definition: over a chain of four numbers, it is what the other terms leave",
)
def _():
    r"""\mathcal L_1 = -\,\mathbb E_{q(x_1\mid x_0)}\big[\log p_\theta(x_0\mid x_1)\big] ."""
    # What the other terms leave of the whole average.
    whole = mean(lambda *x: log_chain(*x) - log_model(*x), *CHAIN)
    levels = [mean(lambda x, t=t: kl_normal(back(x, t), model(x, t)), t) for t in range(2, T + 1)]
    written = -mean(lambda x: log_p(START, x, 1), 1)
    agree(written, whole - kl_normal(jump(T), (0, 1)) - sum(levels), ROUNDING)


# --- the KL divergence of two Gaussians ---------------------------------------------------------------------

PAIRS = [(0.3, 0.36, 0.5, 0.81), (-1.0, 2.0, 1.0, 0.5), (0.0, 0.1, 0.0, 0.1)]  # m, v, n, w


@checks("post-kl-logs", on="three pairs of Gaussians in one dimension, at two points each")
def _():
    r"""\log q(y) - \log p(y) = \frac12\log\frac{v_2}{v_1} - \frac{(y-\mu_1)^2}{2v_1} +
    \frac{(y-\mu_2)^2}{2v_2} ."""
    for m, v, n, w in PAIRS:
        for y in (-2.0, 0.4):
            written = math.log(w / v) / 2 - (y - m) ** 2 / (2 * v) + (y - n) ** 2 / (2 * w)
            agree(written, log_normal(y, (m, v)) - log_normal(y, (n, w)), ROUNDING)


@checks("post-kl-other", on="three pairs of Gaussians in one dimension")
def _():
    r"""\mathbb E_{y\sim q}\,(y-\mu_2)^2 = v_1 + (\mu_1-\mu_2)^2 ."""
    for m, v, n, _ in PAIRS:
        agree(over(lambda y, n=n: (y - n) ** 2, m, v), v + (m - n) ** 2, ROUNDING)


def kl_formula(m, v, n, w):
    """KL(N(m, v) ‖ N(n, w)) as an expression."""
    return (v / w - 1 - sp.log(v / w) + (m - n) ** 2 / w) / 2


@checks("post-kl-one", on="three pairs of Gaussians, one of them a pair of equals")
def _():
    r"""D_{\mathrm{KL}}\big(\mathcal N(\mu_1, v_1)\,\big\|\,\mathcal N(\mu_2, v_2)\big) =
    \frac12\Big(\frac{v_1}{v_2} - 1 - \log\frac{v_1}{v_2} + \frac{(\mu_1-\mu_2)^2}{v_2}\Big) ."""
    for m, v, n, w in PAIRS:
        written = (v / w - 1 - math.log(v / w) + (m - n) ** 2 / w) / 2
        agree(written, kl(m, v, n, w), ROUNDING)
        agree(written, kl_formula(m, v, n, w), ROUNDING)


@checks("post-kl", on="a pair of Gaussians in three dimensions, against PyTorch's formula")
def _():
    r"""\begin{aligned} & D_{\mathrm{KL}}\big(\mathcal N(\mu_1, \mathrm{diag}(v_1))\,\big\|\,\mathcal N(\mu_2,
    \mathrm{diag}(v_2))\big) \\ & \quad = \frac12\sum_{d=1}^{D}\Big(\frac{v_{1,d}}{v_{2,d}} - 1 -
    \log\frac{v_{1,d}}{v_{2,d}} + \frac{(\mu_{1,d}-\mu_{2,d})^2}{v_{2,d}}\Big) . \end{aligned}"""
    m, v, n, w = torch.tensor(PAIRS, dtype=torch.float64).T
    written = (v / w - 1 - (v / w).log() + (m - n) ** 2 / w).sum() / 2
    q, p = (Independent(Normal(mean, var.sqrt()), 1) for mean, var in ((m, v), (n, w)))
    agree(written, kl_divergence(q, p), ROUNDING)


# --- the two forms compared ---------------------------------------------------------------------------------

D = 3


def g(before, x):
    """Any function of x_{t−1} and x_t."""
    return before**2 - 0.7 * before * x + x


@checks(
    "post-total-variance",
    on="g = x_{t−1}² − 0.7 x_{t−1}x_t + x_t in a chain of four numbers, with x_0 = 0.7, t = 2, 3, 4",
)
def _():
    r"""\mathrm{Var}(g) = \mathrm{Var}\big(\mathbb E[g\mid x_t, x_0]\big) + \mathbb E\big[\mathrm{Var}(g\mid
    x_t, x_0)\big] ."""
    for t in range(2, T + 1):

        def inner(x, t=t):
            return over_back(g, x, t)

        def spread(x, t=t, inner=inner):
            return over_back(lambda y, x: (g(y, x) - inner(x)) ** 2, x, t)

        explained = mean(lambda x, inner=inner: inner(x) ** 2, t) - mean(inner, t) ** 2
        left = mean(spread, t)
        whole = mean(lambda y, x: g(y, x) ** 2, t - 1, t) - mean(g, t - 1, t) ** 2
        agree(explained + left, whole, ROUNDING)
        assert min(explained, left) > 0.01


def log_gauss(y, m, v):
    """The log density of N(m, v) as an expression."""
    return -((y - m) ** 2) / (2 * v) - sp.log(2 * sp.pi * v) / 2


def expected(f, y, m, v):
    """E f(y) over y ~ N(m, v) for a polynomial f of degree 2 or less."""
    return f.subs(y, m) + v / 2 * f.diff(y, 2)


@checks(
    "post-same-gradient",
    on="one coordinate, and a model step of mean θ_1 x_t and variance θ_2, for all values",
)
def _():
    r"""\begin{aligned} & \mathbb E_{q(x_{t-1}\mid x_t, x_0)}\big[-\nabla_\theta\log p_\theta(x_{t-1}\mid
    x_t)\big] \\ & \quad = \nabla_\theta\,D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big) . \end{aligned}"""
    # q = N(m, v), and p = N(θ_1 x_t, θ_2).
    m, x, y, slope = sp.symbols("m x_t x_before theta_1", real=True)
    v, w = sp.symbols("v theta_2", positive=True)
    for theta in (slope, w):
        average = expected(-log_gauss(y, slope * x, w).diff(theta), y, m, v)
        identity(average, kl_formula(m, v, slope * x, w).diff(theta))


@checks("post-chain-total", on="three chains of four steps, all of it numbers, and a linear Gaussian model")
def _():
    r"""\log\frac{q(x_{1:T}\mid x_0)}{p_\theta(x_{0:T})} = -\log p_\theta(x_0) + \log\frac{q(x_{1:T}\mid
    x_0)}{p_\theta(x_{1:T}\mid x_0)} ."""
    for x in PATHS:
        steps = sum(log_q(x[t], x[t - 1], t) - log_p(x[t - 1], x[t], t) for t in range(1, T + 1))
        written = -log_evidence() + log_chain(*x[1:]) - given_start().logpdf(x[1:])
        agree(written, steps - norm.logpdf(x[T]), ROUNDING)


# --- the null test ------------------------------------------------------------------------------------------


@checks("post-null-reverse", on="three chains of four steps, all of it numbers, against Bayes' rule")
def _():
    r"""q(x_{t-1}\mid x_t) = \mathcal N\big(x_{t-1};\ \sqrt{\alpha_t}\,x_t,\ \beta_t I\big) ."""
    for x in PATHS:
        for t in range(1, T + 1):
            written = norm.logpdf(x[t - 1], math.sqrt(ALPHA[t]) * x[t], math.sqrt(1 - ALPHA[t]))
            bayes = log_q(x[t], x[t - 1], t) + norm.logpdf(x[t - 1]) - norm.logpdf(x[t])
            agree(written, bayes, ROUNDING)


def information(cov, i, j, k):
    """I(x_i; x_j | x_k) of jointly Gaussian numbers, from determinants."""
    det = {of: np.linalg.det(cov[np.ix_(of, of)]) for of in ((i, k), (j, k), (k,), (i, j, k))}
    return math.log(det[i, k] * det[j, k] / det[(k,)] / det[i, j, k]) / 2


def ideal(x, t):
    """Mean and variance of q(x_{t−1} | x_t) for data that is N(0, 1)."""
    return math.sqrt(ALPHA[t]) * x, 1 - ALPHA[t]


@checks(
    "post-null-bound",
    on="one coordinate of a chain of four steps whose x_0 is N(0, 1), taken D = 3 times",
)
def _():
    r"""\mathbb E_{x_0\sim\mathcal N(0, I)}\Big[\mathcal L_{\text{prior}} + \sum_{t=2}^{T}\mathcal L_t +
    \mathcal L_1\Big] = \frac D2\log(2\pi e) ."""

    def bound(start):
        prior = kl_normal(jump(T, start), (0, 1))
        levels = [
            mean(lambda x, t=t: kl_normal(back(x, t, start), ideal(x, t)), t, start=start)
            for t in range(2, T + 1)
        ]
        return prior + sum(levels) - mean(lambda x: log_normal(start, ideal(x, 1)), 1, start=start)

    agree(D * over_data(bound), D / 2 * math.log(2 * math.pi * math.e), ROUNDING)


@checks(
    "post-information",
    on="one coordinate of a chain of four steps whose x_0 is N(0, 1), against determinants, t = 2, 3, 4",
)
def _():
    r"""I(x_0;\ x_{t-1}\mid x_t) = \mathbb E\;D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,q(x_{t-1}\mid x_t)\big) ."""
    # The information from determinants of the joint covariance, of one coordinate.
    cov = np.outer(WEIGHTS[:, 0], WEIGHTS[:, 0]) + COVARIANCE
    for t in range(2, T + 1):

        def divergence(start, t=t):
            return mean(lambda x: kl_normal(back(x, t, start), ideal(x, t)), t, start=start)

        agree(over_data(divergence), information(cov, 0, t - 1, t), ROUNDING)


@checks(
    "post-null-information",
    on="one coordinate of a chain of four steps whose x_0 is N(0, 1), taken D = 3 times, t = 2, 3, 4",
)
def _():
    r"""I(x_0;\ x_{t-1}\mid x_t) = \frac D2\log\frac{\beta_t}{\tilde\beta_t} ."""
    cov = np.outer(WEIGHTS[:, 0], WEIGHTS[:, 0]) + COVARIANCE
    for t in range(2, T + 1):
        tilde = (1 - ALPHA[t]) * (1 - KEPT[t - 1]) / (1 - KEPT[t])
        written = D / 2 * math.log((1 - ALPHA[t]) / tilde)
        agree(written, D * information(cov, 0, t - 1, t), ROUNDING)
