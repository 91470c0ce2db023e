"""Normalisation of each picture as a whole."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PictureNorm(nn.Module):
    """Group normalisation with one group: γ (x − μ) / √(σ² + ε) + β, with μ and σ² over all values of a picture.

    Wu and He, ECCV 2018; takes and returns (B, C, H, W).
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not x.requires_grad:
            # torch's gradient of γ and β alone crashes the process where x is channels-last.
            normalised = F.group_norm(x, 1, eps=self.epsilon)
            return torch.addcmul(self.bias[:, None, None], normalised, self.weight[:, None, None])
        return F.group_norm(x, 1, self.weight, self.bias, self.epsilon)
