"""Cosine attention in tiles through fused attention, without rolled copies, whole score matrices or masks.

    softmax(e^min(τ, ln 100) q̂k̂ᵀ + β + M) v = fused(q e^min(τ, ln 100) / max(‖q‖, ε), k̂, v; β + M)

1. Every tile but those of the last row and column has M = 0. So the rolled grid is cut into four regions, the tiles of
   each alike; the large one is a slice of the grid as it lies in memory.
2. In the others M is a product of four more channels. With e_l the unit vector of a position's label l = 2 r₀ + r₁,

       M[i, j] = −100 · [l_i ≠ l_j] = (−100 e_{l_i}) · (1 − e_{l_j}),   exactly 0 where the labels agree

3. The order of keys is free. With the last first, j̄ = K − 1 − j, β is a window that slides over the table, β[i, j] =
   table[i + j̄], laid out for a few rows of queries at a time. Keys are taken column by column, so that their rows are
   its runs.

Where no gradient is recorded, large tiles are attended to by convolutions instead, see `convolved`.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.row_stripes import worth_striping
from pellucid.ops.tile_attention import convolved
from pellucid.ops.tile_attention.geometry import Pair, Region, regions

_EPSILON = 1e-12
_MASKED = -100.0  # finite, as the weights were trained: at a temperature of 100 a masked key can still win
_BIAS_VALUES = 1 << 22  # values of β laid out at a time: 16 MiB in float32


def tile_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    temperature: Tensor,
    table: Tensor,
    query_tile: Pair,
    key_tile: Pair,
    query_shift: Pair,
    key_shift: Pair,
) -> Tensor:
    """Same values and gradients as the reference; at least in float32, since temperatures reach 100."""
    h, dtype = temperature.numel(), torch.promote_types(q.dtype, torch.float32)
    scale = temperature.to(dtype).clamp(max=math.log(100)).exp().view(h, 1)
    split = (query_shift[0] + key_shift[0] > 0, query_shift[1] + key_shift[1] > 0)
    of_queries = list(regions((q.shape[1], q.shape[2]), query_tile, query_shift, split=split))
    of_keys = list(regions((k.shape[1], k.shape[2]), key_tile, key_shift, split=split))
    tiles: list[tuple[Tensor, Tensor, Tensor]] = []
    for query_region, key_region in zip(of_queries, of_keys, strict=True):
        queries = _scaled(_tiles(query_region.take(q).to(dtype), query_tile, h), scale)
        keys = _scaled(_backwards(key_region.take(k).to(dtype), key_tile, h), 1.0)
        values = _backwards(key_region.take(v).to(dtype), key_tile, h)
        if query_region.last_row or query_region.last_column:
            ends = _ends(query_region, query_tile, query_shift, dtype, q.device).flatten(0, 1)
            queries = _with_channels(queries, _MASKED * ends.unsqueeze(1))
            ends = _ends(key_region, key_tile, key_shift, dtype, q.device).transpose(0, 1).flatten(0, 1).flip(0)
            keys = _with_channels(keys, 1 - ends)
        tiles.append((queries, keys, values))

    bias = _bias(table.to(dtype), key_tile)
    if convolved.why_not(q, k, v, temperature, table, scores=math.prod(query_tile) * math.prod(key_tile)):
        step = query_tile[0]
        if worth_striping(q, k, v, temperature, table):
            step = max(1, _BIAS_VALUES // (h * query_tile[1] * math.prod(key_tile)))
        attended = _fused(tiles, bias, step)
    else:
        attended = [convolved.attention(*of_region, bias) for of_region in tiles]
    out = q.new_empty(q.shape)
    for region, of_region in zip(of_queries, attended, strict=True):
        region.put(out, _cut(of_region, region, query_tile))
    return out


def _fused(tiles: Sequence[tuple[Tensor, Tensor, Tensor]], bias: Tensor, step: int) -> list[Tensor]:
    """Attend with torch's fused attention, with β laid out for `step` rows of queries at a time."""
    parts: list[list[Tensor]] = [[] for _ in tiles]
    _, rows, columns, *_ = bias.shape
    for start in range(0, rows, step):
        laid_out = bias[:, start : start + step].flatten(3, 4).flatten(1, 2)[None]
        at = slice(start * columns, (start + step) * columns)
        for of_region, (queries, keys, values) in zip(parts, tiles, strict=True):
            d, e = keys.shape[-1], values.shape[-1]
            padded = F.pad(values, (0, d - e)) if d > e else values
            few = queries[:, at].transpose(1, 2)
            part = F.scaled_dot_product_attention(few, keys, padded, laid_out, scale=1.0)
            of_region.append(part[..., :e].transpose(1, 2))
    return [of_region[0] if len(of_region) == 1 else torch.cat(of_region, dim=1) for of_region in parts]


def _tiles(x: Tensor, tile: Pair, heads: int) -> Tensor:
    """(B, H, W, C) → (B T, N, h, d), with the positions of a tile row by row."""
    by_tile = _apart(x, tile, heads).transpose(2, 3)
    return by_tile.reshape(-1, math.prod(tile), heads, x.shape[-1] // heads)


def _backwards(x: Tensor, tile: Pair, heads: int) -> Tensor:
    """(B, H, W, C) → (B T, h, N, d), with the positions of a tile column by column, the last first."""
    by_column = _apart(x, tile, heads).permute(0, 1, 3, 5, 4, 2, 6)
    return by_column.reshape(-1, heads, math.prod(tile), x.shape[-1] // heads).flip(2)


def _apart(x: Tensor, tile: Pair, heads: int) -> Tensor:
    """(B, H, W, C) → (B, rows of tiles, n₀, columns of tiles, n₁, h, d)."""
    B, H, W, C = x.shape
    n0, n1 = tile
    return x.reshape(B, H // n0, n0, W // n1, n1, heads, C // heads)


def _cut(tiles: Tensor, region: Region, tile: Pair) -> Tensor:
    """(B T, N, h, d) → (B, rows of tiles, n₀, columns of tiles, n₁, h, d)."""
    (H, W), (n0, n1) = region.size, tile
    return tiles.view(-1, H // n0, W // n1, n0, n1, *tiles.shape[2:]).transpose(2, 3)


def _scaled(x: Tensor, scale: Tensor | float) -> Tensor:
    """Return x scale / max(‖x‖, ε)."""
    norm = cast(Tensor, torch.linalg.vector_norm(x, dim=-1, keepdim=True))
    return x * (scale / norm.clamp_min(_EPSILON))


def _ends(region: Region, tile: Pair, shift: Pair, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the unit vector of the label of each position of a tile, (n₀, n₁, 4)."""
    r0, r1 = (
        (torch.arange(n, device=device) >= n - delta) & last
        for n, delta, last in zip(tile, shift, (region.last_row, region.last_column), strict=True)
    )
    label = 2 * r0.view(-1, 1, 1).long() + r1.view(-1, 1).long()
    return (label == torch.arange(4, device=device)).to(dtype)


def _with_channels(x: Tensor, more: Tensor) -> Tensor:
    """Append `more`, which lacks the axes before its own, or has one of length 1, to the channels of x."""
    return torch.cat([x, more.expand(*x.shape[:-1], -1)], dim=-1)


def _bias(table: Tensor, key_tile: Pair) -> Tensor:
    """Return β for the keys backwards, (h, n₀, n₁, m₁, m₀), as a view of little memory that repeats itself."""
    by_row = table.unfold(1, key_tile[0], 1).contiguous()  # h n₀ columns m₀
    return by_row.unfold(2, key_tile[1], 1).transpose(3, 4)
