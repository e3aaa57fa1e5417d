"""Chapter 5's equations, each restated from definitions: Bayes' rule, integrals, exact algebra.

Identities are proved by SymPy. What is about distributions is asked of a scalar chain of which everything is
known (`linear_chain`). Where vectors appear, one coordinate stands for all, or the coordinates are added up.
"""

import math
from functools import cache

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, exceeds, identity, points, quadrature, sampled, shares
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
    kl,
    log_evidence,
    log_p,
    log_q,
    mean,
)
from scipy.stats import norm

# α_t, ᾱ_{t−1} and with them ᾱ_t; one coordinate of x_0, x̂_0, ε, ε_θ, x_t and x_{t−1}, and of two noises.
alpha, before = shares("alpha_t alphabar_before")
now = alpha * before
x_0, x_0_hat, eps, eps_hat, x_t, y = sp.symbols("x_0 x_0_hat epsilon epsilon_hat x_t x_before", real=True)
e_1, e_2 = sp.symbols("e_1 e_2", real=True)
D, STARTS = 3, (START, -1.2, 0.4)  # the coordinates of x_0
ROUNDING = 1e-11  # sums of some hundred float64 terms of size 10, and integrals with smaller errors


# Bayes' rule with symbols: q(x_{t−1} | x_t, x_0) is q(x_t | x_{t−1}) q(x_{t−1} | x_0) / q(x_t | x_0).


def exponent(x, mean, var):
    """The exponent of N(x; mean, var)."""
    return -((x - mean) ** 2) / (2 * var)


LOG_JOINT = exponent(x_t, sp.sqrt(alpha) * y, 1 - alpha) + exponent(y, sp.sqrt(before) * x_0, 1 - before)


def bayes_var():
    """The posterior's variance: minus one over the curvature of its log density."""
    return -1 / sp.diff(LOG_JOINT, y, 2)


@cache
def most_likely():
    """Where the posterior's log density, which is quadratic, has its maximum."""
    return sp.simplify(sp.diff(LOG_JOINT, y).subs(y, 0) * bayes_var())


def bayes_mean(start=x_0):
    """The posterior's mean if x_0 is this."""
    return most_likely().subs(x_0, start)


def bayes_kl(start, guess):
    """KL of two posteriors that differ in x_0 alone: equal variances, so only the means count."""
    return (bayes_mean(start) - bayes_mean(guess)) ** 2 / (2 * bayes_var())


def snr(alpha_bar):
    """The signal-to-noise ratio where this share of the data's variance is left."""
    return alpha_bar / (1 - alpha_bar)


def jump(noise=eps):
    """x_t in terms of x_0 and ε."""
    return sp.sqrt(now) * x_0 + sp.sqrt(1 - now) * noise


@cache
def start_of(noise):
    """The x_0 from which the jump with this noise leads to x_t."""
    return sp.solve(jump(noise) - x_t, x_0)[0]


# The same with numbers: x_{t−1} and x_t of the linear chain are jointly Gaussian, given x_0.


def posterior(x, t, start=START):
    """Mean and variance of q(x_{t−1} | x_t = x, x_0 = start), by conditioning one Gaussian on the other."""
    lift = COVARIANCE[t - 1, t] / COVARIANCE[t, t]
    centre = WEIGHTS[t - 1, 0] * start + lift * (x - WEIGHTS[t, 0] * start)
    return centre, COVARIANCE[t - 1, t - 1] - lift * COVARIANCE[t - 1, t]


def log_known(x, t):
    """log q(x_t | x_0), from the weights of the chain's noises."""
    return norm.logpdf(x, WEIGHTS[t, 0] * START, math.sqrt(COVARIANCE[t, t]))


def log_posterior(x_before, x, t):
    """log q(x_{t−1} | x_t, x_0) by Bayes' rule."""
    return log_q(x, x_before, t) + log_known(x_before, t - 1) - log_known(x, t)


def model_mean(x, t):
    """The mean of p(x_{t−1} | x_t = x)."""
    return SLOPE[t] * x + SHIFT[t]


