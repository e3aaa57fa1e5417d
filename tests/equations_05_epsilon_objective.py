"""Chapter 5's equations, each restated from definitions: Bayes' rule, integrals, exact algebra.

Identities are compared to 40 digits at several rational points. Where vectors appear, one coordinate stands
for all: every term is a sum over coordinates, or the same in each.
"""

import math
from functools import cache

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, identity, shares
from scipy.integrate import quad
from scipy.stats import norm

# α_t, ᾱ_{t−1} and with them ᾱ_t; one coordinate of x_0, x̂_0, ε, ε_θ and x_t.
alpha, before = shares("alpha_t alphabar_before")
now = alpha * before
x_0, x_0_hat, eps, eps_hat, x_t = sp.symbols("x_0 x_0_hat epsilon epsilon_hat x_t", real=True)

POINTS = [
    dict(zip((alpha, before, x_0, x_0_hat, eps, eps_hat, x_t), map(sp.Rational, values), strict=True))
    for values in (
        ("1/2", "1/3", "3/7", "-2", "1/5", "4/3", "1"),
        ("9/10", "7/8", "-5/3", "1/9", "-2", "1/7", "-3/2"),
        ("99/100", "1/50", "11/4", "3", "8/3", "-1/2", "2/9"),
    )
]
ALPHAS = (0.9, 0.5, 0.3)  # values of α_1, α_2, α_3 for checks with numbers
INTEGRAL = 1e-10  # error of a few integrals: 1e-12 is asked of each, and sums of 6400 terms are rounded


def snr(alpha_bar):
    return alpha_bar / (1 - alpha_bar)


@cache
def log_joint():
    """log q(x_t | x_{t−1}) + log q(x_{t−1} | x_0) up to a constant, and its variable x_{t−1}."""
    y = sp.Symbol("x_before", real=True)
    step = -((x_t - sp.sqrt(alpha) * y) ** 2) / (2 * (1 - alpha))
    jump = -((y - sp.sqrt(before) * x_0) ** 2) / (2 * (1 - before))
    return step + jump, y


def bayes_mean(start=x_0):
    """The mean of q(x_{t−1} | x_t, x_0 = start) by Bayes' rule: where the joint density is largest."""
    density, y = log_joint()
    return sp.solve(sp.diff(density, y), y)[0].subs(x_0, start)


def bayes_var():
    """Its variance: minus one over the curvature of the log density."""
    density, y = log_joint()
    return -1 / sp.diff(density, y, 2)


def bayes_kl(start, guess):
    """KL of two posteriors that differ in x_0 alone: equal variances, so only the means count."""
    return (bayes_mean(start) - bayes_mean(guess)) ** 2 / (2 * bayes_var())


def jump(noise=eps):
    """x_t in terms of x_0 and ε."""
    return sp.sqrt(now) * x_0 + sp.sqrt(1 - now) * noise


def start_of(noise):
    """The x_0 from which the jump with this noise leads to x_t."""
    start = sp.Symbol("start")
    return sp.solve(sp.sqrt(now) * start + sp.sqrt(1 - now) * noise - x_t, start)[0]


def kl(m, v, n, w):
    """KL(N(m, v) ‖ N(n, w)) of two distributions of numbers, by quadrature, and the error of that."""
    p, q, reach = norm(m, math.sqrt(v)), norm(n, math.sqrt(w)), 30 * math.sqrt(v)
    return quad(
        lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), m - reach, m + reach, points=[m], epsabs=1e-12
    )


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def mean_over(f):
    """E f(z) for z ~ N(0, 1); exact for polynomials."""
    return float(sum(w * f(z) for z, w in zip(NODES, WEIGHTS, strict=True)))


# --- where the chapter starts -------------------------------------------------------------------------------


