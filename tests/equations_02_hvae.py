"""Chapter 2's equations, each restated from definitions, on a chain in which everything is known.

The chain has three levels of one number each. Encoder and model are linear and Gaussian, so every joint
distribution is a Gaussian whose covariance follows from how the draws are made. Averages are exact: that of a
polynomial of degree two needs mean and covariance alone. Where a distribution is not Gaussian, quadrature or
a simulation with its standard error takes their place.
"""

import math

import numpy as np
from equations import checks
from evidence import agree
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

T = 3
X = 0.7  # the point whose bound is taken
UP = {1: (0.8, 0.5), 2: (-0.6, 0.7), 3: (0.9, 0.4)}  # z_t = a z_{t−1} + s ε, with s a standard deviation
DOWN = {1: (0.5, 0.2, 0.6), 2: (-0.7, -0.1, 0.9), 3: (0.4, 0.3, 0.8)}  # z_{t−1} = c z_t + d + w ε
ROUNDING = 1e-9
K = 5  # standard errors


def q(t, z_prev):
    """q(z_t | z_{t−1})."""
    a, s = UP[t]
    return norm(a * z_prev, s)


def p(t, z_t):
    """p(z_{t−1} | z_t)."""
    c, d, w = DOWN[t]
    return norm(c * z_t + d, w)


def encoder_moments(x=X):
    """Mean and covariance of (z_1, z_2, z_3) given x, from z_t = a z_{t−1} + s ε_t as a linear map of ε."""
    mean, noise = np.zeros(T), np.zeros((T, T))
    for t in range(1, T + 1):
        a, s = UP[t]
        mean[t - 1] = a * (x if t == 1 else mean[t - 2])
        noise[t - 1] = a * (noise[t - 2] if t > 1 else 0)
        noise[t - 1, t - 1] = s
    return mean, noise @ noise.T


def model_moments():
    """Mean and covariance of (x, z_1, z_2, z_3) under the model, from ancestral draws as maps of ε."""
    mean, noise = np.zeros(T + 1), np.zeros((T + 1, T + 1))
    noise[T, T] = 1
    for t in range(T, 0, -1):
        c, d, w = DOWN[t]
        mean[t - 1] = c * mean[t] + d
        noise[t - 1] = c * noise[t]
        noise[t - 1, t - 1] = w
    return mean, noise @ noise.T


ENCODER = multivariate_normal(*encoder_moments())
MODEL = multivariate_normal(*model_moments())


def log_model(z):
    """log p(x, z_1, z_2, z_3) at x = X, from the joint Gaussian."""
    return MODEL.logpdf([X, *z])


def log_ratio(z):
    """log p(x, z) − log q(z | x), from the two joint Gaussians."""
    return log_model(z) - ENCODER.logpdf(z)


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def mean_over(f, mean, cov):
    """E f(z) for z ~ N(mean, cov): exact for polynomials of degree five in each variable."""
    mean, root = np.atleast_1d(mean), np.linalg.cholesky(np.atleast_2d(cov))
    grids = np.meshgrid(*[np.arange(3)] * len(mean), indexing="ij")
    total = 0.0
    for index in zip(*(g.ravel() for g in grids), strict=True):
        z = mean + root @ NODES[list(index)]
        total += np.prod(WEIGHTS[list(index)]) * f(*z)
    return total


def elbo():
    """The joint form of the bound, by the joint Gaussians."""
    return mean_over(lambda *z: log_ratio(z), *encoder_moments())


def some_of(*levels):
    """Mean and covariance of these z_t given x."""
    mean, cov = encoder_moments()
    index = [t - 1 for t in levels]
    return mean[index], cov[np.ix_(index, index)]


def kl(one, other):
    """KL of two Gaussian numbers, by quadrature."""
    reach = 12 * one.std()
    return quad(
        lambda z: one.pdf(z) * (one.logpdf(z) - other.logpdf(z)),
        one.mean() - reach,
        one.mean() + reach,
        epsabs=1e-12,
    )[0]


def first():
    """𝓛_0 from its definition."""
    return mean_over(lambda z: -p(1, z).logpdf(X), *some_of(1))


def middle(t):
    """𝓛_t of a middle level, over the three neighbours."""
    if t == 1:  # z_0 is x, given
        return mean_over(lambda z, up: q(1, X).logpdf(z) - p(2, up).logpdf(z), *some_of(1, 2))
    return mean_over(
        lambda low, z, up: q(t, low).logpdf(z) - p(t + 1, up).logpdf(z), *some_of(t - 1, t, t + 1)
    )