def prior_term():
    """L_prior, as an average over the chain."""
    return mean(lambda x: log_known(x, T) - norm.logpdf(x), T)


def term(t):
    """L_t, as an average over the chain; at t = 1 that of a square, in closed form."""
    if t > 1:
        return mean(lambda *x: log_posterior(*x, t) - log_p(*x, t), t - 1, t)
    apart = START - model_mean(WEIGHTS[1, 0] * START, 1)
    return (math.log(2 * math.pi * VAR[1]) + (apart**2 + SLOPE[1] ** 2 * COVARIANCE[1, 1]) / VAR[1]) / 2


@quadrature
def mean_over_noise(f, nodes=80):
    """E f(ε) for ε ~ N(0, 1); exact for polynomials."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return float(f(z) @ weight / weight.sum())


# --- where the chapter starts -------------------------------------------------------------------------------


# One step more after a jump to t − 1.
ONE_MORE = sp.sqrt(alpha) * (sp.sqrt(before) * x_0 + sp.sqrt(1 - before) * e_1) + sp.sqrt(1 - alpha) * e_2


@checks(
    "eps-jump",
    on="a jump to t − 1 and a step: the mix of both noises as ε; the squared weights in it add up to 1",
)
def _():
    r"""x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\;\varepsilon, \qquad \varepsilon \sim
    \mathcal N(0, I)."""
    # ε is then the mix of the two independent noises, of variance 1 again.
    first, second = sp.diff(ONE_MORE, e_1), sp.diff(ONE_MORE, e_2)
    mix = (first * e_1 + second * e_2) / sp.sqrt(first**2 + second**2)
    identity(sp.sqrt(now) * x_0 + sp.sqrt(1 - now) * mix, ONE_MORE)
    identity(sp.diff(mix, e_1) ** 2 + sp.diff(mix, e_2) ** 2, 1)
    identity(sp.sqrt(now) * x_0 + sp.sqrt(1 - now) * eps, jump())


@checks(
    "eps-snr",
    on="what follows from this definition for data of variance 1: the squared weights of x_0 and of ε in x_t",
)
def _():
    r"""\mathrm{SNR}(t) = \frac{\bar\alpha_t}{1-\bar\alpha_t}."""
    signal, noise = sp.diff(jump(), x_0), sp.diff(jump(), eps)
    identity(now / (1 - now), signal**2 / noise**2)
    identity(now / (1 - now), snr(now))


@checks("eps-posterior")
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \mathcal N\big(x_{t-1};\ \mu_q(x_t, x_0),\ \tilde\beta_t I\big),"""
    # Bayes' rule for the exponents of the densities, and for the squares of the factors in front of them.
    bayes = LOG_JOINT - exponent(x_t, sp.sqrt(now) * x_0, 1 - now)
    identity(-((y - bayes_mean()) ** 2) / (2 * bayes_var()), bayes)
    identity(1 / bayes_var(), (1 - now) / ((1 - alpha) * (1 - before)))
    assert bayes_var().free_symbols == {alpha, before}  # and its variance depends on t alone


@checks("eps-posterior-mean")
def _():
    r"""\mu_q(x_t, x_0) = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,x_0,"""
    mu_q = sp.sqrt(alpha) * (1 - before) / (1 - now) * x_t + sp.sqrt(before) * (1 - alpha) / (1 - now) * x_0
    identity(mu_q, bayes_mean())


@checks("eps-posterior-var")
def _():
    r"""\tilde\beta_t = \frac{(1-\alpha_t)(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}."""
    identity((1 - alpha) * (1 - before) / (1 - now), bayes_var())


@checks(
    "eps-bound",
    on="a chain and a model of four linear-Gaussian steps, one number each, one x_0; what is lost is a KL",
)
def _():
    r"""-\log p_\theta(x_0) \;\le\; \mathcal L_{\text{prior}} + \sum_{t=1}^{T} \mathcal L_t ."""
    bound = prior_term() + sum(term(t) for t in range(1, T + 1))
    exceeds(bound, -log_evidence())
    agree(bound - gap(), -log_evidence(), ROUNDING)  # what is lost is a KL divergence of the latents


