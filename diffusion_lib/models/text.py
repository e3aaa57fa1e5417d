"""Words for a network: captions become vectors, and whoever needs to know something asks them."""

from typing import Annotated

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Shape, Steps, Words, checked, of_its_shape
from diffusion_lib.data.captions import LONGEST, WORDS
from diffusion_lib.models.networks import level_waves
from diffusion_lib.models.picture_mlp import DenseBlock
from diffusion_lib.models.unet import LEVEL, from_zero
from diffusion_lib.process.schedules import Schedule

N_WORDS = len(WORDS)  # no word included


class WordBlock(nn.Module):
    """One transformer block: each word asks all words of its caption, then two layers on each word alone.

    Maps vectors (B, L, width) to (B, L, width), in four heads (Vaswani et al. 2017; normalised first).
    `there` (B, L) says which places have a word.
    """

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.body = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        parts = self.query_key_value(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, L, width of one) each
        mean = attend(query, key, value, there[:, None, None])
        x = x + self.out(mean.transpose(1, 2).flatten(2))
        return x + self.body(x)


def attend(query: Tensor, key: Tensor, value: Tensor, there: Tensor) -> Tensor:
    """Means of values (..., L, d), weighted by how well keys (..., L, d) fit each query (..., n, d).

    Only those count that are `there` (..., 1, L).
    """
    fits = query @ key.mT / query.shape[-1] ** 0.5  # (..., n, L)
    return fits.masked_fill(~there, -torch.inf).softmax(dim=-1) @ value


@checked
class TextEncoder(nn.Module):
    """Captions as numbers of words (B, L) → a vector for each word that knows its neighbours: (B, L, width).

    Each word has a vector of its own, each place another; one `WordBlock` mixes them. With the vectors comes
    which places have a word, (B, L), the first one always: there the caption of zeros, which says nothing,
    has its one vector. Places after the last word of the longest caption are left out.

    Args:
        width: of a vector; a multiple of 4.
        n_words, longest: how many words there are, no word included, and how many a caption may have.
    """

    def __init__(self, width: Count = 64, n_words: Count = N_WORDS, longest: Count = LONGEST):
        super().__init__()
        self.longest = longest
        self.word, self.norm = nn.Embedding(n_words, width), nn.LayerNorm(width)
        self.place = nn.Parameter(0.1 * torch.randn(longest, width))
        self.block = WordBlock(width)

    def forward(self, tokens: Words) -> tuple[Tensor, Tensor]:
        said = tokens[:, : max(1, int((tokens > 0).sum(dim=1).max()))]
        there = (said > 0) | (torch.arange(said.shape[1], device=said.device) == 0)
        return self.norm(self.block(self.word(said) + self.place[: said.shape[1]], there)), there


class CrossAttention(nn.Module):
    """h ↦ h + what the words answer: rows h (B, width) ask `questions` questions of vectors (B, L, n_text).

    The queries come from h, the keys and values from the words. At first it passes h on.
    """

    def __init__(self, width: int, n_text: int, questions: int = 8, size: int = 32):
        super().__init__()
        self.questions, self.norm = questions, nn.LayerNorm(width, elementwise_affine=False)
        self.query, self.key_value = nn.Linear(width, questions * size), nn.Linear(n_text, 2 * size)
        self.out = from_zero(nn.Linear(questions * size, width))

    def forward(self, h: Tensor, words: Tensor, there: Tensor) -> Tensor:
        query = self.query(self.norm(h)).unflatten(1, (self.questions, -1))  # (B, questions, size)
        key, value = self.key_value(words).chunk(2, dim=-1)  # (B, L, size)
        return h + self.out(attend(query, key, value, there[:, None]).flatten(1))


@checked
class TextMLP(nn.Module):
    """A `PictureMLP` that reads: points x_t (B, *shape), steps () or (B,), words (B, L) → (B, *shape).

    Before each block the row asks the caption's words. A caption of zeros says nothing, as does leaving it
    out.

    Args:
        schedule: whose steps are asked about.
        shape: of a point, such as the latents' (4, 8, 8).
        width, blocks: as in `PictureMLP`.
        questions: how many the row asks before each block.
        n_text: numbers that stand for a word.

    Raises:
        ValueError: in the call for points of another shape, steps not in 1…T, and words that are no rows of
            whole numbers from 0.
    """

    def __init__(
        self,
        schedule: Schedule,
        shape: Shape = (4, 8, 8),
        width: Count = 352,
        blocks: Count = 5,
        questions: Count = 8,
        n_text: Count = 64,
    ):
        super().__init__()
        self.settings = {"shape": list(shape), "width": width, "blocks": blocks}
        self.settings |= {"questions": questions, "n_text": n_text}
        self.T, self.shape = schedule.T, tuple(shape)
        numbers, n_level = torch.Size(shape).numel(), 4 * LEVEL
        self.text = TextEncoder(n_text)
        self.level = nn.Sequential(
            nn.Linear(LEVEL, n_level), nn.SiLU(), nn.Linear(n_level, n_level), nn.SiLU()
        )
        self.enter = nn.Linear(numbers, width)
        self.ask = nn.ModuleList(CrossAttention(width, n_text, questions) for _ in range(blocks))
        self.blocks = nn.ModuleList(DenseBlock(width, n_level) for _ in range(blocks))
        self.leave = from_zero(nn.Linear(width, numbers))
        self.own = from_zero(nn.Linear(n_level, 1))
        waves = level_waves(schedule).to(self.enter.weight)
        self.register_buffer("waves", waves, persistent=False)  # row t for step t, row 0 unused

    def forward(self, x_t: Annotated[Tensor, of_its_shape], t: Steps, labels: Words | None = None) -> Tensor:
        t = torch.as_tensor(t, device=x_t.device)
        if labels is None:
            labels = torch.zeros(1, 1, dtype=torch.int64, device=x_t.device)
        words, there = (part.expand(len(x_t), *part.shape[1:]) for part in self.text(labels))
        level = self.level(self.waves[t].expand(len(x_t), -1))
        x = x_t.flatten(1)
        h = self.enter(x)
        for ask, block in zip(self.ask, self.blocks, strict=True):
            h = block(ask(h, words, there), level)
        return (self.leave(h) + self.own(level) * x).reshape(x_t.shape)
