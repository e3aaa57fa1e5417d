"""Chapter 9's equations: paths in three coordinate systems, steps against exact solutions, points in noise.

Where a path is needed it is that of data N(0, s²), whose ODE has a closed form; for averages, a few points.
"""

import math

import numpy as np
import sympy as sp
from equations import checks
from evidence import agree, identity, quadrature, shares
from scipy.integrate import quad
from scipy.stats import norm

tau, std, lower, lowest, time = sp.symbols("tau sigma sigma_next sigma_1 l", positive=True)
x_0, x_0_hat, eps, eps_hat, z = sp.symbols("x_0 x_0_hat epsilon epsilon_hat z", real=True)
kept_t, kept_s = shares("alphabar_t alphabar_s")
POINTS, SHARE = np.array([-1.0, 0.4, 1.7])[:, None], np.array([0.5, 0.2, 0.3])[:, None]
PLACES = np.linspace(-2, 2, 9)
ROUNDING = 1e-12
CLOSE = 1e-7  # of differences in the middle, and of quadrature


def path(sigma, s=1.3):
    """z(σ) of the ODE for data N(0, s²): in proportion to the crowd's standard deviation."""
    return math.sqrt(s**2 + sigma**2)


def answer(sigma, s=1.3):
    """x̂_0 on this path."""
    return path(sigma) * s**2 / (s**2 + sigma**2)


def slope(f, at, step=1e-5):
    """The derivative of f, by a difference around the middle."""
    return (f(at + step) - f(at - step)) / (2 * step)


@checks("steps-straight")
def straight():
    r"""x_\tau = (1-\tau)\,x_0 + \tau\,\varepsilon, \qquad u = \frac{dx_\tau}{d\tau} = \varepsilon - x_0 ."""
    x_tau = (1 - tau) * x_0 + tau * eps
    identity(eps - x_0, sp.diff(x_tau, tau))
    identity(x_tau.subs(tau, 0), x_0)
    identity(x_tau.subs(tau, 1), eps)


def posterior(x, t):
    """p(x_0 | x_τ) for each of the points, by Bayes: given x_0, x_τ is normal."""
    joint = SHARE * norm.pdf(x, (1 - t) * POINTS, t)
    return joint / joint.sum(axis=0)


def mean_velocity(x, t):
    """E[u | x_τ], adding up over the points what each of them says of the noise."""
    noise = (x - (1 - t) * POINTS) / t
    return (posterior(x, t) * (noise - POINTS)).sum(axis=0)


@quadrature
def both(f, nodes=60):
    """E f(x_0, ε) over the points and the noise."""
    e, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return float((SHARE * f(POINTS, e) * weight / weight.sum()).sum())


TIME = 0.6


def on_road(data, e):
    """x_τ at the time TIME."""
    return (1 - TIME) * data + TIME * e


def best(x):
    """The mean velocity at points x of any shape."""
    return mean_velocity(x.reshape(1, -1), TIME).reshape(x.shape)


def guess(x):
    """Some other answer."""
    return np.sin(x) + 0.3


@checks("steps-flow-loss", on="three points on a line, at one time, and some guess")
def flow_loss():
    r"""L_{\text{flow}} = \mathbb E_{\tau,\,x_0,\,\varepsilon}\;\big\lVert u_\theta(x_\tau, \tau) -
    (\varepsilon - x_0)\big\rVert^2 ."""
    loss = [both(lambda x_0, e, u=u: (u(on_road(x_0, e)) - (e - x_0)) ** 2) for u in (guess, best)]
    # The best answer is the mean velocity: another one loses, besides, its own squared distance from it.
    away = both(lambda x_0, e: (guess(on_road(x_0, e)) - best(on_road(x_0, e))) ** 2)
    agree(loss[0] - loss[1], away, 1e-6)


@checks("steps-u-of-mean", on="three points on a line")
def u_of_mean():
    r"""\mathbb E[u\mid x_\tau] = \frac{x_\tau - \hat x_0}{\tau} , \qquad \hat x_0 = \mathbb E[x_0\mid x_\tau]
    ."""
    for t in (0.2, 0.7):
        mean = (posterior(PLACES, t) * POINTS).sum(axis=0)
        agree((PLACES - mean) / t, mean_velocity(PLACES, t), ROUNDING)


@checks("steps-coordinates")
def coordinates():
    r"""z = \frac{x_\tau}{1-\tau} = x_0 + \sigma\,\varepsilon, \qquad \sigma = \frac{\tau}{1-\tau} ."""
    noise = tau / (1 - tau)
    identity(((1 - tau) * x_0 + tau * eps) / (1 - tau), x_0 + noise * eps)


