"""Chapter 10's equations, each restated from definitions: sums over pixels, couplings, integrals."""

import math

import numpy as np
import sympy as sp
import torch
from equations import checks
from evidence import agree, exceeds, identity, quadrature, shares
from scipy.linalg import sqrtm
from scipy.special import rel_entr, softmax
from scipy.stats import multivariate_normal, norm

(gamma,) = shares("gamma,")
ROUNDING = 1e-10
RNG = np.random.default_rng(10)
QUERIES, KEYS, VALUES = RNG.normal(size=(3, 5, 4))  # five pixels, four numbers each

# Two sets of eight points in three dimensions: their moments are exact, and all pairings can be tried.
X, Y = RNG.normal(size=(8, 3)) * [1.0, 2.0, 0.5], RNG.normal(size=(8, 3)) + [0.5, 0.0, -1.0]
M_X, M_Y = X.mean(axis=0), Y.mean(axis=0)
C_X, C_Y = (np.cov(points.T, bias=True) for points in (X, Y))
PAIRINGS = [RNG.permutation(8) for _ in range(20)]


@checks("img-attention", on="five pixels with four numbers each, against PyTorch's own attention")
def attention():
    r"""a_i = \sum_j w_{ij}\,u_j, \qquad
    w_{ij} = \frac{e^{q_i\cdot k_j/\sqrt d}}{\sum_l e^{q_i\cdot k_l/\sqrt d}} ."""
    size = 4
    fits = np.exp(np.einsum("ic,jc->ij", QUERIES, KEYS) / math.sqrt(size))
    mean = np.einsum("ij,jc->ic", fits / fits.sum(axis=1, keepdims=True), VALUES)
    theirs = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, (QUERIES, KEYS, VALUES)))
    agree(mean, theirs, ROUNDING)


WEIGHTS = sp.symbols("theta_0:5", real=True)


def averaged(i):
    """The moving average after i steps, one after the other."""
    average = WEIGHTS[0]
    for theta in WEIGHTS[1 : i + 1]:
        average = average + (1 - gamma) * (theta - average)
    return average


@checks("img-ema")
def moving_average():
    r"""\begin{aligned}
    \bar\theta_i &= \gamma\,\bar\theta_{i-1} + (1-\gamma)\,\theta_i \\
    &= \gamma^{\,i}\,\bar\theta_0 + (1-\gamma)\sum_{j=1}^{i} \gamma^{\,i-j}\,\theta_j .
    \end{aligned}"""
    i = 4
    identity(gamma * averaged(3) + (1 - gamma) * WEIGHTS[4], averaged(4))
    terms = [gamma ** (i - j) * theta for j, theta in enumerate(WEIGHTS)]
    identity(gamma**i * WEIGHTS[0] + (1 - gamma) * sum(terms[1:]), averaged(4))


@checks("img-pairing", on="twenty pairings of two sets of eight points in three dimensions")
def pairing():
    r"""\mathbb E\,\lVert x-y\rVert^2 = \lVert m_x-m_y\rVert^2 + \operatorname{tr} C_x
    + \operatorname{tr} C_y - 2\operatorname{tr} K ."""
    for order in PAIRINGS:
        K = X.T @ Y[order] / len(X) - np.outer(M_X, M_Y)
        moments = ((M_X - M_Y) ** 2).sum() + np.trace(C_X) + np.trace(C_Y) - 2 * np.trace(K)
        agree(moments, np.square(X - Y[order]).sum(axis=1).mean(), ROUNDING)


