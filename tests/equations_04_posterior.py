"""Chapter 4's equations, each restated from definitions: conditioned Gaussians, integrals, exact algebra.

The posterior's referee is linear regression: (x_{t−1}, x_t) given x_0 are jointly Gaussian with a covariance
that follows from the steps, and the conditional of a joint Gaussian needs no completed square. One coordinate
stands for all where every term is a sum over coordinates, or the same in each.
"""

import math

import numpy as np
import sympy as sp
import torch
from equations import checks
from evidence import agree, identity, shares
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from torch.distributions import Independent, Normal, kl_divergence

from diffusion_lib import schedules
from diffusion_lib.reverse import SecondFormChain

# α_t, ᾱ_{t−1} and with them ᾱ_t; one coordinate of x_0, x_{t−1} and x_t.
alpha, before = shares("alpha_t alphabar_before")
now = alpha * before
x_0, y, x_t = sp.symbols("x_0 x_before x_t", real=True)
POINTS = [
    dict(zip((alpha, before, x_0, y, x_t), map(sp.Rational, values), strict=True))
    for values in (
        ("1/2", "1/3", "3/7", "-2", "1"),
        ("9/10", "7/8", "-5/3", "1/9", "-3/2"),
        ("99/100", "1/50", "11/4", "3", "2/9"),
    )
]
INTEGRAL = 1e-9  # error of a few integrals, of each of which 1e-12 is asked
ROUNDING = 1e-10  # of densities and logarithms of order 1 to 100


# The referee: x_t = √α_t x_{t−1} + independent noise, so cov(x_{t−1}, x_t | x_0) = √α_t var(x_{t−1} | x_0).
var_before = 1 - before
var_now = alpha * var_before + (1 - alpha)
slope = sp.sqrt(alpha) * var_before / var_now
true_mean = sp.sqrt(before) * x_0 + slope * (x_t - sp.sqrt(alpha) * sp.sqrt(before) * x_0)
true_var = var_before - slope * sp.sqrt(alpha) * var_before

step_square = (x_t - sp.sqrt(alpha) * y) ** 2 / (1 - alpha)
jump_square = (y - sp.sqrt(before) * x_0) ** 2 / (1 - before)
end_square = (x_t - sp.sqrt(now) * x_0) ** 2 / (1 - now)
E = step_square + jump_square - end_square
C = sp.sqrt((1 - now) / ((1 - alpha) * (1 - before))) / sp.sqrt(2 * sp.pi)
a, minus_2b, c = (sp.expand(E).coeff(y, power) for power in (2, 1, 0))
b = -minus_2b / 2
beta_tilde = (1 - alpha) * (1 - before) / (1 - now)
mu_q = (sp.sqrt(alpha) * (1 - before) * x_t + sp.sqrt(before) * (1 - alpha) * x_0) / (1 - now)


def gauss(x, mean, var):
    """The density of N(mean, var) as an expression."""
    return sp.exp(-((x - mean) ** 2) / (2 * var)) / sp.sqrt(2 * sp.pi * var)


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
DENSE = np.linspace(-12, 12, 40_001)  # for integrals of smooth densities by the trapezoidal rule


def integral(values, points=DENSE):
    return np.trapezoid(values, points)


def kl(m, v, n, w):
    """KL(N(m, v) ‖ N(n, w)) of two distributions of numbers, by quadrature."""
    q, p = norm(m, math.sqrt(v)), norm(n, math.sqrt(w))
    reach = 30 * math.sqrt(v)
    return quad(
        lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), m - reach, m + reach, points=[m], epsabs=1e-12
    )[0]


def kl_formula(m, v, n, w):
    """The same in closed form, which `post-kl-one` proves, for arrays."""
    return (v / w - 1 - np.log(v / w) + (m - n) ** 2 / w) / 2


class Steps:
    """A forward chain of three steps in one dimension, and model steps N(a_t x_t, s_t) of any kind."""

    alpha = np.array([1, 0.9, 0.5, 0.3])
    alpha_bar = alpha.cumprod()
    T, x_0 = 3, 0.7
    to, var = np.array([np.nan, 1.1, 0.6, 0.4]), np.array([np.nan, 0.2, 0.4, 0.9])

    def mean_over(self, f, x_0=None):
        """E f(x_1, x_2, x_3) over q given x_0, in forward order; exact for polynomials."""
        x = self.x_0 if x_0 is None else x_0
        x_1 = self.step_mean(1, x) + math.sqrt(1 - self.alpha[1]) * NODES[:, None, None]
        x_2 = self.step_mean(2, x_1) + math.sqrt(1 - self.alpha[2]) * NODES[:, None]
        x_3 = self.step_mean(3, x_2) + math.sqrt(1 - self.alpha[3]) * NODES
        values = np.broadcast_to(f(x_1, x_2, x_3), (40, 40, 40))
        return np.einsum("ijk,i,j,k", values, WEIGHTS, WEIGHTS, WEIGHTS)

    def step_mean(self, t, before):
        return math.sqrt(self.alpha[t]) * before

    def log_step(self, t, now, before):
        """log q(x_t | x_{t−1})."""
        return norm.logpdf(now, self.step_mean(t, before), math.sqrt(1 - self.alpha[t]))

    def log_jump(self, t, now):
        """log q(x_t | x_0)."""
        kept = self.alpha_bar[t]
        return norm.logpdf(now, math.sqrt(kept) * self.x_0, math.sqrt(1 - kept))

    def posterior(self, t, now, x_0=None):
        """Mean and variance of q(x_{t−1} | x_t, x_0), by regression."""
        x = self.x_0 if x_0 is None else x_0
        kept, var = self.alpha_bar[t - 1], 1 - self.alpha_bar[t - 1]
        slope = math.sqrt(self.alpha[t]) * var / (self.alpha[t] * var + 1 - self.alpha[t])
        mean = math.sqrt(kept) * x + slope * (now - math.sqrt(self.alpha[t] * kept) * x)
        return mean, var - slope * math.sqrt(self.alpha[t]) * var

    def log_posterior(self, t, before, now):
        mean, var = self.posterior(t, now)
        return norm.logpdf(before, mean, math.sqrt(var))

    def log_p(self, t, before, now):
        """log p(x_{t−1} | x_t)."""
        return norm.logpdf(before, self.to[t] * now, math.sqrt(self.var[t]))

    def q_joint(self):
        """Mean and covariance of (x_1, x_2, x_3) given x_0, from the linear map that makes them of noise."""
        make = np.zeros((4, 3))
        mean = np.full(4, self.x_0)
        for t in (1, 2, 3):
            make[t] = math.sqrt(self.alpha[t]) * make[t - 1]
            make[t, t - 1] = math.sqrt(1 - self.alpha[t])
            mean[t] = math.sqrt(self.alpha[t]) * mean[t - 1]
        return multivariate_normal(mean[1:], make[1:] @ make[1:].T)

    def p_cov(self):
        """Covariance of (x_0, x_1, x_2, x_3) under the model, whose mean is 0."""
        make = np.zeros((4, 4))
        make[3, 3] = 1
        for t in (3, 2, 1):
            make[t - 1] = self.to[t] * make[t]
            make[t - 1, t - 1] = math.sqrt(self.var[t])
        return make @ make.T

    def log_ratio(self, x_1, x_2, x_3):
        """log q(x_{1:T} | x_0) − log p(x_{0:T}), from the steps."""
        log_q = self.log_step(1, x_1, self.x_0) + self.log_step(2, x_2, x_1) + self.log_step(3, x_3, x_2)
        log_p = self.log_p(1, self.x_0, x_1) + self.log_p(2, x_1, x_2) + self.log_p(3, x_2, x_3)
        return log_q - log_p - norm.logpdf(x_3)

    def log_evidence(self):
        """log p(x_0)."""
        return norm.logpdf(self.x_0, 0, math.sqrt(self.p_cov()[0, 0]))

    def terms(self):
        """L_prior, L_1, L_2, L_3 as the chapter writes them: a KL for each x_t, then the mean over a jump."""
        kept = self.alpha_bar[3]
        found = [kl(math.sqrt(kept) * self.x_0, 1 - kept, 0, 1)]
        for t in (1, 2, 3):
            kept = self.alpha_bar[t]
            now = math.sqrt(kept) * self.x_0 + math.sqrt(1 - kept) * NODES
            model = self.to[t] * now, self.var[t]
            inner = kl_formula(*self.posterior(t, now), *model) if t > 1 else -self.log_p(1, self.x_0, now)
            found.append(WEIGHTS @ inner)
        return found


