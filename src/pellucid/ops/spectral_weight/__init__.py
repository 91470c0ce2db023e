"""A learned weight for each frequency of the 8×8 patches of projected features."""

from torch import Tensor

from pellucid.ops.spectral_weight import fast
from pellucid.ops.spectral_weight.fast import weighted_spectrum

__all__ = ["spectral_weight", "weighted_spectrum"]


def spectral_weight(y: Tensor, weight: Tensor, projection: Tensor, bias: Tensor | None = None) -> Tensor:
    """Project each pixel and weigh the spectrum of each patch: F⁻¹(W̄ ⊙ F(P y + bias)) for 8×8 patches.

    FFTformer (Kong et al., CVPR 2023), section 3.2: the first two steps of its feed-forward layer. F is the discrete
    Fourier transform of a patch, and W̄ is W with the mean of its values at bins u and −u in columns 0 and 4.

    Args:
        y: (B, H, W, C); patches that are not whole at the right and bottom are completed with zeros.
        weight: W, (C_out, 8, 5): a real value for each bin [u, v] of the half spectrum, v ≤ 4.
        projection: P, (C_out, C).
        bias: (C_out,) or None.

    Returns:
        (B, H, W, C_out)

    Raises:
        ValueError: shapes disagree.
    """
    if y.ndim != 4 or projection.ndim != 2 or projection.shape[1] != y.shape[3]:
        raise ValueError(
            f"y must be (B, H, W, C) and projection (C_out, C), not {tuple(y.shape)}, {tuple(projection.shape)}"
        )
    if weight.shape != (projection.shape[0], 8, 5):
        raise ValueError(f"weight must be ({projection.shape[0]}, 8, 5), not {tuple(weight.shape)}")
    return fast.spectral_weight(y, weight, projection, bias)
