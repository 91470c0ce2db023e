"""The spectrum of 8×8 patches in real numbers: one constant matrix each way, and no complex type.

The discrete Fourier transform of a real patch p, X[u,v] = Σ p[a,b] exp(−2πi (ua + vb) / 8), is known from 34 of its
bins: the four with u, v ∈ {0, 4} are real, and of every other pair of conjugates one is enough. Their real and
imaginary parts are 64 numbers, so that with p as a column of 64 values, row after row,

    X = D p,    p = D⁻¹ X,    D⁻¹ = Dᵀ diag(1/64 for the four real bins, 2/64 for the others)

with rows cos(2π (ua + vb) / 8), then −sin(2π (ua + vb) / 8), of D. Every channel of a patch is such a column, and lies
in (B, H, W, C) memory beside the others, so the transform of a patch is the product of a 64×64 and a 64×C matrix.
"""

import math

import torch
from torch import Tensor

from pellucid.ops.patches import PATCH, cut_patches, pad_to_patches

REAL_BINS = 4
_PIXELS = PATCH * PATCH
_HALF = PATCH // 2
_REAL = [(u, v) for v in (0, _HALF) for u in (0, _HALF)]
_PAIRED = [(u, v) for v in (0, _HALF) for u in range(1, _HALF)] + [
    (u, v) for v in range(1, _HALF) for u in range(PATCH)
]


def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Return D, D⁻¹, and the matrix that takes a real weight for 8×5 bins to one for each row of D."""
    places = torch.cartesian_prod(*[torch.arange(PATCH, dtype=torch.float64, device="cpu")] * 2)  # 64 2
    bins = torch.tensor([*_REAL, *_PAIRED], dtype=torch.float64, device="cpu")  # 34 2
    angles = bins @ places.T * (2 * math.pi / PATCH)
    forward = torch.cat([angles.cos(), -angles[REAL_BINS:].sin()])
    multiplicity = torch.full((_PIXELS, 1), 2 / _PIXELS, dtype=torch.float64, device="cpu")
    multiplicity[:REAL_BINS] = 1 / _PIXELS
    spread = torch.zeros(_PIXELS, PATCH, _HALF + 1, dtype=torch.float64, device="cpu")
    for row, (u, v) in enumerate([*_REAL, *_PAIRED, *_PAIRED]):
        # In the first and the last column, bins u and −u are conjugates: the mean of their weights acts.
        for bin_u in (u, -u % PATCH if v in (0, _HALF) else u):
            spread[row, bin_u, v] += 0.5
    return forward, (forward * multiplicity).T.contiguous(), spread.flatten(1)


_FORWARD, _INVERSE, _SPREAD = _matrices()


def to_spectrum(x: Tensor) -> Tensor:
    """Transform the patches of x, (B, H, W, C) completed with zeros, to (B·H·W/64, 64, C), at least in float32.

    The 64 numbers are the four real bins, that of frequency zero first, then the 30 real parts of the others, then
    their 30 imaginary parts.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return _multiplied(_FORWARD, cut_patches(pad_to_patches(x)).reshape(-1, _PIXELS, x.shape[-1]))


def from_spectrum(spectrum: Tensor, height: int, width: int, out: Tensor | None = None) -> Tensor:
    """Transform back to (B, H, W, C), leaving out what the patches were completed with.

    With `out`, (B, H, W, C) of whole patches, the result is written there, and no gradient is recorded.
    """
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    patches = _multiplied(_INVERSE, spectrum).view(-1, rows, columns, PATCH, PATCH, spectrum.shape[-1])
    if out is not None:
        cut_patches(out).copy_(patches)
        return out
    return patches.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :height, :width]


def spread_weight(weight: Tensor) -> Tensor:
    """Spread a real weight for each bin of the half spectrum, (C, 8, 5), over the 64 numbers of a patch, as (64, C).

    Where the half spectrum holds both of two conjugate bins, their mean acts on both, as it must for a real result.
    """
    return _SPREAD.to(weight) @ weight.flatten(1).T


def _multiplied(matrix: Tensor, patches: Tensor) -> Tensor:
    return torch.bmm(matrix.to(patches).expand(patches.shape[0], -1, -1), patches)
