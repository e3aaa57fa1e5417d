"""Chapter 4's equations of the step back that knows x_0, each restated from definitions.

The referee is linear regression: (x_{t−1}, x_t) given x_0 are jointly Gaussian with a covariance that follows
from the steps, and the conditional of a joint Gaussian needs no completed square. One coordinate stands for
all where every density is a product over coordinates.
"""

import math

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, identity, shares
from linear_chain import ALPHA, COVARIANCE, WEIGHTS, T
from scipy.stats import multivariate_normal

# α_t, ᾱ_{t−1} and with them ᾱ_t; one coordinate of x_0, x_{t−1} and x_t.
alpha, before = shares("alpha_t alphabar_before")
now = alpha * before
x_0, y, x_t = sp.symbols("x_0 x_before x_t", real=True)
ROUNDING = 1e-12  # of a few dozen float64 operations with numbers between 0.01 and 10

# The referee: x_t = √α_t x_{t−1} + independent noise, so cov(x_{t−1}, x_t | x_0) = √α_t var(x_{t−1} | x_0).
slope = sp.sqrt(alpha) * (1 - before) / (alpha * (1 - before) + (1 - alpha))
true_mean = sp.factor(sp.sqrt(before) * x_0 + slope * (x_t - sp.sqrt(alpha) * sp.sqrt(before) * x_0))
true_var = sp.factor((1 - before) - slope * sp.sqrt(alpha) * (1 - before))

# E and C as sum and product of the three parts, and the coefficients of E as a polynomial in x_{t−1}.
step_square = (x_t - sp.sqrt(alpha) * y) ** 2 / (1 - alpha)
jump_square = (y - sp.sqrt(before) * x_0) ** 2 / (1 - before)
end_square = (x_t - sp.sqrt(now) * x_0) ** 2 / (1 - now)
E = step_square + jump_square - end_square
C = sp.sqrt(2 * sp.pi * (1 - now)) / sp.sqrt(2 * sp.pi * (1 - alpha)) / sp.sqrt(2 * sp.pi * (1 - before))
a, minus_2b, c = sp.Poly(E, y).all_coeffs()
b = -minus_2b / 2


def gauss(x, mean, var):
    """The density of N(mean, var) as an expression."""
    return sp.exp(-((x - mean) ** 2) / (2 * var)) / sp.sqrt(2 * sp.pi * var)


TRUTH = gauss(y, true_mean, true_var)


def same_density(f, g):
    """Two positive functions are equal: in (f/g)², the exponents cancel, and the factors before them."""
    factor, bells = ((f / g) ** 2).as_independent(sp.exp, as_Add=False)
    identity(sp.expand_log(sp.log(bells), force=True))
    identity(factor, 1)


# --- Bayes, given x_0 ---------------------------------------------------------------------------------------

TABLE = (
    np.random.default_rng(0).dirichlet(np.ones(60)).reshape(3, 4, 5)
)  # any joint law of (x_0, x_{t−1}, x_t)


