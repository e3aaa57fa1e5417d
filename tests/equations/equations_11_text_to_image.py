"""Chapter 11's equations, each restated from definitions: log densities, Bayes' rule, PyTorch's attention."""

import math

import numpy as np
import torch
from equations import checks
from evidence import agree, quadrature
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import multivariate_normal, norm

ROUNDING = 1e-10
RNG = np.random.default_rng(11)
NODES, WEIGHTS = hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()  # of the mean over N(0, 1)

# A picture of two numbers, a latent of one: the encoder's mean and deviation, a decoder that bends.
X, MEAN, STD, S = np.array([0.3, -0.8]), 0.4, 0.7, 0.5


def decoded(z):
    """The decoder's mean for latents (n,): (n, 2)."""
    return np.stack([np.sin(z), 0.5 * z], axis=1)


@quadrature
def bound_from_densities():
    """−E_q[log p(x | z) + log p(z) − log q(z | x)], by quadrature."""
    z = MEAN + STD * NODES
    log_x = norm.logpdf(X, decoded(z), S).sum(axis=1)
    return -(WEIGHTS * (log_x + norm.logpdf(z) - norm.logpdf(z, MEAN, STD))).sum()


@checks(
    "t2i-bound",
    on="a picture of two numbers and a latent of one, with a decoder that isn't linear",
    alike={"MEAN - STD * NODES": "the nodes are symmetric"},
)
def bound():
    r"""-\text{ELBO} = \mathbb E_{q_\phi(z\mid x)}\frac{\lVert x-\mu_\theta(z)\rVert^2}{2s^2}
    + \operatorname{KL}\big(q_\phi(z\mid x)\,\Vert\,\mathcal N(0, I)\big) + \frac D2\log 2\pi s^2 ."""
    error = (WEIGHTS * np.square(X - decoded(MEAN + STD * NODES)).sum(axis=1)).sum()
    kl = (MEAN**2 + STD**2 - 1) / 2 - math.log(STD)
    agree(error / (2 * S**2) + kl + len(X) / 2 * math.log(2 * math.pi * S**2), bound_from_densities(), 1e-9)


S_Z = 1.7
Z_0 = RNG.normal(size=1000)
Z_0 = S_Z * Z_0 / Z_0.std()  # latents with just this standard deviation
EPS = RNG.normal(size=1000)
EPS = EPS / EPS.std()


@checks("t2i-snr", on="a thousand latents of the standard deviation 1.7, at three noise levels")
def signal_to_noise():
    r"""\mathrm{SNR}_t = \frac{\operatorname{Var}\big[\sqrt{\bar\alpha_t}\,z_0\big]}
    {\operatorname{Var}\big[\sqrt{1-\bar\alpha_t}\,\varepsilon\big]}
    = s_z^2\,\frac{\bar\alpha_t}{1-\bar\alpha_t} ,"""
    for alpha_bar in (0.1, 0.5, 0.9):
        signal, noise = math.sqrt(alpha_bar) * Z_0, math.sqrt(1 - alpha_bar) * EPS
        agree(signal.var() / noise.var(), S_Z**2 * alpha_bar / (1 - alpha_bar), 1e-9, relative=True)


H, WORDS = RNG.normal(size=6), RNG.normal(size=(5, 3))  # a row of six numbers, five words of three
ASK, KEY, VALUE = RNG.normal(size=(2, 4, 6)), RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))


@checks("t2i-cross", on="two questions to five words of three numbers, against PyTorch's own attention")
def cross_attention():
    r"""a_i = \sum_{j=1}^L w_{ij}\,U e_j, \qquad w_{ij} = \frac{e^{(Q_ih)\cdot(Ke_j)/\sqrt d}}
    {\sum_l e^{(Q_ih)\cdot(Ke_l)/\sqrt d}} ."""
    size = 4
    fits = np.exp(np.einsum("icw,w,cd,jd->ij", ASK, H, KEY, WORDS) / math.sqrt(size))
    answers = fits / fits.sum(axis=1, keepdims=True) @ (WORDS @ VALUE.T)
    asked = (ASK @ H, WORDS @ KEY.T, WORDS @ VALUE.T)
    theirs = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, asked))
    agree(answers, theirs, ROUNDING)


# Six faces of two numbers each, of which the caption means four.
FACES, FITS = RNG.normal(size=(6, 2)), np.array([True, True, False, True, True, False])
SIGMA, Z = 0.6, RNG.normal(size=(5, 2))


def log_density(z, faces):
    """log p(z | c): the faces of a caption, equally likely, blurred."""
    each = [multivariate_normal.pdf(z, face, SIGMA**2) for face in faces]
    return np.log(np.mean(each, axis=0))


@checks(
    "t2i-exact",
    on="six faces of two numbers, of which four fit, at five noisy points",
    alike={
        "2 * (fit * multivariate_normal.pdf(z, face, SIGMA ** 2))": "the chances are brought to the sum 1"
    },
)
def exact():
    r"""\hat z_0(z,\sigma,c) =
    \frac{\sum_{i\,\text{fits}\,c} z_0^i\,e^{-\lVert z-z_0^i\rVert^2/2\sigma^2}}
    {\sum_{i\,\text{fits}\,c} e^{-\lVert z-z_0^i\rVert^2/2\sigma^2}} ."""
    for z in Z:
        chances = np.exp(-np.square(z - FACES[FITS]).sum(axis=1) / (2 * SIGMA**2))
        posterior = [
            fit * multivariate_normal.pdf(z, face, SIGMA**2) for fit, face in zip(FITS, FACES, strict=True)
        ]
        bayes = np.array(posterior) / sum(posterior)
        agree(chances @ FACES[FITS] / chances.sum(), bayes @ FACES, ROUNDING)


def guess(z, faces):
    """E[z_0 | z, c] by Bayes' rule."""
    chances = np.array([multivariate_normal.pdf(z, face, SIGMA**2) for face in faces])
    return chances @ faces / chances.sum()


def slope(z, faces, step=1e-4):
    """∇ log p(z | c), by central differences."""
    ends = [(z + step * e, z - step * e) for e in np.eye(2)]
    return np.array([log_density(a, faces) - log_density(b, faces) for a, b in ends]) / (2 * step)


@checks("t2i-unwanted", on="two captions of three faces each, at five noisy points and three scales")
def unwanted():
    r"""\begin{aligned}
    \hat z_0 &= \hat z_0(c_-) + w\big(\hat z_0(c_+)-\hat z_0(c_-)\big) \\
    &= z + \sigma^2\,\nabla_z\big[w\log p(z\mid c_+) - (w-1)\log p(z\mid c_-)\big] .
    \end{aligned}"""
    asked, kept_off = FACES[:3], FACES[3:]
    for w in (0.5, 2.0, 3.0):
        for z in Z:
            left = guess(z, kept_off) + w * (guess(z, asked) - guess(z, kept_off))
            right = z + SIGMA**2 * (w * slope(z, asked) - (w - 1) * slope(z, kept_off))
            agree(left, right, 1e-6)
