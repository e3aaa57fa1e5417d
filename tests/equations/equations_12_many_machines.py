"""Chapter 12's equations: means in parts, correlated rows, what is held, computed and sent."""

import copy
from itertools import product

import numpy as np
import sympy as sp
import torch
from equations import checks
from evidence import agree, identity
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from diffusion_lib.many.costs import kept_for_backward

V, rho = sp.symbols("V rho", positive=True)
ROUNDING = 1e-12


@checks("many-mean", on="ten rows in three parts, and a loss that is no square")
def mean_in_parts():
    r"""
    \nabla L = \frac1B\sum_{j=1}^{B} g_j = \sum_{k=1}^{p}\frac{B_k}{B}\;\bar g_k, \qquad
    \bar g_k = \frac1{B_k}\sum_{j\in R_k} g_j .
    """
    g = sp.symbols("g1:11", real=True)
    shards = (g[:4], g[4:7], g[7:])
    means = [sum(shard) / len(shard) for shard in shards]
    identity(sum(g) / 10, sum(len(shard) * mean / 10 for shard, mean in zip(shards, means, strict=True)))
    w, x = np.array(0.3), np.linspace(-1, 2, 10)
    step = 1e-5
    slope = (loss(w + step, x) - loss(w - step, x)) / (2 * step)
    agree(np.cos(w - x).sum() / 10, slope, within=1e-9)


def loss(w, x):
    """The mean of the rows' losses, of which none is quadratic."""
    return np.sin(w - x).mean()


@checks("many-shared", on="three processes of two rows each")
def shared():
    r"""
    \operatorname{Var}\Big[\frac1B\sum_{j=1}^B g_j\Big] = \frac{V}{B}\,\bigl(1 + (p-1)\,\rho\bigr) .
    """
    noise = [0, 1, 0, 1, 0, 1]  # which noise each of the six rows has
    pairs = product(enumerate(noise), repeat=2)
    total = sum(V if i == j else V * rho if a == b else 0 for (i, a), (j, b) in pairs)
    identity(total / 36, V / 6 * (1 + 2 * rho))


# Gradients of three data points under four noises, as unlike each other as may be.
TABLE = np.array([[0.3, -1.2, 2.0, 0.1], [1.4, 0.2, -0.5, -2.2], [0.0, 3.1, 0.7, 1.9]])
POINT, NOISE = np.array([0.5, 0.2, 0.3]), np.array([0.1, 0.4, 0.3, 0.2])


def variance(values, weights):
    """Of values with these probabilities."""
    return (weights * values**2).sum() - (weights * values).sum() ** 2


@checks("many-rho", on="three data points and four noises")
def correlation():
    r"""
    \rho = \frac{\operatorname{Var}\bigl(\mathbb E[g\mid t,\varepsilon]\bigr)}{V} .
    """
    each = variance(TABLE, POINT[:, None] * NOISE)
    weight = POINT[:, None, None] * POINT[:, None] * NOISE  # two data points, one noise
    products = (weight * TABLE[:, None] * TABLE).sum()
    mean = (POINT[:, None] * NOISE * TABLE).sum()
    agree(variance(POINT @ TABLE, NOISE) / each, (products - mean * mean) / each, within=ROUNDING)


@checks("many-memory", on="a small network after a step of AdamW")
def memory():
    r"""M = 20\,N + a\,B \quad\text{bytes} ."""
    network = nn.Sequential(nn.Linear(5, 7, bias=False), nn.SiLU(), nn.Linear(7, 3, bias=False))
    optimiser, average = torch.optim.AdamW(network.parameters()), copy.deepcopy(network)
    x = torch.randn(11, 5)
    network(x).square().mean().backward()
    optimiser.step()
    moments = [state[name] for state in optimiser.state.values() for name in ("exp_avg", "exp_avg_sq")]
    weights = [*network.parameters(), *average.parameters()]
    held = [*weights, *(w.grad for w in network.parameters()), *moments]
    counted = sum(tensor.nbytes for tensor in held) + kept_for_backward(lambda: network(x).square().sum())
    a = 4 * (5 + 7 + 7 + 3)  # the input, what SiLU gets and gives, and what is squared
    agree(20 * (5 * 7 + 7 * 3) + a * 11, counted, within=0)


@checks("many-flops", on="a window of 3 × 3, 2 channels to 5, 7 × 4 pixels")
def operations():
    r"""F = 2\,s^2\,C_{\text{in}}\,C_{\text{out}}\,H\,W"""
    layer = nn.Conv2d(2, 5, 3, padding=1)
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, 2, 7, 4))
    agree(2 * 3**2 * 2 * 5 * 7 * 4, counter.get_total_flops(), within=0)


def sent_round(size, p):
    """What one process sends: p − 1 pieces on the way to the sums, and p − 1 sums on the way to all."""
    pieces = [size / p] * p
    return sum(pieces[1:]) + sum(pieces[:-1])


@checks("many-ring", on="two processes and five")
def ring():
    r"""2\,\frac{p-1}{p}\;S"""
    for p in (2, 5):
        agree(2 * (p - 1) / p * 120, sent_round(120, p), within=ROUNDING * 100)


@checks("many-time", on="a clock that runs on, call by call and message by message")
def time():
    r"""
    \text{time} = c_0 + \frac Bp\,\bigl(c_1\,3F + c_2\,a\bigr) + 2\,(p-1)\Big(c_3 + c_4\,\frac{S}{p}\Big) .
    """
    c = (0.7, 0.03, 0.011, 0.05, 0.002)
    F, a, S, B = 1.9, 2.3, 40, 12
    for p in (2, 3):
        clock = c[0]
        for _ in range(B // p):  # forward, the weights' gradient, the input's, and what is kept
            clock += c[1] * F + c[1] * F + c[1] * F + c[2] * a
        clock += c[4] * sent_round(S, p)
        clock += c[3] * len([*range(1, p), *range(1, p)])
        found = c[0] + B / p * (c[1] * 3 * F + c[2] * a) + 2 * (p - 1) * (c[3] + c[4] * S / p)
        agree(found, clock, within=ROUNDING * 10)
