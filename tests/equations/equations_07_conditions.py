"""Chapter 7's equations on laws where every expectation is a finite sum: four points on a line, and noise.

Gradients are taken by complex steps, exact to rounding. The twists and proposals of the particles are any
functions: the equations must hold for all.
"""

import math

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, exceeds, identity, quadrature, sampled
from scipy.stats import norm

X = np.array([-1.3, 0.2, 0.9, 2.0])  # the points
P = np.array([0.2, 0.4, 0.3, 0.1])  # their chances
R = np.array([0.9, 0.15, 0.6, 0.3])  # p(y | x_0), or how welcome they are
W = 3  # the scale
TILTED, POWER, ALL = P * R, P * R**W, P * (1 - R)
PLACES, S = np.linspace(-2.5, 3.0, 12), 0.8  # of z, and the noise's standard deviation σ
NOW, BEFORE = 0.5, 0.7  # ᾱ_t and ᾱ_{t−1}
STEP = NOW / BEFORE  # α_t
SHARE = 0.3  # of hidden labels
ROUNDING = 1e-12
FOUR = "a law of four points on a line, at twelve noisy points"


def gauss(x, mean, var):
    """N(x; mean, var), for complex x, too."""
    return np.exp(-((x - mean) ** 2) / (2 * var)) / np.sqrt(2 * math.pi * var)


def noisy(z, weights=P, sigma=S):
    """The density of the points with these weights under noise σ, not normalised: at points z (n,)."""
    return gauss(np.asarray(z)[..., None], X, sigma**2) @ weights


def expect(z, values, weights=P, sigma=S):
    """E[f(x_0) | z] under these weights."""
    return noisy(z, weights * values, sigma) / noisy(z, weights, sigma)


def answer(z, weights=P):
    """The exact denoiser of the points with these weights, E[x_0 | z]."""
    return expect(z, X, weights)


def log_hope(z):
    """log p(y | z)."""
    return np.log(expect(z, R))


def log_plain(z):
    """log p(z)."""
    return np.log(noisy(z))


def log_asked(z):
    """log p(z | y), of the kept points' own law."""
    return np.log(noisy(z, TILTED / TILTED.sum()))


def log_guided(z):
    """log p(z) p(y | z)^w, up to a constant: what guidance tilts."""
    return np.log(noisy(z)) + W * np.log(noisy(z, TILTED) / noisy(z))


def slope(f, z):
    """f′(z), by a complex step."""
    return np.imag(f(z + 1e-40j)) / 1e-40


def jumped(x, alpha_bar, weights=P):
    """The density of x_t, for points with these weights, of sum 1 or not."""
    return gauss(np.asarray(x)[..., None], math.sqrt(alpha_bar) * X, 1 - alpha_bar) @ weights


def hope(x, alpha_bar):
    """h_t(x_t) = E[r(x_0) | x_t]."""
    return jumped(x, alpha_bar, TILTED) / jumped(x, alpha_bar)


def kept(votes=1, n=400_000):
    """Draws of the points, of which each is kept if it is found welcome so many times."""
    rng = np.random.default_rng(votes)
    i = rng.choice(4, n, p=P)
    return X[i[(rng.random((votes, n)) < R[i]).all(axis=0)]]


def guess(x, label):
    """Any network's guess of the noise, for a label 0, 1 or 2."""
    return 0.4 * x + 0.5 * label - 0.2


def played(n=400_000):
    """The game's squared errors, each label hidden by a coin."""
    rng = np.random.default_rng(0)
    i, eps = rng.choice(4, n, p=P), rng.standard_normal(n)
    label = 2 - (rng.random(n) < R[i])
    told = label * (rng.random(n) >= SHARE)
    return (eps - guess(math.sqrt(NOW) * X[i] + math.sqrt(1 - NOW) * eps, told)) ** 2


@quadrature
def error(weights, label):
    """The mean squared error over points with these weights, if the network is told this label."""
    e, weight = np.polynomial.hermite_e.hermegauss(20)
    x = math.sqrt(NOW) * X[:, None] + math.sqrt(1 - NOW) * e
    return float(weights @ ((e - guess(x, label)) ** 2 @ weight) / weight.sum())


