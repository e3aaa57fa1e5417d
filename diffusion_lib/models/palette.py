"""Pictures of few colours: a network that says how likely each is, and the model that trains it by that.

Such a model is a good refiner of what another has begun, if its schedule stops early: then it learns nothing
but the end of the way.
"""

from typing import Annotated

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import Count, Points, Shape, Steps, between, checked, of_its_shape
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.unet import from_zero
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import Schedule, at

NEVER = -1e4  # the logarithm of a share, for a colour that is not in the palette


@checked
class PaletteMLP(PictureMLP):
    """A `PictureMLP` that predicts x_0 by choosing colours: pictures x_t (B, C, H, W) and steps → x̂_0.

    Each place, pixel i, has a palette of its own: colours c_1, c_2, … that pictures have there. The blocks
    say how likely each is, as logits; what x_t shows at the pixel itself is added by Bayes' rule,

        log p(c | x_t) = logit + log share + log(N_c / max N + doubt) + constant,

    where N_c = N(x_t,i; √ᾱ_t c, (1 − ᾱ_t) I), the share is that of c at this place, and x̂_0 has the mean
    colour, Σ p(c | x_t) c, at each pixel: what E[x_0 | x_t] is if the probabilities are right, whatever
    pixels have to do with each other. A pixel's own evidence counts up to log(1 + 1/doubt) nats: in pictures
    that a sampler has half made, single pixels have gone wrong, and the blocks must be able to overrule them.
    This is how text, too, is learned by continuous diffusion (Dieleman et al. 2022). `learn_palette` comes
    before training.

    Args:
        schedule, shape, width, blocks: as in `PictureMLP`.
        colours: K, the most that a palette has.
        rank: the numbers of which all logits are linear functions.
        doubt: the share of pixels that are supposed to be wrong.

    Raises:
        ValueError: in calls for pictures of another shape, and steps not in 1…T.
    """

    def __init__(
        self,
        schedule: Schedule,
        shape: Shape = (3, 16, 16),
        width: Count = 320,
        blocks: Count = 5,
        colours: Count = 24,
        rank: Count = 80,
        doubt: Annotated[float, between(0, 1, "a number between 0 and 1, such as 0.03")] = 0.03,
    ):
        super().__init__(schedule, shape, width, blocks)
        self.settings |= {"colours": colours, "rank": rank, "doubt": doubt}
        self.doubt, self.colours, places = doubt, colours, torch.Size(shape).numel() // shape[0]
        self.gain = from_zero(nn.Linear(self.own.in_features, width))
        self.leave = nn.Sequential(
            nn.Linear(width, rank, bias=False), from_zero(nn.Linear(rank, places * colours))
        )
        del self.own
        self.register_buffer("palette", torch.zeros(places, colours, shape[0]))  # c, in units of x_0
        self.register_buffer("log_share", torch.zeros(places, colours))  # in the pictures it was learnt from
        var = (1 - schedule.alpha_bar[1:]).to(self.palette)
        pull = nn.functional.pad(schedule.signal[1:].to(var) / var, (1, 0))
        self.register_buffer("pull", pull, persistent=False)  # √ᾱ/(1 − ᾱ), row 0 unused
        self.register_buffer("signal", schedule.signal.to(var), persistent=False)

    @torch.no_grad()
    def learn_palette(self, x_0: Points) -> None:
        """Take each place's colours from pictures (n, C, H, W): the means of K clusters if there are more."""
        pixels = self._pixels(x_0.detach()).permute(2, 0, 1).cpu().double().numpy()  # (places, n, C)
        for place, rows in enumerate(pixels):
            found, counts = np.unique(rows, axis=0, return_counts=True)
            if len(found) > self.colours:
                clusters = KMeans(self.colours, n_init=3, random_state=0).fit(found, sample_weight=counts)
                counts = np.bincount(clusters.labels_, counts, self.colours)
                found = clusters.cluster_centers_
            self.palette[place].zero_()[: len(found)] = torch.from_numpy(found).to(self.palette)
            share = torch.from_numpy(counts / counts.sum()).to(self.log_share)
            self.log_share[place].fill_(NEVER)[: len(found)] = share.log().clamp(min=NEVER)

    def logits(self, x_t: Annotated[Tensor, of_its_shape], t: Steps) -> Tensor:
        """log p(c | x_t) + constant, for the K colours of each place: (B, H·W, K)."""
        h, level = self._seen(x_t, t)
        said = self.leave(h * (1 + self.gain(level))).unflatten(1, self.log_share.shape)
        pull, signal = self.pull[t].expand(len(x_t)), self.signal[t].expand(len(x_t))
        near = self._near(x_t, signal).masked_fill(self.log_share <= NEVER, -torch.inf)
        evidence = pull[:, None, None] * (near - near.amax(dim=2, keepdim=True))  # log(N_c / max N)
        return said + self.log_share + (evidence.exp() + self.doubt).log()

    def _near(self, x: Tensor, scale: Tensor) -> Tensor:
        """x_i · c − s ‖c‖²/2 for pictures x and scales s (B,): (B, H·W, K), greatest where s c is nearest.

        Times s/var it is the logarithm of N(x_i; s c, var I), but for what is the same for all colours.
        """
        square = self.palette.square().sum(dim=2) / 2
        return torch.einsum("bcp,pkc->bpk", self._pixels(x), self.palette) - scale[:, None, None] * square

    def _painted(self, choices: Tensor) -> Tensor:
        """Pictures whose pixels have these colours of their palettes: (B, H·W) → (B, C, H, W)."""
        return self.palette[torch.arange(choices.shape[1]), choices].mT.reshape(-1, *self.shape)

    @torch.no_grad()
    def _misprinted(self, x_0: Tensor, generator: Generator | None) -> Tensor:
        """Pictures in which a share `doubt` of all pixels has another colour, as it comes at that place."""
        share = self.log_share.exp()
        other = torch.multinomial(share, len(x_0), replacement=True, generator=generator).T
        wrong = torch.rand(other.shape, generator=generator, device=x_0.device) < self.doubt
        return torch.where(wrong.view(-1, 1, *self.shape[1:]), self._painted(other), x_0)

    def _pixels(self, x: Tensor) -> Tensor:
        """Pictures as (B, C, H·W)."""
        return x.reshape(len(x), self.shape[0], -1)

    def forward(self, x_t: Annotated[Tensor, of_its_shape], t: Steps) -> Tensor:
        shares = self.logits(x_t, t).softmax(dim=2)
        return torch.einsum("bpk,pkc->bcp", shares, self.palette).reshape(x_t.shape)

    @torch.no_grad()
    def choices(self, x_0: Points) -> Tensor:
        """Which colour of its place's palette is nearest to each pixel of pictures (B, C, H, W): (B, H·W)."""
        near = self._near(x_0, torch.ones(len(x_0)).to(x_0))
        return near.masked_fill(self.log_share <= NEVER, -torch.inf).argmax(dim=2)


