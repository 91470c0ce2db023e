"""Masked average pooling, written as the equation."""

from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5


def masked_average_pooling(features: Tensor, mask: Tensor) -> Tensor:
    """Σ F M / (ΣM + ε), over pixels of the mask, to whose size F is enlarged bilinearly (corners not aligned)."""
    planes = features.permute(0, 3, 1, 2)  # B C h w
    enlarged = F.interpolate(planes, mask.shape[1:3], mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    return (enlarged * mask).sum((1, 2)) / (mask.sum((1, 2)) + EPSILON)