SOME = [(0.3, -0.2, 1.1), (-1.5, 0.4, 0.2), (2.0, 1.0, -0.7)]  # values of (x_1, x_2, x_3)


class Cloud:
    """Data of two points, −1 and 1.5, with probabilities 0.3 and 0.7; one step from time 1 to time 2."""

    x_0, share = np.array([-1, 1.5]), np.array([0.3, 0.7])
    alpha, before = 0.6, 0.7
    now = alpha * before

    def jump(self, x, kept):
        """q(x | x_0) for each x_0 (first axis), where `kept` is the share of variance left."""
        return norm.pdf(x, math.sqrt(kept) * self.x_0[:, None], math.sqrt(1 - kept))

    def step(self, now, before):
        return norm.pdf(now, math.sqrt(self.alpha) * before, math.sqrt(1 - self.alpha))

    def back(self, before, now):
        """q(x_1 | x_2) by Bayes' rule, normalised by an integral."""
        joint = self.step(now, before) * (self.share @ self.jump(before, self.before))
        return joint / integral(self.step(now, DENSE) * (self.share @ self.jump(DENSE, self.before)))

    def given(self, now):
        """q(x_0 | x_2), and mean and variance of q(x_1 | x_2, x_0) for each x_0, by integrals."""
        joint = self.step(now, DENSE) * self.jump(DENSE, self.before)  # (2, grid)
        total = integral(joint)
        mean = integral(joint * DENSE) / total
        var = integral(joint * (DENSE - mean[:, None]) ** 2) / total
        return self.share * total / (self.share @ total), mean, var

    def moments(self, now):
        """Mean and variance of x_1 given x_2, by integrals over q(x_1 | x_2)."""
        density = self.back(DENSE, now)
        mean = integral(density * DENSE)
        return mean, integral(density * (DENSE - mean) ** 2)


CLOUD_POINTS = (-1.2, 0.1, 0.4, 2.0)  # values of x_2

# --- going back needs the data ------------------------------------------------------------------------------


@checks("post-reverse-bayes")
def _():
    r"""q(x_{t-1}\mid x_t) = \frac{q(x_t\mid x_{t-1})\;q(x_{t-1})}{q(x_t)} ."""
    cloud = Cloud()
    for now in CLOUD_POINTS:
        q_now = (cloud.share @ cloud.jump(np.array([now]), cloud.now))[0]
        formula = cloud.step(now, DENSE) * (cloud.share @ cloud.jump(DENSE, cloud.before)) / q_now
        share, mean, var = cloud.given(now)  # the same from the three-variable joint, x_0 kept
        truth = share @ norm.pdf(DENSE, mean[:, None], np.sqrt(var)[:, None])
        agree(formula, truth, INTEGRAL)
        agree(integral(formula), 1, INTEGRAL)


@checks("post-needs-data")
def _():
    r"""q(x_{t-1}) = \int q(x_{t-1}\mid x_0)\,q(x_0)\,dx_0 ."""
    cloud, first = Cloud(), 0.8  # two steps to time t − 1, one after the other
    second = cloud.before / first
    x_1 = cloud.share @ cloud.jump(DENSE, first)
    for point in CLOUD_POINTS:
        walked = integral(norm.pdf(point, math.sqrt(second) * DENSE, math.sqrt(1 - second)) * x_1)
        jumped = (cloud.share @ cloud.jump(np.array([point]), cloud.before))[0]
        agree(walked, jumped, INTEGRAL)


@checks("post-mixture")
def _():
    r"""q(x_{t-1}\mid x_t) = \int q(x_{t-1}\mid x_t, x_0)\;q(x_0\mid x_t)\,dx_0 ."""
    cloud = Cloud()
    for now in CLOUD_POINTS:
        likely = cloud.share * cloud.jump(np.array([now]), cloud.now)[:, 0]
        _, mean, var = cloud.given(now)
        mixture = likely / likely.sum() @ norm.pdf(DENSE, mean[:, None], np.sqrt(var)[:, None])
        agree(mixture, cloud.back(DENSE, now), INTEGRAL)


# --- Bayes, given x_0 ---------------------------------------------------------------------------------------


