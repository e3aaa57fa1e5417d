"""Bad weather: whatever a public function is given, it works, or it says what is wrong and what to do.

Each case takes good arguments and, more often than not, puts a bad one in the place of one of them. With good
arguments the function must work. With a bad one it works, or raises a `ValueError` or `TypeError` that names
the argument and has a fix.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import seeded
from torch import Tensor, nn
from weather import (
    ARGUMENTS,
    POINTS,
    SETTINGS,
    TRUSTED,
    Call,
    Setting,
    choice,
    count,
    is_a,
    labels,
    number,
    one_step,
    oracle,
    public,
    seen_part,
    states,
    tensors,
    things,
)
from weather_widgets import WIDGETS

from diffusion_lib import data
from diffusion_lib.conditioning import Guided, NoisyClassifier, SeenThrough, TiltedSteps, reconstruction
from diffusion_lib.data.captions import LONGEST
from diffusion_lib.measure import pictures
from diffusion_lib.measure.coding import IndexCoder, UniversalCoder
from diffusion_lib.measure.judge import FaceJudge
from diffusion_lib.measure.likelihood import Blurred
from diffusion_lib.models import hvae, networks, text, unet
from diffusion_lib.models.conditional import TextDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.distilled import ConsistencyStudent, PairStudent, ProgressiveStudent
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.latent import PictureVAE
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.models.palette import PaletteDiffusion, PaletteMLP
from diffusion_lib.models.patches import PatchDenoiser
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.process.score import ScoreAt
from diffusion_lib.solvers.steps import AtSteps, PosteriorSteps
from diffusion_lib.training import TrainingRun

MIXED = (  # what gives tensors of several types, or whole numbers
    "data.planes.labelled_swiss_roll",
    "data.planes.roll_quadrature",
    "data.faces.face_parts",
    "data.images.digits",
    "many.keyed.data_order",
    "measure.drawable.nearest_face",
    "measure.judge.visible",
    "measure.judge.FaceJudge.forward",
    "data.captions.tokens",
    "draw.draw",
    "models.text.TextEncoder.forward",
    "models.palette.PaletteMLP.choices",
)
CASES = 24  # for each function
PHASES = (Phase.generate, Phase.shrink)
FIX = re.compile(r"[;:,] .*\b(pass|take|choose|remove|reshape|give|make|build|must|needs?)\b", re.DOTALL)


def fitted(s):
    return data.Standardiser(s.normal(2), 0.5)


def pixel_scale(s):
    return data.PixelScale(16)


def rows_of(name, columns):
    return lambda a: (len(getattr(a, name)), columns)


def features(s):
    return pictures.picture_features("digits")


def digit_levels(n):
    """Levels of n pictures as digits have them, in float32."""

    def values(s):
        x = torch.randint(17, (n, 1, 8, 8), generator=seeded(s.seed)).float()
        return [x, x.clone()], [x.long(), x.double(), x[:0], x[0], x[:, :, :4], x.tolist(), None, "x", 3]

    return values


def noise(s):
    return tensors(-1, s.vae().latent)(s)


def heads(s):
    good, bad = [s.heads()], [s.network(), None, 3, "x", networks.HeadPerStep(Schedule.from_beta([0.1] * 9))]
    return good, bad


def posterior_steps(s):
    return PosteriorSteps(oracle(s), s.schedule)


def reconstructed(s):
    return reconstruction(oracle(s), seen_part(s)[0][0])


def seen_through(s):
    return SeenThrough(oracle(s), seen_part(s)[0][0])


def flow(s):
    return Flow(s.network(), s.schedule)


def some_pictures(s):
    good = s.normal(s.n, 2, 4, 5)
    return [good], [good[0], good[:0], good / 0, good.long(), good.tolist(), None, "x", 3]


def sides(s):
    return [1, 3], [0, 2, -1, 2.5, None, "3"]


def patch_denoiser(s):
    return PatchDenoiser(s.normal(4, 2, 4, 5))


def pupil(s):
    return PairStudent(s.network(), s.schedule)


def two(values):
    """The same for a schedule of at least two steps, which students need."""
    return lambda s: values(replace(s, T=max(s.T, 2)))


def from_noise(s):
    """Steps of a sampler: they fall, and begin at T."""
    good = [[s.T], [s.T, 1], list(range(s.T, 0, -1))]
    return good, [[], [s.T + 1], [s.T - 1], [s.T, s.T], 3, "x", [1.5]]


def pairs_of_steps(s):
    return [[s.T, 1], [s.T, s.T - 1]], [[s.T], [], [s.T + 1, 1], [s.T - 1, 1], 3, "x"]


STUDENT = {
    "teacher": two(lambda s: ([s.diffusion().denoise, posterior_steps(s).denoise], [3, "x"])),
    "steps": two(from_noise),
    "schedule": two(lambda s: ([s.schedule], [None, 3])),
    "network": two(lambda s: ([s.network()], [])),
}


@two
def progressive(s):
    return ProgressiveStudent(s.network(), s.schedule, s.diffusion().denoise, [s.T, 1])


def consistent(s, least=2):
    s = replace(s, T=max(s.T, least))
    return ConsistencyStudent(s.network(), s.schedule, s.diffusion().denoise, [s.T])


def calls(s):
    return [None, 1, s.T], [0, -1, 2.5, "x", s.T + 1]


def classifier(s):
    return s.model(NoisyClassifier, 3, width=3)


def told(s):
    """Labels of a classifier, which has no label 0."""
    good, bad = labels(s)
    return [1, 3, np.int64(2), good[-1].clamp(min=1)], [0, *bad]


def few_labels(s):
    return [2, 3], [1, 0, -1, 2.5, None, "3"]


def powers(s):
    good = s.normal(s.T + 1).abs()
    return [good, good * 0], [-good - 1, good * torch.nan, good[None], good.tolist(), None, "x", 3]


def tilted(s):
    r = Gaussian(s.normal(2), s.normal(1).exp())
    return TiltedSteps(posterior_steps(s), r, powers(s)[0][0])


LOG_PROB = things(lambda s: classifier(s).given(1))


def few(s):
    """Numbers for what needs 21 points or steps, or nearly as many."""
    return [21, 22], [0, -1, 5, 18, 2.5, None, "30"]


def places(s):
    bad = [None, 3, "x", (1,), (1, 2, 3), (1, math.nan), ("a", "b"), (None, 1)]
    return [(0, 1), (0.5, -2.0), [1, 2], torch.ones(2)], bad


def words(s):
    return ["a part", ""], [None, 3, ["x"], torch.ones(1)]


def bends(s):
    return [0, -0.3, 2], [None, "x", math.nan, [0.1], True]


LINK = {"text": words, "bend": bends}


def level(s):
    return s.model(hvae.GaussianMLP, 2, 3, width=4)


def falling(s):
    """Steps of a schedule, from late to early."""
    return [None, [s.T], list(range(s.T, 0, -1))], [[], [0], [s.T + 1], [1, 2], [s.T, s.T], 3, "x", [1.5]]


def a_network(s):
    return [s.network(), None], []


def coder(s):
    return UniversalCoder(oracle(s), [2.0, 0.5], [1.0, 0.5])


def index_coder(s):
    return IndexCoder(oracle(s), [2.0, 0.5], [1.0, 0.5], candidates=16)


def scalar(a):
    return ()


def drawn(a):
    return (a.n, 2)


def a_path(a):
    return (a.s.T + 1, a.n, 2)


def rows(name, *more):
    return lambda a: (*getattr(a, name).shape[:-1], *more)


def same(name):
    return lambda a: tuple(getattr(a, name).shape)


def gaussians(name, columns=None):
    return lambda a: (Gaussian, *getattr(a, name).shape[:-1], columns or getattr(a, name).shape[-1])


def column(a):
    t = torch.as_tensor(a.t)
    return (*t.shape, *[1] * (a.x.ndim - t.ndim))


def over_t(a):
    return (a.s.T + 1,)


def terms(a):
    return (a.s.T + 1, a.s.n)


CHAIN = {"of": Setting.any_chain}
VAE, HVAE = {"of": Setting.vae}, {"of": Setting.hvae}
GROUPS = {"x_t": tensors(-1, 3, 2)}
LEVELS = {
    "levels": lambda s: ([[2.0, 0.5], (1,)], [[], [1.0, 2.0], [1.0, 0.0], [-1.0], 3, None, "x", [torch.nan]])
}
UNTOLD = {
    "labels": lambda s: ([None], [3, "x", torch.ones(s.n), -torch.ones(s.n).long()]),
    "noise": lambda s: ([None], [3, "x", s.normal(s.n, 2), s.normal(s.n)]),
}
LABELLED = {"network": things(Setting.labelled)}
SETS = {"x": tensors(9, 2), "y": tensors(8, 2)}
DIGITS = {"levels": lambda s: digit_levels(3)(s)}
FACES = {
    "levels": lambda s: ([data.pixel_faces(2, seeded(s.seed))], tensors(-1, 3, 16)(s)[1]),
    "starts": count(5), "sweeps": count(1, 2), "steps": count(16),
    "seed": lambda s: ([0], [-1, 2.5, None, "1"]),
}  # fmt: skip
KIND = {"kind": choice("digits")}
DENOISED = {  # no network of whole steps; points of the denoiser's own shape
    "denoiser": lambda s: ([oracle(s)], [None, 3, "x", [], torch.ones(2)]),
    **dict.fromkeys(("z", "x_0"), lambda s: (POINTS(s)[0], [x for x in POINTS(s)[1] if np.ndim(x) != 3])),
}
TWO_LEVELS = DENOISED | {
    "levels": lambda s: ([[2.0, 0.5], (3, 1)], [[], [1.0, 2.0], [1.0, 0.0], [1.0, torch.nan], 3, None, "x"]),
    "spread": lambda s: ([[1.0, 0.5], (1, 2)], [[], [1.0], [1.0, 0.0], [-1.0, 1.0], 3, None, "x"]),
    "errors": lambda s: ([[1.0, 0.5], (1, 0)], [[], [1.0], [1.0, torch.nan], [-1.0, 1.0], 3, None, "x"]),
}
FILES = {"file": lambda s: ([coder(s).encode(s.normal(3, 2))], [None, 3, "x", b"", b"x" * 30, torch.ones(2)])}
SAID = {
    "captions": lambda s: (
        [["a sad face", ""], ("a red cap",)],
        [["a blonde face"], "x", None, 3, [3], ["a"] * 3 + ["a " * 29]],
    ),
    "line": lambda s: (["a sad face with a red cap", ""], [None, 3, ["x"]]),
}
BIG, SMALL = {"x": tensors(-1, 3, 32, 32)}, {"z": tensors(-1, 4, 8, 8)}


def captioned(s):
    """Words for the points of a setting, and for one."""
    good = torch.randint(36, (s.n, 5), generator=seeded(s.seed))
    return [good], [good[0], good.float(), -good - 1, good.tolist(), "x", 3]


READ = {"tokens": captioned, "words": captioned}
READ_OR_NOT = {"labels": lambda s: ([None, *captioned(s)[0]], captioned(s)[1])}


def reader(s):
    return s.model(text.TextMLP, s.schedule, (2,), 4, 1, 2, 4)


def painter(s):
    return s.model(PaletteMLP, s.schedule, (2,), 4, 1, 3, 2)


def told_by_words(s):
    return TextDiffusion(reader(s), s.schedule, shape=(2,))


def squeezer(s):
    return s.model(PictureVAE, 0.1, 8)


def of_latents(s):
    return TextDiffusion(text.TextMLP(s.schedule, (4, 8, 8), 4, 1, 2, 4), s.schedule)


DRAWN = SAID | {
    "model": things(of_latents), "vae": lambda s: ([PictureVAE(0.1, 8)], [None, 3, "x"]),
    "w": number(0, 1, 2.5), "calls": count(2), "unwanted": lambda s: (["", "a cap"], [None, 3]),
    "progress": lambda s: ([False], []),
}  # fmt: skip
CALLS = {
    "models.chain.ReverseChain": Call(is_a(nn.Module), arguments={"network": a_network}),
    "models.chain.ReverseChain.T": Call(is_a(int), **CHAIN),
    "models.chain.ReverseChain.first_form": Call(terms, **CHAIN),
    "models.chain.ReverseChain.second_form": Call(terms, **CHAIN),
    "models.chain.ReverseChain.prior_kl": Call(rows("x_0"), **CHAIN),
    "models.chain.ReverseChain.trajectory": Call(a_path, **CHAIN),
    "models.chain.ReverseChain.sample": Call(drawn, **CHAIN),
    **{f"data.planes.{name}": Call(lambda a: (a.n, 2)) for name in data.DATASETS},
    "data.planes.labelled_swiss_roll": Call(is_a(tuple)),
    "data.planes.roll_curve": Call(drawn),
    "data.planes.roll_quadrature": Call(is_a(tuple)),
    "data.faces.face_parts": Call(lambda a: (a.n, 14)),
    "data.faces.draw_faces": Call(lambda a: (len(a.parts), 3, 16, 16)),
    "data.faces.describe_faces": Call(is_a(list)),
    "data.faces.caption": Call(is_a(str)),
    "data.images.digits": Call(is_a(tuple)),
    "data.images.pixel_faces": Call(lambda a: (a.n, 3, 16, 16)),
    "data.images.photo_patches": Call(lambda a: (a.n, 3, a.size, a.size)),
    "data.units.PixelScale": Call(is_a(data.PixelScale), arguments={"mean": number(None, 3.0)}),
    "data.units.PixelScale.fit": Call(is_a(data.PixelScale), arguments={"levels": tensors(5, 2)}),
    "data.units.PixelScale.__call__": Call(same("levels"), pixel_scale, passes=True),
    "data.units.PixelScale.undo": Call(same("x"), pixel_scale, passes=True),
    "data.units.Standardiser": Call(is_a(data.Standardiser), arguments={"mean": tensors(2)}),
    "data.units.Standardiser.fit": Call(is_a(data.Standardiser), arguments={"x": tensors(5, 2)}),
    "data.units.Standardiser.__call__": Call(rows("x", 2), fitted, passes=True),
    "data.units.Standardiser.undo": Call(rows("x", 2), fitted, passes=True),
    "models.diffusion.Diffusion": Call(is_a(Diffusion)),
    "models.diffusion.Diffusion.denoise": Call(rows("x_t", 2), Setting.diffusion),
    "models.diffusion.Diffusion.reverse": Call(gaussians("x_t"), Setting.diffusion),
    "models.diffusion.Diffusion.forward": Call(rows("z", 2), Setting.diffusion),
    "models.diffusion.Diffusion.loss": Call(scalar, Setting.diffusion),
    "models.diffusion.Diffusion.squared_error": Call(rows("x_0"), Setting.diffusion),
    "models.diffusion.Diffusion.bound_term": Call(rows("x_0"), Setting.diffusion),
    "measure.pictures.PictureFeatures": Call(is_a(nn.Module), arguments=KIND),
    "measure.pictures.PictureFeatures.forward": Call(rows_of("levels", 64), features, DIGITS, passes=True),
    "measure.pictures.PictureFeatures.answers": Call(rows_of("levels", 10), features, DIGITS, passes=True),
    "measure.pictures.picture_features": Call(is_a(nn.Module), arguments=KIND),
    "measure.pictures.frechet_distance": Call(is_a(float), arguments=SETS),
    "measure.pictures.nearest_distances": Call(lambda a: (len(a.x), a.k), arguments=SETS | {
        "points": tensors(8, 2), "k": count(1, 8)}),
    "measure.pictures.share_copied": Call(is_a(float), arguments=SETS | {"train": tensors(8, 2)}),
    "measure.pictures.evaluate_pictures": Call(is_a(dict), arguments=KIND | {
        name: digit_levels(n) for name, n in {"x": 5, "train": 6, "held_out": 4}.items()}),
    "measure.drawable.nearest_face": Call(is_a(tuple), arguments=FACES),
    "measure.drawable.drawable_share": Call(is_a(float), arguments=FACES),
    "many.keyed.keyed": Call(is_a(np.random.Generator)),
    "many.keyed.draws": Call(is_a(tuple)),
    "many.keyed.data_order": Call(lambda a: (a.batch_size,)),
    "many.keyed.shard": Call(is_a(range)),
    "many.costs.ring_bytes": Call(is_a(float)),
    "many.costs.kept_for_backward": Call(is_a(int), arguments={
        "loss": lambda s: ([lambda: s.normal(s.n).requires_grad_().square().sum()], [None, 3, "x"])}),
    "measure.evaluation.sliced_wasserstein": Call(is_a(float)),
    "measure.evaluation.energy_distance": Call(is_a(float)),
    "measure.evaluation.classifier_accuracy": Call(is_a(float), arguments=SETS),
    "measure.evaluation.distance_to_curve": Call(is_a(float)),
    "measure.evaluation.fresh_sets": Call(is_a(list)),
    "measure.evaluation.evaluate": Call(is_a(dict), arguments={"n": few}),
    "measure.evaluation.table": Call(is_a(str)),
    "measure.likelihood.Blurred": Call(is_a(nn.Module)),
    "measure.likelihood.Blurred.forward": Call(rows("z", 2), lambda s: Blurred(oracle(s), 0.1)),
    "measure.likelihood.noisy_entropy": Call(is_a(float), arguments={"sigma": number(1, 0.5)}, passes=True),
    "measure.likelihood.importance_bound": Call(rows("x_0"), arguments={"model": things(Setting.any_chain)}),
    "measure.likelihood.ode_log_prob": Call(rows("z"), arguments=TWO_LEVELS),
    "measure.information.mmse": Call(is_a(float), arguments=DENOISED | {"sigma": number(1, 0.5)}),
    "measure.information.information": Call(is_a(tuple), arguments=TWO_LEVELS),
    "measure.information.spreads": Call(is_a(list), arguments=DENOISED | LEVELS),
    "measure.information.rate_distortion": Call(is_a(tuple), arguments=TWO_LEVELS),
    **{f"measure.{name}": Call(is_a(object), arguments=TWO_LEVELS)
       for name in ("files.FileCoder", "coding.UniversalCoder", "coding.IndexCoder")},
    "measure.files.FileCoder.encode": Call(is_a(bytes), coder),
    "measure.files.FileCoder.states": Call(is_a(Iterator), coder, FILES),
    "measure.files.FileCoder.decode": Call(is_a(Tensor), coder, FILES, passes=True),
    "measure.files.FileCoder.sent": Call(rows("x_0", 2), coder, passes=True),
    "measure.files.FileCoder.fingerprint": Call(is_a(int), coder),
    "measure.coding.UniversalCoder.bits": Call(is_a(Tensor), coder, passes=True),
    "measure.coding.IndexCoder.bits": Call(is_a(Tensor), index_coder, passes=True),
    "process.forward.step": Call(gaussians("x_prev")),
    "process.forward.marginal": Call(gaussians("x_0")),
    "process.forward.diffuse": Call(same("x_0")),
    "process.forward.trajectory": Call(lambda a: (a.schedule.T + 1, *a.x_0.shape)),
    "process.forward.log_prob": Call(lambda a: tuple(a.chain.shape[:2])),
    "process.gaussians.Gaussian": Call(lambda a: (Gaussian, *a.mean.shape), passes=True),
    "process.gaussians.Gaussian.log_prob": Call(rows("x"), Setting.gaussian, passes=True),
    "process.gaussians.Gaussian.sample": Call(lambda a: (a.s.n, 2), Setting.gaussian),
    "process.gaussians.Gaussian.from_noise": Call(rows("eps", 2), Setting.gaussian, passes=True),
    "process.gaussians.Gaussian.kl": Call(lambda a: (a.s.n,), Setting.gaussian),
    "process.gaussians.Gaussian.product": Call(lambda a: (Gaussian, a.s.n, 2), Setting.gaussian),
    "models.hvae.GaussianMLP": Call(is_a(nn.Module)),
    "models.hvae.GaussianMLP.forward": Call(gaussians("x", 3), level, passes=True),
    "models.hvae.HVAE": Call(is_a(nn.Module), arguments={"T": lambda s: ([s.T], [0, 9, -1, 2.5, None, "3"]),
                                                 "latent": lambda s: ([2], [0, 3, None, 2.5, "2"])}),
    "models.hvae.HVAE.encode": Call(gaussians("z_prev"), arguments={"t": one_step}, **HVAE),
    "models.hvae.HVAE.decode": Call(gaussians("z_t"), arguments={"t": one_step}, **HVAE),
    "models.hvae.HVAE.prior": Call(lambda a: (Gaussian, a.n, 2), **HVAE),
    "models.hvae.HVAE.infer": Call(is_a(list), **HVAE),
    "models.hvae.HVAE.terms": Call(terms, arguments={"chain": states}, **HVAE),
    "models.hvae.HVAE.loss": Call(scalar, **HVAE),
    "models.hvae.HVAE.states": Call(is_a(list), **HVAE),
    "models.hvae.HVAE.trajectory": Call(a_path, **HVAE),
    "models.hvae.HVAE.sample": Call(drawn, **HVAE),
    "models.networks.mlp": Call(is_a(nn.Module)),
    "models.networks.Waves": Call(is_a(nn.Module)),
    "models.networks.Waves.forward": Call(rows("x", 6), lambda s: s.model(networks.Waves, 1), passes=True),
    "models.networks.TimeMLP": Call(is_a(nn.Module)),
    "models.networks.TimeMLP.forward": Call(rows("x_t", 2), Setting.network, passes=True),
    "models.networks.HeadPerStep": Call(is_a(nn.Module)),
    "models.networks.HeadPerStep.grouped": Call(rows("x_t", 4), Setting.heads, GROUPS, passes=True),
    "models.networks.HeadPerStep.forward": Call(rows("x_t", 4), Setting.heads, passes=True),
    "models.networks.LabelledMLP": Call(is_a(nn.Module)),
    "models.networks.LabelledMLP.forward": Call(rows("x_t", 2), Setting.labelled, passes=True),
    "data.captions.tokens": Call(lambda a: (len(a.captions), LONGEST), arguments=SAID),
    "data.captions.wishes": Call(is_a(dict), arguments=SAID),
    "data.captions.captions_of": Call(is_a(list)),
    "data.images.doubled": Call(is_a(Tensor), arguments={"pictures": some_pictures}),
    "data.images.halved": Call(is_a(Tensor), arguments={"pictures": some_pictures}),
    "measure.judge.visible": Call(lambda a: (len(a.parts), 10)),
    "measure.judge.FaceJudge": Call(is_a(nn.Module)),
    "measure.judge.FaceJudge.forward": Call(rows_of("levels", 46), lambda s: FaceJudge(), FACES),
    "measure.judge.FaceJudge.words": Call(is_a(list), lambda s: FaceJudge(), FACES),
    "models.picture_mlp.PictureMLP": Call(is_a(nn.Module), arguments={"blocks": count(1)}),
    "models.picture_mlp.PictureMLP.forward": Call(
        same("x_t"), lambda s: s.model(PictureMLP, s.schedule, (2,), 4, 1), passes=True),
    "models.palette.PaletteMLP": Call(is_a(nn.Module), arguments={
        "blocks": count(1), "colours": count(3), "rank": count(2), "doubt": number(0.03, 0.5)}),
    "models.palette.PaletteMLP.forward": Call(same("x_t"), painter, passes=True),
    "models.palette.PaletteMLP.logits": Call(lambda a: (len(a.x_t), 1, 3), painter, passes=True),
    "models.palette.PaletteMLP.learn_palette": Call(is_a(type(None)), painter),
    "models.palette.PaletteMLP.choices": Call(lambda a: (len(a.x_0), 1), painter),
    "models.palette.PaletteDiffusion": Call(is_a(nn.Module)),
    "models.palette.PaletteDiffusion.loss": Call(scalar, lambda s: PaletteDiffusion(
        painter(s), s.schedule, "x_0", shape=(2,))),
    "models.text.TextEncoder": Call(is_a(nn.Module), arguments={
        "width": count(4), "n_words": count(40), "longest": count(28)}),
    "models.text.TextEncoder.forward": Call(is_a(tuple), lambda s: s.model(text.TextEncoder, 4), READ),
    "models.text.TextMLP": Call(is_a(nn.Module), arguments={
        "blocks": count(1), "questions": count(2), "n_text": count(4)}),
    "models.text.TextMLP.forward": Call(same("x_t"), reader, READ_OR_NOT, passes=True),
    "models.latent.PictureVAE": Call(is_a(nn.Module), arguments={
        "decoder_std": number(0.1), "width": count(8)}),
    "models.latent.PictureVAE.encode": Call(lambda a: (Gaussian, len(a.x), 4, 8, 8), squeezer, BIG),
    "models.latent.PictureVAE.decode": Call(lambda a: (len(a.z), 3, 32, 32), squeezer, SMALL),
    "models.latent.PictureVAE.loss": Call(scalar, squeezer, {"x_0": tensors(-1, 3, 32, 32)}),
    "models.latent.PictureVAE.measure_unit": Call(is_a(type(None)), squeezer, BIG),
    "models.latent.PictureVAE.to_latents": Call(lambda a: (len(a.x), 4, 8, 8), squeezer, BIG),
    "models.latent.PictureVAE.to_pictures": Call(lambda a: (len(a.z), 3, 32, 32), squeezer, SMALL),
    "models.conditional.TextDiffusion": Call(is_a(nn.Module), arguments={"network": things(reader)}),
    "models.conditional.TextDiffusion.given": Call(is_a(Diffusion), told_by_words, READ),
    "models.conditional.TextDiffusion.loss": Call(scalar, told_by_words, READ_OR_NOT),
    "draw.told": Call(is_a(nn.Module), arguments=DRAWN),
    "draw.draw": Call(lambda a: (len(a.captions), 3, 32, 32), arguments=DRAWN),
    "models.unet.UNet": Call(is_a(nn.Module), arguments={
        "shape": lambda s: ([(1, 4, 4), [3, 8, 8]], [(2,), (1, 5, 4), (0, 4, 4), None, "x", (1, 2.5, 4)]),
        "widths": lambda s: ([(8, 16), [8]], [(), (12,), (8, 0), None, 3, "x"]),
        "n_labels": lambda s: ([0, 3], [-1, 2.5, None, "1"])}),
    "models.unet.UNet.forward": Call(
        same("x_t"), lambda s: s.model(unet.UNet, s.schedule, (1, 4, 4), (8, 16), 3),
        {"x_t": tensors(-1, 1, 4, 4)}, passes=True),
    "models.conditional.ConditionalDiffusion": Call(is_a(nn.Module), arguments=LABELLED),
    "models.conditional.ConditionalDiffusion.given": Call(is_a(Diffusion), Setting.conditional),
    "models.conditional.ConditionalDiffusion.loss": Call(scalar, Setting.conditional),
    "conditioning.guidance.Guided": Call(is_a(nn.Module)),
    "conditioning.guidance.Guided.forward": Call(rows("z", 2), lambda s: Guided(oracle(s), oracle(s), 2.0)),
    "conditioning.guidance.ClassifierGuided": Call(is_a(nn.Module), arguments={"log_prob": LOG_PROB}),
    "conditioning.guidance.ClassifierGuided.forward": Call(rows("z", 2), reconstructed),
    "conditioning.guidance.NoisyClassifier": Call(is_a(nn.Module), arguments={"n_labels": few_labels}),
    "conditioning.guidance.NoisyClassifier.forward": Call(rows("z", 3), classifier),
    "conditioning.guidance.NoisyClassifier.given": Call(is_a(Callable), classifier, {"y": told}),
    "conditioning.guidance.NoisyClassifier.loss": Call(scalar, classifier, {"labels": told}),
    "conditioning.inpainting.SeenThrough": Call(is_a(nn.Module)),
    "conditioning.inpainting.SeenThrough.forward": Call(rows("z"), seen_through),
    "conditioning.inpainting.reconstruction": Call(is_a(nn.Module)),
    "conditioning.inpainting.repaint": Call(is_a(Iterator)),
    "conditioning.inpainting.dps": Call(is_a(Iterator)),
    "conditioning.particles.twisted": Call(is_a(Iterator), arguments={"particles": count(1)}),
    "conditioning.tilting.TiltedSteps": Call(is_a(nn.Module), arguments={
        "r": things(Setting.gaussian), "powers": powers}),
    "conditioning.tilting.TiltedSteps.forward": Call(gaussians("x_t"), tilted),
    "conditioning.tilting.tilt_powers": Call(over_t, arguments={"kind": choice("annealed", "alpha_bar")}),
    "models.oracle.ExactDenoiser": Call(is_a(nn.Module)),
    "models.oracle.ExactDenoiser.forward": Call(rows("z", 2), oracle),
    "models.oracle.ExactDenoiser.expect": Call(rows("z", 3), oracle, {"values": tensors(4, 3)}, passes=True),
    "models.oracle.ExactDenoiser.log_prob": Call(rows("z"), oracle),
    "show.plots.use_book_style": Call(is_a(type(None))),
    "show.plots.cloud": Call(is_a(type(None))),
    "show.plots.arrows": Call(is_a(type(None))),
    "show.plots.box": Call(is_a(type(None)), arguments={"at": places, "text": words}),
    "show.plots.link": Call(is_a(type(None)), arguments=dict.fromkeys(("start", "end"), places) | LINK),
    "show.plots.per_step": Call(is_a(type(None)), passes=True),
    "process.posterior.posterior_var": Call(over_t),
    "process.posterior.posterior_weights": Call(is_a(tuple)),
    "process.posterior.posterior": Call(gaussians("x_t")),
    "process.posterior.to_x_0": Call(same("x_t")),
    "process.posterior.from_x_0": Call(same("x_t")),
    "models.reverse.FirstFormChain": Call(is_a(nn.Module)),
    "models.reverse.FirstFormChain.reverse": Call(gaussians("x_t"), Setting.first),
    "models.reverse.SecondFormChain.reverse": Call(gaussians("x_t"), Setting.second),
    "models.reverse.FirstFormChain.loss": Call(scalar, Setting.first),
    "models.reverse.SecondFormChain": Call(is_a(nn.Module), arguments={"network": heads}),
    "models.reverse.SecondFormChain.loss": Call(scalar, Setting.second),
    "process.schedules.Schedule": Call(is_a(Schedule)),
    "process.schedules.Schedule.from_beta": Call(is_a(Schedule)),
    "process.schedules.Schedule.nearest": Call(is_a(list), lambda s: s.schedule, arguments=LEVELS),
    "process.schedules.Schedule.T": Call(is_a(int), lambda s: s.schedule),
    "process.schedules.Schedule.beta": Call(over_t, lambda s: s.schedule),
    "process.schedules.Schedule.signal": Call(over_t, lambda s: s.schedule),
    "process.schedules.Schedule.noise": Call(over_t, lambda s: s.schedule),
    "process.schedules.Schedule.sigma": Call(over_t, lambda s: s.schedule),
    "process.schedules.Schedule.straight_time": Call(over_t, lambda s: s.schedule),
    "process.schedules.Schedule.snr": Call(over_t, lambda s: s.schedule, passes=True),  # infinite at t = 0
    "process.schedules.at": Call(column, passes=True),
    "process.schedules.linear": Call(is_a(Schedule), arguments={"T": few}),
    "process.schedules.cosine": Call(is_a(Schedule)),
    "process.schedules.sigmoid": Call(is_a(Schedule)),
    "process.schedules.even_log_snr": Call(is_a(Schedule)),
    "process.schedules.straight": Call(is_a(Schedule), arguments={"end": number(0.9999)}),
    "training.train": Call(is_a(TrainingRun), arguments=UNTOLD),
    "solvers.steps.ancestral": Call(is_a(Iterator)),
    "solvers.ode.euler": Call(is_a(Iterator), arguments=LEVELS),
    "solvers.ode.heun": Call(is_a(Iterator), arguments=LEVELS),
    "solvers.ode.dpm_solver_pp_2m": Call(is_a(Iterator), arguments=LEVELS),
    "solvers.ode.log_even": Call(is_a(list)),
    "solvers.ode.power_even": Call(is_a(list)),
    "solvers.steps.ddim": Call(is_a(Iterator), arguments={"steps": falling}),
    "solvers.langevin.langevin": Call(is_a(Iterator)),
    "solvers.langevin.annealed_langevin": Call(is_a(Iterator)),
    "solvers.langevin.predictor_corrector": Call(is_a(Iterator)),
    "process.score.score_of": Call(same("z")),
    "process.score.x_0_of": Call(same("z"), arguments={"score": POINTS}),
    "process.score.ScoreAt": Call(is_a(nn.Module), arguments={"sigma": number(1, 0.5)}),
    "process.score.ScoreAt.forward": Call(same("z"), lambda s: ScoreAt(oracle(s), 0.5)),
    "process.score.covariance": Call(rows("z", 2, 2)),
    "process.score.denoising_loss": Call(rows("x_0")),
    "process.score.implicit_loss": Call(rows("z")),
    "models.ncsn.NCSN": Call(is_a(NCSN)),
    "models.patches.PatchDenoiser": Call(is_a(nn.Module), arguments={"points": some_pictures, "size": sides}),
    "models.patches.PatchDenoiser.forward": Call(same("z"), patch_denoiser, {"z": some_pictures}),
    "models.distilled.Student.T": Call(is_a(int), pupil),
    "models.distilled.Student.answer": Call(same("x_t"), pupil),
    "models.distilled.Student.trajectory": Call(lambda a: (2, a.n, 2), pupil),
    "models.distilled.Student.sample": Call(drawn, pupil),
    "models.distilled.Student.ends": Call(same("x_T"), pupil),
    "models.distilled.Student": Call(is_a(nn.Module), arguments=STUDENT),
    "models.distilled.ProgressiveStudent": Call(
        is_a(nn.Module), arguments=STUDENT | {"steps": two(pairs_of_steps)}),
    "models.distilled.ProgressiveStudent.loss": Call(scalar, progressive),
    "models.distilled.PairStudent": Call(is_a(nn.Module)),
    "models.distilled.PairStudent.loss": Call(scalar, pupil, {"noise": tensors(-1, 2)}),
    "models.distilled.ConsistencyStudent": Call(
        is_a(nn.Module), arguments=STUDENT | {"decay": number(0, 0.95)}),
    "models.distilled.ConsistencyStudent.answer": Call(same("x_t"), lambda s: consistent(s, 1)),
    "models.distilled.ConsistencyStudent.loss": Call(scalar, consistent),
    "models.flow.Flow": Call(is_a(Flow), arguments={"calls": calls}),
    "models.flow.Flow.steps": Call(is_a(list), flow),
    "models.flow.Flow.loss": Call(scalar, flow, {"noise": tensors(-1, 2)}),
    "models.flow.Flow.pairs": Call(is_a(tuple), flow),
    "solvers.steps.AtSteps": Call(is_a(nn.Module)),
    "solvers.steps.AtSteps.forward": Call(same("x_t"), lambda s: AtSteps(oracle(s), s.schedule)),
    "solvers.steps.PosteriorSteps": Call(is_a(nn.Module)),
    "solvers.steps.PosteriorSteps.forward": Call(gaussians("x_t"), posterior_steps),
    "solvers.steps.reverse_variance": Call(over_t),
    "training.unit_trouble": Call(is_a(str)),
    "training.warm_up_and_cosine": Call(is_a(float)),
    "models.vae.VAE": Call(is_a(nn.Module)),
    "models.vae.VAE.prior": Call(lambda a: (Gaussian, a.n, a.on.latent), **VAE),
    "models.vae.VAE.encode": Call(lambda a: (Gaussian, len(a.x), a.on.latent), **VAE),
    "models.vae.VAE.decode": Call(lambda a: (Gaussian, *a.z.shape[:-1], 2), arguments={"z": noise}, **VAE),
    "models.vae.VAE.elbo_terms": Call(is_a(tuple), arguments={"eps": noise}, **VAE),
    "models.vae.VAE.loss": Call(scalar, **VAE),
    "models.vae.VAE.trajectory": Call(lambda a: (2, a.n, 2), **VAE),
    "models.vae.VAE.sample": Call(drawn, **VAE),
    **{f"show.engine.tables.{name}": Call(is_a(dict), arguments={"model": things(Setting.diffusion)})
       for name in ("process_table", "ancestral_table")},
    "show.engine.tables.ddim_table": Call(is_a(dict), arguments={
        "model": things(Setting.diffusion), "steps": falling}),
    "show.engine.tables.euler_table": Call(is_a(dict), arguments={"model": things(flow)}),
    "show.engine.tables.langevin_table": Call(is_a(dict), arguments={
        "model": things(lambda s: NCSN(s.network(), s.schedule))}),
    "show.engine.tables.network_table": Call(is_a(dict)),
    "show.engine.tables.weights_of": Call(is_a(list)),
    **WIDGETS,
}  # fmt: skip


def test_every_public_function_is_called():
    names = {name for name, _ in public()}
    trusted = {name for name in names if any(name.startswith(record) for record in TRUSTED)}
    assert names - trusted == set(CALLS)
    assert len(CALLS) * CASES >= 2000


@pytest.mark.filterwarnings("ignore:Training ended early", "ignore:x_0 has")
@pytest.mark.parametrize(("name", "function"), [call for call in public() if call[0] in CALLS])
def test_it_works_or_says_what_is_wrong(name, function):
    cases, call = [], CALLS[name]

    @settings(max_examples=CASES, derandomize=True, deadline=None, database=None, phases=PHASES)
    @given(s=SETTINGS, choices=st.data())
    def case(s, choices):
        cases.append(s)
        on = call.of(s) if call.of else None
        given, bad = arguments(function, call, s, choices)
        error, result = outcome(function, on, given)
        if error is None:
            assert not surely_wrong(name, bad, given.get(bad), s), f"{bad} = {given[bad]!r} is let in"
            wanted = call.gives(SimpleNamespace(**{"s": s, "on": on} | given))
            assert_gives(result, wanted, None if call.passes else type_of(name, given, s))
        else:
            assert bad, f"good arguments are refused: {error!r}"
            assert re.search(rf"(?<!\w){bad}(?!\w)", str(error)), f"{bad} is not named: {error!r}"
            assert FIX.search(str(error)), f"no fix: {error!r}"

    case()
    assert len(cases) >= CASES


def outcome(function, on, given):
    """The error that tells what is wrong, or None, and the result. Other errors are not caught."""
    try:
        if isinstance(function, property):
            return None, function.fget(on)
        return None, (function if on is None else function.__get__(on))(**given)
    except (ValueError, TypeError) as error:
        return error, None


def arguments(function, call, s, choices):
    """Arguments by name, and the name of the one that is bad; empty if all are good."""
    if isinstance(function, property):
        return {}, ""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.name != "self" and p.kind != p.VAR_KEYWORD]
    values = {name: ({**ARGUMENTS, **call.arguments})[name](s) for name in names}
    bad = choices.draw(st.sampled_from(["", *(name for name in names if values[name][1])]), "bad")
    return {name: choices.draw(picked(values[name][name == bad]), name) for name in names}, bad


def picked(values):
    """One of these values, which hypothesis counts, as it cannot compare tensors."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


