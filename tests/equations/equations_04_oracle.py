"""Chapter 4's equations of the step back that does not know x_0, each restated from definitions.

The referee is one table: the joint density of x_0, x_{t−1} and x_t on a grid, for data of two points, from
the Gaussian of the pair given x_0. Marginals, conditionals and moments are its sums. One coordinate stands
for all.
"""

import math

import numpy as np
import sympy as sp
import torch
from equations import checks
from evidence import agree, identity, quadrature, shares
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm
from support import EPS, Function

from diffusion_lib.models.reverse import SecondFormChain
from diffusion_lib.process import schedules

ALPHA, BEFORE = 0.6, 0.7  # α_t and ᾱ_{t−1}
NOW = ALPHA * BEFORE
DATA, SHARE = np.array([-1.0, 1.5])[:, None, None], np.array([0.3, 0.7])[:, None, None]
X = np.linspace(-8, 8, 161)  # x_t, the last axis of the table; before it x_{t−1}, and first x_0
Y = X[:, None]
INTEGRAL = 1e-11  # rounding: a sum over the grid of a smooth density or its logarithm has no other error

# The posterior, given x_0 as well, by regression of x_{t−1} on x_t.
SLOPE = math.sqrt(ALPHA) * (1 - BEFORE) / (ALPHA * (1 - BEFORE) + 1 - ALPHA)
MU_Q = math.sqrt(BEFORE) * DATA + SLOPE * (X - math.sqrt(ALPHA) * math.sqrt(BEFORE) * DATA)
TILDE = (1 - BEFORE) - SLOPE * math.sqrt(ALPHA) * (1 - BEFORE)


def jump(x, kept):
    """q(x | x_0) for each x_0, where `kept` is the share of variance left."""
    return norm.pdf(x, math.sqrt(kept) * DATA, math.sqrt(1 - kept))


def both(x_0):
    """q(x_{t−1}, x_t | x_0) on the grid, a Gaussian in the plane."""
    shared = math.sqrt(ALPHA) * (1 - BEFORE)
    cov = [[1 - BEFORE, shared], [shared, ALPHA * (1 - BEFORE) + 1 - ALPHA]]
    law = multivariate_normal(math.sqrt(BEFORE) * x_0 * np.array([1, math.sqrt(ALPHA)]), cov)
    return law.pdf(np.stack(np.broadcast_arrays(Y, X), axis=-1))


@quadrature
def integral(values, axis):
    """Over one axis of the grid, which stays, with length 1."""
    return values.sum(axis, keepdims=True) * 0.1


@quadrature
def kl(m, v, n, w):
    """KL(N(m, v) ‖ N(n, w)), arrays without an axis for x_{t−1}, from its definition."""
    log_q, log_p = norm.logpdf(Y, m, np.sqrt(v)), norm.logpdf(Y, n, np.sqrt(w))
    return integral(np.exp(log_q) * (log_q - log_p), 1)


def average(values, weights):
    """Over x_0, the first axis."""
    return (weights * values).sum(0, keepdims=True)


JOINT = SHARE * np.stack([both(x_0) for x_0 in DATA.ravel()])


def q_now():
    """q(x_t)."""
    return average(integral(JOINT, 1), 1)


def q_back():
    """q(x_{t−1} | x_t)."""
    return average(JOINT, 1) / q_now()


def q_data():
    """q(x_0 | x_t)."""
    return integral(JOINT, 1) / q_now()


def moments():
    """Mean and variance of x_{t−1} given x_t."""
    mean = integral(q_back() * Y, 1)
    return mean, integral(q_back() * (Y - mean) ** 2, 1)


# --- going back needs the data ------------------------------------------------------------------------------


