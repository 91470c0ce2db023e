"""Mask incorporated feature extraction."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.shots import check_shots, prototype, stacked
from pellucid.ops.prior_mask import prior_mask


class MIFE(nn.Module):
    """Tell the features of both pictures what the support mask marks, and guess the query's mask.

    CAT-Net (Lin et al., MICCAI 2023), mask incorporated feature extraction:

        p = MAP(F^s, M^s);   F^s₀ = 1×1([F^s ‖ p]),   F^q₀ = 1×1([F^q ‖ p ‖ π]),   ρ₀ = σ(g(F^q₀))

    with the masked average p repeated over the grid, and π the prior mask, for which M^s is resized bilinearly with
    corners aligned. The classifier g is 3×3, ReLU, 1×1. Several shots share the mean of their p, and π takes the best
    pixel of all.

    Args:
        channels: C.

    `forward` takes support features (B·K, C, h, w), the K shots of an episode next to each other, query features
    (B, C, h', w') of any size, and support masks (B·K, 1, H, W) of any size; it returns F^s₀, F^q₀ and ρ₀,
    (B, 1, h', w'), and raises ValueError where shapes disagree.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.support_fusion = nn.Conv2d(2 * channels, channels, 1)
        self.query_fusion = nn.Conv2d(2 * channels + 1, channels, 1)
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(channels, 1, 1)
        )

    def forward(self, support: Tensor, query: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        check_shots(support, query, mask)
        B, mask = query.shape[0], mask.detach().to(support.dtype)
        p = prototype(support, mask, B)
        m = F.interpolate(mask, support.shape[-2:], mode="bilinear", align_corners=True)
        pi = prior_mask(query.permute(0, 2, 3, 1), stacked(support, B), stacked(m, B)).permute(0, 3, 1, 2)
        support = _fused(self.support_fusion, support, p.repeat_interleave(support.shape[0] // B, dim=0))
        query = _fused(self.query_fusion, query, p, pi)
        return support, query, torch.sigmoid(self.classifier(query))


def _fused(convolution: nn.Conv2d, features: Tensor, p: Tensor, pi: Tensor | None = None) -> Tensor:
    """Compute 1×1([F ‖ p ‖ π]) as W_F F + (W_p p + b) + w_π π, so that nothing is repeated or joined."""
    C = features.shape[1]
    weight, bias = convolution.weight, convolution.bias
    constant = F.linear(p, weight[:, C : 2 * C, 0, 0], bias)[:, :, None, None]
    fused = F.conv2d(features, weight[:, :C]).add_(constant)
    return fused if pi is None else fused.addcmul_(weight[:, 2 * C, 0, 0].view(1, -1, 1, 1), pi)
