"""Cosine attention inside matching tiles of two grids, written as the equation.

Axes: B batch, H W space, C channels, h heads, d = C / h, T tiles, N M query and key positions of a tile.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.tile_attention.geometry import Pair


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
    """softmax(e^min(τ, ln 100) · q̂k̂ᵀ + β + M) v in each tile, GRL (CVPR 2023) after Swin V2, rolled by the shifts."""
    h = temperature.numel()
    queries, keys, values = (
        _tiles(t.roll((-shift[0], -shift[1]), (1, 2)), tile, h)
        for t, tile, shift in ((q, query_tile, query_shift), (k, key_tile, key_shift), (v, key_tile, key_shift))
    )
    cosines = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).mT  # B T h N M
    scale = temperature.clamp(max=math.log(100)).exp().view(h, 1, 1)
    labels_q = _tiles(_labels(q, query_tile, query_shift), query_tile, 1).squeeze(-1)  # 1 T 1 N
    labels_k = _tiles(_labels(k, key_tile, key_shift), key_tile, 1).squeeze(-1)
    mask = -100 * (labels_q.unsqueeze(-1) != labels_k.unsqueeze(-2)).to(q.dtype)  # 1 T 1 N M
    attention = torch.softmax(scale * cosines + _bias(table, query_tile, key_tile) + mask, dim=-1)
    return _picture(attention @ values, q.shape[1:3], query_tile).roll(query_shift, (1, 2))


def _tiles(x: Tensor, tile: Pair, heads: int) -> Tensor:
    """(B, H, W, C) → (B, T, h, N, d)."""
    B, H, W, _ = x.shape
    n0, n1 = tile
    cut = x.reshape(B, H // n0, n0, W // n1, n1, heads, -1)
    return cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(B, -1, heads, n0 * n1, x.shape[-1] // heads)


def _picture(tiles: Tensor, size: torch.Size, tile: Pair) -> Tensor:
    """(B, T, h, N, d) → (B, H, W, C)."""
    B, _, heads, _, d = tiles.shape
    (H, W), (n0, n1) = size, tile
    joined = tiles.reshape(B, H // n0, W // n1, heads, n0, n1, d).permute(0, 1, 4, 2, 5, 3, 6)
    return joined.reshape(B, H, W, heads * d)


def _bias(table: Tensor, query_tile: Pair, key_tile: Pair) -> Tensor:
    """β[i, j] = table[i − j + the key's extent − 1] on each axis, (h, N, M)."""
    rows, columns = (
        torch.arange(n, device=table.device).view(-1, 1) - torch.arange(m, device=table.device) + m - 1
        for n, m in zip(query_tile, key_tile, strict=True)
    )
    bias = table[:, rows[:, None, :, None], columns[None, :, None, :]]  # h n0 n1 m0 m1
    return bias.flatten(3, 4).flatten(1, 2)


def _labels(x: Tensor, tile: Pair, shift: Pair) -> Tensor:
    """3 r₀ + r₁ with r = [p ≥ L − n] + [p ≥ L − δ], the second only where δ > 0; (1, H, W, 1)."""
    r0, r1 = (
        (position >= length - n).long() + ((position >= length - delta) & (delta > 0)).long()
        for length, n, delta in zip(x.shape[1:3], tile, shift, strict=True)
        for position in (torch.arange(length, device=x.device),)
    )
    return (3 * r0.view(-1, 1) + r1).view(1, *x.shape[1:3], 1)