@checked
class PaletteDiffusion(Diffusion):
    """A `Diffusion` with predict = "x_0" whose network, a `PaletteMLP`, learns to *name* colours.

    The loss is a cross entropy, the mean over pixels of −log p(c | x_t) for the colour c that the picture
    has, in nats. It is least, as the squared error is, where the probabilities are right; but a network that
    is wrong and sure of it learns faster from it. Noise is added to *misprinted* pictures, in which a share
    `network.doubt` of the pixels has another colour: so the network learns to overrule single pixels.

    Raises:
        ValueError: in `loss` for a network without `logits` and `choices`; and as `Diffusion` does.
    """

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """The cross entropy on pictures x_0 (B, *shape), with one random t in 1…T for each; a scalar."""
        if not isinstance(self.network, PaletteMLP) or self.predict != "x_0":
            kind = type(self.network).__name__
            raise ValueError(
                f'network is a {kind} and predict = "{self.predict}"; pass a PaletteMLP, and predict = "x_0"'
            )
        t = self._random_steps(len(x_0), generator, x_0.device)
        eps, seen = standard_normal(x_0.shape, x_0, generator), self.network._misprinted(x_0, generator)
        x_t = at(self.schedule.signal, t, x_0) * seen + at(self.schedule.noise, t, x_0) * eps
        logits = self.network.logits(x_t, t)
        return nn.functional.cross_entropy(logits.flatten(0, 1), self.network.choices(x_0).flatten())
