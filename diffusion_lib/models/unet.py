"""The network for pictures: a small U-Net, which looks at them coarsely and finely at once."""

from typing import Annotated

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Labels, Shape, Steps, at_least, checked, of_its_shape
from diffusion_lib.models.networks import level_waves
from diffusion_lib.process.schedules import Schedule

GROUPS = 8  # of channels that are normalised together
LEVEL = 8  # waves of log σ, as in `TimeMLP`


class ResidualBlock(nn.Module):
    """x ↦ x + f(x, level): two 3 × 3 convolutions, and between them what is known of the noise level.

    Maps pictures (B, n_in, H, W) and features of the level (B, n_level) to (B, n_out, H, W). Each channel
    gets one number from the level, the same at all pixels. The last convolution starts at 0, so a new block
    passes on what it gets.
    """

    def __init__(self, n_in: int, n_out: int, n_level: int):
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(GROUPS, n_in), nn.GroupNorm(GROUPS, n_out)
        self.conv_1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.conv_2 = from_zero(nn.Conv2d(n_out, n_out, 3, padding=1))
        self.level = nn.Linear(n_level, n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.conv_1(nn.functional.silu(self.norm_1(x)))
        h = h + self.level(level)[:, :, None, None]
        return self.skip(x) + self.conv_2(nn.functional.silu(self.norm_2(h)))


class Attention(nn.Module):
    """x ↦ x + a mean over all pixels, weighted by how well each pixel's query fits the others' keys.

    Pictures (B, C, H, W), in `heads` groups of channels (Vaswani et al. 2017, eq. 1). It starts as x ↦ x.
    """

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(GROUPS, channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = from_zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.query_key_value(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = parts.unbind(1)  # (B, heads, channels of one, pixels)
        fits = query.mT @ key / query.shape[2] ** 0.5
        mean = value @ fits.softmax(dim=-1).mT
        return x + self.out(mean.flatten(1, 2).unflatten(2, x.shape[2:]))


@checked
class UNet(nn.Module):
    """A small U-Net: pictures x_t (B, C, H, W) and steps () or (B,) → (B, C, H, W).

    On the way down each level has a residual block, and a convolution of stride 2 leads to the next, of half
    the side. At the bottom are two blocks with attention between them. On the way up each block gets what
    its level had on the way down beside what comes from below (Ronneberger et al. 2015; Ho et al. 2020). The
    step enters as eight waves of log σ_t, as in `TimeMLP`, where σ_t = √((1 − ᾱ_t)/ᾱ_t).

    Args:
        schedule: whose steps are asked about.
        shape: (C, H, W) of a picture; H and W can be halved once less than there are `widths`.
        widths: channels at each level, from the finest; multiples of 8.
        n_labels: labels 1…n_labels may be told; 0 says that none is.

    Raises:
        ValueError: for widths or sides that do not fit; in the call for pictures of another shape, steps not
            in 1…T, and labels not in 0…n_labels.
    """

    def __init__(
        self,
        schedule: Schedule,
        shape: Shape = (1, 8, 8),
        widths: Shape = (32, 64),
        n_labels: Annotated[int, at_least(0)] = 0,
    ):
        super().__init__()
        _fit(shape, widths)
        self.settings = {"shape": list(shape), "widths": list(widths), "n_labels": n_labels}
        self.T, self.shape = schedule.T, tuple(shape)
        waves = level_waves(schedule)
        classes = torch.eye(n_labels + 1)[:, 1:]  # (n_labels + 1, n_labels): row y for label y
        self.register_buffer("waves", waves.to(classes), persistent=False)  # row t for step t, row 0 unused
        self.register_buffer("classes", classes, persistent=False)

        n_level, (first, *_), last = 4 * widths[0], widths, widths[-1]
        self.level = nn.Sequential(
            nn.Linear(LEVEL + n_labels, n_level), nn.SiLU(), nn.Linear(n_level, n_level), nn.SiLU()
        )
        self.enter = nn.Conv2d(shape[0], first, 3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(w, w, n_level) for w in widths)
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.coarser = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.bottom = nn.ModuleList(
            [ResidualBlock(last, last, n_level), Attention(last), ResidualBlock(last, last, n_level)]
        )
        self.finer = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairs)
        self.up = nn.ModuleList(ResidualBlock(2 * w, w, n_level) for w in widths)
        self.leave = nn.Sequential(
            nn.GroupNorm(GROUPS, first), nn.SiLU(), from_zero(nn.Conv2d(first, shape[0], 3, padding=1))
        )

    def forward(self, x_t: Annotated[Tensor, of_its_shape], t: Steps, labels: Labels = 0) -> Tensor:
        t, labels = (torch.as_tensor(a, device=x_t.device) for a in (t, labels))
        told = [self.waves[t].expand(len(x_t), -1), self.classes[labels].expand(len(x_t), -1)]
        level = self.level(torch.cat(told, dim=1))
        x, seen = self.enter(x_t), []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else self.coarser[i - 1](x), level)
            seen.append(x)
        first, attention, second = self.bottom
        x = second(attention(first(x, level)), level)
        for i in reversed(range(len(self.up))):
            x = self.up[i](torch.cat([x, seen[i]], dim=1), level)
            if i:
                x = nn.functional.pixel_shuffle(self.finer[i - 1](x), 2)  # four channels become 2 × 2 pixels
        return self.leave(x)


def from_zero(layer: nn.Module) -> nn.Module:
    """The layer with all its weights 0."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer


def _fit(shape: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """Raise `ValueError` unless such pictures can be halved as often as the widths ask for."""
    if any(width % GROUPS for width in widths):
        raise ValueError(f"widths = {widths}; pass multiples of {GROUPS}, such as (32, 64)")
    part = 2 ** (len(widths) - 1)
    if len(shape) != 3 or shape[1] % part or shape[2] % part:
        raise ValueError(
            f"shape = {shape} with {len(widths)} widths; pass (C, H, W) with sides that {part} divides, "
            f"or fewer widths"
        )