def top():
    """𝓛_T, with the KL divergence by quadrature."""
    return mean_over(lambda z: kl(q(T, z), norm(0, 1)), *some_of(T - 1))


def close(left, right, tolerance=ROUNDING):
    return abs(left - right) < tolerance * (1 + abs(left) + abs(right))


POINTS = [(0.3, -0.8, 1.1), (-1.2, 0.4, 0.2), (2.0, 1.5, -0.6)]  # values of z_1, z_2, z_3


@checks("hvae-model")
def _():
    r"""p_\theta(x, z_1, \dots, z_T) = p(z_T)\,\prod_{t=1}^{T} p_\theta(z_{t-1}\mid z_t)."""
    for z in POINTS:
        state = [X, *z]
        product = norm.pdf(state[T])
        for t in range(1, T + 1):
            product *= p(t, state[t]).pdf(state[t - 1])
        agree(product, MODEL.pdf(state))


@checks("hvae-ancestral")
def _():
    r"""z_{t-1} = \mu_t(z_t) + \Sigma_t^{1/2}(z_t)\,\varepsilon_t, \qquad \varepsilon_t \sim
    \mathcal N(0, I), \qquad t = T, \dots, 1."""
    # Simulated with a variance that depends on z_t, against moments by integrals over z_t ~ N(0, 1).
    rng, n = np.random.default_rng(0), 400_000

    def var(z):
        return 0.2 + 0.5 * z**2

    z = rng.standard_normal(n)
    drawn = np.sin(z) + 0.3 + np.sqrt(var(z)) * rng.standard_normal(n)
    for power in (1, 2, 4):
        # E (m + √v ε)^k for standard normal ε: m, m² + v, m⁴ + 6 m² v + 3 v²
        def moment(u, power=power):
            m, v = math.sin(u) + 0.3, var(u)
            return {1: m, 2: m**2 + v, 4: m**4 + 6 * m**2 * v + 3 * v**2}[power] * norm.pdf(u)

        exact = quad(moment, -12, 12)[0]
        se = (drawn**power).std() / math.sqrt(n)
        agree((drawn**power).mean(), exact, K * se)


@checks("hvae-marginal")
def _():
    r"""p_\theta(x) = \int p_\theta(x, z_1, \dots, z_T)\;dz_1 \cdots dz_T,"""
    # The integral on a grid, against the marginal of the joint Gaussian.
    mean, cov = model_moments()
    grid = np.linspace(-8, 8, 81)
    z_1, z_2, z_3 = np.meshgrid(grid, grid, grid, indexing="ij")
    joint = norm.pdf(z_3) * p(3, z_3).pdf(z_2) * p(2, z_2).pdf(z_1) * p(1, z_1).pdf(X)
    agree(joint.sum() * (grid[1] - grid[0]) ** 3, norm(mean[0], cov[0, 0] ** 0.5).pdf(X))


@checks("hvae-inference")
def _():
    r"""q_\phi(z_1, \dots, z_T\mid x) = \prod_{t=1}^{T} q_\phi(z_t\mid z_{t-1})."""
    for z in POINTS:
        state = [X, *z]
        product = math.prod(q(t, state[t - 1]).pdf(state[t]) for t in range(1, T + 1))
        agree(product, ENCODER.pdf(z))


@checks("hvae-rewrite")
def _():
    r"""p_\theta(x) = \mathbb E_{q_\phi(z_1, \dots, z_T\mid x)}\left[
    \frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)}\right]."""
    # Draws from an encoder that is twice as wide, which keeps the weights bounded, averaged and compared.
    wide = multivariate_normal(encoder_moments()[0], 6 * encoder_moments()[1])
    z = wide.rvs(400_000, random_state=0)
    joint = MODEL.pdf(np.column_stack([np.full(len(z), X), z]))
    weight = joint / wide.pdf(z)
    mean, cov = model_moments()
    exact = norm(mean[0], cov[0, 0] ** 0.5).pdf(X)
    se = weight.std() / math.sqrt(len(z))
    agree(weight.mean(), exact, K * se)
    assert se < 0.01 * exact


