"""Words for a network: attention by hand, no word looks further than its caption, nothing said is nothing."""

import torch
from support import EPS, normal, refused, seeded
from torch.nn import functional as F

from diffusion_lib.data.captions import tokens
from diffusion_lib.models import PictureMLP, TextDiffusion, TextEncoder, TextMLP, load, save
from diffusion_lib.models.picture_mlp import DenseBlock
from diffusion_lib.models.text import CrossAttention, WordBlock, attend
from diffusion_lib.process.schedules import cosine
from diffusion_lib.training import train

SCHEDULE = cosine(20)
ROUNDING = 2000 * EPS
LINES = ["a smiling face with red hair", "a sad face", ""]


def stirred(net):
    with torch.no_grad():
        for p in net.parameters():
            p += 0.3 * torch.randn(p.shape, generator=seeded(p.numel()))
    return net.double()


def network(shape=(4, 8, 8)):
    torch.manual_seed(0)
    return stirred(TextMLP(SCHEDULE, shape, width=16, blocks=2, questions=3, n_text=8))


def test_attention_is_pytorchs():
    query, key, value = normal(2, 4, 3, 8), normal(2, 4, 5, 8), normal(2, 4, 5, 8)
    there = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()[:, None, None]
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=there)
    torch.testing.assert_close(attend(query, key, value, there), expected, rtol=0, atol=ROUNDING)


def test_a_word_block_is_pytorchs_encoder_layer():
    """Norm first, four heads, SiLU for its activation: the same weights, the same answer."""
    block = stirred(WordBlock(8))
    theirs = torch.nn.TransformerEncoderLayer(
        8, 4, 16, 0.0, F.silu, batch_first=True, norm_first=True
    ).double()
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(block.query_key_value.weight)
        theirs.self_attn.in_proj_bias.copy_(block.query_key_value.bias)
        theirs.self_attn.out_proj.load_state_dict(block.out.state_dict())
        theirs.norm1.load_state_dict(block.norm.state_dict())
        for their, own in zip((theirs.norm2, theirs.linear1, theirs.linear2), (0, 1, 3), strict=True):
            their.load_state_dict(block.body[own].state_dict())
    x, there = normal(2, 5, 8), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    expected = theirs.train()(x, src_key_padding_mask=~there)
    torch.testing.assert_close(block(x, there), expected, rtol=0, atol=ROUNDING)


def test_what_stands_after_a_caption_makes_no_difference():
    net, x = network(), normal(3, 4, 8, 8)
    together = net(x, 5, tokens(LINES))
    for row, line in enumerate(LINES):
        alone = net(x[row : row + 1], 5, tokens([line]))[0]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=ROUNDING)


def test_no_caption_is_the_caption_of_zeros():
    net, x = network(), normal(2, 4, 8, 8)
    nothing = net(x, 3, torch.zeros(2, 9, dtype=torch.int64))
    torch.testing.assert_close(net(x, 3), nothing, rtol=0, atol=ROUNDING)
    assert not torch.allclose(net(x, 3, tokens(["a sad face"])), nothing)


def test_the_order_of_words_matters():
    net, x = network(), normal(1, 4, 8, 8)
    one, other = (net(x, 3, tokens([line])) for line in ("red hair blue shirt", "blue hair red shirt"))
    assert not torch.allclose(one, other)


def test_cross_attention_by_hand():
    """One row, two questions, three words of which the last is not there."""
    layer, h, words = stirred(CrossAttention(8, 4, questions=2, size=2)), normal(1, 8), normal(1, 3, 4)
    there = torch.tensor([[True, True, False]])
    query = (F.layer_norm(h, (8,)) @ layer.query.weight.T + layer.query.bias).reshape(2, 2)
    both = words[0] @ layer.key_value.weight.T + layer.key_value.bias
    answers = []
    for q in query:
        odds = torch.stack([(q @ both[j, :2] / 2**0.5).exp() for j in (0, 1)])
        answers.append((odds / odds.sum()) @ both[:2, 2:])
    expected = h + layer.out(torch.cat(answers)[None])
    torch.testing.assert_close(layer(h, words, there), expected, rtol=0, atol=ROUNDING)


def test_new_parts_pass_on_what_they_get_and_a_new_network_says_nothing():
    h = normal(2, 16).float()
    assert torch.equal(DenseBlock(16, 5)(h, torch.ones(2, 5)), h)
    words, there = TextEncoder(8)(tokens(LINES[:2]))
    assert torch.equal(CrossAttention(16, 8)(h, words, there), h)
    assert not TextMLP(SCHEDULE, (2,), 16, 2)(normal(3, 2).float(), 4, tokens(LINES)).any()
    assert not PictureMLP(SCHEDULE, (3, 4, 4), 16, 2)(normal(3, 3, 4, 4).float(), 4).any()