def root(matrix):
    """The symmetric root, by eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def best_coupling():
    """K of the optimal map of two Gaussians, y − m_y = A (x − m_x) with A symmetric and A C_x A = C_y."""
    back = np.linalg.inv(root(C_X))
    A = back @ np.real(sqrtm(root(C_X) @ C_Y @ root(C_X))) @ back
    agree(A @ C_X @ A, C_Y, 1e-8)
    return C_X @ A


def other_couplings():
    """K for M that stretch nothing: random rotations."""
    for seed in range(50):
        M = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
        yield root(C_X) @ M @ root(C_Y)


@checks("img-trace", on="the optimal map of two Gaussians in three dimensions, and fifty other couplings")
def trace():
    r"""\max_{\text{pairings}}\ \operatorname{tr} K
    = \operatorname{tr}\big(C_x^{1/2}\,C_y\,C_x^{1/2}\big)^{1/2} ."""
    values = np.linalg.eigvalsh(root(C_X) @ C_Y @ root(C_X))
    most = np.sqrt(values).sum()
    agree(most, np.trace(best_coupling()), 1e-8)
    exceeds(most, [np.trace(K) for K in other_couplings()])


@checks("img-frechet", on="two Gaussians in three dimensions, against the map that is optimal for them")
def frechet():
    r"""\begin{aligned}
    \mathrm{FD} &= \lVert m_x-m_y\rVert^2 \\
    &\quad + \operatorname{tr}\Big(C_x + C_y - 2\big(C_x^{1/2}\,C_y\,C_x^{1/2}\big)^{1/2}\Big) .
    \end{aligned}"""
    found = ((M_X - M_Y) ** 2).sum() + np.trace(C_X + C_Y - 2 * root(root(C_X) @ C_Y @ root(C_X)))
    K = best_coupling()
    apart = C_X - K - K.T + C_Y  # the covariance of x − y
    agree(found, np.square(M_X - M_Y).sum() + np.trace(apart), 1e-8)


# Four pictures of three pixels in a row; the patch of the first pixel is the first two.
PICTURES, SEEN, NOISE = RNG.normal(size=(4, 3)), RNG.normal(size=3), 0.7


@checks("img-patch", on="four pictures of three pixels, against Bayes' rule with Gaussian densities")
def patch():
    r"""\hat x_0^{\,p}(z,\sigma) = \sum_i \omega_i\,x_i^{\,p}, \qquad
    \omega_i = \frac{e^{-\lVert z^{P} - x_i^{P}\rVert^2/2\sigma^2}}
    {\sum_j e^{-\lVert z^{P} - x_j^{P}\rVert^2/2\sigma^2}} ."""
    patches, z_patch = PICTURES[:, :2], SEEN[:2]
    weight = np.exp(-((z_patch - patches) ** 2).sum(axis=1) / (2 * NOISE**2))
    guess = (weight / weight.sum() * PICTURES[:, 0]).sum()
    joint = [multivariate_normal(x[:2], NOISE**2).pdf(SEEN[:2]) for x in PICTURES]
    agree(guess, np.average(PICTURES[:, 0], weights=joint), ROUNDING)


PLACE = np.linspace(-12, 12, 48_001)


@quadrature
def kl_in_bits(p, q):
    """KL(p ‖ q) of two densities on the grid."""
    return float(rel_entr(p, q).sum() * (PLACE[1] - PLACE[0]) / math.log(2))


def beside(low, high, seen=0.5):
    """q(z′ | z, x_0) on the grid for two values of x_0."""
    kappa = low**2 / high**2
    return [
        norm.pdf(PLACE, kappa * seen + (1 - kappa) * x, low * math.sqrt(1 - kappa)) for x in (TRUE, GUESS)
    ]


TRUE, GUESS = 0.8, -0.3


@checks(
    "img-kl",
    on="one pixel, with three pairs of noise levels",
    alike={"kl_in_bits(q, p)": "of two Gaussians of one width"},
)
def divergence():
    r"""\mathrm{KL} = \frac{1}{2\ln 2}\Big(\frac1{\sigma'^2} - \frac1{\sigma^2}\Big)\,
    \lVert x_0 - \hat x_0(z,\sigma)\rVert^2 ."""
    for low, high in ((0.5, 0.9), (0.7, 2.0), (1.0, 1.2)):
        p, q = beside(low, high)
        found = (1 / low**2 - 1 / high**2) * (TRUE - GUESS) ** 2 / (2 * math.log(2))
        agree(found, kl_in_bits(p, q), 1e-8)


COLOURS, LOGITS = RNG.normal(size=(4, 3)), RNG.normal(size=4)  # that may stand at a pixel
SHARES, DOUBT, SHOWN = np.array([0.4, 0.3, 0.2, 0.1]), 0.03, np.array([0.3, -0.2, 0.6])


@checks(
    "img-palette",
    on="a pixel of four colours at three noise levels, believed or doubted, each by Bayes' rule",
    alike=dict.fromkeys(
        (
            "2 * (SHARES * np.exp(LOGITS) * (N / N.max() + DOUBT))",
            "2 * (SHARES * np.exp(LOGITS))",
            "2 * (prior * density)",
        ),
        "it is divided by its own sum",
    ),
)
def named_colours():
    r"""\begin{aligned}
    p_c &\propto s_c\,e^{\ell_c}\,\Big(\frac{N_c}{\max_{c'} N_{c'}} + \delta\Big) , \\
    N_c &= \mathcal N\big(x_{t,i};\,\sqrt{\bar\alpha_t}\,c,\,(1-\bar\alpha_t)I\big) , \\
    \hat x_{0,i} &= \sum_c p_c\,c .
    \end{aligned}"""
    for kept in (0.2, 0.6, 0.95):
        N = np.exp(-((SHOWN - math.sqrt(kept) * COLOURS) ** 2).sum(axis=1) / (2 * (1 - kept)))
        p = SHARES * np.exp(LOGITS) * (N / N.max() + DOUBT)
        guess = (p / p.sum()) @ COLOURS
        density = np.array([multivariate_normal(math.sqrt(kept) * c, 1 - kept).pdf(SHOWN) for c in COLOURS])
        prior = softmax(np.log(SHARES) + LOGITS)
        believed, doubted = prior @ density, DOUBT * density.max()
        means = [np.average(COLOURS, axis=0, weights=weights) for weights in (prior * density, prior)]
        agree(guess, np.average(means, axis=0, weights=[believed, doubted]), ROUNDING)