@checks("cond-dropout", on="a game of four points and two labels, and a network that guesses badly")
def _():
    r"""L = (1-\rho)\;\mathbb E\,\big\lVert\varepsilon-\varepsilon_\theta(x_t, t, y)\big\rVert^2 + \rho\;
    \mathbb E\,\big\lVert\varepsilon-\varepsilon_\theta(x_t, t, 0)\big\rVert^2 ."""
    told, untold = error(TILTED, 1) + error(ALL, 2), error(P, 0)
    sampled(played(), (1 - SHARE) * told + SHARE * untold)


# --- tilted laws --------------------------------------------------------------------------------------------


@checks("cond-tilt", on="four points, each kept as often as it is welcome")
def _():
    r"""\tilde p(x_0) = \frac{p(x_0)\,r(x_0)}{Z}, \qquad Z = \mathbb E\,[r(x_0)]."""
    Z = P @ R
    for i in range(4):
        sampled(kept() == X[i], P[i] * R[i] / Z)


def below(x):
    """The chance that x_t, from a kept point, lies below x."""
    weights = TILTED / TILTED.sum()
    return norm.cdf((x[:, None] - math.sqrt(NOW) * X) / math.sqrt(1 - NOW)) @ weights


def density(x, step=1e-4):
    """The slope of `below`, by central differences of fourth order."""
    near, far = below(x + step) - below(x - step), below(x + 2 * step) - below(x - 2 * step)
    return (8 * near - far) / (12 * step)


@checks("cond-tilt-noise", on=FOUR)
def _():
    r"""\tilde p(x_t) = \int q(x_t\mid x_0)\,\frac{p(x_0)\,r(x_0)}{Z}\,dx_0 ."""
    Z, total = P @ R, 0
    for i in range(4):
        total = total + gauss(PLACES, math.sqrt(NOW) * X[i], 1 - NOW) * P[i] * R[i] / Z
    agree(density(PLACES), total, within=1e-10)


@checks("cond-h", on=FOUR)
def _():
    r"""\tilde p(x_t) = \frac{p(x_t)\,h_t(x_t)}{Z}, \qquad h_t(x_t) = \mathbb E\,[\,r(x_0)\mid x_t\,]."""
    Z = P @ R
    agree(density(PLACES), jumped(PLACES, NOW) * hope(PLACES, NOW) / Z, within=1e-10)


ENDS = PLACES + 0.3  # of steps from there


def step_back(x_before, x, weights):
    """p(x_{t−1} | x_t) by Bayes' rule, for the chain that starts from points with these weights."""
    forward = gauss(x, math.sqrt(STEP) * x_before, 1 - STEP)
    return forward * jumped(x_before, BEFORE, weights) / jumped(x, NOW, weights)


@checks("cond-tilt-step", on="a step between twelve pairs of points, of a chain that starts from four")
def _():
    r"""\tilde p(x_{t-1}\mid x_t) = p(x_{t-1}\mid x_t)\;\frac{h_{t-1}(x_{t-1})}{h_t(x_t)} ."""
    tilted = step_back(PLACES, ENDS, P) * hope(PLACES, BEFORE) / hope(ENDS, NOW)
    agree(step_back(PLACES, ENDS, TILTED), tilted, within=ROUNDING)


@checks("cond-tilt-denoiser", on=FOUR)
def _():
    r"""\tilde{\mathbb E}\,[x_0\mid z] = \mathbb E\,[x_0\mid z] + \sigma^2\,\nabla_z\log h(z, \sigma), \qquad
    h(z, \sigma) = \mathbb E\,[\,r(x_0)\mid z\,]."""
    agree(answer(PLACES, TILTED), answer(PLACES) + S**2 * slope(log_hope, PLACES), within=ROUNDING)


MU, V, M, S2, POWER_K = 0.4, 0.3, -0.9, 0.49, 0.6