@checks("post-reverse-bayes", on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7")
def _():
    r"""q(x_{t-1}\mid x_t) = \frac{q(x_t\mid x_{t-1})\;q(x_{t-1})}{q(x_t)} ."""
    step = norm.pdf(X, math.sqrt(ALPHA) * Y, math.sqrt(1 - ALPHA))
    written = step * average(jump(Y, BEFORE), SHARE) / average(jump(X, NOW), SHARE)
    agree(written, q_back(), INTEGRAL)


@checks(
    "post-needs-data",
    on="Gaussian data in one dimension, for which x_{t−1} is Gaussian, too, with ᾱ_{t−1} = 0.7",
)
def _():
    r"""q(x_{t-1}) = \int q(x_{t-1}\mid x_0)\,q(x_0)\,dx_0 ."""
    # With Gaussian data: then x_{t−1} is a sum of independent Gaussians, whose variances add.
    x_0, centre, var = X[:, None], 0.4, 0.36
    given = norm.pdf(X, math.sqrt(BEFORE) * x_0, math.sqrt(1 - BEFORE))
    written = integral(given * norm.pdf(x_0, centre, math.sqrt(var)), 0)
    exact = norm.pdf(X, math.sqrt(BEFORE) * centre, math.sqrt(BEFORE * var + 1 - BEFORE))
    agree(written, exact, INTEGRAL)


@checks("post-mixture", on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7")
def _():
    r"""q(x_{t-1}\mid x_t) = \int q(x_{t-1}\mid x_t, x_0)\;q(x_0\mid x_t)\,dx_0 ."""
    likely = SHARE * jump(X, NOW) / average(jump(X, NOW), SHARE)
    agree(average(norm.pdf(Y, MU_Q, math.sqrt(TILDE)), likely), q_back(), INTEGRAL)


# --- the oracle ---------------------------------------------------------------------------------------------


POINTS, HERE = np.array([[1, 0.2], [-0.5, 1], [0, -1.3]]), np.array([0.4, -0.1])  # three x_0, and an x_t


def chances(x_t, kept):
    """The probabilities of the points given x_t, by Bayes' rule with SciPy's densities."""
    density = [multivariate_normal(math.sqrt(kept) * x, (1 - kept) * np.eye(2)).pdf(x_t) for x in POINTS]
    return np.array(density) / sum(density)


@checks("post-chances", on="three data points in the plane, one x_t and ᾱ_t = 0.6, against Bayes' rule")
def _():
    r"""r_i = \frac{\exp(-\lVert
    x_t-\sqrt{\bar\alpha_t}\,x_0^{(i)}\rVert^2/2(1-\bar\alpha_t))}{\sum_{j=1}^{N}\exp(-\lVert
    x_t-\sqrt{\bar\alpha_t}\,x_0^{(j)}\rVert^2/2(1-\bar\alpha_t))} ."""
    kept = 0.6
    bells = np.exp(-((HERE - math.sqrt(kept) * POINTS) ** 2).sum(1) / (2 * (1 - kept)))
    agree(bells / bells.sum(), chances(HERE, kept), INTEGRAL)


@checks(
    "post-oracle",
    on="three data points in the plane and one x_t, against a numerical minimiser of the mean square",
)
def _():
    r"""m(x_t) = \mathbb E[x_0\mid x_t] = \sum_{i=1}^{N} r_i\,x_0^{(i)} ."""
    # The best guess: no other point has a smaller mean squared distance, so its gradient is 0 there.
    r = chances(HERE, 0.6)
    guess = r @ POINTS
    agree(minimize(lambda x: r @ ((POINTS - x) ** 2).sum(1), HERE, tol=1e-14).x, guess, 1e-6)
    agree(guess, sum(chance * point for chance, point in zip(r, POINTS, strict=True)), INTEGRAL)


@checks("post-best-mean", on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7")
def _():
    r"""n^\star(x_t) = \mathbb E[x_{t-1}\mid x_t] = \mathbb E\big[\mu_q(x_t, x_0)\mid x_t\big] =
    \mu_q\big(x_t, m(x_t)\big) ."""

    def mu_q(x_0):
        return (math.sqrt(ALPHA) * (1 - BEFORE) * X + math.sqrt(BEFORE) * (1 - ALPHA) * x_0) / (1 - NOW)

    best, _ = moments()
    agree(average(mu_q(DATA), q_data()), best, INTEGRAL)
    agree(mu_q(average(DATA, q_data())), best, INTEGRAL)


@checks("post-best-var", on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7")
def _():
    r"""s_d^{\star 2}(x_t) = \mathrm{Var}(x_{t-1,d}\mid x_t) = \tilde\beta_t + w_t^2\,\mathrm{Var}(x_{0,d}\mid
    x_t) ."""
    left = average((DATA - average(DATA, q_data())) ** 2, q_data())
    weight = math.sqrt(BEFORE) * (1 - ALPHA) / (1 - NOW)
    _, best_var = moments()
    agree(TILDE + weight**2 * left, best_var, INTEGRAL)


@checks("post-above", on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7, three models")
def _():
    r"""\begin{aligned} \mathbb E\big[D_{\mathrm{KL}}(q(x_{t-1}\mid x_t, x_0)\,\|\,p)\ \big|\ x_t\big] ={}
    & D_{\mathrm{KL}}\big(\mathcal N(n^\star, \mathrm{diag}(s^{\star2}))\,\big\|\,p\big) \\ & +
    \frac12\sum_{d=1}^{D}\log\frac{s_d^{\star2}}{\tilde\beta_t} . \end{aligned}"""
    best, best_var = moments()
    for n, w in ((0.2, 0.5), (-0.4, 0.1), (best, best_var)):
        written = kl(best, best_var, n, w) + np.log(best_var / TILDE) / 2
        agree(average(kl(MU_Q, TILDE, n, w), q_data()), written, INTEGRAL)


def paid(n, w):
    """The term of the bound for a model N(n, w), which may depend on x_t: the mean of a log ratio."""
    ratio = norm.logpdf(Y, MU_Q, math.sqrt(TILDE)) - norm.logpdf(Y, n, np.sqrt(w))
    return integral(integral((JOINT * ratio).sum(0, keepdims=True), 1), 2)


def other_models():
    """Models near the best one, and one that is as narrow as the posterior."""
    best, best_var = moments()
    return (best + 0.05, best_var), (best, 1.1 * best_var), (best, 0.9 * best_var), (best, TILDE)


@checks(
    "post-irreducible",
    on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7; four other models did worse",
)
def _():
    r"""\mathcal L_t^\star = \mathbb E_{q(x_t)}\Big[\frac12\sum_{d=1}^{D}\log\Big(1 +
    \frac{w_t^2\,\mathrm{Var}(x_{0,d}\mid x_t)}{\tilde\beta_t}\Big)\Big] ."""
    left = average((DATA - average(DATA, q_data())) ** 2, q_data())
    weight = math.sqrt(BEFORE) * (1 - ALPHA) / (1 - NOW)
    written = integral(average(jump(X, NOW), SHARE) * np.log(1 + weight**2 * left / TILDE) / 2, 2)
    agree(written, paid(*moments()), INTEGRAL)
    assert min(paid(*other) for other in other_models()) > written + INTEGRAL


@checks("post-least-split", on="data of two points in a line, with α_t = 0.6 and ᾱ_{t−1} = 0.7")
def _():
    r"""\begin{aligned} \mathcal L_t^\star ={} & I(x_0;\ x_{t-1}\mid x_t) \\ & + \mathbb
    E\;D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t)\,\big\|\,\mathcal N(n^\star,
    \mathrm{diag}(s^{\star2}))\big) . \end{aligned}"""
    best, best_var = moments()
    # The information from the table: the mean of log q(x_0, x_{t−1} | x_t) / q(x_0 | x_t) q(x_{t−1} | x_t).
    ratio = np.log(JOINT / q_now()) - np.log(q_data()) - np.log(q_back())
    information = integral(integral((JOINT * ratio).sum(0, keepdims=True), 1), 2)
    log_ratio = np.log(q_back()) - norm.logpdf(Y, best, np.sqrt(best_var))
    shape = integral(q_now() * integral(q_back() * log_ratio, 1), 2)
    agree(information + shape, paid(best, best_var), INTEGRAL)
    assert min(information, shape) > 0.001


# --- the 2015 model -----------------------------------------------------------------------------------------


@checks(
    "post-x0-hat",
    on="u_θ = √ᾱ_t ε − √(1−ᾱ_t) x_0, for which the guess is x_0; the equation defines it for any u_θ",
)
def _():
    r"""\hat x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1-\bar\alpha_t}\;u_\theta(x_t, t),"""
    # With the u that an x_0 and its noise define (chapter 5's v), the guess is x_0 itself.
    (kept,) = shares("alphabar_t")
    x_0, eps = sp.symbols("x_0 epsilon", real=True)
    x_t = sp.sqrt(kept) * x_0 + sp.sqrt(1 - kept) * eps
    u = sp.sqrt(kept) * eps - sp.sqrt(1 - kept) * x_0
    identity(sp.sqrt(kept) * x_t - sp.sqrt(1 - kept) * u, x_0)


SCHEDULE = schedules.sigmoid(40)
CANCELLED = float(10 * EPS / (1 - SCHEDULE.alpha_bar[1]))  # what rounding does to 1 − ᾱ_t, the smallest


@checks(
    "post-model",
    on="what it defines, in the library's model: one x_t and one answer of the network, t = 2, 21 and 40",
)
def _():
    r"""p_\theta(x_{t-1}\mid x_t) = \mathcal N\Big(x_{t-1};\ \mu_q(x_t, \hat x_0),\
    \tilde\beta_t\,\mathrm{diag}\big(e^{\ell_\theta(x_t, t)}\big)\Big) ."""
    schedule, answer = SCHEDULE, torch.tensor([[0.3, -0.7, 0.2, -0.4]], dtype=torch.float64)
    chain = SecondFormChain(Function(lambda x_t, t: answer.expand(len(x_t), 4)), schedule)
    x_t, u, log_ratio = torch.tensor([[0.8, -0.1]], dtype=torch.float64), answer[:, :2], answer[:, 2:]
    for t in (2, 21, 40):
        alpha, before, now = schedule.alpha[t], schedule.alpha_bar[t - 1], schedule.alpha_bar[t]
        x_0_hat = now.sqrt() * x_t - (1 - now).sqrt() * u
        mean = alpha.sqrt() * (1 - before) * x_t + before.sqrt() * (1 - alpha) * x_0_hat
        tilde = (1 - alpha) * (1 - before) / (1 - now)
        step = chain.reverse(x_t, t)
        agree(step.mean, mean / (1 - now), CANCELLED)
        agree(step.var, tilde * log_ratio.exp(), CANCELLED, relative=True)