@checks("eps-jump")
def _():
    r"""x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\;\varepsilon, \qquad \varepsilon \sim
    \mathcal N(0, I)."""
    # One more step from x_{t−1} = √ᾱ_{t−1} x_0 + √(1 − ᾱ_{t−1}) z: the weights multiply, the variances add.
    identity(sp.sqrt(alpha) * sp.sqrt(before) * x_0, jump(0))
    identity(alpha * (1 - before) + (1 - alpha), sp.diff(jump(), eps) ** 2)


@checks("eps-snr")
def _():
    r"""\mathrm{SNR}(t) = \frac{\bar\alpha_t}{1-\bar\alpha_t}."""
    signal, noise = sp.diff(jump(), x_0), sp.diff(jump(), eps)
    identity(signal**2 / noise**2, now / (1 - now))


@checks("eps-posterior")
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \mathcal N\big(x_{t-1};\ \mu_q(x_t, x_0),\ \tilde\beta_t I\big),"""
    density, y = log_joint()
    gaussian = -((y - bayes_mean()) ** 2) / (2 * bayes_var())
    slope = sp.diff(density - gaussian, y)  # linear in y, and 0: equal up to a constant
    identity(slope.subs(y, 0), 0)
    identity(slope.subs(y, 1), 0)
    assert bayes_var().free_symbols == {alpha, before}  # and its variance depends on t alone


@checks("eps-posterior-mean")
def _():
    r"""\mu_q(x_t, x_0) = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,x_0,"""
    mean = sp.sqrt(alpha) * (1 - before) / (1 - now) * x_t + sp.sqrt(before) * (1 - alpha) / (1 - now) * x_0
    identity(mean, bayes_mean())


@checks("eps-posterior-var")
def _():
    r"""\tilde\beta_t = \frac{(1-\alpha_t)(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}."""
    identity((1 - alpha) * (1 - before) / (1 - now), bayes_var())


class TwoSteps:
    """A chain of two steps in one dimension with arbitrary linear reverse steps, x_0 given."""

    x_0, alpha = 0.7, ALPHAS[:2]
    to_1, var_1, to_0, var_0 = 0.6, 0.4, 1.1, 0.2  # p(x_1 | x_2) = N(0.6 x_2, 0.4), p(x_0 | x_1) likewise

    def __init__(self):
        self.q_1 = norm(math.sqrt(self.alpha[0]) * self.x_0, math.sqrt(1 - self.alpha[0]))
        kept = self.alpha[0] * self.alpha[1]
        self.q_2 = norm(math.sqrt(kept) * self.x_0, math.sqrt(1 - kept))

    def step_2(self, x_1):
        """q(x_2 | x_1)."""
        return norm(math.sqrt(self.alpha[1]) * x_1, math.sqrt(1 - self.alpha[1]))

    def mean(self, f):
        """E f(x_1, x_2) over the forward chain."""

        def given(z):
            x_1 = self.q_1.mean() + self.q_1.std() * z
            q = self.step_2(x_1)
            centre, width = q.mean(), q.std()
            return sum(WEIGHTS * f(x_1, centre + width * NODES))

        return mean_over(given)

    def prior(self):
        return kl(self.q_2.mean(), self.q_2.var(), 0, 1)[0]

    def log_posterior(self, x_1, x_2):
        """log q(x_1 | x_2, x_0) by Bayes' rule."""
        return self.step_2(x_1).logpdf(x_2) + self.q_1.logpdf(x_1) - self.q_2.logpdf(x_2)

    def log_p_1(self, x_1, x_2):
        return norm.logpdf(x_1, self.to_1 * x_2, math.sqrt(self.var_1))

    def log_p_0(self, x_1):
        return norm.logpdf(self.x_0, self.to_0 * x_1, math.sqrt(self.var_0))

    def term_2(self):
        """L_2 as the chapter writes it: for each x_2 a KL, then the mean over q(x_2 | x_0)."""
        kept_1, kept_2 = self.alpha[0], self.alpha[0] * self.alpha[1]
        values = {alpha: self.alpha[1], before: kept_1, x_0: self.x_0}
        var = float(bayes_var().subs(values))
        mean = sp.lambdify(x_t, bayes_mean().subs(values))

        def given(z):
            x_2 = math.sqrt(kept_2) * self.x_0 + math.sqrt(1 - kept_2) * z
            ratio = var / self.var_1
            return (ratio - 1 - math.log(ratio) + (mean(x_2) - self.to_1 * x_2) ** 2 / self.var_1) / 2

        return mean_over(given)

    def term_1(self):
        return mean_over(lambda z: -self.log_p_0(self.q_1.mean() + self.q_1.std() * z))


@checks("eps-bound")
def _():
    r"""-\log p_\theta(x_0) \;\le\; \mathcal L_{\text{prior}} + \sum_{t=1}^{T} \mathcal L_t ."""
    chain = TwoSteps()
    bound = chain.prior() + chain.term_1() + chain.term_2()

    def log_ratio(x_1, x_2):
        q = chain.q_1.logpdf(x_1) + chain.step_2(x_1).logpdf(x_2)
        return q - (norm.logpdf(x_2) + chain.log_p_1(x_1, x_2) + chain.log_p_0(x_1))

    # Jensen's bound, E_q log q/p, is the sum of the terms.
    agree(bound, chain.mean(log_ratio), INTEGRAL)
    var = chain.to_0**2 * (chain.to_1**2 + chain.var_1) + chain.var_0
    assert -norm.logpdf(chain.x_0, 0, math.sqrt(var)) < bound


@checks("eps-prior")
def _():
    r"""\mathcal L_{\text{prior}} = D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,\mathcal N(0, I)\big)."""
    values = [kl(math.sqrt(kept) * 0.7, 1 - kept, 0, 1)[0] for kept in (0.5, 0.1, 0.001)]
    assert values[0] > values[1] > values[2] > 0  # how far from pure noise: nothing is left where ᾱ_T is 0
    assert values[2] < 0.001


@checks("eps-kl-term")
def _():
    r"""\mathcal L_t = \mathbb E_{q(x_t\mid x_0)}\, D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big), \qquad t = 2,\dots,T,"""
    chain = TwoSteps()
    joint = chain.mean(lambda x_1, x_2: chain.log_posterior(x_1, x_2) - chain.log_p_1(x_1, x_2))
    agree(chain.term_2(), joint, INTEGRAL)


@checks("eps-first-term")
def _():
    r"""\mathcal L_1 = \mathbb E_{q(x_1\mid x_0)}\big[-\log p_\theta(x_0\mid x_1)\big]."""
    chain = TwoSteps()
    agree(chain.term_1(), chain.mean(lambda x_1, x_2: -chain.log_p_0(x_1) + 0 * x_2), INTEGRAL)


# --- matched variances, and x_0 -----------------------------------------------------------------------------


@checks("eps-model")
def _():
    r"""p_\theta(x_{t-1}\mid x_t) = \mathcal N\big(x_{t-1};\ \mu_\theta(x_t, t),\ \tilde\beta_t I\big)."""
    # With the right mean, β̃_t is the variance that leaves nothing of the term; another leaves something.
    agree(kl(0.3, 0.2, 0.3, 0.2)[0], 0, INTEGRAL)
    assert min(kl(0.3, 0.2, 0.3, var)[0] for var in (0.1, 0.19, 0.21, 0.4)) > 1e-4


@checks("eps-kl")
def _():
    r"""D_{\mathrm{KL}}\big(\mathcal N(a, r^2I)\,\big\|\,\mathcal N(b, s^2I)\big) =
    \frac{D}{2}\Big(\frac{r^2}{s^2} - 1 - \log\frac{r^2}{s^2}\Big) + \frac{\lVert a-b\rVert^2}{2s^2}."""
    a, b, r, s = (0.3, -1.0, 2.0), (0.5, 1.5, 2.0), 0.6, 0.9
    ratio = r**2 / s**2
    formula = len(a) / 2 * (ratio - 1 - math.log(ratio)) + math.dist(a, b) ** 2 / (2 * s**2)
    integrals = [kl(one, r**2, other, s**2) for one, other in zip(a, b, strict=True)]
    agree(formula, sum(value for value, _ in integrals), sum(error for _, error in integrals) + 1e-12)


@checks("eps-kl-matched")
def _():
    r"""D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t, x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big) =
    \frac{1}{2\tilde\beta_t}\,\big\lVert \mu_q(x_t, x_0) - \mu_\theta(x_t, t)\big\rVert^2 ."""
    for m, n, v in ((0.3, -1.0, 0.4), (2.0, 2.5, 0.01), (-1.0, 1.0, 3.0)):
        value, error = kl(m, v, n, v)
        agree(value, (m - n) ** 2 / (2 * v), error + 1e-12 * (1 + value))


@checks("eps-mean-x0")
def _():
    r"""\mu_\theta(x_t, t) = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,\hat x_0(x_t, t)."""
    weight = sp.sqrt(before) * (1 - alpha) / (1 - now)
    mean = sp.sqrt(alpha) * (1 - before) / (1 - now) * x_t + weight * x_0_hat
    identity(mean, bayes_mean(x_0_hat))
    assert all(weight.subs(point) > 0 for point in POINTS)  # so any mean can be written in this way


@checks("eps-mean-difference")
def _():
    r"""\mu_q(x_t, x_0) - \mu_\theta(x_t, t) =
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,\big(x_0 - \hat x_0(x_t, t)\big)."""
    identity(bayes_mean() - bayes_mean(x_0_hat), sp.sqrt(before) * (1 - alpha) / (1 - now) * (x_0 - x_0_hat))


X_0_WEIGHT = before * (1 - alpha) ** 2 / (1 - now) ** 2 / (2 * bayes_var())


@checks("eps-x0-objective")
def _():
    r"""D_{\mathrm{KL}}(q\,\Vert\,p_\theta) =
    \frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}(1-\alpha_t)^2}{(1-\bar\alpha_t)^2}\,\big\lVert
    x_0 - \hat x_0(x_t, t)\big\rVert^2 ."""
    identity(bayes_kl(x_0, x_0_hat), X_0_WEIGHT * (x_0 - x_0_hat) ** 2)


@checks("eps-weight-insert")
def _():
    r"""\frac{1}{2\tilde\beta_t}\,\frac{\bar\alpha_{t-1}(1-\alpha_t)^2}{(1-\bar\alpha_t)^2} =
    \frac12\,\frac{\bar\alpha_{t-1}\,(1-\alpha_t)}{(1-\bar\alpha_{t-1})(1-\bar\alpha_t)} ."""
    identity(X_0_WEIGHT, before * (1 - alpha) / ((1 - before) * (1 - now)) / 2)


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
    identity(X_0_WEIGHT, (snr(before) - snr(now)) / 2)


# --- the noise ----------------------------------------------------------------------------------------------


@checks("eps-x0-of-eps")
def _():
    r"""x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\;\varepsilon}{\sqrt{\bar\alpha_t}} ."""
    identity(((x_t - sp.sqrt(1 - now) * eps) / sp.sqrt(now)).subs(x_t, jump()), x_0)


@checks("eps-x0-hat")
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


@checks("eps-objective")
def _():
    r"""\mathcal L_t = \frac12\Big(\frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1\Big)\;\mathbb
    E_{\varepsilon}\,\big\lVert \varepsilon - \varepsilon_\theta(x_t, t)\big\rVert^2, \qquad t =
    2,\dots,T."""
    weight = (snr(before) / snr(now) - 1) / 2
    identity(bayes_kl(start_of(eps), start_of(eps_hat)), weight * (eps - eps_hat) ** 2)


@checks("eps-weight")
def _():
    r"""\frac12\Big(\frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1\Big) =
    \frac{(1-\alpha_t)^2}{2\,\tilde\beta_t\,\alpha_t\,(1-\bar\alpha_t)} ."""
    identity((snr(before) / snr(now) - 1) / 2, (1 - alpha) ** 2 / (2 * bayes_var() * alpha * (1 - now)))


@checks("eps-first-objective")
def _():
    r"""\mathcal L_1 = \frac{1}{2\bar\alpha_1}\;\mathbb E_{\varepsilon}\,\big\lVert \varepsilon -
    \varepsilon_\theta(x_1, 1)\big\rVert^2 + \frac D2 \log\big(2\pi(1-\bar\alpha_1)\big)."""
    # At t = 1 nothing is before: ᾱ_0 = 1 and ᾱ_1 = α_1. One coordinate, D = 1; others add the same terms.
    guess, start = start_of(eps_hat).subs(before, 1), start_of(eps).subs(before, 1)
    minus_log = (start - guess) ** 2 / (2 * (1 - alpha)) + sp.log(2 * sp.pi * (1 - alpha)) / 2
    identity(minus_log, (eps - eps_hat) ** 2 / (2 * alpha) + sp.log(2 * sp.pi * (1 - alpha)) / 2)
    agree(float(minus_log.subs(POINTS[0])), -(first_density()), 1e-12)


def first_density():
    """log N(x_0; x̂_0, 1 − ᾱ_1) at the first point, by SciPy."""
    values = {symbol: float(value) for symbol, value in POINTS[0].items()}
    kept = values[alpha]
    start, guess = ((values[x_t] - math.sqrt(1 - kept) * values[e]) / math.sqrt(kept) for e in (eps, eps_hat))
    return norm.logpdf(start, guess, math.sqrt(1 - kept))


COLLECTED = (alpha * (1 - before) + (1 - alpha)) / (sp.sqrt(alpha) * (1 - now))


@checks("eps-mean-collect")
def _():
    r"""\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} +
    \frac{\sqrt{\bar\alpha_{t-1}}(1-\alpha_t)}{(1-\bar\alpha_t)\sqrt{\bar\alpha_t}} =
    \frac{\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t)}{\sqrt{\alpha_t}\,(1-\bar\alpha_t)} ."""
    x_t_part = sp.sqrt(alpha) * (1 - before) / (1 - now)
    identity(x_t_part + sp.sqrt(before) * (1 - alpha) / ((1 - now) * sp.sqrt(now)), COLLECTED)
    identity(sp.diff(bayes_mean(start_of(eps_hat)), x_t), COLLECTED)


@checks("eps-mean-xt")
def _():
    r"""\frac{\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t)}{\sqrt{\alpha_t}\,(1-\bar\alpha_t)} =
    \frac{1}{\sqrt{\alpha_t}} ."""
    identity(COLLECTED, 1 / sp.sqrt(alpha))


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
    mean = (x_t - (1 - alpha) / sp.sqrt(1 - now) * eps_hat) / sp.sqrt(alpha)
    identity(mean, bayes_mean(start_of(eps_hat)))


# --- training and sampling ----------------------------------------------------------------------------------


@checks("eps-one-t")
def _():
    r"""\sum_{t=1}^{T} \mathcal L_t = T\;\mathbb E_{t\sim\mathcal U\{1,\dots,T\}}\big[\mathcal L_t\big]."""
    terms = sp.symbols("L_1:8")
    chance = sp.Rational(1, len(terms))
    assert sp.expand(sum(terms) - len(terms) * sum(chance * term for term in terms)) == 0


@checks("eps-simple")
def _():
    r"""L_{\text{simple}} = \mathbb E_{t\sim\mathcal U\{1,\dots,T\},\;x_0,\;\varepsilon}\,\big\lVert
    \varepsilon - \varepsilon_\theta\big(\sqrt{\bar\alpha_t}\,x_0 +
    \sqrt{1-\bar\alpha_t}\,\varepsilon,\ t\big)\big\rVert^2 ."""

    # For data −1 or 1 and any network, here sin(x_t + t): the mean over t of SNR(t) E(x_0 − x̂_0)².
    def errors(t, kept, z, start):
        at_t = math.sqrt(kept) * start + math.sqrt(1 - kept) * z
        guess = (at_t - math.sqrt(1 - kept) * math.sin(at_t + t)) / math.sqrt(kept)
        return (z - math.sin(at_t + t)) ** 2, snr(kept) * (start - guess) ** 2

    def average(which):
        levels = enumerate(np.cumprod(ALPHAS), start=1)
        return np.mean(
            [
                mean_over(lambda z, a=(t, kept), s=s: errors(*a, z, s)[which])
                for t, kept in levels
                for s in (-1, 1)
            ]
        )

    agree(average(0), average(1), 1e-12)


@checks("eps-sample")
def _():
    r"""x_{t-1} = \mu_\theta(x_t, t) + \sqrt{\tilde\beta_t}\;z_t, \qquad z_t \sim \mathcal N(0, I), \qquad
    t = T, T-1, \dots, 1."""
    # For data that is one point the noise is known: a step must lead from q(x_t | x_0) to q(x_{t−1} | x_0).
    noise = (x_t - sp.sqrt(now) * x_0) / sp.sqrt(1 - now)
    mean = (x_t - (1 - alpha) / sp.sqrt(1 - now) * noise) / sp.sqrt(alpha)
    identity(mean.subs(x_t, sp.sqrt(now) * x_0), sp.sqrt(before) * x_0)
    identity(sp.diff(mean, x_t) ** 2 * (1 - now) + bayes_var(), 1 - before)
    assert ((1 - alpha) * (1 - before) / (1 - now)).subs(before, 1) == 0  # β̃_1: no noise at the last step


# --- v, and what no network can know ------------------------------------------------------------------------

V = sp.sqrt(now) * eps - sp.sqrt(1 - now) * x_0


@checks("eps-v")
def _():
    r"""v = \sqrt{\bar\alpha_t}\;\varepsilon - \sqrt{1-\bar\alpha_t}\;x_0 ."""
    # (x_t, v) is (x_0, ε) turned by an angle whose cosine is √ᾱ_t: lengths and orientation stay.
    turn = sp.Matrix([jump(), V]).jacobian([x_0, eps])
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


@checks("eps-irreducible")
def _():
    r"""\mathbb E\,\lVert x_0 - \hat x_0\rVert^2 = \mathbb E\,\lVert m(x_t) - \hat x_0\rVert^2 + \mathbb
    E\,\lVert x_0 - m(x_t)\rVert^2 ."""
    # Data −1 or 1, ᾱ_t = 0.3; The guess is any function, here sin(2 x_t).
    signal, width = math.sqrt(0.3), math.sqrt(0.7)

    def mean(f):
        """E f(x_0, x_t) by quadrature over x_t."""

        def integrand(x):
            return sum(f(s, x) * norm.pdf(x, s * signal, width) / 2 for s in (-1, 1))

        return quad(integrand, -12, 12, epsabs=1e-12, limit=200)[0]

    def m(x):
        weight = {s: norm.pdf(x, s * signal, width) for s in (-1, 1)}
        return (weight[1] - weight[-1]) / (weight[1] + weight[-1])

    whole = mean(lambda start, x: (start - math.sin(2 * x)) ** 2)
    parts = mean(lambda start, x: (m(x) - math.sin(2 * x)) ** 2), mean(lambda start, x: (start - m(x)) ** 2)
    agree(whole, sum(parts), INTEGRAL)
    assert min(parts) > 0.01