@checks(
    "eps-prior",
    on="this definition, for a chain of four steps, one number each, one x_0: the average of a log ratio",
)
def _():
    r"""\mathcal L_{\text{prior}} = D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,\mathcal N(0, I)\big)."""
    agree(kl(math.sqrt(KEPT[T]) * START, 1 - KEPT[T], 0, 1), prior_term(), ROUNDING)


@checks(
    "eps-kl-term",
    on="this definition, for a chain and a model of four linear-Gaussian steps: averages of log ratios",
)
def _():
    r"""\mathcal L_t = \mathbb E_{q(x_t\mid x_0)}\, D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big), \qquad t = 2,\dots,T,"""

    def divergence(x, t):
        centre, var = posterior(x, t)
        return kl(centre, var, model_mean(x, t), VAR[t])

    for t in range(2, T + 1):
        agree(mean(lambda x, t=t: divergence(x, t), t), term(t), ROUNDING)


@checks(
    "eps-first-term",
    on="this definition, for a linear-Gaussian step to one x_0, where the average has a closed form",
)
def _():
    r"""\mathcal L_1 = \mathbb E_{q(x_1\mid x_0)}\big[-\log p_\theta(x_0\mid x_1)\big]."""
    agree(mean(lambda x: -log_p(START, x, 1), 1), term(1), ROUNDING)


# --- matched variances, and x_0 -----------------------------------------------------------------------------


@checks(
    "eps-model",
    on="what follows from this choice, for four steps, given x_0: with the right mean it is the posterior",
)
def _():
    r"""p_\theta(x_{t-1}\mid x_t) = \mathcal N\big(x_{t-1};\ \mu_\theta(x_t, t),\ \tilde\beta_t I\big)."""
    # With the right mean this is the posterior by Bayes' rule, and another variance leaves something of L_t.
    x_before, x = np.array([0.2, -1.0, 1.4]), np.array([0.5, 0.7, -1.1])
    for t in range(2, T + 1):
        centre, var = posterior(x, t)
        beta_tilde = (1 - ALPHA[t]) * (1 - KEPT[t - 1]) / (1 - KEPT[t])
        agree(norm.logpdf(x_before, centre, math.sqrt(beta_tilde)), log_posterior(x_before, x, t), ROUNDING)
        assert all(kl(centre, var, centre, share * var).min() > 1e-3 for share in (0.9, 1.1))


@checks("eps-kl", on="D = 3, one a, one b, r = 0.6 and s = 0.9; the divergence by its definition")
def _():
    r"""D_{\mathrm{KL}}\big(\mathcal N(a, r^2I)\,\big\|\,\mathcal N(b, s^2I)\big) =
    \frac{D}{2}\Big(\frac{r^2}{s^2} - 1 - \log\frac{r^2}{s^2}\Big) + \frac{\lVert a-b\rVert^2}{2s^2}."""
    a, b, r, s = (0.3, -1.0, 2.0), (0.5, 1.5, 2.0), 0.6, 0.9
    ratio = r**2 / s**2
    formula = len(a) / 2 * (ratio - 1 - math.log(ratio)) + math.dist(a, b) ** 2 / (2 * s**2)
    agree(formula, kl(a, r**2, b, s**2).sum(), ROUNDING)


@checks(
    "eps-kl-matched",
    on="a chain and a model of four linear-Gaussian steps, one number each, one x_0; three points x_t",
    alike={"kl(model, beta_tilde, centre, var)": "symmetric at equal variances"},
)
def _():
    r"""D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t, x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big) =
    \frac{1}{2\tilde\beta_t}\,\big\lVert \mu_q(x_t, x_0) - \mu_\theta(x_t, t)\big\rVert^2 ."""
    x = np.array([0.5, 0.7, -1.1])
    for t in range(2, T + 1):
        (centre, var), model = posterior(x, t), model_mean(x, t)
        beta_tilde = (1 - ALPHA[t]) * (1 - KEPT[t - 1]) / (1 - KEPT[t])
        agree(kl(centre, var, model, beta_tilde), 1 / (2 * beta_tilde) * (centre - model) ** 2, ROUNDING)