@quadrature
def product_moments():
    """Mean and variance of N(x; μ, v) r(x)^k on a grid."""
    x = np.linspace(-8, 8, 40_001)
    weight = gauss(x, MU, V) * gauss(x, M, S2) ** POWER_K
    mean = (x * weight).sum() / weight.sum()
    return mean, ((x - mean) ** 2 * weight).sum() / weight.sum()


@checks("cond-product", on="one step, and one Gaussian wish to the power 0.6")
def _():
    r"""\mathcal N(x; \mu, v)\;r(x)^k \;\propto\; \mathcal N\Big(x;\ \frac{\mu + (kv/s^2)\,m}{1+kv/s^2},\
    \frac{v}{1+kv/s^2}\Big)."""
    mean, var = product_moments()
    agree(mean, (MU + POWER_K * V / S2 * M) / (1 + POWER_K * V / S2), within=ROUNDING)
    agree(var, V / (1 + POWER_K * V / S2), within=ROUNDING)


# --- guidance -----------------------------------------------------------------------------------------------


@checks("cond-bayes", on=FOUR)
def _():
    r"""\nabla_z\log p(z\mid y) = \nabla_z\log p(z) + \nabla_z\log p(y\mid z)."""
    agree(slope(log_asked, PLACES), slope(log_plain, PLACES) + slope(log_hope, PLACES), within=ROUNDING)


def guided():
    """The denoiser, by Tweedie, of p(z) p(y | z)^w at PLACES."""
    return PLACES + S * S * slope(log_guided, PLACES)


@checks("cond-classifier", on=FOUR + ", with w = 3")
def _():
    r"""\hat x_0^{\,w}(z, \sigma) = \hat x_0(z,\sigma) + w\,\sigma^2\,\nabla_z\log p(y\mid z,\sigma)."""
    agree(guided(), answer(PLACES) + W * S**2 * slope(log_hope, PLACES), within=ROUNDING)


ALPHA_BAR = 1 / (1 + S**2)  # where the noise-to-signal ratio is σ


def noise_in(x_0_hat):
    """The noise in z if x_0 is this."""
    return (PLACES - x_0_hat) / S


def log_hope_of_x_t(x_t):
    """log p(y | x_t), where x_t = √ᾱ_t z."""
    return log_hope(x_t / math.sqrt(ALPHA_BAR))


@checks("cond-classifier-eps", on=FOUR + ", with w = 3")
def _():
    r"""\hat\varepsilon^{\,w} = \hat\varepsilon - w\,\sqrt{1-\bar\alpha_t}\;\nabla_{x_t}\log p(y\mid x_t)."""
    uphill = slope(log_hope_of_x_t, X_T)
    agree(noise_in(guided()), noise_in(answer(PLACES)) - W * np.sqrt(1 - ALPHA_BAR) * uphill, within=ROUNDING)


X_T = math.sqrt(ALPHA_BAR) * PLACES


@checks("cond-implicit", on=FOUR)
def _():
    r"""\sigma^2\,\nabla_z\log p(y\mid z,\sigma) = \hat x_0(z,\sigma\mid y) - \hat x_0(z,\sigma)."""
    agree(S**2 * slope(log_hope, PLACES), answer(PLACES, TILTED) - answer(PLACES), within=ROUNDING)


@checks("cond-guided", on=FOUR + ", with w = 3")
def _():
    r"""\hat x_0^{\,w}(z,\sigma) = \hat x_0(z,\sigma) + w\,\big(\hat x_0(z,\sigma\mid y) -
    \hat x_0(z,\sigma)\big)."""
    plain = answer(PLACES)
    agree(guided(), plain + W * (answer(PLACES, TILTED) - plain), within=ROUNDING)


@checks("cond-ho-salimans")
def _():
    r"""\hat\varepsilon^{\,w} = (1+w')\,\hat\varepsilon(x_t\mid y) - w'\,\hat\varepsilon(x_t), \qquad
    w' = w-1 ."""
    w, asked, plain = sp.symbols("w asked plain", real=True)
    theirs = w - 1
    identity(MIXED, (1 + theirs) * asked - theirs * plain)