@checks("steps-same-ode", on="the path of normal data")
def same_ode():
    r"""\frac{dx_\tau}{d\tau} = (1-\tau)\,\frac{dz}{d\sigma}\,\frac{d\sigma}{d\tau} - z =
    \frac{z-\hat x_0}{\tau} - z = \frac{x_\tau-\hat x_0}{\tau} ,"""
    for t in (0.2, 0.5, 0.9):
        noise = t / (1 - t)
        exact = slope(lambda t: (1 - t) * path(t / (1 - t)), t)
        by_rule = slope(path, noise) * slope(lambda t: t / (1 - t), t)
        agree((1 - t) * by_rule - path(noise), exact, CLOSE)
        agree((path(noise) - answer(noise)) / t - path(noise), exact, CLOSE)
        agree(((1 - t) * path(noise) - answer(noise)) / t, exact, CLOSE)


@quadrature
def integral(f, low=0.0, high=1.0):
    """∫ f."""
    return quad(f, low, high)[0]


# A walk of two coordinates: where it is, and its velocity. ∫ u² of each in closed form.
WALK = [
    (lambda t: 0.4 + np.sin(2 * t), lambda t: 2 * np.cos(2 * t)),
    (lambda t: 0.5 + 2 * t**3, lambda t: 6 * t**2),
]
ENERGY = 2 + math.sin(4) / 2 + 36 / 5
WAY = math.sin(2) ** 2 + 2**2


@checks("steps-bend", on="a walk of two numbers along a curve, at an uneven pace")
def bend():
    r"""\kappa = \frac{\mathbb E\displaystyle\int_0^1\lVert u(x_\tau,\tau) - (\varepsilon -
    x_0)\rVert^2\,d\tau}{\mathbb E\,\lVert \varepsilon - x_0\rVert^2}"""
    deviation = way = 0.0
    for place, u in WALK:
        x_0, eps = place(0.0), place(1.0)
        deviation += integral(lambda t, u=u, x_0=x_0, eps=eps: (u(t) - (eps - x_0)) ** 2)
        way += (eps - x_0) ** 2
    # The mixed term is −2 (ε − x_0)², since the velocity adds up to the way.
    agree(deviation / way, ENERGY / WAY - 1, CLOSE)


@checks("steps-hold")
def hold():
    r"""z' = \hat x_0 + \frac{\sigma'}{\sigma}\,(z - \hat x_0) ."""
    after = x_0_hat + lower / std * (z - x_0_hat)
    identity(sp.diff(after, lower), (after - x_0_hat) / lower)  # the ODE, with x̂_0 held
    identity(after.subs(lower, std), z)


@checks("steps-ddim")
def ddim():
    r"""x_s = \sqrt{\bar\alpha_s}\,\hat x_0 + \sqrt{1-\bar\alpha_s-\omega^2}\;\hat\varepsilon +
    \omega\,\varepsilon ."""
    omega = sp.Symbol("omega", positive=True)
    x_s = sp.sqrt(kept_s) * x_0_hat + sp.sqrt(1 - kept_s - omega**2) * eps_hat + omega * eps
    # Both noises are independent, of variance 1: their factors' squares add up to the marginal's variance.
    identity(sp.diff(x_s, eps), omega)
    identity(sp.diff(x_s, eps_hat) ** 2 + sp.diff(x_s, eps) ** 2, 1 - kept_s)
    identity(sp.diff(x_s, x_0_hat) ** 2, kept_s)
    # Without fresh noise it is the step along the held answer, shrunk.
    noise = [sp.sqrt((1 - kept) / kept) for kept in (kept_t, kept_s)]
    held = x_0_hat + noise[1] * eps_hat
    identity(x_s.subs(omega, 0).subs(eps, 0) ** 2, (sp.sqrt(kept_s) * held) ** 2)


@checks("steps-omega", on="a posterior by Bayes' rule")
def omega():
    r"""\omega = \eta\,\sqrt{\frac{1-\bar\alpha_s}{1-\bar\alpha_t}}\,
    \sqrt{1-\frac{\bar\alpha_t}{\bar\alpha_s}} ."""
    now, before = 0.3, 0.55
    found = {eta: eta * math.sqrt((1 - before) / (1 - now)) * math.sqrt(1 - now / before) for eta in (1, 0.4)}
    step = now / before
    precision = 1 / (1 - before) + step / (1 - step)  # of x_s: from x_0, and from x_t
    agree(found[1] ** 2, 1 / precision, ROUNDING)
    agree(found[0.4], 0.4 / math.sqrt(precision), ROUNDING)