def surely_wrong(name, bad, value, s):
    """Whether a bad argument can do nothing but harm; many others work, such as a list of steps."""
    if name.startswith(
        "show.widgets"
    ):  # which draw positions that are not finite, or of any type, as they can
        return bad not in ("", "x", "y", "x_0", "xy", "start", "end", "mean", "std")
    if bad == "t" and name != "process.schedules.at":  # which gives entry 0 as well
        return isinstance(value, int | float) and (type(value) is not int or not 1 <= value <= s.T)
    return bad in ("generator", "schedule") and value is not None


def type_of(name, given, s):
    """The type of the tensors that a function gives: that of the first it is given, or the one it says."""
    if name in MIXED:
        return None
    for value in given.values():
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.dtype
    kind = dict.fromkeys(("data.planes", "data.images", "data.faces"), torch.float32)
    kind |= {"process.schedules": torch.float64}
    kind |= dict.fromkeys(("process.posterior", "solvers.steps", "conditioning.tilting"), torch.float64)
    return kind.get(".".join(name.split(".")[:2]), s.dtype)


def assert_gives(result, wanted, dtype):
    """The result has the shape or the type that is wanted and, where `dtype` is one, this type and no NaN."""
    if isinstance(wanted, type):
        assert isinstance(result, wanted)
    elif wanted[:1] == (Gaussian,):
        assert isinstance(result, Gaussian)
        result, wanted = result.mean, wanted[1:]
    if isinstance(wanted, tuple):
        assert result.shape == wanted
    if dtype and isinstance(result, float | Tensor):
        assert torch.as_tensor(result).isfinite().all()
    if dtype and isinstance(result, Tensor):
        assert result.dtype == dtype
    if isinstance(result, list | tuple):
        for part in result:
            assert_gives(part, object, dtype)