REAL = {name: sp.Symbol(name, real=True) for name in ("w", "asked", "plain")}
MIXED = sp.sympify("plain + w * (asked - plain)", REAL)


@checks("cond-power", on="four points, each kept if three votes in turn find it welcome")
def _():
    r"""\tilde p_w(x_0) \propto p(x_0)\;p(y\mid x_0)^w,"""
    Z = P @ R**W
    for i in range(4):
        sampled(kept(votes=3) == X[i], P[i] * R[i] ** W / Z)


@checks("cond-guided-density", on=FOUR + ", with w = 3")
def _():
    r"""g_w(z) \propto p(z)\;\Big(\mathbb E\,[\,p(y\mid x_0)\mid z\,]\Big)^w,"""
    score = (answer(PLACES) + W * (answer(PLACES, TILTED) - answer(PLACES)) - PLACES) / S**2
    agree(score, slope(lambda z: log_plain(z) + W * log_hope(z), PLACES), within=ROUNDING)


@checks("cond-tilted-density", on=FOUR + ", with w = 3")
def _():
    r"""\tilde p_w(z) \propto p(z)\;\mathbb E\,\big[\,p(y\mid x_0)^w\mid z\,\big]."""
    found = noisy(PLACES) * expect(PLACES, R**W)
    agree(noisy(PLACES, POWER), found, within=ROUNDING)


WELCOME = 1.6 * R  # above and below 1: Jensen's inequality needs no probabilities


@checks("cond-jensen", on=FOUR + ", with a welcome of up to 1.4 and w = 3")
def _():
    r"""\mathbb E\,\big[\,p(y\mid x_0)^w\mid z\,\big] \;\ge\; \Big(\mathbb E\,[\,p(y\mid x_0)\mid
    z\,]\Big)^w ."""
    exceeds(expect(MIDDLE, WELCOME**W), expect(MIDDLE, WELCOME) ** W, by=0.001)


MIDDLE = np.linspace(-2.0, 2.0, 9)


# --- one coordinate seen ------------------------------------------------------------------------------------

SEEN = 0.0  # c, in units of ten


def across(angle):
    """The roll's left–right coordinate."""
    return angle * np.cos(angle) / 10


def crossed():
    """The angles at which the roll crosses the line, and its slopes there, but for its two ends."""
    angle = np.array([(k + 0.5) * math.pi for k in (2, 3)])
    return angle, (np.cos(angle) - angle * np.sin(angle)) / 10


def in_the_strip(n=20_000_000, width=0.01):
    """For uniform angles near the line: whether each is at the first crossing."""
    angle = np.random.default_rng(0).uniform(1.6 * math.pi, 4.4 * math.pi, n)
    near = angle[np.abs(across(angle) - SEEN) < width]
    return np.abs(near - crossed()[0][0]) < 1


@checks(
    "cond-crossings", on="the part of the roll that crosses the line twice, and a thin strip around the line"
)
def _():
    r"""P(\text{crossing } j\mid a = c) = \frac{1/\lvert a'(\varphi_j)\rvert}{\sum_i
    1/\lvert a'(\varphi_i)\rvert},"""
    _, slopes = crossed()
    total = 1 / abs(slopes[0]) + 1 / abs(slopes[1])
    sampled(in_the_strip(), 1 / abs(slopes[0]) / total)


ALPHAS = (0.9, 0.8, 0.97)  # α_1 … α_{t−1}


def walked(c):
    """Mean and variance of the seen part after the steps 1 … t − 1, one at a time."""
    mean, var = c, 0.0
    for alpha in ALPHAS:
        mean, var = math.sqrt(alpha) * mean, alpha * var + 1 - alpha
    return mean, var


@checks("cond-known", on="three steps of the forward process, one at a time")
def _():
    r"""a_{t-1} = \sqrt{\bar\alpha_{t-1}}\;c + \sqrt{1-\bar\alpha_{t-1}}\;\varepsilon, \qquad \varepsilon\sim
    \mathcal N(0, 1)."""
    alpha_bar_before, c = math.prod(ALPHAS), 1.7
    mean, var = walked(c)
    agree(mean, np.sqrt(alpha_bar_before) * c, within=ROUNDING)
    agree(var**0.5, np.sqrt(1 - alpha_bar_before), within=ROUNDING)


