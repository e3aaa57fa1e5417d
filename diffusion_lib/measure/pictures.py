"""How good are pictures? Are they like the real ones, and are they new?

Pictures are rows of levels here, (n, C, H, W): whole numbers, as `PixelScale.undo` gives them.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Points, checked, of_its_shape, same_type
from diffusion_lib.measure.evaluation import Figure

FEATURES = Path(__file__).with_name("features")
KINDS = {  # of pictures: shape, highest level, channels and strides of two convolutions, how many answers
    "digits": ((1, 8, 8), 16, (8, 16), (1, 2), 10),
    "faces": ((3, 16, 16), 255, (16, 32), (2, 2), 58),
}
N_FEATURES = 64


@checked
class PictureFeatures(nn.Module):
    """64 numbers that say what a picture shows: what a small classifier computes before its answers.

    Two convolutions and a linear layer, for levels (n, C, H, W) of "digits" or "faces"; over the training
    pictures each feature has about mean 0 and standard deviation 1. The classifier of digits answers with the
    digit; that of faces, with the word for each part. `picture_features` gives the trained one, whose weights
    never change: distances between features can be compared only as long as the features are the same.
    """

    def __init__(self, kind: Literal["digits", "faces"]):
        super().__init__()
        self.shape, self.highest, (a, b), strides, answers = KINDS[kind]
        side = self.shape[1] // (strides[0] * strides[1])
        self.body = nn.Sequential(
            nn.Conv2d(self.shape[0], a, 3, strides[0], padding=1), nn.SiLU(),
            nn.Conv2d(a, b, 3, strides[1], padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(b * side**2, N_FEATURES),
            nn.BatchNorm1d(N_FEATURES, affine=False),
        )  # fmt: skip
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(N_FEATURES, answers))

    def forward(self, levels: Annotated[Tensor, of_its_shape]) -> Tensor:
        """The features, (n, 64)."""
        return self.body(2 * levels / self.highest - 1)

    def answers(self, levels: Annotated[Tensor, of_its_shape]) -> Tensor:
        """What the classifier says: logits, (n, answers)."""
        return self.head(self(levels))


@checked
def picture_features(kind: Literal["digits", "faces"]) -> PictureFeatures:
    """The fixed features of this kind of pictures."""
    return _loaded(kind)


@cache
def _loaded(kind: str) -> PictureFeatures:
    features = PictureFeatures(kind)
    kept = load_file(FEATURES / f"{kind}.safetensors")
    features.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in kept.items()})
    return features.eval().requires_grad_(False)


@checked
@torch.no_grad()
def frechet_distance(x: Points, y: Annotated[Points, same_type("x")]) -> float:
    """‖μ_x − μ_y‖² + tr(C_x + C_y − 2 (C_x C_y)^½): how far apart two sets of points (n, …) are as Gaussians.

    Means and covariances are those of the sets, at least two points each. Of the features of pictures this is
    the distance of Heusel et al. (2017). Small sets score too much, so compare sets of one size only.
    """
    x, y = x.flatten(1).double(), y.flatten(1).double()
    if min(len(x), len(y)) < 2:
        raise ValueError(f"x and y have {len(x)} and {len(y)} points; pass at least 2 of each")
    (mean_x, cov_x), (mean_y, cov_y) = _moments(x), _moments(y)
    values, vectors = torch.linalg.eigh(cov_x)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT  # C_x^½
    both = torch.linalg.eigvalsh(root @ cov_y @ root).clamp(min=0)  # those of C_x C_y
    apart = (mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace() - 2 * both.sqrt().sum()
    return max(0.0, float(apart))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of points (n, D)."""
    mean = x.mean(dim=0)
    return mean, (x - mean).mT @ (x - mean) / (len(x) - 1)


@checked
@torch.no_grad()
def nearest_distances(x: Points, points: Annotated[Points, same_type("x")], k: Count = 1) -> Tensor:
    """Distances ‖x − p‖ from each picture x (n, …) to the k nearest of `points` (N, …), rising: (n, k)."""
    if k > len(points):
        raise ValueError(f"k = {k} and there are {len(points)} points; take k of at most {len(points)}")
    points, distances = points.flatten(1), []
    centre = points.double().mean(dim=0)
    centred = points.double() - centre
    for rows in x.flatten(1).split(500):
        # Found by a product in float64, which is many times as fast; measured by differences.
        apart = centred.square().sum(dim=1) - 2 * (rows.double() - centre) @ centred.mT
        found = points[apart.topk(k, dim=1, largest=False).indices]
        distances.append((rows[:, None] - found).norm(dim=2).sort(dim=1).values)
    return torch.cat(distances)


@checked
@torch.no_grad()
def share_copied(x: Points, train: Annotated[Points, same_type("x")]) -> float:
    """The share of pictures that are memorised: three times nearer to one training picture than to any other.

    That is d_1 < d_2/3, with the distances to the two nearest (Yoon et al. 2023).
    """
    if len(train) < 2:
        raise ValueError(f"train has {len(train)} picture; pass at least 2")
    first, second = nearest_distances(x, train, 2).unbind(1)
    return float((first < second / 3).double().mean())


@checked
@torch.no_grad()
def evaluate_pictures(
    x: Points,
    train: Annotated[Points, same_type("x")],
    held_out: Annotated[Points, same_type("x")],
    kind: Literal["digits", "faces"],
) -> dict[str, Figure]:
    """Generated pictures beside real ones which the model hasn't seen, in their units of levels.

    - "Fréchet distance": to the held-out pictures, in the fixed features; the floor is that of as many
      training pictures.
    - "nearest training picture": the mean distance to it; the floor is that of the held-out pictures.
    - "copies": the share that is memorised; the floor is that of the held-out pictures.
    """
    if len(x) > len(train):
        raise ValueError(f"x has {len(x)} pictures and train {len(train)}; pass at most as many")
    features = picture_features(kind)
    apart = (frechet_distance(features(a), features(held_out)) for a in (x, train[: len(x)]))
    near = (float(nearest_distances(a, train).mean()) for a in (x, held_out))
    return {
        "Fréchet distance": Figure(*apart),
        "nearest training picture": Figure(*near),
        "copies": Figure(share_copied(x, train), share_copied(held_out, train)),
    }
