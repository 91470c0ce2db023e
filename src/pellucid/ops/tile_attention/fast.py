"""Cosine attention in tiles through fused attention, without rolled copies, score matrices or whole masks.

    softmax(e^min(τ, ln 100) q̂k̂ᵀ + β + M) v = fused(q e^min(τ, ln 100) / max(‖q‖, ε), k̂, v; β + M)

1. Every tile but those of the last row and column has M = 0, and those have one M for the row, one for the column and
   one for the corner. So the rolled grid is cut into four regions, each with one additive term for all of its tiles.
   The large one is a slice of the grid as it lies in memory.
2. β is a window that slides over the table read backwards, β[i, j] = t̄[Q − 1 − i + j] with t̄[u] = table[−1 − u], so
   that rows of β are runs of the table. They are laid out for a few rows of queries at a time.
"""

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.row_stripes import worth_striping
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
    scale = temperature.to(dtype).clamp(max=math.log(100)).exp().view(h, 1, 1)
    split = (query_shift[0] + key_shift[0] > 0, query_shift[1] + key_shift[1] > 0)
    of_queries = list(regions((q.shape[1], q.shape[2]), query_tile, query_shift, split=split))
    of_keys = list(regions((k.shape[1], k.shape[2]), key_tile, key_shift, split=split))
    queries = [_scaled(_tiles(region.take(q).to(dtype), query_tile, h), scale) for region in of_queries]
    keys = [_scaled(_tiles(region.take(k).to(dtype), key_tile, h), 1.0) for region in of_keys]
    values = [_tiles(region.take(v).to(dtype), key_tile, h) for region in of_keys]

    step = query_tile[0]
    if worth_striping(q, k, v, temperature, table):
        step = max(1, _BIAS_VALUES // (h * query_tile[1] * math.prod(key_tile)))
    attended: list[list[Tensor]] = [[] for _ in of_queries]
    for start in range(0, query_tile[0], step):
        rows = range(start, min(start + step, query_tile[0]))
        bias = _bias(table.to(dtype), rows, query_tile, key_tile)
        at = slice(rows.start * query_tile[1], rows.stop * query_tile[1])
        for i, region in enumerate(of_queries):
            mask = _mask(region, rows, (query_tile, key_tile), (query_shift, key_shift), bias)
            term = (bias if mask is None else bias + mask).flatten(3, 4).flatten(1, 2)[None]
            part = F.scaled_dot_product_attention(queries[i][:, :, at], keys[i], values[i], term, scale=1.0)
            attended[i].append(part)
    out = q.new_empty(q.shape)
    for region, parts in zip(of_queries, attended, strict=True):
        region.put(out, _cut(parts[0] if len(parts) == 1 else torch.cat(parts, dim=2), region, query_tile))
    return out


def _tiles(x: Tensor, tile: Pair, heads: int) -> Tensor:
    """(B, H, W, C) → (B T, h, N, d)."""
    B, H, W, C = x.shape
    n0, n1 = tile
    cut = x.reshape(B, H // n0, n0, W // n1, n1, heads, C // heads)
    return cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, heads, n0 * n1, C // heads)


def _cut(tiles: Tensor, region: Region, tile: Pair) -> Tensor:
    """(B T, h, N, d) → (B, rows of tiles, n₀, columns of tiles, n₁, h, d)."""
    (H, W), (n0, n1) = region.size, tile
    _, h, _, d = tiles.shape
    return tiles.view(-1, H // n0, W // n1, h, n0, n1, d).permute(0, 1, 4, 2, 5, 3, 6)


def _scaled(x: Tensor, scale: Tensor | float) -> Tensor:
    """Return x scale / max(‖x‖, ε)."""
    norm = cast(Tensor, torch.linalg.vector_norm(x, dim=-1, keepdim=True))
    return x * (scale / norm.clamp_min(_EPSILON))


def _bias(table: Tensor, rows: range, query_tile: Pair, key_tile: Pair) -> Tensor:
    """Lay out β for some rows of the query tile, (h, n₀, n₁, m₀, m₁)."""
    slid: Tensor = table.flip(1, 2).unfold(1, key_tile[0], 1).unfold(2, key_tile[1], 1)  # queries run backwards
    return slid[:, query_tile[0] - rows.stop : query_tile[0] - rows.start].flip(1, 2).contiguous()


def _mask(
    region: Region, rows: range, tiles: tuple[Pair, Pair], shifts: tuple[Pair, Pair], like: Tensor
) -> Tensor | None:
    """Return M for some rows of the query tile, (n₀, n₁, m₀, m₁) or 1 on an axis on which it is one value; or None."""
    masks: list[Tensor] = []
    for axis, last in enumerate((region.last_row, region.last_column)):
        query, key = (
            torch.arange(tile[axis], device=like.device) >= tile[axis] - shift[axis]
            for tile, shift in zip(tiles, shifts, strict=True)
        )
        mask = _MASKED * (query.view(-1, 1) != key).to(like.dtype)
        if last:
            masks.append(mask[rows.start : rows.stop, None, :, None] if axis == 0 else mask[:, None, :])
    return torch.minimum(*masks) if len(masks) == 2 else masks[0] if masks else None