@checks(
    "eps-mean-x0",
    on="what follows from this choice: it is the mean by Bayes' rule with x̂_0 in the place of x_0",
)
def _():
    r"""\mu_\theta(x_t, t) = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,\hat x_0(x_t, t)."""
    weight = sp.sqrt(before) * (1 - alpha) / (1 - now)
    mu = sp.sqrt(alpha) * (1 - before) / (1 - now) * x_t + weight * x_0_hat
    identity(mu, bayes_mean(x_0_hat))
    assert all(weight.subs(point) > 0 for point in points(weight))  # any mean can be written in this way


@checks("eps-mean-difference")
def _():
    r"""\mu_q(x_t, x_0) - \mu_\theta(x_t, t) =
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,\big(x_0 - \hat x_0(x_t, t)\big)."""
    identity(bayes_mean() - bayes_mean(x_0_hat), sp.sqrt(before) * (1 - alpha) / (1 - now) * (x_0 - x_0_hat))


@checks("eps-x0-objective")
def _():
    r"""D_{\mathrm{KL}}(q\,\Vert\,p_\theta) =
    \frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}(1-\alpha_t)^2}{(1-\bar\alpha_t)^2}\,\big\lVert
    x_0 - \hat x_0(x_t, t)\big\rVert^2 ."""
    weight = 1 / (2 * bayes_var()) * before * (1 - alpha) ** 2 / (1 - now) ** 2
    identity(bayes_kl(x_0, x_0_hat), weight * (x_0 - x_0_hat) ** 2)


@checks("eps-weight-insert")
def _():
    r"""\frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}(1-\alpha_t)^2}{(1-\bar\alpha_t)^2} =
    \frac12\,\frac{\bar\alpha_{t-1}\,(1-\alpha_t)}{(1-\bar\alpha_{t-1})(1-\bar\alpha_t)} ."""
    weight = 1 / (2 * bayes_var()) * before * (1 - alpha) ** 2 / (1 - now) ** 2
    identity(weight, before * (1 - alpha) / ((1 - before) * (1 - now)) / 2)


@checks("eps-weight-numerator")
def _():
    r"""\bar\alpha_{t-1}(1-\alpha_t) = \bar\alpha_{t-1} - \bar\alpha_t ."""
    identity(before * (1 - alpha), before - now)


@checks("eps-weight-trick")
def _():
    r"""\bar\alpha_{t-1} - \bar\alpha_t = \bar\alpha_{t-1}(1-\bar\alpha_t) -
    \bar\alpha_t(1-\bar\alpha_{t-1})."""
    identity(before - now, before * (1 - now) - now * (1 - before))


@checks("eps-weight-snr")
def _():
    r"""\frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}(1-\alpha_t)^2}{(1-\bar\alpha_t)^2} =
    \frac12\Big(\mathrm{SNR}(t-1) - \mathrm{SNR}(t)\Big)."""
    weight = 1 / (2 * bayes_var()) * before * (1 - alpha) ** 2 / (1 - now) ** 2
    identity(weight, (snr(before) - snr(now)) / 2)


# --- the noise ----------------------------------------------------------------------------------------------


@checks("eps-x0-of-eps")
def _():
    r"""x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\;\varepsilon}{\sqrt{\bar\alpha_t}} ."""
    identity(((x_t - sp.sqrt(1 - now) * eps) / sp.sqrt(now)).subs(x_t, jump()), x_0)


@checks(
    "eps-x0-hat",
    on="what follows from this definition: from there, a jump with the guessed noise leads to x_t",
)
def _():
    r"""\hat x_0(x_t, t) = \frac{x_t - \sqrt{1-\bar\alpha_t}\;\varepsilon_\theta(x_t,
    t)}{\sqrt{\bar\alpha_t}} ."""
    identity((x_t - sp.sqrt(1 - now) * eps_hat) / sp.sqrt(now), start_of(eps_hat))


