"""The spectrum of 8×8 patches in real numbers, by rows and then by columns, and no complex type.

The discrete Fourier transform of 8 real values is known from 8 real numbers: with rows cos(2π k a / 8) for the
frequencies k = 0, 4, 1, 2, 3, then −sin(2π k a / 8) for k = 1, 2, 3, of an 8×8 matrix T, and a patch p of 8×8 pixels,

    X = T p Tᵀ,    p = T⁻¹ X T⁻ᵀ,    T⁻¹ = Tᵀ diag(1, 1, 2, 2, 2, 2, 2, 2) / 8

These 64 numbers hold the complex spectrum F. Where both frequencies are of the three with a cosine c and a sine s,

    F[u, v] = X_cc − X_ss + i (X_cs + X_sc),    F[−u, v] = X_cc + X_ss + i (X_cs − X_sc)

and where one of them is 0 or 4, the two numbers, or the one, are real part and imaginary part. T costs 16 products for
each number, where one matrix for the whole patch would cost 64, and acts on (B, H, W, C) as it lies in memory.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pellucid.ops.patches import PATCH

# Along each axis of a spectrum: frequencies 0 and 4, which are real, and cosines and sines of 1, 2 and 3.
REAL, COSINES, SINES = slice(0, 2), slice(2, 5), slice(5, 8)
_FREQUENCIES = [0, 4, 1, 2, 3, 1, 2, 3]


def _matrices() -> tuple[Tensor, Tensor]:
    """Return T and its inverse."""
    k = torch.tensor(_FREQUENCIES, dtype=torch.float64, device="cpu")
    angles = torch.outer(k, torch.arange(PATCH, dtype=torch.float64, device="cpu")) * (2 * math.pi / PATCH)
    forward = torch.cat([angles[: SINES.start].cos(), -angles[SINES].sin()])
    scale = torch.full((PATCH,), 2 / PATCH, dtype=torch.float64, device="cpu")
    scale[REAL] = 1 / PATCH
    return forward, (forward.T * scale).contiguous()


_TYPES = (torch.float32, torch.float64)
_FORWARD, _INVERSE = ({dtype: matrix.to(dtype) for dtype in _TYPES} for matrix in _matrices())


def to_spectrum(x: Tensor) -> Tensor:
    """Transform the patches of x, (B, H, W, C) of whole patches, to (B·H/8, 8, W/8, 8, C), at least in float32."""
    B, H, W, C = x.shape
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    rows = _multiplied(_FORWARD, x.reshape(B * H // PATCH, PATCH, W * C))
    return _multiplied(_FORWARD, rows.view(-1, PATCH, C)).view(-1, PATCH, W // PATCH, PATCH, C)


def from_spectrum(spectrum: Tensor, height: int, width: int, out: Tensor | None = None) -> Tensor:
    """Transform back to (B, H, W, C) of whole patches.

    With `out`, rows of one picture, (1, H, W, C), the result is written there, and no gradient is recorded.
    """
    C = spectrum.shape[-1]
    columns = _multiplied(_INVERSE, spectrum.reshape(-1, PATCH, C)).view(-1, PATCH, width * C)
    if out is not None and out.dtype == spectrum.dtype:
        _multiplied(_INVERSE, columns, out.view(columns.shape))
        return out
    x = _multiplied(_INVERSE, columns).view(-1, height, width, C)
    return x if out is None else out.copy_(x)


def spread_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Spread a real weight for each bin of the half spectrum, (C, 8, 5), over the numbers of a patch.

    Where the half spectrum holds both of two conjugate bins, their mean acts on both, as it must for a real result.

    Returns:
        A, (8, 8, C), by which each number is multiplied, and D, (6, 6, C), by which the number is multiplied that has
        sines for its cosines and cosines for its sines: with a = (W[u, v] + W[−u, v]) / 2 and
        d = (W[−u, v] − W[u, v]) / 2,

            X_cc ← a X_cc + d X_ss,   X_ss ← a X_ss + d X_cc,   X_cs ← a X_cs − d X_sc,   X_sc ← a X_sc − d X_cs
    """
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))  # its sums should not be rounded
    k = torch.tensor(_FREQUENCIES, device=weight.device)
    at, opposite = weight[:, k][:, :, k], weight[:, -k % PATCH][:, :, k]
    halves = torch.tensor([1.0] * 3 + [-1.0] * 3, device=weight.device).to(weight)
    mean, difference = (at + opposite) / 2, (opposite - at)[:, 2:, 2:] / 2 * torch.outer(halves, halves)
    return mean.permute(1, 2, 0).contiguous(), difference.permute(1, 2, 0).contiguous()


def _multiplied(matrix: Mapping[torch.dtype, Tensor], values: Tensor, out: Tensor | None = None) -> Tensor:
    matrices = matrix[values.dtype].to(values.device).expand(values.shape[0], -1, -1)
    return torch.bmm(matrices, values) if out is None else torch.bmm(matrices, values, out=out)
