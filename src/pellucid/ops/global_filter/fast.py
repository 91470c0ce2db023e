"""The global filter by real matrices: with A the real discrete Fourier transform over half of the frequencies,

    Y = Aᵀ D A X,    D = blockdiag over frequencies of  ω / HW · ((Re K̃, −Im K̃), (Im K̃, Re K̃))

where ω = 2 counts a frequency for its conjugate too, unless both are in the half, and K̃ is the Hermitian part of K,
which alone acts. A is a product of small constant matrices (see `transform`), each applied as one batched product.
"""

from itertools import cycle
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.ops.global_filter.transform import Transform, split, transform
from pellucid.ops.precision import without_autocast
from pellucid.ops.row_stripes import worth_striping

_BLOCK_VALUES = 400_000  # of a spectrum worked on at a time: 1.6 MB in float32, to stay in the processor's cache
_LARGEST_FACTOR = 256  # of a side; with a larger one an FFT is cheaper than matrices


class PackedFilter(NamedTuple):
    """K̃ ω / HW for one size of grid, in the order of the transform's frequencies: (rows, columns, C) each."""

    real: Tensor
    imaginary: Tensor


def why_not(height: int, width: int) -> str | None:
    """Return why the matrices should not be used on a grid of this size, or None if they should."""
    if max(*split(height), *split(width)) > _LARGEST_FACTOR:
        return f"a side of {height} × {width} is no product of two factors up to {_LARGEST_FACTOR}"
    return None


def global_filter(x: Tensor, weight: Tensor) -> Tensor:
    """Same values and gradients as the reference."""
    return apply_packed(x, pack_filter(weight, x.shape[2]))


def pack_filter(weight: Tensor, width: int) -> PackedFilter:
    """Arrange K, (H, ⌊W/2⌋ + 1, C, 2), for a grid of this width, at least in float32. Gradients flow through."""
    H, _, C, _ = weight.shape
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    t = transform(H, width, weight.dtype, weight.device)
    stored_real, stored_imaginary = weight.flatten(0, 1).unbind(-1)
    one, other = t.indices
    # In place on what was just gathered, so that a large filter is not held many times over.
    real = stored_real[one].add_(stored_real[other]).mul_(t.scale)
    imaginary = stored_imaginary[one].mul_(t.signs[0]).addcmul_(stored_imaginary[other], t.signs[1]).mul_(t.scale)
    return PackedFilter(real.view(-1, width, C), imaginary.view(-1, width, C))


def apply_packed(x: Tensor, packed: PackedFilter) -> Tensor:
    """Filter x, (B, H, W, C), in the type of the packed filter; return the type of x."""
    values = x.to(packed.real.dtype).contiguous()
    _, H, W, _ = x.shape
    t = transform(H, W, values.dtype, values.device)
    with without_autocast(x.device):  # sums over a whole picture need more than half precision
        in_parts = worth_striping(values, *packed)
        filtered = _apply_in_parts(values, packed, t) if in_parts else _apply_at_once(values, packed, t)
    return filtered.to(x.dtype)


def _apply_at_once(x: Tensor, packed: PackedFilter, t: Transform) -> Tensor:
    """Compute Aᵀ D A X."""
    after = x[0].numel() // t.rows_first.shape[2]
    spectrum = _between_rows(_multiply(t.rows_first, x, after), packed, t)
    return _multiply(t.rows_first.mT, spectrum, after).view_as(x)


