"""The element-wise product of the spectra of 8×8 patches: a circular convolution of each patch of q with that of k."""

from torch import Tensor

from pellucid.ops.spectral_product import fast

__all__ = ["spectral_product"]


def spectral_product(q: Tensor, k: Tensor) -> Tensor:
    """Compute F⁻¹(F(q) ⊙ F(k)) for each channel of each 8×8 patch, F being the discrete Fourier transform.

    FFTformer (Kong et al., CVPR 2023), equation 3, without the conjugate, as the released weights were trained. It is
    the circular convolution A[m,n] = Σ q[a,b] k[(m−a) mod 8, (n−b) mod 8].

    Args:
        q, k: (B, H, W, C) each; patches that are not whole at the right and bottom are completed with zeros.

    Returns:
        (B, H, W, C)

    Raises:
        ValueError: shapes disagree.
    """
    if q.ndim != 4 or q.shape != k.shape:
        raise ValueError(f"q and k must share one (B, H, W, C) shape, not {tuple(q.shape)}, {tuple(k.shape)}")
    return fast.spectral_product(q, k)