@checks("hvae-joint")
def _():
    r"""\log p_\theta(x) \;\ge\; \mathbb E_{q_\phi(z_1, \dots, z_T\mid x)}\left[
    \log\frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)}\right] = \mathrm{ELBO}(x)."""
    # The gap is the KL to the exact posterior, a Gaussian here: positive, and 0 when it is the encoder.
    mean, cov = model_moments()
    log_p = norm(mean[0], cov[0, 0] ** 0.5).logpdf(X)
    gain = cov[1:, 0] / cov[0, 0]
    exact_mean = mean[1:] + gain * (X - mean[0])
    exact_cov = cov[1:, 1:] - np.outer(gain, cov[0, 1:])
    q_mean, q_cov = encoder_moments()
    apart = exact_mean - q_mean
    inverse = np.linalg.inv(exact_cov)
    gap = 0.5 * (np.trace(inverse @ q_cov) + apart @ inverse @ apart - T)
    gap += 0.5 * math.log(np.linalg.det(exact_cov) / np.linalg.det(q_cov))
    assert gap > 0.1
    agree(log_p - elbo(), gap)
    posterior = multivariate_normal(exact_mean, exact_cov)
    tight = mean_over(lambda *z: log_model(z) - posterior.logpdf(z), exact_mean, exact_cov)
    agree(tight, log_p)


@checks("hvae-logs")
def _():
    r"""\log\frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)} = \log p(z_T) +
    \sum_{t=1}^{T}\log p_\theta(z_{t-1}\mid z_t) - \sum_{t=1}^{T}\log q_\phi(z_t\mid z_{t-1})."""
    for z in POINTS:
        s = [X, *z]
        right = norm.logpdf(s[T])
        right += sum(p(t, s[t]).logpdf(s[t - 1]) for t in range(1, T + 1))
        right -= sum(q(t, s[t - 1]).logpdf(s[t]) for t in range(1, T + 1))
        agree(log_ratio(z), right)


@checks("hvae-shift")
def _():
    r"""\sum_{t=1}^{T}\log p_\theta(z_{t-1}\mid z_t) = \log p_\theta(x\mid z_1) +
    \sum_{t=1}^{T-1}\log p_\theta(z_t\mid z_{t+1})."""
    for z in POINTS:
        s = [X, *z]
        left = MODEL.logpdf(s) - norm.logpdf(s[T])  # all factors but the first, from the joint Gaussian
        right = p(1, s[1]).logpdf(X) + sum(p(t + 1, s[t + 1]).logpdf(s[t]) for t in range(1, T))
        agree(left, right)


@checks("hvae-paired")
def _():
    r"""\begin{aligned}
    \log\frac{p_\theta(x, z_1, \dots, z_T)}{q_\phi(z_1, \dots, z_T\mid x)} = \log p_\theta(x\mid z_1)
    &- \sum_{t=1}^{T-1}\big[\log q_\phi(z_t\mid z_{t-1}) - \log p_\theta(z_t\mid z_{t+1})\big] \\
    &- \big[\log q_\phi(z_T\mid z_{T-1}) - \log p(z_T)\big].
    \end{aligned}"""
    for z in POINTS:
        s = [X, *z]
        right = p(1, s[1]).logpdf(X)
        right -= sum(q(t, s[t - 1]).logpdf(s[t]) - p(t + 1, s[t + 1]).logpdf(s[t]) for t in range(1, T))
        right -= q(T, s[T - 1]).logpdf(s[T]) - norm.logpdf(s[T])
        agree(log_ratio(z), right)


@checks("hvae-elbo")
def _():
    r"""-\mathrm{ELBO}(x) = \sum_{t=0}^{T}\mathcal L_t ."""
    agree(-elbo(), first() + middle(1) + middle(2) + top())


@checks("hvae-first")
def _():
    r"""\mathcal L_0 = \mathbb E_{q_\phi(z_1\mid x)}\big[-\log p_\theta(x\mid z_1)\big]."""
    # What is left of the joint form when the terms of z_1, z_2, z_3 are taken away on whole chains.
    others = mean_over(
        lambda z_1, z_2, z_3: (
            q(1, X).logpdf(z_1)
            - p(2, z_2).logpdf(z_1)
            + q(2, z_1).logpdf(z_2)
            - p(3, z_3).logpdf(z_2)
            + q(3, z_2).logpdf(z_3)
            - norm.logpdf(z_3)
        ),
        *encoder_moments(),
    )
    agree(first(), -elbo() - others)


