"""The real discrete Fourier transform of an H × W grid as small constant matrices, without a complex number.

Along a side of n = p·q, position q·a + b adds to frequency f = k + p·l (Cooley and Tukey, 1965)

    X[k + p·l] = Σ_b e^(−2πi·b·f/n) · ( Σ_a e^(−2πi·a·k/p) · x[q·a + b] )

so one matrix for all b, and then one for each k, which has the twiddle factors in it, do what one of n × n would. Both
act on stacked real and imaginary parts, where e^(−iθ) is the block ((cos θ, sin θ), (−sin θ, cos θ)). Rows start from
real values, so of their k only 0 … ⌊p/2⌋ are needed: the others hold conjugates.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

_WHOLE = 32  # a longer side is split in two factors


class Transform(NamedTuple):
    """Matrices of the transform, and where its frequencies lie in a stored half spectrum.

    The frequencies, F of them, are ordered by k and l of the rows, then k and l of the columns. Matrices have axes
    (k, to, from), with one k where all share a matrix; they are None where a side is not split.
    """

    rows_first: Tensor  # (1, 2K, p): to (k, part), from a; a part is real or imaginary
    rows_second: Tensor | None  # (K, 2q, 2q): to (l, part), from (part, b)
    columns_first: Tensor | None  # (1, 2p, 2p): to (k, part), from (part, a)
    columns_second: Tensor  # (p, 2q, 2q): to (part, l), from (part, b)
    indices: Tensor  # (2, F): the two stored values whose mean a frequency is
    signs: Tensor  # (2, F, 1): what their imaginary parts are multiplied by
    scale: Tensor  # (F, 1): how often a frequency counts, over 2·H·W


def split(side: int) -> tuple[int, int]:
    """Return the factors p ≥ q of a side that are nearest its root."""
    p = next(p for p in range(math.isqrt(side - 1) + 1, side + 1) if side % p == 0)
    return p, side // p


def transform(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Transform:
    """Return the transform of a grid; it is remembered, except where a graph is being recorded."""
    build = _build if torch.compiler.is_compiling() else _remembered
    return build(height, width, dtype, device)


@lru_cache(maxsize=64)
def _remembered(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Transform:
    with torch.inference_mode(mode=False):  # what is made in that mode could not serve in training later
        return _build(height, width, dtype, device)


def _build(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Transform:
    p, q = (height, 1) if height <= _WHOLE else split(height)
    k, a, b = (torch.arange(n, device=device) for n in (p // 2 + 1, p, q))
    u = k[:, None] + p * b
    rows_first = _rotation(k, q * a, height)[:, :, 0].reshape(1, -1, p)
    rows_second = _rotation(u, b, height).reshape(len(k), 2 * q, 2 * q) if q > 1 else None
    counted = torch.where((k == 0) | (2 * k == p), 1, 2)[:, None].expand_as(u)

    p, q = (1, width) if width <= _WHOLE else split(width)
    k, b = (torch.arange(n, device=device) for n in (p, q))
    v = k[:, None] + p * b
    columns_first = _rotation(k, q * k, width).reshape(1, 2 * p, 2 * p) if p > 1 else None
    columns_second = _rotation(v, b, width).transpose(1, 2).reshape(p, 2 * q, 2 * q)

    indices, signs = _half_spectrum(u.reshape(-1, 1), v.reshape(1, -1), height, width)
    scale = counted.to(torch.float64).reshape(-1, 1).expand(-1, width).reshape(-1, 1) / (2 * height * width)
    return Transform(
        rows_first.to(dtype),
        None if rows_second is None else rows_second.to(dtype),
        None if columns_first is None else columns_first.to(dtype),
        columns_second.to(dtype),
        indices,
        signs.to(dtype),
        scale.to(dtype),
    )


def _rotation(frequencies: Tensor, positions: Tensor, side: int) -> Tensor:
    """Return e^(−2πi·f·m/side) as real blocks, (…, frequency, to part, from part, position), in float64."""
    angles = (frequencies[..., None] * positions % side).to(torch.float64) * (2 * math.pi / side)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cosine, sine], -2), torch.stack([-sine, cosine], -2)], -3)


def _half_spectrum(u: Tensor, v: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Find K̃(u, v) in K(0 … H − 1, 0 … ⌊W/2⌋): it is conj K̃(−u, −v), which in column 0, and in W/2, is stored too.

    There K̃ = ½ (K(u, v) + conj K(−u, v)), as no other part of K has an effect on a real result.
    """
    mirrored = v > width // 2
    rows, columns = torch.where(mirrored, -u % height, u), torch.where(mirrored, width - v, v + 0 * u)
    twice = 2 * columns % width == 0
    other_rows = torch.where(twice, -rows % height, rows)
    sign = torch.where(mirrored, -1, 1).expand_as(rows)
    other_sign = torch.where(twice, -sign, sign)
    stored = width // 2 + 1
    indices = torch.stack([rows * stored + columns, other_rows * stored + columns]).flatten(1)
    return indices, torch.stack([sign, other_sign]).flatten(1)[..., None]