@checks("post-bayes")
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \frac{q(x_t\mid x_{t-1}, x_0)\;q(x_{t-1}\mid x_0)}{q(x_t\mid x_0)} ."""
    joint = np.random.default_rng(0).random((3, 4, 5))  # any joint table of (x_0, x_{t−1}, x_t)
    joint /= joint.sum()
    start = joint.sum((1, 2))[:, None, None]
    left = joint / joint.sum(1, keepdims=True)
    step = joint / joint.sum(2, keepdims=True)
    right = step * (joint.sum(2, keepdims=True) / start) / (joint.sum(1, keepdims=True) / start)
    agree(left, right, ROUNDING)


@checks("post-markov")
def _():
    r"""q(x_t\mid x_{t-1}, x_0) = q(x_t\mid x_{t-1}) ."""
    # The covariance of (x_0, x_{t−1}, x_t) for data of variance 3; regress x_t on the other two.
    kept, keep, noise = 0.4, 0.6, np.diag([3, 1 - 0.4, 1 - 0.6])
    root, step = math.sqrt(kept), math.sqrt(keep)
    make = np.array([[1, 0, 0], [root, 1, 0], [step * root, step, 1]])
    cov = make @ noise @ make.T
    weights = np.linalg.solve(cov[:2, :2], cov[:2, 2])
    agree(weights, [0, step], ROUNDING)
    agree(cov[2, 2] - weights @ cov[:2, 2], 1 - keep, ROUNDING)


def three_densities():
    """N(x_t; …) N(x_{t−1}; …) / N(x_t; …), as expressions."""
    step = gauss(x_t, sp.sqrt(alpha) * y, 1 - alpha)
    return step * gauss(y, sp.sqrt(before) * x_0, 1 - before) / gauss(x_t, sp.sqrt(now) * x_0, 1 - now)


@checks("post-three")
def _():
    r"""\begin{aligned} q(x_{t-1}\mid x_t, x_0) ={} & \mathcal N\big(x_t;\ \sqrt{\alpha_t}\,x_{t-1},\
    (1-\alpha_t)I\big) \\ & \times \frac{\mathcal N\big(x_{t-1};\ \sqrt{\bar\alpha_{t-1}}\,x_0,\
    (1-\bar\alpha_{t-1})I\big)}{\mathcal N\big(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\
    (1-\bar\alpha_t)I\big)} . \end{aligned}"""
    identity(three_densities(), gauss(y, true_mean, true_var))


@checks("post-exponents")
def _():
    r"""\begin{aligned} q(x_{t-1}\mid x_t, x_0) & = C\,e^{-E/2}, \\ E & =
    \frac{(x_t-\sqrt{\alpha_t}\,x_{t-1})^2}{1-\alpha_t} +
    \frac{(x_{t-1}-\sqrt{\bar\alpha_{t-1}}\,x_0)^2}{1-\bar\alpha_{t-1}} -
    \frac{(x_t-\sqrt{\bar\alpha_t}\,x_0)^2}{1-\bar\alpha_t} . \end{aligned}"""
    written = (
        (x_t - sp.sqrt(alpha) * y) ** 2 / (1 - alpha)
        + (y - sp.sqrt(before) * x_0) ** 2 / (1 - before)
        - (x_t - sp.sqrt(now) * x_0) ** 2 / (1 - now)
    )
    identity(C * sp.exp(-written / 2), gauss(y, true_mean, true_var))


@checks("post-constant")
def _():
    r"""C = \frac{1}{\sqrt{2\pi}}\,\sqrt{\frac{1-\bar\alpha_t}{(1-\alpha_t)(1-\bar\alpha_{t-1})}} ."""
    written = sp.sqrt((1 - now) / ((1 - alpha) * (1 - before))) / sp.sqrt(2 * sp.pi)
    identity(written, three_densities() * sp.exp(E / 2))


@checks("post-expand-step")
def _():
    r"""\frac{(x_t-\sqrt{\alpha_t}\,x_{t-1})^2}{1-\alpha_t} = \frac{\alpha_t}{1-\alpha_t}\,x_{t-1}^2 -
    \frac{2\sqrt{\alpha_t}\,x_t}{1-\alpha_t}\,x_{t-1} + \frac{x_t^2}{1-\alpha_t},"""
    linear = 2 * sp.sqrt(alpha) * x_t / (1 - alpha)
    identity(step_square, alpha / (1 - alpha) * y**2 - linear * y + x_t**2 / (1 - alpha))


@checks("post-expand-jump")
def _():
    r"""\frac{(x_{t-1}-\sqrt{\bar\alpha_{t-1}}\,x_0)^2}{1-\bar\alpha_{t-1}} =
    \frac{1}{1-\bar\alpha_{t-1}}\,x_{t-1}^2 -
    \frac{2\sqrt{\bar\alpha_{t-1}}\,x_0}{1-\bar\alpha_{t-1}}\,x_{t-1} +
    \frac{\bar\alpha_{t-1}\,x_0^2}{1-\bar\alpha_{t-1}} ."""
    linear = 2 * sp.sqrt(before) * x_0 / (1 - before)
    identity(jump_square, y**2 / (1 - before) - linear * y + before * x_0**2 / (1 - before))


@checks("post-collect")
def _():
    r"""E = a\,x_{t-1}^2 - 2\,b\,x_{t-1} + c ."""
    # With a, b and c as the next three lines of the chapter have them.
    square = alpha / (1 - alpha) + 1 / (1 - before)
    linear = sp.sqrt(alpha) * x_t / (1 - alpha) + sp.sqrt(before) * x_0 / (1 - before)
    rest = x_t**2 / (1 - alpha) + before * x_0**2 / (1 - before) - end_square
    identity(square * y**2 - 2 * linear * y + rest, E)


@checks("post-a")
def _():
    r"""a = \frac{\alpha_t}{1-\alpha_t} + \frac{1}{1-\bar\alpha_{t-1}} ."""
    identity(a, alpha / (1 - alpha) + 1 / (1 - before))


@checks("post-b")
def _():
    r"""b = \frac{\sqrt{\alpha_t}}{1-\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}}{1-\bar\alpha_{t-1}}\,x_0 ."""
    identity(b, sp.sqrt(alpha) / (1 - alpha) * x_t + sp.sqrt(before) / (1 - before) * x_0)


@checks("post-c")
def _():
    r"""c = \frac{x_t^2}{1-\alpha_t} + \frac{\bar\alpha_{t-1}\,x_0^2}{1-\bar\alpha_{t-1}} -
    \frac{(x_t-\sqrt{\bar\alpha_t}\,x_0)^2}{1-\bar\alpha_t} ."""
    rest = (x_t - sp.sqrt(now) * x_0) ** 2 / (1 - now)
    identity(c, x_t**2 / (1 - alpha) + before * x_0**2 / (1 - before) - rest)


@checks("post-a-common")
def _():
    r"""a = \frac{\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t)}{(1-\alpha_t)(1-\bar\alpha_{t-1})} ."""
    identity(a, (alpha * (1 - before) + (1 - alpha)) / ((1 - alpha) * (1 - before)))


@checks("post-numerator")
def _():
    r"""\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t) = 1-\bar\alpha_t ."""
    identity(alpha * (1 - before) + (1 - alpha), 1 - now)


@checks("post-a-simple")
def _():
    r"""a = \frac{1-\bar\alpha_t}{(1-\alpha_t)(1-\bar\alpha_{t-1})} ."""
    identity(a, (1 - now) / ((1 - alpha) * (1 - before)))


@checks("post-var")
def _():
    r"""\tilde\beta_t = \frac1a = \frac{(1-\alpha_t)(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} ."""
    identity(1 / a, true_var)
    identity((1 - alpha) * (1 - before) / (1 - now), true_var)


@checks("post-square")
def _():
    r"""a\,y^2 - 2\,b\,y = a\Big(y - \frac ba\Big)^2 - \frac{b^2}{a} ."""
    p, q, z = sp.symbols("p q z")
    assert sp.expand(p * (z - q / p) ** 2 - q**2 / p - (p * z**2 - 2 * q * z)) == 0


@checks("post-mean-ratio")
def _():
    r"""\mu_q(x_t, x_0) = \frac ba = \tilde\beta_t\,\Big(\frac{\sqrt{\alpha_t}}{1-\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}}{1-\bar\alpha_{t-1}}\,x_0\Big) ."""
    both = sp.sqrt(alpha) / (1 - alpha) * x_t + sp.sqrt(before) / (1 - before) * x_0
    identity(b / a, true_mean)
    identity(true_var * both, true_mean)


@checks("post-mean")
def _():
    r"""\mu_q(x_t, x_0) = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,x_0 ."""
    identity(sp.sqrt(alpha) * (1 - before) / (1 - now) * x_t + sp.sqrt(before) * (1 - alpha) / (1 - now) * x_0, true_mean)


@checks("post-square-in")
def _():
    r"""E = \frac{(x_{t-1}-\mu_q)^2}{\tilde\beta_t} + c - \frac{b^2}{a} ."""
    identity((y - true_mean) ** 2 / true_var + c - b**2 / a, E)


leftover = sp.expand(c - b**2 / a)


@checks("post-left-xt")
def _():
    r"""\frac{1}{1-\alpha_t} - \tilde\beta_t\,\frac{\alpha_t}{(1-\alpha_t)^2} -
    \frac{1}{1-\bar\alpha_t} = 0 ."""
    written = 1 / (1 - alpha) - true_var * alpha / (1 - alpha) ** 2 - 1 / (1 - now)
    identity(written, 0)
    identity(sp.diff(leftover, x_t, 2) / 2, written)
    identity(sp.diff(c, x_t, 2) / 2, 1 / (1 - alpha) - 1 / (1 - now))  # what is c's, and what is b²/a's


@checks("post-left-x0")
def _():
    r"""\frac{\bar\alpha_{t-1}}{1-\bar\alpha_{t-1}} -
    \tilde\beta_t\,\frac{\bar\alpha_{t-1}}{(1-\bar\alpha_{t-1})^2} -
    \frac{\bar\alpha_t}{1-\bar\alpha_t} = 0 ."""
    written = before / (1 - before) - true_var * before / (1 - before) ** 2 - now / (1 - now)
    identity(written, 0)
    identity(sp.diff(leftover, x_0, 2) / 2, written)
    identity(sp.diff(c, x_0, 2) / 2, before / (1 - before) - now / (1 - now))


@checks("post-left-cross")
def _():
    r"""-\tilde\beta_t\,\frac{\sqrt{\alpha_t}\,\sqrt{\bar\alpha_{t-1}}}{(1-\alpha_t)(1-\bar\alpha_{t-1})} +
    \frac{\sqrt{\bar\alpha_t}}{1-\bar\alpha_t} = 0 ."""
    written = -true_var * sp.sqrt(alpha) * sp.sqrt(before) / ((1 - alpha) * (1 - before))
    written += sp.sqrt(now) / (1 - now)
    identity(written, 0)
    identity(sp.diff(leftover, x_0, x_t) / 2, written)
    identity(sp.diff(c, x_0, x_t) / 2, sp.sqrt(now) / (1 - now))


@checks("post-leftover")
def _():
    r"""c - \frac{b^2}{a} = 0 ."""
    identity(c - b**2 / a, 0)


@checks("post-density")
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \frac{1}{\sqrt{2\pi\tilde\beta_t}}
    \,\exp\Big(-\frac{(x_{t-1}-\mu_q)^2}{2\tilde\beta_t}\Big) ."""
    written = sp.exp(-((y - mu_q) ** 2) / (2 * beta_tilde)) / sp.sqrt(2 * sp.pi * beta_tilde)
    identity(written, three_densities())


