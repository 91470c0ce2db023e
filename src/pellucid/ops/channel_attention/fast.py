"""Channel attention from sums over pixels, with the output projection folded in.

With S = qᵀk, ν_a = Σₙ q²_na and κ_j = Σₙ k²_nj (all sums over pixels, so they may be accumulated part by part),

    A_i = softmax_j( τ_i S_aj / (max(√ν_a, ε) · max(√κ_j, ε)) )       for each head i
    M   = P · blockdiag(A_1, …, A_h)                                  C × C
    out = M v + bias

No normalised copy of q or k is made, and v is multiplied once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.ops.onednn import gram, why_not
from pellucid.ops.pixel_product import pixel_product

_EPSILON = 1e-12
_MOST_PARTS = 32  # rows are summed in so many parts at most


class GramStatistics(NamedTuple):
    """Sums over pixels that determine the attention matrix; those of two parts of a picture add up to those of both."""

    gram: Tensor  # B h c c: Σₙ q_na k_nj
    query_energy: Tensor  # B h c: Σₙ q²
    key_energy: Tensor  # B h c: Σₙ k²

    @classmethod
    def total(cls, parts: "Sequence[GramStatistics]") -> "GramStatistics":
        """Return the statistics of a picture from those of its parts."""
        return cls(*(torch.stack(sums).sum(0) for sums in zip(*parts, strict=True)))


def gram_statistics(q: Tensor, k: Tensor, heads: int, *, overwrite: bool = False) -> GramStatistics:
    """Sum over the pixels of q and k, each (B, H, W, C), at least in float32.

    With `overwrite` squares may take the place of q and k; no gradient then.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    q, k = q.to(dtype), k.to(dtype)
    products = _gram(q, k, heads)
    energies = (_sum_of_pixels(t.square_() if overwrite else t.square()).view(len(t), heads, -1) for t in (q, k))
    return GramStatistics(products, *energies)


def _sum_of_pixels(x: Tensor) -> Tensor:
    # Rows first: a thread's rows then stay in its cache from one operation to the next.
    return x.sum(2).sum(1)


def _gram(q: Tensor, k: Tensor, heads: int) -> Tensor:
    B, H, _, C = q.shape
    if why_not(q, k) is None:
        return torch.stack([gram(q[b : b + 1], k[b : b + 1], heads) for b in range(B)])
    per_head = [slice(start, start + C // heads) for start in range(0, C, C // heads)]
    parts = max(divisor for divisor in range(1, _MOST_PARTS + 1) if H % divisor == 0)
    # Picture by picture, since rows cut out of larger pictures can be viewed as pixels in each, but not across them.
    grams: list[Tensor] = []
    for of_picture in zip(q, k, strict=True):
        q_parts, k_parts = (t.reshape(parts, -1, C) for t in of_picture)
        grams += [(q_parts[..., head].mT @ k_parts[..., head]).sum(0) for head in per_head]
    return torch.stack(grams).view(B, heads, C // heads, C // heads)


def folded_matrix(statistics: GramStatistics, temperature: Tensor, projection: Tensor) -> Tensor:
    """Return M, (B, C, C): attention and output projection in one matrix."""
    S, nu, kappa = statistics
    B, h, c, _ = S.shape
    # Bounded before the root, whose slope at zero is infinite: a black picture has gradients too.
    norms = nu.clamp_min(_EPSILON**2).sqrt().unsqueeze(-1) * kappa.clamp_min(_EPSILON**2).sqrt().unsqueeze(-2)
    A = torch.softmax(temperature.view(h, 1, 1) * S / norms, dim=-1).to(projection.dtype)
    P = projection.view(-1, h, c).transpose(0, 1)  # h C c
    return (P @ A).permute(0, 2, 1, 3).reshape(B, -1, h * c)


def apply_matrix(matrix: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply every pixel of v, (B, H, W, C), by its picture's matrix (B, C, C)."""
    B, H, W, _ = v.shape
    matrix = matrix.to(v.dtype)
    if B == 1:
        return pixel_product(v, matrix[0], bias)
    pixels, matrix_t = v.flatten(1, 2), matrix.transpose(1, 2)
    out = pixels @ matrix_t if bias is None else torch.baddbmm(bias, pixels, matrix_t)
    return out.view(B, H, W, -1)


def channel_attention(
    q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, projection: Tensor, bias: Tensor | None
) -> Tensor:
    """Same values and gradients as the reference."""
    statistics = gram_statistics(q, k, temperature.numel())
    return apply_matrix(folded_matrix(statistics, temperature, projection), v, bias)