@checks("steps-lambda", on="the path of normal data")
def in_lambda():
    r"""\frac{d}{d\lambda}\Big(\frac z\sigma\Big) = \frac{\hat x_0}{\sigma} = e^{\lambda}\,\hat x_0 ."""
    for noise in (0.3, 1.0, 4.0):
        at = -math.log(noise)
        exact = slope(lambda at: path(math.exp(-at)) / math.exp(-at), at)
        agree(answer(noise) / noise, exact, CLOSE)
        agree(math.exp(at) * answer(noise), exact, CLOSE)


@checks("steps-integral", on="the path of normal data")
def as_integral():
    r"""z' = \frac{\sigma'}{\sigma}\,z + \sigma'\int_\lambda^{\lambda'} e^{\ell}\;\hat x_0(\ell)\;d\ell ."""
    high, low = 2.0, 0.5
    area = integral(lambda at: math.exp(at) * answer(math.exp(-at)), -math.log(high), -math.log(low))
    agree(low / high * path(high) + low * area, path(low), CLOSE)


now, before = sp.symbols("lambda lambda_before", real=True)
a, b = sp.symbols("a b", real=True)


def on_line(at):
    """Answers that are a line in λ already."""
    return a + b * at


@checks("steps-line")
def line():
    r"""\hat x_0(\ell) \approx \hat x_0 +
    (\ell-\lambda)\,\frac{\hat x_0-\hat x_0^{-}}{\lambda-\lambda^{-}} ."""
    by_rule = on_line(now) + (time - now) * (on_line(now) - on_line(before)) / (now - before)
    identity(by_rule, on_line(time))


@checks("steps-dpm", on="the path of normal data, with steps of three lengths")
def dpm():
    r"""z' = \frac{\sigma'}{\sigma}\,z + \Big(1-\frac{\sigma'}{\sigma}\Big)\,\bar x, \qquad \bar x =
    \hat x_0 + \frac{\lambda'-\lambda}{2}\;\frac{\hat x_0-\hat x_0^{-}}{\lambda-\lambda^{-}} ."""

    def error(h):
        """Of one step of length h in λ from σ = 1; the answer before it is twice as far away."""
        before, now, after = math.exp(2 * h), 1.0, math.exp(-h)
        x_bar = answer(now) + h / 2 * (answer(now) - answer(before)) / (2 * h)
        return after / now * path(now) + (1 - after / now) * x_bar - path(after)

    for h in (0.01, 0.005):  # one step's error is of order three
        agree(error(h) / error(h / 2), 8, 0.2)


@checks("steps-density")
def density():
    r"""p(\log\sigma) = \frac{d\tau}{d\log\sigma} = \tau\,(1-\tau) ,"""
    log_sigma = sp.Symbol("y", real=True)
    time_of = sp.exp(log_sigma) / (1 + sp.exp(log_sigma))
    identity(time_of * (1 - time_of), sp.diff(time_of, log_sigma))


@checks("steps-aim")
def aim():
    r"""\tilde x = \frac{z'' - (\sigma''/\sigma)\,z}{1-\sigma''/\sigma} ."""
    z_end = sp.Symbol("z_end", real=True)
    target = (z_end - lower / std * z) / (1 - lower / std)
    identity(target + lower / std * (z - target), z_end)


@checks("steps-boundary")
def boundary():
    r"""c_{\text{skip}} = \frac1{1+(\sigma-\sigma_1)^2}, \qquad c_{\text{out}} =
    \frac{\sigma-\sigma_1}{\sqrt{1+\sigma^2}} ."""
    skip, out = 1 / (1 + (std - lowest) ** 2), (std - lowest) / sp.sqrt(1 + std**2)
    identity(skip.subs(std, lowest), 1)
    identity(out.subs(std, lowest), 0)
    # With σ_1 = 0, x_0 from z and v = (ε − σ x_0)/√(1 + σ²): chapter 5's v, for √ᾱ = 1/√(1 + σ²).
    v_of = (eps - std * x_0) / sp.sqrt(1 + std**2)
    identity(skip.subs(lowest, 0) * (x_0 + std * eps) - out.subs(lowest, 0) * v_of, x_0)
    # How far it may go from z at first order in σ − σ_1: as far as an error of the teacher's step.
    identity(sp.diff(skip, std).subs(std, lowest), 0)
