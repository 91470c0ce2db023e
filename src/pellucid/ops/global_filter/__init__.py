"""Token mixing by a learned filter in the two-dimensional Fourier domain."""

from torch import Tensor

from pellucid.ops.global_filter import fast, reference
from pellucid.ops.global_filter.fast import PackedFilter, apply_packed, pack_filter, why_not

__all__ = ["PackedFilter", "apply_packed", "global_filter", "pack_filter", "why_not"]


def global_filter(x: Tensor, weight: Tensor) -> Tensor:
    """Compute Y = IRFFT2(RFFT2(X) ⊙ K) for each channel: a circular convolution with a kernel as large as the picture.

    GFNet (Rao et al., NeurIPS 2021), equation 4.

    Args:
        x: (B, H, W, C).
        weight: real and imaginary part of K, (H, ⌊W/2⌋ + 1, C, 2), rows in the order of an FFT.

    Returns:
        (B, H, W, C), of the type of x, computed at least in float32.

    Raises:
        ValueError: shapes disagree.
    """
    if x.ndim != 4:
        raise ValueError(f"x must be (B, H, W, C), not {tuple(x.shape)}")
    _, H, W, C = x.shape
    if weight.shape != (H, W // 2 + 1, C, 2):
        raise ValueError(f"weight must be {(H, W // 2 + 1, C, 2)}, not {tuple(weight.shape)}")
    return (reference if why_not(H, W) else fast).global_filter(x, weight)