def test_a_dense_block_by_hand():
    block, h, level = stirred(DenseBlock(6, 3)), normal(2, 6), normal(2, 3)
    scale, shift, gate = (level @ block.level.weight.T + block.level.bias).split(6, dim=1)
    inner = F.layer_norm(h, (6,)) * (1 + scale) + shift
    first, _, second = block.body
    f = F.silu(inner @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(block(h, level), h + gate * f, rtol=0, atol=ROUNDING)


def test_a_block_that_no_level_moves_is_a_plain_one():
    """Scale and shift 0, the gate open: a residual block like any other."""
    block, h = DenseBlock(6, 3).double(), normal(2, 6)
    with torch.no_grad():
        block.level.bias[12:] = 1
    expected = h + block.body(block.norm(h))
    torch.testing.assert_close(block(h, normal(2, 3)), expected, rtol=0, atol=ROUNDING)


def test_pictures_do_not_see_each_other_and_each_has_its_step():
    torch.manual_seed(0)
    net = stirred(PictureMLP(SCHEDULE, (3, 4, 4), 16, 2))
    x, t = normal(4, 3, 4, 4), torch.tensor([1, 5, 9, 20])
    together = net(x, t)
    for row in range(4):
        alone = net(x[row : row + 1], int(t[row]))[0]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=ROUNDING)


def test_a_whole_caption_is_dropped_or_none_of_it():
    """With a network that adds up what it was told: each row's sum is all of its caption's, or 0."""
    seen = []

    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(()))

        def forward(self, x_t, t, words=None):
            seen.append(words.sum(dim=1))
            return self.one * x_t

    model = TextDiffusion(Counts(), SCHEDULE, dropout=0.3, shape=(2,))
    words = torch.arange(1, 6).expand(2000, 5)
    model.loss(normal(2000, 2).float(), seeded(1), words)
    assert set(seen[0].tolist()) == {0, 15}
    share = float((seen[0] == 0).double().mean())
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5


def test_captions_stay_with_their_rows_when_many_are_asked_in_blocks():
    net = network((3, 16, 16)).float()
    with torch.no_grad():
        for p in net.parameters():
            p *= 0.3  # a network of large weights lets rounding grow
    model = TextDiffusion(net, SCHEDULE, shape=(3, 16, 16))
    words = tokens([LINES[k % 2] for k in range(50)])  # a block has 42 rows of this shape
    found = model.given(words).sample(50, seeded())
    for k in (0, 1):
        alone = model.given(tokens([LINES[k]])).sample(50, seeded())
        torch.testing.assert_close(found[k::2], alone[k::2], rtol=0, atol=1e-5)


def test_it_learns_what_words_mean():
    """Two captions, two places on a line: after a short training the guesses are told apart."""
    words = tokens(["a sad face", "a smiling face"] * 500)
    x_0 = torch.tensor([[-1.0, 0.1], [1.0, -0.1]]).repeat(500, 1) + 0.05 * normal(1000, 2).float()
    torch.manual_seed(0)
    model = TextDiffusion(TextMLP(SCHEDULE, (2,), 32, 2, 2, 16), SCHEDULE, shape=(2,))
    train(model, x_0, 300, 128, 5e-3, seeded(), labels=words)
    for k, side in ((0, -1), (1, 1)):
        drawn = model.given(words[k : k + 1]).sample(200, seeded(k))
        assert (drawn[:, 0] * side > 0.5).float().mean() > 0.95


def test_it_comes_back_from_a_file(tmp_path):
    model = TextDiffusion(network().float(), SCHEDULE, dropout=0.2)
    save(model, tmp_path / "words.safetensors")
    found, x = load(tmp_path / "words.safetensors"), normal(3, 4, 8, 8).float()
    assert found.dropout == 0.2
    words = tokens(LINES)
    assert torch.equal(found.given(words).denoise(x, 7), model.given(words).denoise(x, 7))


def test_words_are_rows_of_whole_numbers():
    net, x = network(), normal(2, 4, 8, 8)
    with refused("labels has", "pass rows of numbers of words"):
        net(x, 3, torch.ones(2, 5))
    with refused("labels has -1", "pass numbers of words from 0"):
        net(x, 3, torch.full((2, 5), -1))
    with refused("labels has shape (3, 4)", "pass one for each point"):
        train(TextDiffusion(net, SCHEDULE), x, 1, labels=torch.ones(3, 4).long())