@checks("eps-error")
def _():
    r"""x_0 - \hat x_0(x_t, t) = \sqrt{\frac{1-\bar\alpha_t}{\bar\alpha_t}}\;\big(\varepsilon_\theta(x_t,
    t) - \varepsilon\big)."""
    identity(start_of(eps) - start_of(eps_hat), sp.sqrt((1 - now) / now) * (eps_hat - eps))


@checks("eps-error-squared")
def _():
    r"""\big\lVert x_0 - \hat x_0(x_t, t)\big\rVert^2 = \frac{1}{\mathrm{SNR}(t)}\,\big\lVert \varepsilon
    - \varepsilon_\theta(x_t, t)\big\rVert^2 ."""
    identity((start_of(eps) - start_of(eps_hat)) ** 2, (eps - eps_hat) ** 2 / snr(now))


def network(x, t):
    """ε_θ(x_t, t): any function will do. Of a linear one averages are exact."""
    return 0.3 * x + 0.2 * t - 0.7


def guess(x, t):
    """Its x̂_0(x_t, t), with the weights of the chain."""
    return (x - math.sqrt(COVARIANCE[t, t]) * network(x, t)) / WEIGHTS[t, 0]


def matched_term(t):
    """L_t of a model with the posterior's variance, and its mean at x̂_0 in the place of x_0."""

    def divergence(x):
        centre, var = posterior(x, t)
        return kl(centre, var, posterior(x, t, guess(x, t))[0], var)

    return mean(divergence, t)


@checks(
    "eps-objective",
    on="every ε_θ without the averages; with them, four steps, one number each, one x_0, a linear ε_θ",
)
def _():
    r"""\mathcal L_t = \frac12\Big(\frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1\Big)\;\mathbb
    E_{\varepsilon}\,\big\lVert \varepsilon - \varepsilon_\theta(x_t, t)\big\rVert^2, \qquad t =
    2,\dots,T."""
    weight = (snr(before) / snr(now) - 1) / 2
    identity(bayes_kl(start_of(eps), start_of(eps_hat)), weight * (eps - eps_hat) ** 2)

    # And the average, over q(x_t | x_0) and over ε.
    def error(noise, t):
        x = math.sqrt(KEPT[t]) * START + math.sqrt(1 - KEPT[t]) * noise
        return (noise - network(x, t)) ** 2

    for t in range(2, T + 1):
        weight = (snr(KEPT[t - 1]) / snr(KEPT[t]) - 1) / 2
        agree(weight * mean_over_noise(lambda noise, t=t: error(noise, t)), matched_term(t), ROUNDING)


@checks("eps-weight")
def _():
    r"""\frac12\Big(\frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1\Big) =
    \frac{(1-\alpha_t)^2}{2\,\tilde\beta_t\,\alpha_t\,(1-\bar\alpha_t)} ."""
    identity((snr(before) / snr(now) - 1) / 2, (1 - alpha) ** 2 / (2 * bayes_var() * alpha * (1 - now)))


@checks("eps-first-objective", on="D = 3, one x_0, and a linear ε_θ")
def _():
    r"""\mathcal L_1 = \frac{1}{2\bar\alpha_1}\;\mathbb E_{\varepsilon}\,\big\lVert \varepsilon -
    \varepsilon_\theta(x_1, 1)\big\rVert^2 + \frac D2 \log\big(2\pi(1-\bar\alpha_1)\big)."""

    def error(start):
        def squared(noise):
            x = math.sqrt(KEPT[1]) * start + math.sqrt(1 - KEPT[1]) * noise
            return (noise - network(x, 1)) ** 2

        return mean_over_noise(squared)

    def minus_log(start):
        return mean(lambda x: -norm.logpdf(start, guess(x, 1), math.sqrt(1 - ALPHA[1])), 1, start=start)

    errors = sum(error(start) for start in STARTS)
    formula = 1 / (2 * KEPT[1]) * errors + D / 2 * math.log(2 * math.pi * (1 - KEPT[1]))
    agree(formula, sum(minus_log(start) for start in STARTS), ROUNDING)