@checks("post-posterior")
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \mathcal N\big(x_{t-1};\ \mu_q(x_t, x_0),\ \tilde\beta_t I\big) ."""
    # Two coordinates: condition the joint Gaussian of (x_{t−1}, x_t) given x_0, a 4 × 4 covariance.
    keep, kept, start, end = 0.6, 0.7, np.array([0.3, -1.0]), np.array([1.2, 0.4])
    shared = math.sqrt(keep) * (1 - kept)
    block = np.array([[1 - kept, shared], [shared, 1 - keep * kept]])
    cov = np.kron(block, np.eye(2))
    gain = cov[:2, 2:] @ np.linalg.inv(cov[2:, 2:])
    mean = math.sqrt(kept) * start + gain @ (end - math.sqrt(keep * kept) * start)
    values = {alpha: keep, before: kept}
    written = [float(mu_q.subs({**values, x_0: s, x_t: e})) for s, e in zip(start, end, strict=True)]
    agree(mean, written, ROUNDING)
    left = cov[:2, :2] - gain @ cov[2:, :2]
    agree(left, float(beta_tilde.subs(values)) * np.eye(2), ROUNDING)


# --- precisions, and the first step -------------------------------------------------------------------------


@checks("post-likelihood")
def _():
    r"""\mathcal N\big(x_t;\ \sqrt{\alpha_t}\,x_{t-1},\ 1-\alpha_t\big) = \frac{1}{\sqrt{\alpha_t}}\;\mathcal
    N\Big(x_{t-1};\ \frac{x_t}{\sqrt{\alpha_t}},\ \frac{1-\alpha_t}{\alpha_t}\Big) ."""
    turned = gauss(y, x_t / sp.sqrt(alpha), (1 - alpha) / alpha) / sp.sqrt(alpha)
    identity(gauss(x_t, sp.sqrt(alpha) * y, 1 - alpha), turned)


MU_1, C_1 = sp.sqrt(before), 1 - before
MU_2, C_2 = 1 / sp.sqrt(alpha), (1 - alpha) / alpha


@checks("post-code-names")
def _():
    r"""\mu_1 = \sqrt{\bar\alpha_{t-1}}, \quad c_1 = 1-\bar\alpha_{t-1}, \qquad \mu_2 =
    \frac{1}{\sqrt{\alpha_t}}, \quad c_2 = \frac{1-\alpha_t}{\alpha_t},"""
    # The reference code has ᾱ_t and α_t only: mu1 = √(ᾱ_t/α_t), cov1 = 1 − ᾱ_t/α_t, cov2 = β_t/α_t.
    code = (sp.sqrt(now / alpha), 1 - now / alpha, 1 / sp.sqrt(alpha), (1 - alpha) / alpha)
    assert all(same(*pair) for pair in zip((MU_1, C_1, MU_2, C_2), code, strict=True))


@checks("post-weighted")
def _():
    r"""\begin{aligned} \lambda & = \frac{1}{c_1} + \frac{1}{c_2}, \\ \mu_q & =
    \frac{1}{\lambda}\Big(\frac{\mu_1\,x_0}{c_1} + \frac{\mu_2\,x_t}{c_2}\Big), \qquad
    \tilde\beta_t = \frac1\lambda . \end{aligned}"""
    lam = 1 / C_1 + 1 / C_2
    identity((MU_1 * x_0 / C_1 + MU_2 * x_t / C_2) / lam, true_mean)
    identity(1 / lam, true_var)


@checks("post-first-step")
def _():
    r"""\tilde\beta_1 = 0, \qquad \mu_q(x_1, x_0) = x_0 ."""
    assert beta_tilde.subs(before, 1) == 0
    assert sp.simplify(mu_q.subs(before, 1) - x_0) == 0


# --- the second form ----------------------------------------------------------------------------------------


@checks("post-ratio")
def _():
    r"""-\log p_\theta(x_0) \;\le\; \mathbb E_{q(x_{1:T}\mid x_0)}\Big[\log\frac{q(x_{1:T}\mid
    x_0)}{p_\theta(x_{0:T})}\Big] ."""
    steps = Steps()
    average = steps.mean_over(steps.log_ratio)
    assert -steps.log_evidence() < average
    # The gap is KL(q(x_{1:T} | x_0) ‖ p(x_{1:T} | x_0)), here of two Gaussians with full covariances.
    q, p = steps.q_joint(), torch.from_numpy(steps.p_cov())
    gain = p[1:, 0] / p[0, 0]
    given = torch.distributions.MultivariateNormal(gain * steps.x_0, p[1:, 1:] - torch.outer(gain, p[0, 1:]))
    forward = torch.distributions.MultivariateNormal(torch.tensor(q.mean), torch.tensor(q.cov))
    gap = kl_divergence(forward, given).item()
    agree(average + steps.log_evidence(), gap, INTEGRAL)


@checks("post-ratio-steps")
def _():
    r"""\begin{aligned} \log\frac{q(x_{1:T}\mid x_0)}{p_\theta(x_{0:T})} ={} & {-\log p(x_T)} - \log
    p_\theta(x_0\mid x_1) + \log q(x_1\mid x_0) \\ & + \sum_{t=2}^{T} \log\frac{q(x_t\mid
    x_{t-1})}{p_\theta(x_{t-1}\mid x_t)} . \end{aligned}"""
    steps = Steps()
    q, p = steps.q_joint(), multivariate_normal(np.zeros(4), steps.p_cov())
    for x in SOME:
        x_1, x_2, x_3 = x
        written = -norm.logpdf(x_3) - steps.log_p(1, steps.x_0, x_1) + steps.log_step(1, x_1, steps.x_0)
        written += steps.log_step(2, x_2, x_1) - steps.log_p(2, x_1, x_2)
        written += steps.log_step(3, x_3, x_2) - steps.log_p(3, x_2, x_3)
        agree(q.logpdf(x) - p.logpdf([steps.x_0, *x]), written, ROUNDING)


@checks("post-replace")
def _():
    r"""q(x_t\mid x_{t-1}) = q(x_{t-1}\mid x_t, x_0)\;\frac{q(x_t\mid x_0)}{q(x_{t-1}\mid x_0)}, \qquad
    t \ge 2 ."""
    steps = Steps()
    for x in SOME:
        for t in (2, 3):
            earlier, later = x[t - 2], x[t - 1]
            written = steps.log_posterior(t, earlier, later) + steps.log_jump(t, later)
            written -= steps.log_jump(t - 1, earlier)
            agree(steps.log_step(t, later, earlier), written, ROUNDING)


@checks("post-telescope")
def _():
    r"""\begin{aligned} \prod_{t=2}^{T}\frac{q(x_t\mid x_0)}{q(x_{t-1}\mid x_0)} & = \frac{q(x_2\mid
    x_0)}{q(x_1\mid x_0)}\cdot\frac{q(x_3\mid x_0)}{q(x_2\mid x_0)}\cdots\frac{q(x_{T-1}\mid
    x_0)}{q(x_{T-2}\mid x_0)}\cdot\frac{q(x_T\mid x_0)}{q(x_{T-1}\mid x_0)} \\ & = \frac{q(x_T\mid
    x_0)}{q(x_1\mid x_0)} . \end{aligned}"""
    steps = Steps()
    for x in SOME:
        jump = [None, *(np.exp(steps.log_jump(t, x[t - 1])) for t in (1, 2, 3))]
        agree(math.prod(jump[t] / jump[t - 1] for t in (2, 3)) / (jump[3] / jump[1]), 1, ROUNDING)


@checks("post-chain-backwards")
def _():
    r"""\begin{aligned} q(x_{1:T}\mid x_0) & = q(x_1\mid x_0)\prod_{t=2}^{T} q(x_t\mid x_{t-1}) \\ & =
    q(x_T\mid x_0)\prod_{t=2}^{T} q(x_{t-1}\mid x_t, x_0) . \end{aligned}"""
    steps = Steps()
    for x in SOME:
        x_1, x_2, x_3 = x
        forwards = steps.log_jump(1, x_1) + steps.log_step(2, x_2, x_1) + steps.log_step(3, x_3, x_2)
        backwards = steps.log_jump(3, x_3)
        backwards += steps.log_posterior(2, x_1, x_2) + steps.log_posterior(3, x_2, x_3)
        agree(steps.q_joint().logpdf(x), forwards, ROUNDING)
        agree(steps.q_joint().logpdf(x), backwards, ROUNDING)


@checks("post-regrouped")
def _():
    r"""\begin{aligned} \log\frac{q(x_{1:T}\mid x_0)}{p_\theta(x_{0:T})} ={} & \log\frac{q(x_T\mid
    x_0)}{p(x_T)} + \sum_{t=2}^{T}\log\frac{q(x_{t-1}\mid x_t, x_0)}{p_\theta(x_{t-1}\mid x_t)} \\
    & - \log p_\theta(x_0\mid x_1) . \end{aligned}"""
    steps = Steps()
    q, p = steps.q_joint(), multivariate_normal(np.zeros(4), steps.p_cov())
    for x in SOME:
        x_1, x_2, x_3 = x
        written = steps.log_jump(3, x_3) - norm.logpdf(x_3) - steps.log_p(1, steps.x_0, x_1)
        written += steps.log_posterior(2, x_1, x_2) - steps.log_p(2, x_1, x_2)
        written += steps.log_posterior(3, x_2, x_3) - steps.log_p(3, x_2, x_3)
        agree(q.logpdf(x) - p.logpdf([steps.x_0, *x]), written, ROUNDING)


def nested(steps, t, f):
    """E over q(x_t | x_0), inside it over q(x_{t−1} | x_t, x_0), of f(x_{t−1}, x_t)."""
    kept = steps.alpha_bar[t]
    later = math.sqrt(kept) * steps.x_0 + math.sqrt(1 - kept) * NODES
    mean, var = steps.posterior(t, later)
    earlier = mean + math.sqrt(var) * NODES[:, None]
    return WEIGHTS @ f(earlier, later) @ WEIGHTS


@checks("post-tower")
def _():
    r"""\begin{aligned} & \mathbb E_{q(x_{t-1}, x_t\mid x_0)}\Big[\log\frac{q(x_{t-1}\mid x_t,
    x_0)}{p_\theta(x_{t-1}\mid x_t)}\Big] \\ & \quad = \mathbb E_{q(x_t\mid x_0)}\,\mathbb
    E_{q(x_{t-1}\mid x_t, x_0)}\Big[\log\frac{q(x_{t-1}\mid x_t, x_0)}{p_\theta(x_{t-1}\mid
    x_t)}\Big] . \end{aligned}"""
    steps = Steps()
    for t in (2, 3):

        def ratio(earlier, later, t=t):
            return steps.log_posterior(t, earlier, later) - steps.log_p(t, earlier, later)

        walked = steps.mean_over(lambda *x, t=t, ratio=ratio: ratio(x[t - 2], x[t - 1]))
        agree(walked, nested(steps, t, ratio), INTEGRAL)


@checks("post-bound")
def _():
    r"""-\log p_\theta(x_0) \;\le\; \mathcal L_{\text{prior}} + \sum_{t=2}^{T}\mathcal L_t + \mathcal L_1 ."""
    steps = Steps()
    bound = sum(steps.terms())
    agree(bound, steps.mean_over(steps.log_ratio), INTEGRAL)
    assert -steps.log_evidence() < bound


@checks("post-prior")
def _():
    r"""\mathcal L_{\text{prior}} = D_{\mathrm{KL}}\big(q(x_T\mid x_0)\,\big\|\,p(x_T)\big) ."""
    steps = Steps()
    walked = steps.mean_over(lambda x_1, x_2, x_3: steps.log_jump(3, x_3) - norm.logpdf(x_3))
    agree(steps.terms()[0], walked, INTEGRAL)


@checks("post-kl-term")
def _():
    r"""\mathcal L_t = \mathbb E_{q(x_t\mid x_0)}\;D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big), \qquad t = 2, \dots, T,"""
    steps, terms = Steps(), Steps().terms()

    def ratio(t, earlier, later):
        return steps.log_posterior(t, earlier, later) - steps.log_p(t, earlier, later)

    agree(terms[2], steps.mean_over(lambda x_1, x_2, x_3: ratio(2, x_1, x_2)), INTEGRAL)
    agree(terms[3], steps.mean_over(lambda x_1, x_2, x_3: ratio(3, x_2, x_3)), INTEGRAL)


@checks("post-first-term")
def _():
    r"""\mathcal L_1 = -\,\mathbb E_{q(x_1\mid x_0)}\big[\log p_\theta(x_0\mid x_1)\big] ."""
    steps = Steps()
    rest = steps.mean_over(steps.log_ratio) - sum(np.delete(steps.terms(), 1))
    agree(steps.terms()[1], rest, INTEGRAL)


# --- the KL divergence of two Gaussians ---------------------------------------------------------------------

PAIRS = [(0.3, 0.36, 0.5, 0.81), (-1.0, 2.0, 1.0, 0.5), (0.0, 0.1, 0.0, 0.1)]  # m, v, n, w


@checks("post-kl-definition")
def _():
    r"""D_{\mathrm{KL}}(q\,\|\,p) = \mathbb E_{y\sim q}\big[\log q(y) - \log p(y)\big] ."""
    for m, v, n, w in PAIRS:
        q, p = (Normal(*map(torch.tensor, (mean, math.sqrt(var)))) for mean, var in ((m, v), (n, w)))
        x = m + math.sqrt(v) * NODES
        average = WEIGHTS @ (norm.logpdf(x, m, math.sqrt(v)) - norm.logpdf(x, n, math.sqrt(w)))
        agree(average, kl_divergence(q, p).item(), 1e-5)  # torch's numbers are float32


@checks("post-kl-logs")
def _():
    r"""\log q(y) - \log p(y) = \frac12\log\frac wv - \frac{(y-m)^2}{2v} + \frac{(y-n)^2}{2w} ."""
    for m, v, n, w in PAIRS:
        for point in (-2.0, 0.4):
            written = math.log(w / v) / 2 - (point - m) ** 2 / (2 * v) + (point - n) ** 2 / (2 * w)
            truth = norm.logpdf(point, m, math.sqrt(v)) - norm.logpdf(point, n, math.sqrt(w))
            agree(written, truth, ROUNDING)


@checks("post-kl-own")
def _():
    r"""\mathbb E_{y\sim q}\,(y-m)^2 = v ."""
    for m, v, _, _ in PAIRS:
        x = m + math.sqrt(v) * DENSE
        agree(integral(norm.pdf(x, m, math.sqrt(v)) * (x - m) ** 2, x), v, INTEGRAL)


@checks("post-kl-other")
def _():
    r"""\mathbb E_{y\sim q}\,(y-n)^2 = v + (m-n)^2 ."""
    for m, v, n, _ in PAIRS:
        agree(WEIGHTS @ (m + math.sqrt(v) * NODES - n) ** 2, v + (m - n) ** 2, ROUNDING)


@checks("post-kl-one")
def _():
    r"""D_{\mathrm{KL}}\big(\mathcal N(m, v)\,\big\|\,\mathcal N(n, w)\big) = \frac12\Big(\frac vw - 1 -
    \log\frac vw + \frac{(m-n)^2}{w}\Big) ."""
    for m, v, n, w in PAIRS:
        written = (v / w - 1 - math.log(v / w) + (m - n) ** 2 / w) / 2
        agree(written, kl(m, v, n, w), INTEGRAL)
        agree(written, kl_formula(m, v, n, w), ROUNDING)


@checks("post-kl")
def _():
    r"""\begin{aligned} & D_{\mathrm{KL}}\big(\mathcal N(m, \mathrm{diag}(v))\,\big\|\,\mathcal N(n,
    \mathrm{diag}(w))\big) \\ & \quad = \frac12\sum_{d=1}^{D}\Big(\frac{v_d}{w_d} - 1 -
    \log\frac{v_d}{w_d} + \frac{(m_d-n_d)^2}{w_d}\Big) . \end{aligned}"""
    m, v, n, w = torch.tensor(PAIRS, dtype=torch.float64).T
    written = (v / w - 1 - (v / w).log() + (m - n) ** 2 / w).sum() / 2
    q, p = (Independent(Normal(mean, var.sqrt()), 1) for mean, var in ((m, v), (n, w)))
    agree(written, kl_divergence(q, p), ROUNDING)


# --- the two forms compared ---------------------------------------------------------------------------------

D = 2


@checks("post-entropy")
def _():
    r"""\mathbb E_{y\sim\mathcal N(m, vI)}\big[\log\mathcal N(y;\ m, vI)\big] = -\frac D2\log(2\pi e\,v),"""
    for v in (0.2, 1.0, 3.0):
        q = multivariate_normal(np.array([0.4, -1.0]), v * np.eye(D))
        agree(-q.entropy(), -(D / 2 * math.log(2 * math.pi * math.e * v)), ROUNDING)


def mean_log_steps():
    """E log q(x_t | x_{t−1}) in D coordinates for t = 0…3, over the forward chain."""
    steps = Steps()
    found = [
        steps.mean_over(lambda x_1, x_2, x_3: steps.log_step(1, x_1, steps.x_0)),
        steps.mean_over(lambda x_1, x_2, x_3: steps.log_step(2, x_2, x_1)),
        steps.mean_over(lambda x_1, x_2, x_3: steps.log_step(3, x_3, x_2)),
    ]
    return [None, *(D * value for value in found)]


@checks("post-row-constant")
def _():
    r"""\mathbb E\big[\log q(x_t\mid x_{t-1}) - \log q(x_t\mid x_{t+1}, x_0)\big] = \frac
    D2\log\frac{\tilde\beta_{t+1}}{\beta_t}, \qquad t = 1, \dots, T-1 ."""
    steps, forwards = Steps(), mean_log_steps()
    back = [
        None,
        D * steps.mean_over(lambda x_1, x_2, x_3: steps.log_posterior(2, x_1, x_2)),
        D * steps.mean_over(lambda x_1, x_2, x_3: steps.log_posterior(3, x_2, x_3)),
    ]
    for t in (1, 2):
        noise = 1 - steps.alpha_bar
        tilde = (1 - steps.alpha[t + 1]) * noise[t] / noise[t + 1]
        written = D / 2 * math.log(tilde / (1 - steps.alpha[t]))
        agree(forwards[t] - back[t], written, INTEGRAL)


@checks("post-row-constant-prior")
def _():
    r"""\mathbb E\big[\log q(x_T\mid x_{T-1}) - \log q(x_T\mid x_0)\big] = \frac
    D2\log\frac{1-\bar\alpha_T}{\beta_T} ."""
    steps = Steps()
    jump = D * steps.mean_over(lambda x_1, x_2, x_3: steps.log_jump(3, x_3))
    written = D / 2 * math.log((1 - steps.alpha_bar[3]) / (1 - steps.alpha[3]))
    agree(mean_log_steps()[3] - jump, written, INTEGRAL)


@checks("post-constants-cancel")
def _():
    r"""\sum_{t=1}^{T-1}\log\frac{\tilde\beta_{t+1}}{\beta_t} + \log\frac{1-\bar\alpha_T}{\beta_T} = 0 ."""
    keep = np.array([1, 0.97, 0.8, 0.9, 0.3, 0.55])
    beta, noise, last = 1 - keep, 1 - keep.cumprod(), len(keep) - 1
    tilde = [None, *(beta[t] * noise[t - 1] / noise[t] for t in range(1, last + 1))]
    total = sum(math.log(tilde[t + 1] / beta[t]) for t in range(1, last))
    agree(total, -(math.log(noise[last] / beta[last])), ROUNDING)


@checks("post-total-variance")
def _():
    r"""\mathrm{Var}(g) = \mathrm{Var}\big(\mathbb E[g\mid x_t, x_0]\big) + \mathbb E\big[\mathrm{Var}(g\mid
    x_t, x_0)\big] ."""
    steps, t = Steps(), 3

    def g(earlier, later):
        return earlier**2 - 0.7 * earlier * later + later

    mean = steps.mean_over(lambda x_1, x_2, x_3: g(x_2, x_3))
    variance = steps.mean_over(lambda x_1, x_2, x_3: (g(x_2, x_3) - mean) ** 2)
    later = math.sqrt(steps.alpha_bar[t]) * steps.x_0 + math.sqrt(1 - steps.alpha_bar[t]) * NODES
    centre, var = steps.posterior(t, later)
    values = g(centre + math.sqrt(var) * NODES[:, None], later)
    inner = WEIGHTS @ values
    spread = WEIGHTS @ (values - inner) ** 2
    agree(variance, WEIGHTS @ (inner - WEIGHTS @ inner) ** 2 + WEIGHTS @ spread, INTEGRAL)
    assert WEIGHTS @ spread > 0.01


@checks("post-same-gradient")
def _():
    r"""\begin{aligned} & \mathbb E_{q(x_{t-1}\mid x_t, x_0)}\big[-\nabla_\theta\log p_\theta(x_{t-1}\mid
    x_t)\big] \\ & \quad = \nabla_\theta\,D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,p_\theta(x_{t-1}\mid x_t)\big) . \end{aligned}"""
    m, v, later = 0.4, 0.3, 1.3  # q = N(m, v); p = N(θ_1 x_t, exp θ_2)
    theta = np.array([0.6, -0.5])
    draws = m + math.sqrt(v) * NODES

    def divergence(theta):
        return kl(m, v, theta[0] * later, math.exp(theta[1]))

    off = draws - theta[0] * later
    slopes = [-off * later / math.exp(theta[1]), 0.5 - off**2 / (2 * math.exp(theta[1]))]
    for i, step in enumerate(1e-3 * np.eye(2)):
        # The error of a central difference is of the order of the step squared.
        numeric = (divergence(theta + step) - divergence(theta - step)) / 2e-3
        agree(WEIGHTS @ slopes[i], numeric, 1e-5)


@checks("post-chain-total")
def _():
    r"""\log\frac{q(x_{1:T}\mid x_0)}{p_\theta(x_{0:T})} = -\log p_\theta(x_0) + \log\frac{q(x_{1:T}\mid
    x_0)}{p_\theta(x_{1:T}\mid x_0)} ."""
    steps = Steps()
    cov = steps.p_cov()
    gain = cov[1:, 0] / cov[0, 0]
    given = multivariate_normal(gain * steps.x_0, cov[1:, 1:] - np.outer(gain, cov[0, 1:]))
    for x in SOME:
        written = -steps.log_evidence() + steps.q_joint().logpdf(x) - given.logpdf(x)
        agree(steps.log_ratio(*x), written, ROUNDING)


# --- the null test ------------------------------------------------------------------------------------------


def null_cov(steps):
    """Covariance of (x_0, …, x_3) of the forward chain for data that is N(0, 1)."""
    make = np.zeros((4, 4))
    make[0, 0] = 1
    for t in (1, 2, 3):
        make[t] = math.sqrt(steps.alpha[t]) * make[t - 1]
        make[t, t] = math.sqrt(1 - steps.alpha[t])
    return make @ make.T


@checks("post-null-covariance")
def _():
    r"""\mathrm{Cov}(x_{t-1}, x_t) = \mathrm{Cov}\big(x_{t-1},\ \sqrt{\alpha_t}\,x_{t-1} +
    \sqrt{1-\alpha_t}\,\varepsilon^*_t\big) = \sqrt{\alpha_t},"""
    steps = Steps()
    cov = null_cov(steps)
    for t in (1, 2, 3):
        agree(cov[t - 1, t], math.sqrt(steps.alpha[t]), ROUNDING)
        agree(cov[t, t], 1, ROUNDING)


@checks("post-null-reverse")
def _():
    r"""q(x_{t-1}\mid x_t) = \mathcal N\big(x_{t-1};\ \sqrt{\alpha_t}\,x_t,\ \beta_t I\big) ."""
    steps = Steps()
    for t in (1, 2, 3):
        for earlier, later in ((0.3, -0.2), (2.0, 1.0)):
            forwards = steps.log_step(t, later, earlier) + norm.logpdf(earlier) - norm.logpdf(later)
            mirror = norm.logpdf(earlier, math.sqrt(steps.alpha[t]) * later, math.sqrt(1 - steps.alpha[t]))
            agree(forwards, mirror, ROUNDING)


@checks("post-null-bound")
def _():
    r"""\mathbb E_{x_0\sim\mathcal N(0, I)}\Big[\mathcal L_{\text{prior}} + \sum_{t=2}^{T}\mathcal L_t +
    \mathcal L_1\Big] = \frac D2\log(2\pi e) ."""
    ideal = Steps()
    ideal.to, ideal.var = np.sqrt(ideal.alpha), 1 - ideal.alpha
    total = 0
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        ideal.x_0 = node
        kept = ideal.alpha_bar[3]
        total += weight * kl_formula(math.sqrt(kept) * node, 1 - kept, 0, 1)
        for t in (1, 2, 3):
            later = math.sqrt(ideal.alpha_bar[t]) * node + math.sqrt(1 - ideal.alpha_bar[t]) * NODES
            model = ideal.to[t] * later, ideal.var[t]
            inner = kl_formula(*ideal.posterior(t, later), *model) if t > 1 else -ideal.log_p(1, node, later)
            total += weight * (WEIGHTS @ inner)
    agree(D * total, D / 2 * math.log(2 * math.pi * math.e), INTEGRAL)


@checks("post-null-information")
def _():
    r"""\begin{aligned} I(x_0;\ x_{t-1}\mid x_t) & = \mathbb E\;D_{\mathrm{KL}}\big(q(x_{t-1}\mid x_t,
    x_0)\,\big\|\,q(x_{t-1}\mid x_t)\big) \\ & = \frac D2\log\frac{\beta_t}{\tilde\beta_t} .
    \end{aligned}"""
    steps = Steps()
    cov = null_cov(steps)
    for t in (2, 3):
        # Information from determinants: ½ log of |x_{t−1}, x_t| |x_0, x_t| / (|x_t| |x_0, x_{t−1}, x_t|).
        pick = [[t - 1, t], [0, t], [t], [0, t - 1, t]]
        det = [np.linalg.det(cov[np.ix_(i, i)]) for i in pick]
        information = D / 2 * math.log(det[0] * det[1] / (det[2] * det[3]))
        beta, noise = 1 - steps.alpha[t], 1 - steps.alpha_bar
        agree(information, D / 2 * math.log(beta / (beta * noise[t - 1] / noise[t])), ROUNDING)
        later = math.sqrt(steps.alpha_bar[t]) * NODES[:, None] + math.sqrt(noise[t]) * NODES
        mean, var = steps.posterior(t, later, NODES[:, None])
        inner = kl_formula(mean, var, math.sqrt(steps.alpha[t]) * later, beta)
        agree(information, D * (WEIGHTS @ inner @ WEIGHTS), INTEGRAL)


# --- the oracle ---------------------------------------------------------------------------------------------


@checks("post-oracle")
def _():
    r"""\begin{aligned} m(x_t) & = \mathbb E[x_0\mid x_t] = \sum_{i=1}^{N} r_i\,x_0^{(i)}, \\ r_i & =
    \frac{\exp(-\lVert
    x_t-\sqrt{\bar\alpha_t}\,x_0^{(i)}\rVert^2/2(1-\bar\alpha_t))}{\sum_{j=1}^{N}\exp(-\lVert
    x_t-\sqrt{\bar\alpha_t}\,x_0^{(j)}\rVert^2/2(1-\bar\alpha_t))} . \end{aligned}"""
    data, kept, here = np.array([[1, 0.2], [-0.5, 1], [0, -1.3]]), 0.6, np.array([0.4, -0.1])
    weights = np.exp(-((here - math.sqrt(kept) * data) ** 2).sum(1) / (2 * (1 - kept)))
    likely = [multivariate_normal(math.sqrt(kept) * x, (1 - kept) * np.eye(2)).pdf(here) for x in data]
    truth = np.average(data, axis=0, weights=likely)
    agree(weights / weights.sum() @ data, truth, ROUNDING)


@checks("post-weight")
def _():
    r"""w_t = \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}"""
    identity(sp.sqrt(before) * (1 - alpha) / (1 - now), sp.diff(true_mean, x_0))


def cloud_weight(cloud):
    return math.sqrt(cloud.before) * (1 - cloud.alpha) / (1 - cloud.now)


@checks("post-best-mean")
def _():
    r"""n^\star(x_t) = \mathbb E[x_{t-1}\mid x_t] = \mathbb E\big[\mu_q(x_t, x_0)\mid x_t\big] =
    \mu_q\big(x_t, m(x_t)\big) ."""
    cloud = Cloud()
    for now_value in CLOUD_POINTS:
        share, mean, _ = cloud.given(now_value)
        values = {alpha: cloud.alpha, before: cloud.before, x_t: now_value, x_0: share @ cloud.x_0}
        truth = cloud.moments(now_value)[0]
        agree(truth, share @ mean, INTEGRAL)
        agree(truth, float(mu_q.subs(values)), INTEGRAL)


@checks("post-best-var")
def _():
    r"""s_d^{\star 2}(x_t) = \mathrm{Var}(x_{t-1,d}\mid x_t) = \tilde\beta_t + w_t^2\,\mathrm{Var}(x_{0,d}\mid
    x_t) ."""
    cloud = Cloud()
    tilde = float(beta_tilde.subs({alpha: cloud.alpha, before: cloud.before}))
    for now_value in CLOUD_POINTS:
        share, _, _ = cloud.given(now_value)
        var = share @ (cloud.x_0 - share @ cloud.x_0) ** 2
        agree(cloud.moments(now_value)[1], tilde + cloud_weight(cloud) ** 2 * var, INTEGRAL)


@checks("post-above")
def _():
    r"""\begin{aligned} \mathbb E\big[D_{\mathrm{KL}}(q(x_{t-1}\mid x_t, x_0)\,\|\,p)\ \big|\ x_t\big] ={}
    & D_{\mathrm{KL}}\big(\mathcal N(n^\star, \mathrm{diag}(s^{\star2}))\,\big\|\,p\big) \\ & +
    \frac12\sum_{d=1}^{D}\log\frac{s_d^{\star2}}{\tilde\beta_t} . \end{aligned}"""
    cloud = Cloud()
    tilde = float(beta_tilde.subs({alpha: cloud.alpha, before: cloud.before}))
    for now_value in CLOUD_POINTS:
        share, mean, var = cloud.given(now_value)
        best = cloud.moments(now_value)
        for model in ((0.2, 0.5), (-0.4, 0.1), best):
            average = share @ kl_formula(mean, var, *model)
            agree(average - kl_formula(*best, *model), math.log(best[1] / tilde) / 2, INTEGRAL)


@checks("post-irreducible")
def _():
    r"""\mathcal L_t^\star = \mathbb E_{q(x_t)}\Big[\frac12\sum_{d=1}^{D}\log\Big(1 +
    \frac{w_t^2\,\mathrm{Var}(x_{0,d}\mid x_t)}{\tilde\beta_t}\Big)\Big] ."""
    cloud, later = Cloud(), np.linspace(-6, 6, 121)
    density = cloud.share @ cloud.jump(later, cloud.now)
    tilde = float(beta_tilde.subs({alpha: cloud.alpha, before: cloud.before}))
    lowest, written = np.zeros((2, len(later)))
    for i, value in enumerate(later):
        share, mean, var = cloud.given(value)
        lowest[i] = share @ kl_formula(mean, var, *cloud.moments(value))
        left = share @ (cloud.x_0 - share @ cloud.x_0) ** 2
        written[i] = math.log(1 + cloud_weight(cloud) ** 2 * left / tilde) / 2
    agree(integral(density * (lowest - written), later), 0, INTEGRAL)
    assert integral(density * written, later) > 0.01


# --- the 2015 model -----------------------------------------------------------------------------------------


@checks("post-x0-hat")
def _():
    r"""\hat x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1-\bar\alpha_t}\;u_\theta(x_t, t),"""
    # Every x_0 can be said in this way: u = √ᾱ_t ε − √(1 − ᾱ_t) x_0 gives it back.
    eps = sp.Rational(5, 7)
    end = sp.sqrt(now) * x_0 + sp.sqrt(1 - now) * eps
    u = sp.sqrt(now) * eps - sp.sqrt(1 - now) * x_0
    identity(sp.sqrt(now) * end - sp.sqrt(1 - now) * u, x_0)


@checks("post-model")
def _():
    r"""p_\theta(x_{t-1}\mid x_t) = \mathcal N\Big(x_{t-1};\ \mu_q(x_t, \hat x_0),\
    \tilde\beta_t\,\mathrm{diag}\big(e^{\ell_\theta(x_t, t)}\big)\Big) ."""
    schedule, answer = schedules.sigmoid(40), torch.tensor([[0.3, -0.7, 0.2, -0.4]], dtype=torch.float64)

    class Constant(torch.nn.Module):
        def forward(self, points, t):
            return answer.expand(len(points), 4)

    here = torch.tensor([[0.8, -0.1]], dtype=torch.float64)
    for t in (2, 21, 40):
        step = SecondFormChain(Constant(), schedule).reverse(here, t)
        kept = float(schedule.alpha_bar[t])
        values = {alpha: float(schedule.alpha[t]), before: float(schedule.alpha_bar[t - 1])}
        for d in (0, 1):
            point, u, log_ratio = float(here[0, d]), float(answer[0, d]), float(answer[0, 2 + d])
            guess = math.sqrt(kept) * point - math.sqrt(1 - kept) * u
            mean = float(true_mean.subs({**values, x_t: point, x_0: guess}))
            var = float(true_var.subs(values)) * math.exp(log_ratio)
            agree(float(step.mean[0, d]), mean, ROUNDING)
            agree(float(step.var.expand(1, 2)[0, d]) / var, 1, 1e-8)