def _apply_in_parts(x: Tensor, packed: PackedFilter, t: Transform) -> Tensor:
    """Compute Aᵀ D A X for some samples at a time, or for one where it is large, then for some k of its rows at a time.

    Whatever lies between x and the result is written to two buffers.
    """
    after, K = x[0].numel() // t.rows_first.shape[2], t.rows_first.shape[1] // 2
    per_k = 2 * after  # values of the spectrum
    samples = min(len(x), max(1, _BLOCK_VALUES // (K * per_k)))
    step = min(K, max(1, _BLOCK_VALUES // per_k)) if samples == 1 else K
    rows = samples * step * (len(packed.real) // K)
    t = t._replace(columns_second=_repeated(t.columns_second, rows * len(t.columns_second)))
    spectrum, spare = x.new_empty(samples, K, per_k), x.new_empty(samples * step * per_k)
    out = torch.empty_like(x)
    for start in range(0, len(x), samples):
        part = slice(start, start + samples)
        z = _multiply(t.rows_first, x[part], after, spectrum).view(-1, K, per_k)
        if step == K:
            z = _between_rows(z, packed, t, spare)
        else:
            for k in range(0, K, step):
                block = z[:, k : k + step]
                block.copy_(_between_rows(block, *_of_rows(packed, t, K, slice(k, k + step)), spare).view_as(block))
        _multiply(t.rows_first.mT, z, after, out[part])
    return out


def _of_rows(packed: PackedFilter, t: Transform, K: int, ks: slice) -> tuple[PackedFilter, Transform]:
    """Return what concerns some k of the rows."""
    real, imaginary = (values.view(K, -1, *values.shape[1:])[ks].flatten(0, 1) for values in packed)
    second = None if t.rows_second is None else t.rows_second[ks]
    return PackedFilter(real, imaginary), t._replace(rows_second=second)


def _between_rows(z: Tensor, packed: PackedFilter, t: Transform, spare: Tensor | None = None) -> Tensor:
    """Apply all that lies between the first matrix of the rows and its transpose.

    Given a spare, results lie in it and in z by turns.
    """
    _, W, C = packed.real.shape
    q = t.columns_second.shape[1] // 2
    stages = [(t.rows_second, W * C), (t.columns_first, q * C), (t.columns_second, C)]
    matrices = [(matrix, after) for matrix, after in stages if matrix is not None]
    places = cycle((None,) if spare is None else (spare, z))
    for matrix, after in matrices:
        z = _multiply(matrix, z, after, next(places))
    z = _scale(z.view(-1, len(packed.real), W // q, 2, q * C), packed, next(places))
    for matrix, after in reversed(matrices):
        z = _multiply(matrix.mT, z, after, next(places))
    return z


def _scale(z: Tensor, packed: PackedFilter, place: Tensor | None) -> Tensor:
    """Multiply the spectrum by K̃: D z, for z of (B, rows, k of the columns, part, values)."""
    real, imaginary = z.unbind(3)
    by_real, by_imaginary = (values.view(real.shape[1:]) for values in packed)
    if place is None:
        return torch.stack(
            [real * by_real - imaginary * by_imaginary, real * by_imaginary + imaginary * by_real], dim=3
        )
    scaled = torch.mul(z, by_real.unsqueeze(2), out=place.view(-1)[: z.numel()].view(z.shape))
    scaled[:, :, :, 0].addcmul_(imaginary, by_imaginary, value=-1)
    scaled[:, :, :, 1].addcmul_(real, by_imaginary)
    return scaled


def _multiply(matrices: Tensor, z: Tensor, after: int, place: Tensor | None = None) -> Tensor:
    """Contract an axis of z that `after` values follow; its blocks take the matrices in turn.

    Given a place, the result lies there.
    """
    _, to, fro = matrices.shape
    z = z.reshape(-1, fro, after)
    matrices = _repeated(matrices, len(z))
    if place is None:
        return torch.bmm(matrices, z)
    return torch.bmm(matrices, z, out=place.view(-1)[: len(z) * to * after].view(-1, to, after))


def _repeated(matrices: Tensor, times: int) -> Tensor:
    """Return this many matrices, the given ones over and over; a single one is not copied."""
    count = len(matrices)
    if count == 1:
        return matrices.expand(times, -1, -1)
    return matrices[:times] if count >= times else matrices.repeat(times // count, 1, 1)