@checks("eps-mean-collect")
def _():
    r"""\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} +
    \frac{\sqrt{\bar\alpha_{t-1}}(1-\alpha_t)}{(1-\bar\alpha_t)\sqrt{\bar\alpha_t}} =
    \frac{\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t)}{\sqrt{\alpha_t}\,(1-\bar\alpha_t)} ."""
    in_x_0_hat = sp.sqrt(before) * (1 - alpha) / ((1 - now) * sp.sqrt(now))
    left = sp.sqrt(alpha) * (1 - before) / (1 - now) + in_x_0_hat
    identity(left, (alpha * (1 - before) + (1 - alpha)) / (sp.sqrt(alpha) * (1 - now)))
    identity(left, sp.diff(bayes_mean(start_of(eps_hat)), x_t))


@checks("eps-mean-xt")
def _():
    r"""\frac{\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t)}{\sqrt{\alpha_t}\,(1-\bar\alpha_t)} =
    \frac{1}{\sqrt{\alpha_t}} ."""
    collected = (alpha * (1 - before) + (1 - alpha)) / (sp.sqrt(alpha) * (1 - now))
    identity(collected, 1 / sp.sqrt(alpha))
    identity(1 / sp.sqrt(alpha), sp.diff(bayes_mean(start_of(eps_hat)), x_t))


@checks("eps-mean-noise")
def _():
    r"""-\frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\cdot\frac{\sqrt{1-\bar\alpha_t}}{\sqrt{\bar\alpha_t}}
    = -\frac{1}{\sqrt{\alpha_t}}\cdot\frac{1-\alpha_t}{\sqrt{1-\bar\alpha_t}} ."""
    left = -sp.sqrt(before) * (1 - alpha) / (1 - now) * sp.sqrt(1 - now) / sp.sqrt(now)
    right = -1 / sp.sqrt(alpha) * (1 - alpha) / sp.sqrt(1 - now)
    identity(left, right)
    identity(sp.diff(bayes_mean(start_of(eps_hat)), eps_hat), right)


@checks("eps-mean")
def _():
    r"""\mu_\theta(x_t, t) = \frac{1}{\sqrt{\alpha_t}}\Big(x_t -
    \frac{1-\alpha_t}{\sqrt{1-\bar\alpha_t}}\;\varepsilon_\theta(x_t, t)\Big)."""
    mu = (x_t - (1 - alpha) / sp.sqrt(1 - now) * eps_hat) / sp.sqrt(alpha)
    identity(mu, bayes_mean(start_of(eps_hat)))


# --- training and sampling ----------------------------------------------------------------------------------


@checks("eps-one-t", on="seven symbols for the proof; for the draws, four numbers in the place of the terms")
def _():
    r"""\sum_{t=1}^{T} \mathcal L_t = T\;\mathbb E_{t\sim\mathcal U\{1,\dots,T\}}\big[\mathcal L_t\big]."""
    terms = np.array([0.2, -1.0, 6.5, 12.0])  # none near their mean, so that none can be missing
    steps = len(terms)
    drawn = np.random.default_rng(0).integers(1, steps + 1, 100_000)
    sampled(steps * terms[drawn - 1], terms.sum())
    terms = sp.symbols("L_1:8")
    identity(sum(terms), len(terms) * sum(term / len(terms) for term in terms))


def squared_error(t, start):
    """E (ε − ε_θ)² of the network, which is linear: the square of the error's mean, and its variance."""
    own = network(math.sqrt(COVARIANCE[t, t]), t) - network(0, t)  # how much of ε it says
    return network(WEIGHTS[t, 0] * start, t) ** 2 + (1 - own) ** 2


