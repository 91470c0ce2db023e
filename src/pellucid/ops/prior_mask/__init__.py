"""The prior mask: how much each pixel of one picture resembles the most similar marked pixel of another."""

from torch import Tensor

from pellucid.ops.prior_mask import fast

__all__ = ["prior_mask"]


def prior_mask(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """Compute π_i = max_j cos(F^q_i, m_j F^s_j), stretched to 0..1 over each query picture.

    CAT-Net (Lin et al., MICCAI 2023), section on MIFE, after PFENet's prior. The cosine's denominator is the product
    of the norms + 1e-7, so that support pixels outside the mask count as 0.

    Args:
        query: F^q, (B, H, W, C).
        support: F^s, (B, H', W', C).
        mask: m, (B, H', W', 1).

    Returns:
        (B, H, W, 1)

    Raises:
        ValueError: shapes disagree.
    """
    if query.ndim != 4 or support.ndim != 4 or query.shape[::3] != support.shape[::3]:
        raise ValueError(
            f"query and support must be (B, H, W, C) with one B and C, not {tuple(query.shape)}, {tuple(support.shape)}"
        )
    if mask.shape != (*support.shape[:3], 1):
        raise ValueError(f"the mask must be {(*support.shape[:3], 1)}, not {tuple(mask.shape)}")
    return fast.prior_mask(query, support, mask)