@checks("hvae-level")
def _():
    r"""\mathcal L_t = \mathbb E_{q_\phi(z_{t-1}, z_t, z_{t+1}\mid x)}\big[\log q_\phi(z_t\mid z_{t-1}) -
    \log p_\theta(z_t\mid z_{t+1})\big], \qquad 1 \le t \le T-1."""
    # On whole chains, simulated step by step; and not with z_t drawn afresh, as a KL would have it.
    rng, n = np.random.default_rng(1), 200_000
    z = {0: np.full(n, X)}
    for t in range(1, T + 1):
        a, s = UP[t]
        z[t] = a * z[t - 1] + s * rng.standard_normal(n)
    for t in (1, 2):
        ratio = q(t, z[t - 1]).logpdf(z[t]) - p(t + 1, z[t + 1]).logpdf(z[t])
        se = ratio.std() / math.sqrt(n)
        agree(ratio.mean(), middle(t), K * se)
        afresh = q(t, z[t - 1]).rvs(random_state=rng)
        wrong = q(t, z[t - 1]).logpdf(afresh) - p(t + 1, z[t + 1]).logpdf(afresh)
        assert abs(wrong.mean() - middle(t)) > 2 * K * se


@checks("hvae-top")
def _():
    r"""\mathcal L_T = \mathbb E_{q_\phi(z_{T-1}\mid x)}\;D_{\mathrm{KL}}\big(q_\phi(z_T\mid z_{T-1})\,
    \big\|\,p(z_T)\big)."""
    on_chains = mean_over(lambda low, z: q(T, low).logpdf(z) - norm.logpdf(z), *some_of(T - 1, T))
    agree(top(), on_chains)


@checks("hvae-tied")
def _():
    r"""q_\phi(z_t\mid z_{t-1}, z_{t+1}) = \frac{q_\phi(z_t\mid z_{t-1})\;q_\phi(z_{t+1}\mid z_t)}
    {q_\phi(z_{t+1}\mid z_{t-1})} ."""
    # z_2 given z_1 and z_3, by conditioning the joint Gaussian of (z_2, z_3) given z_1.
    (a, s), (b, r), low, up = UP[2], UP[3], 0.4, -0.9
    mean = np.array([a * low, b * a * low])
    cov = np.array([[s**2, b * s**2], [b * s**2, b**2 * s**2 + r**2]])
    gain = cov[0, 1] / cov[1, 1]
    exact = norm(mean[0] + gain * (up - mean[1]), math.sqrt(cov[0, 0] - gain * cov[0, 1]))
    for z in (-1.0, 0.1, 0.8):
        bayes = q(2, low).pdf(z) * q(3, z).pdf(up) / norm(mean[1], math.sqrt(cov[1, 1])).pdf(up)
        agree(exact.pdf(z), bayes)
        assert not close(exact.pdf(z), q(2, low).pdf(z), 1e-3)  # not the guess from below


@checks("hvae-network")
def _():
    r"""v \sim \mathcal N\big(u + m(u),\ \mathrm{diag}(s(u)^2)\big), \qquad
    s(u) = 0.01 + \log\big(1 + e^{r(u)}\big),"""
    # A definition: the library's level against it, with the perceptron's outputs put in by hand.
    import torch

    from diffusion_lib.hvae import GaussianMLP

    level = GaussianMLP(2, 2)
    torch.nn.init.zeros_(level.body[-1].weight)
    with torch.no_grad():
        level.body[-1].bias[:] = torch.tensor([0.3, -0.2, 1.5, -4.0])
    u = torch.tensor([[0.5, 2.0]])
    v = level(u)
    std = [0.01 + math.log(1 + math.exp(r)) for r in (1.5, -4.0)]
    agree(v.mean.detach(), [[0.8, 1.8]], 1e-6, relative=True)
    agree(v.var.detach(), [[std[0] ** 2, std[1] ** 2]], 1e-5, relative=True)


def noisy_coin():
    """A level whose input is −1 or 1, a coin's toss: q(z) is a mixture, and I_t no Gaussian formula."""
    inputs, std = np.array([-1.0, 1.0]), 0.8

    def average(z):
        return norm(inputs[:, None], std).pdf(z).mean(axis=0)

    return inputs, std, average


def coin_information():
    """H(z) − H(z | input): the mutual information, by quadrature over the entropies."""
    _, std, average = noisy_coin()
    z = np.linspace(-9, 9, 20_001)
    density = average(z)
    entropy = -(density * np.log(density)).sum() * (z[1] - z[0])
    return entropy - 0.5 * math.log(2 * math.pi * math.e * std**2)


@checks("hvae-information")
def _():
    r"""I_t = \mathbb E_{q_\phi(z_{t-1})}\;D_{\mathrm{KL}}\big(q_\phi(z_t\mid z_{t-1})\,\big\|\,q_\phi(z_t)
    \big)."""
    inputs, std, average = noisy_coin()
    z = np.linspace(-9, 9, 20_001)
    total = 0.0
    for centre in inputs:
        density = norm(centre, std).pdf(z)
        total += (density * np.log(density / average(z))).sum() * (z[1] - z[0]) / len(inputs)
    agree(total, coin_information(), 1e-6)