@checks(
    "post-bayes",
    on="any joint law of x_0, x_{t−1}, x_t: a table of 3 × 4 × 5 probabilities, drawn at random",
)
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \frac{q(x_t\mid x_{t-1}, x_0)\;q(x_{t-1}\mid x_0)}{q(x_t\mid x_0)} ."""
    q_start = TABLE.sum((1, 2), keepdims=True)
    q_before, q_now = TABLE.sum(2, keepdims=True) / q_start, TABLE.sum(1, keepdims=True) / q_start
    step = TABLE / TABLE.sum(2, keepdims=True)
    for x, joint in enumerate(TABLE):  # given x_0: one slice of the table
        agree((step * q_before / q_now)[x], joint / joint.sum(0), ROUNDING)


def regression(of, on):
    """Slopes of the best linear guess of x_of from others, and the variance left, for data of variance 3."""
    cov = 3 * np.outer(WEIGHTS[:, 0], WEIGHTS[:, 0]) + COVARIANCE
    slopes = np.linalg.solve(cov[np.ix_(on, on)], cov[on, of])
    return slopes, cov[of, of] - slopes @ cov[on, of]


@checks(
    "post-markov",
    on="Gaussian data and a chain of four steps, all of it numbers: in a regression, x_0 gets no weight",
)
def _():
    r"""q(x_t\mid x_{t-1}, x_0) = q(x_t\mid x_{t-1}) ."""
    # In a regression of x_t on both, x_0 gets no weight.
    for t in range(2, T + 1):
        (of_start, of_before), left = regression(t, [0, t - 1])
        (alone,), left_alone = regression(t, [t - 1])
        agree([of_start, of_before, left], [0, alone, left_alone], ROUNDING)
        agree([alone, left_alone], [math.sqrt(ALPHA[t]), 1 - ALPHA[t]], ROUNDING)


@checks("post-three", on="one coordinate, for all values: each density is a product over coordinates")
def _():
    r"""\begin{aligned} q(x_{t-1}\mid x_t, x_0) ={} & \mathcal N\big(x_t;\ \sqrt{\alpha_t}\,x_{t-1},\
    (1-\alpha_t)I\big) \\ & \times \frac{\mathcal N\big(x_{t-1};\ \sqrt{\bar\alpha_{t-1}}\,x_0,\
    (1-\bar\alpha_{t-1})I\big)}{\mathcal N\big(x_t;\ \sqrt{\bar\alpha_t}\,x_0,\
    (1-\bar\alpha_t)I\big)} . \end{aligned}"""
    step = gauss(x_t, sp.sqrt(alpha) * y, 1 - alpha)
    jump = gauss(y, sp.sqrt(before) * x_0, 1 - before)
    end = gauss(x_t, sp.sqrt(now) * x_0, 1 - now)
    same_density(step * jump / end, TRUTH)


@checks(
    "post-exponents",
    on="what follows from this definition: −Q/2 has the slope of the posterior's logarithm",
)
def _():
    r"""\begin{aligned} Q ={} & \frac{(x_t-\sqrt{\alpha_t}\,x_{t-1})^2}{1-\alpha_t} +
    \frac{(x_{t-1}-\sqrt{\bar\alpha_{t-1}}\,x_0)^2}{1-\bar\alpha_{t-1}} \\ & -
    \frac{(x_t-\sqrt{\bar\alpha_t}\,x_0)^2}{1-\bar\alpha_t} . \end{aligned}"""
    written = (
        (x_t - sp.sqrt(alpha) * y) ** 2 / (1 - alpha)
        + (y - sp.sqrt(before) * x_0) ** 2 / (1 - before)
        - (x_t - sp.sqrt(now) * x_0) ** 2 / (1 - now)
    )
    identity(written, E)
    # Minus half of it is, but for a constant, the logarithm of the posterior: the slopes are equal.
    identity(sp.diff(-written / 2, y), -(y - true_mean) / true_var)


@checks("post-constant")
def _():
    r"""C = \frac{1}{\sqrt{2\pi}}\,\sqrt{\frac{1-\bar\alpha_t}{(1-\alpha_t)(1-\bar\alpha_{t-1})}},"""
    written = 1 / sp.sqrt(2 * sp.pi) * sp.sqrt((1 - now) / ((1 - alpha) * (1 - before)))
    same_density(written, C)
    same_density(written, TRUTH.subs(y, true_mean))  # the height of the bell


@checks("post-collect", on="a, b and c of the next three lines, for which this one is the definition")
def _():
    r"""Q = a\,x_{t-1}^2 - 2\,b\,x_{t-1} + c ."""
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


# --- the variance and the mean ------------------------------------------------------------------------------


@checks("post-numerator")
def _():
    r"""\alpha_t(1-\bar\alpha_{t-1}) + (1-\alpha_t) = 1-\bar\alpha_t ."""
    identity(alpha * (1 - before) + (1 - alpha), 1 - now)


@checks("post-var")
def _():
    r"""\tilde\beta_t = \frac1a = \frac{(1-\alpha_t)(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} ."""
    identity(1 / a, true_var)
    identity((1 - alpha) * (1 - before) / (1 - now), true_var)


@checks("post-square")
def _():
    r"""a\,y^2 - 2\,b\,y = a\Big(y - \frac ba\Big)^2 - \frac{b^2}{a} ."""
    p, q, z = sp.symbols("a b y", real=True)
    identity(p * z**2 - 2 * q * z, p * (z - q / p) ** 2 - q**2 / p)


@checks("post-mean")
def _():
    r"""\mu_q(x_t, x_0) = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t +
    \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}\,x_0 ."""
    weight_now = sp.sqrt(alpha) * (1 - before) / (1 - now)
    weight_start = sp.sqrt(before) * (1 - alpha) / (1 - now)
    identity(weight_now * x_t + weight_start * x_0, true_mean)


@checks(
    "post-weight",
    on="what follows from this definition: it is what multiplies x_0 in the posterior's mean",
)
def _():
    r"""w_t = \frac{\sqrt{\bar\alpha_{t-1}}\,(1-\alpha_t)}{1-\bar\alpha_t}"""
    identity(sp.sqrt(before) * (1 - alpha) / (1 - now), sp.diff(true_mean, x_0))


# --- what became of the constant ----------------------------------------------------------------------------


@checks("post-square-in")
def _():
    r"""Q = \frac{(x_{t-1}-\mu_q)^2}{\tilde\beta_t} + c - \frac{b^2}{a} ."""
    identity((y - true_mean) ** 2 / true_var + c - b**2 / a, E)


def coefficient(expression, *powers):
    """What multiplies a monomial in x_t and x_0, such as x_t x_0 (powers 1, 1)."""
    return sp.Poly(expression, x_t, x_0).coeff_monomial(powers)


@checks("post-left-xt")
def _():
    r"""\frac{1}{1-\alpha_t} - \tilde\beta_t\,\frac{\alpha_t}{(1-\alpha_t)^2} -
    \frac{1}{1-\bar\alpha_t} = 0,"""
    of_b = true_var * alpha / (1 - alpha) ** 2
    identity(1 / (1 - alpha) - of_b - 1 / (1 - now))
    identity(coefficient(c, 2, 0), 1 / (1 - alpha) - 1 / (1 - now))
    identity(coefficient(b**2 / a, 2, 0), of_b)


@checks("post-leftover")
def _():
    r"""c - \frac{b^2}{a} = 0 ."""
    identity(c - b**2 / a)


@checks("post-posterior", on="two coordinates: one x_0 and x_t, α_t = 0.6, ᾱ_{t−1} = 0.7, at three x_{t−1}")
def _():
    r"""q(x_{t-1}\mid x_t, x_0) = \mathcal N\big(x_{t-1};\ \mu_q(x_t, x_0),\ \tilde\beta_t I\big) ."""
    # In the plane: the joint Gaussian of (x_{t−1}, x_t) given x_0, over that of x_t.
    keep, kept, start, end = 0.6, 0.7, np.array([0.3, -1.0]), np.array([1.2, 0.4])
    mean = math.sqrt(keep) * (1 - kept) * end + math.sqrt(kept) * (1 - keep) * start
    var = (1 - keep) * (1 - kept) / (1 - keep * kept)
    law = multivariate_normal(mean / (1 - keep * kept), var * np.eye(2))
    for point in ((0.4, -0.9), (1.5, 0.3), (-0.2, -0.1)):
        agree(law.pdf(point), in_the_plane(point, end, start, keep, kept), ROUNDING)


def in_the_plane(point, end, start, keep, kept):
    """q(x_{t−1} | x_t, x_0) at a point, from the four-dimensional Gaussian of both."""
    shared = math.sqrt(keep) * (1 - kept)
    block = np.array([[1 - kept, shared], [shared, keep * (1 - kept) + (1 - keep)]])
    mean = np.concatenate([math.sqrt(kept) * start, math.sqrt(keep) * math.sqrt(kept) * start])
    both = multivariate_normal(mean, np.kron(block, np.eye(2))).pdf([*point, *end])
    return both / multivariate_normal(mean[2:], block[1, 1] * np.eye(2)).pdf(end)


# --- precisions, and the first step -------------------------------------------------------------------------


@checks("post-likelihood")
def _():
    r"""\mathcal N\big(x_t;\ \sqrt{\alpha_t}\,x_{t-1},\ 1-\alpha_t\big) = \frac{1}{\sqrt{\alpha_t}}\;\mathcal
    N\Big(x_{t-1};\ \frac{x_t}{\sqrt{\alpha_t}},\ \frac{1-\alpha_t}{\alpha_t}\Big) ."""
    turned = gauss(y, x_t / sp.sqrt(alpha), (1 - alpha) / alpha) / sp.sqrt(alpha)
    same_density(gauss(x_t, sp.sqrt(alpha) * y, 1 - alpha), turned)


PRECISION = alpha / (1 - alpha) + 1 / (1 - before)  # λ with c_1 and c_2 written out


@checks("post-first-step")
def _():
    r"""\tilde\beta_1 = 0, \qquad \mu_q(x_1, x_0) = x_0 ."""
    identity(true_var.subs(before, 1))
    identity((true_mean - x_0).subs(before, 1))