@checks(
    "eps-simple",
    on="this definition, for data of two numbers, a chain of four steps and a linear ε_θ, with a closed form",
)
def _():
    r"""L_{\text{simple}} = \mathbb E_{t\sim\mathcal U\{1,\dots,T\},\;x_0,\;\varepsilon}\,\big\lVert
    \varepsilon - \varepsilon_\theta\big(\sqrt{\bar\alpha_t}\,x_0 +
    \sqrt{1-\bar\alpha_t}\,\varepsilon,\ t\big)\big\rVert^2 ."""
    starts = (-1.0, 2.0)

    def error(t, start):
        def squared(noise):
            x = math.sqrt(KEPT[t]) * start + math.sqrt(1 - KEPT[t]) * noise
            return (noise - network(x, t)) ** 2

        return mean_over_noise(squared)

    loss = np.mean([error(t, start) for t in range(1, T + 1) for start in starts])
    exact = np.mean([squared_error(t, start) for t in range(1, T + 1) for start in starts])
    agree(loss, exact, ROUNDING)


@checks(
    "eps-sample",
    on="data of one point, so that ε is known: in four steps, quantiles of x_{t−1} are the posterior's",
)
def _():
    r"""x_{t-1} = \mu_\theta(x_t, t) + \sqrt{\tilde\beta_t}\;z_t, \qquad z_t \sim \mathcal N(0, I), \qquad
    t = T, T-1, \dots, 1."""
    # For data that is one point the noise is known, and quantiles of z_t make those of q(x_{t−1} | x_t, x_0).
    x, chances = np.array([[0.5], [-1.1]]), np.array([0.02, 0.5, 0.7])
    for t in range(1, T + 1):
        noise = (x - math.sqrt(KEPT[t]) * START) / math.sqrt(1 - KEPT[t])
        mu = (x - (1 - ALPHA[t]) / math.sqrt(1 - KEPT[t]) * noise) / math.sqrt(ALPHA[t])
        beta_tilde = (1 - ALPHA[t]) * (1 - KEPT[t - 1]) / (1 - KEPT[t])
        draw = mu + math.sqrt(beta_tilde) * norm.ppf(chances)
        if t == 1:
            agree(draw, START, ROUNDING)  # the last step adds no noise
        else:
            centre, var = posterior(x, t)
            agree(norm.cdf(draw, centre, math.sqrt(var)), chances, ROUNDING)


# --- v, and what no network can know ------------------------------------------------------------------------

V = sp.sqrt(now) * eps - sp.sqrt(1 - now) * x_0


@checks(
    "eps-v",
    on="what follows from this definition: (x_t, v) is (x_0, ε) turned by an angle whose cosine is √ᾱ_t",
)
def _():
    r"""v = \sqrt{\bar\alpha_t}\;\varepsilon - \sqrt{1-\bar\alpha_t}\;x_0 ."""
    # (x_t, v) is (x_0, ε) turned by an angle whose cosine is √ᾱ_t: lengths and orientation stay.
    v = sp.sqrt(now) * eps - sp.sqrt(1 - now) * x_0
    identity(v, V)
    turn = sp.Matrix([jump(), v]).jacobian([x_0, eps])
    identity((turn * turn.T - sp.eye(2)).norm(), 0)
    identity(turn.det(), 1)
    identity(turn[1, 1], sp.sqrt(now))


@checks("eps-x0-of-v")
def _():
    r"""x_0 = \sqrt{\bar\alpha_t}\;x_t - \sqrt{1-\bar\alpha_t}\;v ."""
    identity(sp.sqrt(now) * jump() - sp.sqrt(1 - now) * V, x_0)


@checks("eps-v-error")
def _():
    r"""\big\lVert x_0 - \hat x_0(x_t, t)\big\rVert^2 = (1-\bar\alpha_t)\,\big\lVert v - v_\theta(x_t,
    t)\big\rVert^2 ."""

    # The v that belongs to a guess of x_0, with x_t fixed: ε and with it v follow.
    def v_of(start):
        return sp.sqrt(now) * (x_t - sp.sqrt(now) * start) / sp.sqrt(1 - now) - sp.sqrt(1 - now) * start

    identity((x_0 - x_0_hat) ** 2, (1 - now) * (v_of(x_0) - v_of(x_0_hat)) ** 2)