@checks("hvae-information-estimate")
def _():
    r"""\hat I_t = \frac1n\sum_{i=1}^{n}\log\frac{q_\phi(z_t^{(i)}\mid z_{t-1}^{(i)})}
    {\frac1n\sum_{j=1}^{n} q_\phi(z_t^{(i)}\mid z_{t-1}^{(j)})} ."""
    inputs, std, _ = noisy_coin()
    rng, n = np.random.default_rng(2), 2000
    low = rng.choice(inputs, n)
    z = low + std * rng.standard_normal(n)
    table = norm(low[None, :], std).pdf(z[:, None])
    ratios = np.log(np.diagonal(table) / table.mean(axis=1))
    se = ratios.std() / math.sqrt(n)
    agree(ratios.mean(), coin_information(), K * se)
    assert ratios.max() <= math.log(n)  # a ratio is at most n
    # Of few Gaussians the point's own is a large part: on average, the estimate is too small.
    low = rng.choice(inputs, (20_000, 3))
    z = low + std * rng.standard_normal((20_000, 3))
    table = np.exp(-((z[:, :, None] - low[:, None, :]) ** 2) / (2 * std**2))
    own = np.diagonal(table, axis1=1, axis2=2)
    small = np.log(own / table.mean(axis=2)).mean(axis=1)
    assert small.mean() < coin_information() - K * small.std() / math.sqrt(len(small))


@checks("hvae-one-gaussian")
def _():
    r"""\mathbb E_x\big[-\log \mathcal N(x;\ \bar x, \mathrm{diag}(v_1, v_2))\big] =
    \tfrac12\log(2\pi e\,v_1) + \tfrac12\log(2\pi e\,v_2),"""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.exponential(2, 500), rng.choice([-1.0, 0.5], 500)])  # any data: it is exact
    mean, v = x.mean(axis=0), x.var(axis=0)
    left = -multivariate_normal(mean, np.diag(v)).logpdf(x).mean()
    agree(left, 0.5 * math.log(2 * math.pi * math.e * v[0]) + 0.5 * math.log(2 * math.pi * math.e * v[1]))
    for other in (multivariate_normal(mean, np.diag(1.1 * v)), multivariate_normal(mean + 0.1, np.diag(v))):
        assert -other.logpdf(x).mean() > left  # it is the best one


@checks("hvae-frozen")
def _():
    r"""q(z_t\mid z_{t-1}) = \mathcal N\big(z_t;\ \sqrt{\alpha_t}\,z_{t-1},\ (1-\alpha_t) I\big), \qquad
    0 < \alpha_t < 1."""
    # A definition: the library's frozen encoder against it.
    import torch

    from diffusion_lib.hvae import HVAE
    from diffusion_lib.schedules import Schedule

    alphas = [1.0, 0.9, 0.5, 0.3]
    model = HVAE(T=3, schedule=Schedule(torch.tensor(alphas, dtype=torch.float64)))
    z = torch.tensor([[0.5, -2.0]])
    for t in (1, 2, 3):
        level = model.encode(z, t)
        agree(level.mean, math.sqrt(alphas[t]) * z, 1e-6, relative=True)
        agree(level.var, 1 - alphas[t], 1e-6, relative=True)


@checks("hvae-variance")
def _():
    r"""\mathrm{Var}(z_t) = \alpha_t\,\mathrm{Var}(z_{t-1}) + (1-\alpha_t)."""
    # For an input of any shape: 0 or 1, a coin's toss of variance 1/4; moments of the mixture by quadrature.
    alpha = 0.6
    z = np.linspace(-8, 9, 40_001)
    density = norm(np.array([[0.0], [math.sqrt(alpha)]]), math.sqrt(1 - alpha)).pdf(z).mean(axis=0)
    step = z[1] - z[0]
    mean = (z * density).sum() * step
    var = ((z - mean) ** 2 * density).sum() * step
    agree(var, alpha / 4 + (1 - alpha))


@checks("hvae-split")
def _():
    r"""\mathbb E_x\,\mathcal L_T = I_T + D_{\mathrm{KL}}\big(q(z_T)\,\big\|\,p(z_T)\big)."""
    inputs, std, average = noisy_coin()
    left = np.mean([kl(norm(centre, std), norm(0, 1)) for centre in inputs])
    z = np.linspace(-9, 9, 20_001)
    density = average(z)
    mismatch = (density * (np.log(density) - norm.logpdf(z))).sum() * (z[1] - z[0])
    agree(left, coin_information() + mismatch, 1e-6)
