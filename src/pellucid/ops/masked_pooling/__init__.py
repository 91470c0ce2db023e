"""Masked average pooling: the mean of the features under a mask that may have another size."""

from torch import Tensor

from pellucid.ops.masked_pooling import fast

__all__ = ["masked_average_pooling"]


def masked_average_pooling(features: Tensor, mask: Tensor) -> Tensor:
    """Average the features under a mask: Σ F M / (ΣM + 1e-5), with F enlarged bilinearly to the mask's size.

    CAT-Net (Lin et al., MICCAI 2023), after the masked average pooling of prototypical segmentation. An empty mask
    gives zeros.

    Args:
        features: F, (B, h, w, C).
        mask: M, (B, H, W, 1) of any H and W.

    Returns:
        (B, C)

    Raises:
        ValueError: shapes disagree.
    """
    if features.ndim != 4 or mask.ndim != 4 or mask.shape[0] != features.shape[0] or mask.shape[-1] != 1:
        raise ValueError(
            f"features must be (B, h, w, C) and the mask (B, H, W, 1), not {tuple(features.shape)}, {tuple(mask.shape)}"
        )
    return fast.masked_average_pooling(features, mask)
