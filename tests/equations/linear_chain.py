"""A forward chain of four steps and a model of four linear-Gaussian steps, of which everything is known.

All states are numbers, and linear in independent noises. So their joint distributions are Gaussians, which
come from the weights of the noises alone, and averages of their log densities are exact. The numbers are
arbitrary, and no two of them coincide. Nothing here uses the library.
"""

import math

import numpy as np
from evidence import quadrature
from scipy.stats import multivariate_normal, norm

T = 4
ALPHA = np.array([1, 0.72, 0.45, 0.61, 0.34])  # α_0…α_4: the index is that of the text
KEPT = np.array([math.prod(ALPHA[1 : t + 1]) for t in range(T + 1)])  # ᾱ_0…ᾱ_4
START = 0.7  # x_0

# The model: p(x_T) = N(0, 1) and p(x_{t−1} | x_t) = N(SLOPE[t] x_t + SHIFT[t], VAR[t]).
SLOPE, SHIFT, VAR = (0, 0.8, 0.7, 0.75, 0.6), (0, 0.1, -0.2, 0.15, 0.05), (0, 0.35, 0.5, 0.4, 0.65)


def chain_weights(start=0):
    """Row t: the weights in x_t of x_start, in column 0, and of the noise of step s, in column s."""
    weights = np.zeros((T + 1, T + 1))
    weights[start, 0] = 1
    for t in range(start + 1, T + 1):
        weights[t] = math.sqrt(ALPHA[t]) * weights[t - 1]
        weights[t, t] += math.sqrt(1 - ALPHA[t])
    return weights


WEIGHTS = chain_weights()
COVARIANCE = WEIGHTS[:, 1:] @ WEIGHTS[:, 1:].T  # of x_0…x_T, given x_0


@quadrature
def mean(f, *steps, start=START, nodes=3):
    """E f(x_s for s in steps) over q(those states | x_0 = start), exact for f of degree 5 with 3 nodes."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[z] * len(steps))).reshape(len(steps), -1)
    weight = np.stack(np.meshgrid(*[weight / weight.sum()] * len(steps))).reshape(len(steps), -1)
    var, axes = np.linalg.eigh(COVARIANCE[np.ix_(steps, steps)])
    x = start * WEIGHTS[steps, :1] + axes * np.sqrt(var.clip(min=0)) @ grid
    return float(np.sum(weight.prod(axis=0) * f(*x)))


def log_q(x, before, t):
    """log q(x_t | x_{t−1}), from the noise that leads there."""
    noise = (x - math.sqrt(ALPHA[t]) * before) / math.sqrt(1 - ALPHA[t])
    return norm.logpdf(noise) - math.log(1 - ALPHA[t]) / 2


def log_p(before, x, t):
    """log p(x_{t−1} | x_t) of the model."""
    return norm.logpdf(before, SLOPE[t] * x + SHIFT[t], math.sqrt(VAR[t]))


def joint_q(start=START):
    """The Gaussian q(x_1…x_T | x_0), from the weights of the noises."""
    return multivariate_normal(start * WEIGHTS[1:, 0], COVARIANCE[1:, 1:])


def joint_p():
    """The Gaussian p(x_0…x_T), from the weights of the noises of the model's steps."""
    shift, weights = np.zeros(T + 1), np.eye(T + 1)
    for t in range(T, 0, -1):
        shift[t - 1] = SLOPE[t] * shift[t] + SHIFT[t]
        weights[t - 1] = SLOPE[t] * weights[t] + math.sqrt(VAR[t]) * np.eye(T + 1)[t - 1]
    return multivariate_normal(shift, weights @ weights.T)


def log_evidence():
    """log p(x_0): a marginal of the model's Gaussian."""
    p = joint_p()
    return norm.logpdf(START, p.mean[0], math.sqrt(p.cov[0, 0]))


def log_model(*latents):
    """log p(x_0, x_1, …, x_T), from the Gaussian."""
    return joint_p().logpdf(np.stack(np.broadcast_arrays(START, *latents), axis=-1))


def log_chain(*latents):
    """log q(x_1, …, x_T | x_0), from the Gaussian."""
    return joint_q().logpdf(np.stack(latents, axis=-1))


def gap():
    """KL(q(x_{1:T} | x_0) ‖ p(x_{1:T} | x_0)), the second one by conditioning the model's Gaussian."""
    p, q = joint_p(), joint_q()
    lift = p.cov[1:, 0] / p.cov[0, 0]
    cov = p.cov[1:, 1:] - np.outer(lift, p.cov[0, 1:])
    apart = p.mean[1:] + lift * (START - p.mean[0]) - q.mean
    log_det = np.linalg.slogdet(cov)[1] - np.linalg.slogdet(q.cov)[1]
    solve = np.linalg.solve(cov, np.column_stack([q.cov, apart]))
    return (np.trace(solve[:, :-1]) + apart @ solve[:, -1] - T + log_det) / 2


@quadrature
def kl(m, v, n, w):
    """KL(N(m, v) ‖ N(n, w)) of numbers or arrays, from its definition: the log ratio is of degree 2."""
    z, weight = np.polynomial.hermite_e.hermegauss(3)
    x = np.asarray(m)[..., None] + math.sqrt(v) * z
    ratio = norm.logpdf(x, np.asarray(m)[..., None], math.sqrt(v))
    ratio = ratio - norm.logpdf(x, np.asarray(n)[..., None], math.sqrt(w))
    return ratio @ weight / weight.sum()
