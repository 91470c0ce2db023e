"""Several support pictures (shots) for each query: how CAT-Net's layers hold them.

The K shots of an episode lie next to each other in the batch, (B·K, C, h, w). Where all their pixels are one set, as
for attention, they are stacked into one tall picture, which moves nothing in channels-last memory.
"""

from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.masked_pooling import masked_average_pooling


def stacked(x: Tensor, episodes: int) -> Tensor:
    """Stack the shots of each episode: (B·K, C, h, w) → (B, K·h, w, C)."""
    _, C, _, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(episodes, -1, w, C)


def prototype(support: Tensor, mask: Tensor, episodes: int) -> Tensor:
    """Average the support features under their masks, then over shots: (B·K, C, h, w), (B·K, 1, H, W) → (B, C)."""
    pooled = masked_average_pooling(support.permute(0, 2, 3, 1), mask.permute(0, 2, 3, 1))
    return pooled.reshape(episodes, -1, pooled.shape[1]).mean(1)


def nearest(mask: Tensor, features: Tensor) -> Tensor:
    """Resize a binary mask, (B, 1, H, W), to the grid of the features by taking the nearest pixel."""
    return F.interpolate(mask.to(features.dtype), features.shape[-2:], mode="nearest")


def check_shots(support: Tensor, query: Tensor, mask: Tensor) -> None:
    """Check that support, query and support mask belong together.

    Raises:
        ValueError: they do not.
    """
    fits = support.ndim == query.ndim == mask.ndim == 4 and support.shape[1] == query.shape[1]
    if not fits or support.shape[0] % query.shape[0] or mask.shape[:2] != (support.shape[0], 1):
        raise ValueError(
            "support, query and support mask must be (B·K, C, h, w), (B, C, h', w') and (B·K, 1, H, W), "
            f"not {tuple(support.shape)}, {tuple(query.shape)}, {tuple(mask.shape)}"
        )