@quadrature
def mean_over_states(f, kept):
    """E f(x_0, x_t) for data that is −1 or 1: a sum over both, and over a grid."""
    x = np.arange(-12, 12, 0.02)
    density = {start: norm.pdf(x, start * math.sqrt(kept), math.sqrt(1 - kept)) / 2 for start in (-1, 1)}
    return sum(f(start, x) @ density[start] for start in density) * 0.02


@checks("eps-irreducible", on="data that is −1 or 1, ᾱ_t = 0.3, and sin(2 x_t) as the guess")
def _():
    r"""\mathbb E\,\lVert x_0 - \hat x_0\rVert^2 = \mathbb E\,\lVert m(x_t) - \hat x_0\rVert^2 + \mathbb
    E\,\lVert x_0 - m(x_t)\rVert^2 ."""
    # For data that is −1 or 1, m has a closed form. The guess is any function, here sin(2 x_t).
    kept = 0.3

    def m(x):
        return np.tanh(math.sqrt(kept) / (1 - kept) * x)

    whole = mean_over_states(lambda start, x: (start - np.sin(2 * x)) ** 2, kept)
    avoidable = mean_over_states(lambda start, x: (m(x) - np.sin(2 * x)) ** 2, kept)
    irreducible = mean_over_states(lambda start, x: (start - m(x)) ** 2, kept)
    agree(whole, avoidable + irreducible, ROUNDING)
    assert min(avoidable, irreducible) > 0.01


# --- what the matched variance costs ------------------------------------------------------------------------


def perfect_mean(var):
    """E (μ_q − μ)² and 𝓛_t of the best mean with this variance; data −1 or 1, α_t = 0.6, ᾱ_{t−1} = 0.5."""
    alpha, before, now = 0.6, 0.5, 0.3
    w, tilde = math.sqrt(before) * (1 - alpha) / (1 - now), (1 - alpha) * (1 - before) / (1 - now)

    def missed(start, x):
        return w**2 * (start - np.tanh(math.sqrt(now) / (1 - now) * x)) ** 2

    divergence = mean_over_states(lambda start, x: kl(np.sqrt(missed(start, x)), tilde, 0, var), now)
    return tilde, mean_over_states(missed, now), divergence


@checks("eps-var-kl", on="data that is −1 or 1, one step with the best mean: the KL by its definition")
def _():
    r"""\mathcal L_t(s^2) = \frac D2\Big(\frac{\tilde\beta_t}{s^2} - 1 -
    \log\frac{\tilde\beta_t}{s^2}\Big) + \frac{e_t}{2s^2} ."""
    for var in (0.2, 0.7):
        tilde, e, divergence = perfect_mean(var)
        agree(1 / 2 * (tilde / var - 1 - math.log(tilde / var)) + e / (2 * var), divergence, ROUNDING)


tilde, e_t, width, coordinates = sp.symbols("tilde e_t width coordinates", positive=True)
OF_WIDTH = coordinates / 2 * (tilde / width - 1 - sp.log(tilde / width)) + e_t / (2 * width)


@checks("eps-best-var")
def _():
    r"""s_\star^2 = \tilde\beta_t + \frac{e_t}{D} ."""
    identity(tilde + e_t / coordinates, sp.solve(sp.diff(OF_WIDTH, width), width)[0])


@checks("eps-var-cost", on="the two equalities for all values; the inequality for seven ratios")
def _():
    r"""\mathcal L_t(s_\star^2) = \frac D2\log(1+\xi_t) \;\le\; \frac D2\,\xi_t = \mathcal
    L_t(\tilde\beta_t) ."""
    xi = e_t / (coordinates * tilde)
    identity(coordinates / 2 * sp.log(1 + xi), OF_WIDTH.subs(width, tilde + e_t / coordinates))
    identity(coordinates / 2 * xi, OF_WIDTH.subs(width, tilde))
    for ratio in (0.01, 0.1, 0.5, 1, 2, 10, 100):
        exceeds(ratio, math.log(1 + ratio))