def bayes_of_standard_normal(c, z):
    """p(x_0 = c | z) for x_0 ~ N(0, 1), by Bayes' rule."""
    return gauss(c, 0, 1) * gauss(z, c, S**2) / gauss(z, 0, 1 + S**2)


def answer_of_standard_normal(z):
    """E[x_0 | z] for x_0 ~ N(0, 1), by the mean over a grid."""
    c = np.linspace(-12, 12, 20_001)
    weights = bayes_of_standard_normal(c, z)
    return (c * weights).sum() / weights.sum()


@checks("cond-reconstruction", on="data that is N(0, 1), for which it is exact")
def _():
    r"""p(c\mid z,\sigma) \approx \mathcal N\Big(c;\ \hat a(z,\sigma),\ \frac{\sigma^2}{1+\sigma^2}\Big)."""
    c, z = 0.6, -1.1
    found = gauss(c, answer_of_standard_normal(z), S**2 / (1 + S**2))
    agree(found, bayes_of_standard_normal(c, z), within=1e-10)


# --- particles: any twists g, any chain p, any proposals π -------------------------------------------------

T = 3
TWISTS = {t: lambda x, t=t: gauss(x, 0.3 * t, 0.5 + t) for t in (1, 2, 3)}
PATH = {1: 0.2, 2: -0.4, 3: 0.9}  # x_1, x_2, x_3


def p(x_before, x, t):
    """p(x_{t−1} | x_t) of some chain."""
    return gauss(x_before, 0.8 * x + 0.1 * t, 0.3)


def proposed(x_before, x, t):
    """π(x_{t−1} | x_t), another Gaussian."""
    return gauss(x_before, 0.6 * x - 0.2 * t, 0.5)


@quadrature
def integral(f):
    """∫ f(x) dx."""
    x = np.linspace(-15, 15, 20_001)
    return f(x).sum() * (x[1] - x[0])


def asked_for(x, t):
    """What one step's weighted particles have to average to: E[f(x_{t−1}) g_{t−1}(x_{t−1})]/g_t(x_t)."""
    return integral(lambda y: p(y, x, t) * TWISTS[t - 1](y) * y**2) / TWISTS[t](x)


@checks("cond-weight", on="the mean of a square, over one step of a Gaussian chain with another proposal")
def _():
    r"""\omega_t = \frac{\psi_{t-1}(x_{t-1})}{\psi_t(x_t)}\;
    \frac{p(x_{t-1}\mid x_t)}{\pi(x_{t-1}\mid x_t)},"""
    x, t, before = PATH[2], 2, TWISTS[1]

    def weighted(y):
        omega = before(y) / TWISTS[t](x) * p(y, x, t) / proposed(y, x, t)
        return square(y) * proposed(y, x, t) * omega

    agree(integral(weighted), asked_for(x, 2), within=ROUNDING)


def square(y):
    return y * y


def omega(t):
    """The weight of the path's step t."""
    x_before, x = PATH[t - 1], PATH[t]
    ratio = TWISTS[t - 1](x_before) / TWISTS[t](x)
    return ratio * p(x_before, x, t) / proposed(x_before, x, t)


@checks("cond-telescope", on="one path of three steps, with any twists and proposals")
def _():
    r"""p(x_T)\,\psi_T(x_T)\prod_{t=2}^{T}\pi(x_{t-1}\mid x_t)\,\omega_t \;=\; p(x_T)\prod_{t=2}^{T}
    p(x_{t-1}\mid x_t)\;\cdot\;\psi_1(x_1)."""
    left, right = gauss(PATH[T], 0, 1) * TWISTS[T](PATH[T]), gauss(PATH[T], 0, 1)
    for t in (2, 3):
        x_before, x = PATH[t - 1], PATH[t]
        left = left * proposed(x_before, x, t) * omega(t)
        right = right * p(x_before, x, t)
    agree(left, right * TWISTS[1](PATH[1]), within=1e-10, relative=True)
