"""Layer normalisation over the channels of each pixel."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.bias_free_norm import bias_free_norm


class ChannelLayerNorm(nn.Module):
    """Layer normalisation over channels: γ (x − μ) / √(σ² + ε) + β for each pixel.

    Ba et al., 2016; "WithBias" in Restormer (CVPR 2022). Takes and returns (B, C, H, W).
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        x_BHWC = x.permute(0, 2, 3, 1)
        return F.layer_norm(x_BHWC, self.weight.shape, self.weight, self.bias, self.epsilon).permute(0, 3, 1, 2)


class BiasFreeLayerNorm(nn.Module):
    """Layer normalisation over channels that keeps the mean in the numerator: γ x / √(σ² + ε) for each pixel.

    "BiasFree" in Restormer (CVPR 2022), used by its denoisers and by TBSN. Neither an RMS norm, since σ² is taken about
    the mean, nor a layer norm without β. Takes and returns (B, C, H, W).
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return bias_free_norm(x.permute(0, 2, 3, 1), self.weight, self.epsilon).permute(0, 3, 1, 2)
