"""A perceptron for pictures whose parts have fixed places: it knows where a pixel is, not its neighbours."""

from typing import Annotated

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Shape, Steps, checked, of_its_shape
from diffusion_lib.models.networks import level_waves
from diffusion_lib.models.unet import LEVEL, from_zero
from diffusion_lib.process.schedules import Schedule


class DenseBlock(nn.Module):
    """h ↦ h + g · f(a · norm(h) + b): two linear layers; the noise level sets scale a, shift b and gate g.

    Maps rows (B, width) and features of the level (B, n_level) to (B, width). The gate starts at 0, so a new
    block passes on what it gets (Peebles & Xie 2023, who call this adaLN-Zero).
    """

    def __init__(self, width: int, n_level: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.body = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.level = from_zero(nn.Linear(n_level, 3 * width))

    def forward(self, h: Tensor, level: Tensor) -> Tensor:
        scale, shift, gate = self.level(level).chunk(3, dim=1)
        return h + gate * self.body(self.norm(h) * (1 + scale) + shift)


@checked
class PictureMLP(nn.Module):
    """A residual perceptron: pictures x_t (B, C, H, W) and steps () or (B,) → (B, C, H, W).

    A picture is a list of C·H·W numbers here, and every layer sees all of them. Beside what the blocks say
    stands the picture itself, times a number that depends on the noise level. The step enters as eight waves
    of log σ_t, as in `TimeMLP`. For pictures that are drawn on one grid, such as the pixel faces, it learns
    much faster than a `UNet` does on a CPU; of things that may be anywhere it knows nothing.

    Args:
        schedule: whose steps are asked about.
        shape: (C, H, W) of a picture.
        width: units of each layer.
        blocks: how many residual blocks.

    Raises:
        ValueError: in the call for pictures of another shape, and steps not in 1…T.
    """

    def __init__(self, schedule: Schedule, shape: Shape = (3, 16, 16), width: Count = 352, blocks: Count = 5):
        super().__init__()
        self.settings = {"shape": list(shape), "width": width, "blocks": blocks}
        self.T, self.shape = schedule.T, tuple(shape)
        numbers, n_level = torch.Size(shape).numel(), 4 * LEVEL
        self.level = nn.Sequential(
            nn.Linear(LEVEL, n_level), nn.SiLU(), nn.Linear(n_level, n_level), nn.SiLU()
        )
        self.enter = nn.Linear(numbers, width)
        self.blocks = nn.ModuleList(DenseBlock(width, n_level) for _ in range(blocks))
        self.leave = from_zero(nn.Linear(width, numbers))
        self.own = from_zero(nn.Linear(n_level, 1))
        waves = level_waves(schedule).to(self.enter.weight)
        self.register_buffer("waves", waves, persistent=False)  # row t for step t, row 0 unused

    def forward(self, x_t: Annotated[Tensor, of_its_shape], t: Steps) -> Tensor:
        h, level = self._seen(x_t, t)
        return (self.leave(h) + self.own(level) * x_t.flatten(1)).reshape(x_t.shape)

    def _seen(self, x_t: Tensor, t: Tensor | int) -> tuple[Tensor, Tensor]:
        """What the blocks make of pictures, (B, width), and the features of the level, (B, n_level)."""
        t = torch.as_tensor(t, device=x_t.device)
        level = self.level(self.waves[t].expand(len(x_t), -1))
        h = self.enter(x_t.flatten(1))
        for block in self.blocks:
            h = block(h, level)
        return h, level
