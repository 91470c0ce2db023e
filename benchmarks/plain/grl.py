"""GRL's layers as the paper writes them: tokens cut into tiles, explicit masks, biases and attention matrices.

Features are (B, C, H, W) in contiguous memory between the modules, and tokens inside, as in the paper.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import ChannelAttentionBlock, ChannelLayerNorm, MixedAttention
from pellucid.layers.anchored_stripe_attention import AnchoredStripeHeads
from pellucid.layers.continuous_position_bias import ContinuousPositionBias
from pellucid.layers.window_attention import WindowHeads
from pellucid.models.grl import GRL_PRESETS, FeedForward, GRLLayer
from plain.cases import Case

Pair = tuple[int, int]


def plain_norm(norm: ChannelLayerNorm, x: Tensor) -> Tensor:
    """Layer normalisation over the channels of each token."""
    tokens = F.layer_norm(x.permute(0, 2, 3, 1), norm.weight.shape, norm.weight, norm.bias, norm.epsilon)
    return tokens.permute(0, 3, 1, 2).contiguous()


def plain_table(bias: ContinuousPositionBias, tokens: Pair, anchors: Pair) -> Tensor:
    """The small network on every relative position, (rows, columns, h)."""
    axes: list[Tensor] = []
    for n, a in zip(tokens, anchors, strict=True):
        offset = (n - a) // 2
        u = 8 * torch.arange(1 - a - offset, n - offset) / (n - 1 - offset)
        axes.append(torch.sign(u) * torch.log2(u.abs() + 1) / math.log2(8))
    return 16 * torch.sigmoid(bias.contract(F.relu(bias.expand(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)))))


def plain_attention(
    bias: ContinuousPositionBias,
    qkv: tuple[Tensor, Tensor, Tensor],
    tiles: tuple[Pair, Pair],
    shifts: tuple[Pair, Pair],
) -> Tensor:
    """Roll, cut, softmax(e^min(τ, ln 100) q̂k̂ᵀ + β + M) v, join, roll back."""
    (q, k, v), (query_tile, key_tile), (query_shift, key_shift) = qkv, tiles, shifts
    h, size, batch = len(bias.temperature), q.shape[1:3], len(q)
    masked = max(query_shift + key_shift) > 0
    labels_q = _cut(_labels(q, query_tile, query_shift), query_tile, 1).view(-1, 1, math.prod(query_tile), 1)
    labels_k = _cut(_labels(k, key_tile, key_shift), key_tile, 1).view(-1, 1, 1, math.prod(key_tile))
    q = _cut(_rolled(q, query_shift), query_tile, h)
    k, v = (_cut(_rolled(t, key_shift), key_tile, h) for t in (k, v))
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
    scores = scores * bias.temperature.clamp(max=math.log(100)).exp()
    table = plain_table(bias, *sorted(tiles, reverse=True))
    rows, columns = (
        torch.arange(n).view(-1, 1) - torch.arange(m) + m - 1 for n, m in zip(query_tile, key_tile, strict=True)
    )
    index = (rows[:, None, :, None] * table.shape[1] + columns[None, :, None, :]).view(-1)
    scores = scores + table.view(-1, h)[index].view(*scores.shape[-2:], h).permute(2, 0, 1)
    if masked:
        mask = torch.where(labels_q == labels_k, 0.0, -100.0)
        scores = (scores.view(batch, -1, *scores.shape[1:]) + mask).view(scores.shape)
    return _rolled(_joined(scores.softmax(dim=-1) @ v, size, query_tile), (-query_shift[0], -query_shift[1]))


def _rolled(x: Tensor, shift: Pair) -> Tensor:
    return x.roll((-shift[0], -shift[1]), (1, 2)) if max(map(abs, shift)) else x


def _cut(x: Tensor, tile: Pair, heads: int) -> Tensor:
    """(B, H, W, C) → (B T, h, N, d)."""
    (B, H, W, C), (n0, n1) = x.shape, tile
    cut = x.view(B, H // n0, n0, W // n1, n1, C).permute(0, 1, 3, 2, 4, 5).reshape(-1, n0 * n1, heads, C // heads)
    return cut.transpose(1, 2)


def _joined(tiles: Tensor, size: torch.Size, tile: Pair) -> Tensor:
    (H, W), (n0, n1) = size, tile
    tokens = tiles.transpose(1, 2).reshape(-1, H // n0, W // n1, n0, n1, tiles.shape[1] * tiles.shape[3])
    return tokens.permute(0, 1, 3, 2, 4, 5).reshape(-1, H, W, tokens.shape[-1])


def _labels(x: Tensor, tile: Pair, shift: Pair) -> Tensor:
    r0, r1 = (
        (torch.arange(length) >= length - n).long() + (torch.arange(length) >= length - delta).long() * (delta > 0)
        for length, n, delta in zip(x.shape[1:3], tile, shift, strict=True)
    )
    return (3 * r0.view(-1, 1) + r1).view(1, *x.shape[1:3], 1)


def plain_windows(heads: WindowHeads, qkv: Tensor) -> Tensor:
    """Attention in windows."""
    q, k, v = (t.contiguous() for t in qkv.chunk(3, dim=-1))
    return plain_attention(heads.position, (q, k, v), (heads.window, heads.window), (heads.shift, heads.shift))


def plain_stripes(heads: AnchoredStripeHeads, qkv: Tensor, anchors: Tensor) -> Tensor:
    """Anchors gather from the tokens, tokens read from the anchors."""
    q, k, v = (t.contiguous() for t in qkv.chunk(3, dim=-1))
    f, tile, shift = heads.layout.anchor_factor, heads.layout.tile(*q.shape[1:3]), heads.layout.shift(*q.shape[1:3])
    few, few_shift = (tile[0] // f, tile[1] // f), (shift[0] // f, shift[1] // f)
    z = plain_attention(heads.gather, (anchors, k, v), (few, tile), (few_shift, shift))
    return plain_attention(heads.read, (q, anchors, z), (tile, few), (shift, few_shift))


def plain_mixed(layer: MixedAttention, x: Tensor) -> Tensor:
    """One projection, two branches, one projection, on a picture of whole tiles."""
    tokens = x.permute(0, 2, 3, 1).contiguous()
    near, far = layer.qkv(tokens).chunk(2, dim=-1)
    anchors = layer.anchor(F.avg_pool2d(x, layer.stripes.layout.anchor_factor).permute(0, 2, 3, 1))
    joined = torch.cat([layer.windows(near), layer.stripes(far, anchors)], dim=-1)
    return layer.project(joined).permute(0, 3, 1, 2).contiguous()


def plain_block(block: ChannelAttentionBlock, x: Tensor) -> Tensor:
    """Two convolutions and a gate for each channel."""
    c = block.expand(F.gelu(block.compress(x)))
    return c * torch.sigmoid(block.excite(F.relu(block.squeeze(F.adaptive_avg_pool2d(c, 1)))))


def plain_feed_forward(mlp: FeedForward, x: Tensor) -> Tensor:
    """Two projections of each token."""
    return mlp.contract(F.gelu(mlp.expand(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2).contiguous()


def plain_layer(layer: GRLLayer, x: Tensor) -> Tensor:
    """The transformer layer as written in the paper."""
    y = x + layer.norm1(layer.attention(x))
    if layer.local is not None:
        y = y + layer.local(x)
    return y + layer.norm2(layer.mlp(y))


PLAIN = {
    ChannelLayerNorm: plain_norm,
    WindowHeads: plain_windows,
    AnchoredStripeHeads: plain_stripes,
    MixedAttention: plain_mixed,
    ChannelAttentionBlock: plain_block,
    FeedForward: plain_feed_forward,
    GRLLayer: plain_layer,
}
LAYERS = (
    Case(
        name="GRLLayer",
        make=lambda: GRLLayer(GRL_PRESETS["small-sr4"], stage=0, index=2, drop=0.0),
        shape=(1, 128, 256, 256),
        small_side=64,
    ),
)
NETWORKS = (Case(name="GRL", make=lambda: create("grl", preset="small-sr4"), shape=(1, 3, 256, 256)),)
