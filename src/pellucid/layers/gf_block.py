"""Block of a global filter network."""

import torch
from torch import Tensor, nn

from pellucid.layers.global_filter import GlobalFilter
from pellucid.layers.norm import ChannelLayerNorm
from pellucid.ops.activated_linear import activated_linear
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.row_stripes import map_rows, worth_striping


class GFBlock(nn.Module):
    """Mix positions by a global filter, then channels by two linear layers, around both of which goes one residual.

    GFNet (Rao et al., NeurIPS 2021), section 3.2; the authors' classes are `Block` and `BlockLayerScale`:

        Z = X + γ ⊙ MLP(LN(GlobalFilter(LN(X)))),    MLP(t) = W₂ GELU(W₁ t + b₁) + b₂

    with the exact GELU, ½ x (1 + erf(x / √2)).

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        hidden: width between the two linear layers; GFNet has 4C.
        height, width: of the grid for which the filter is stored.
        layer_scale: the value at which γ starts; None for a block without γ.
    """

    def __init__(self, channels: int, hidden: int, height: int, width: int, layer_scale: float | None = None) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(channels, epsilon=1e-6)
        self.filter = GlobalFilter(channels, height, width)
        self.norm2 = ChannelLayerNorm(channels, epsilon=1e-6)
        self.expand = nn.Linear(channels, hidden)
        self.project = nn.Linear(hidden, channels)
        self.gamma = None if layer_scale is None else nn.Parameter(torch.full((channels,), float(layer_scale)))
        for linear in (self.expand, self.project):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.filter(self.norm1(x))
        if worth_striping(x, self.expand.weight):
            y = map_rows(self._mix_channels, y, widest=self.expand.out_features, reach=0)
        else:
            y = self._mix_channels(y)
        return x + y

    def _mix_channels(self, y: Tensor) -> Tensor:
        """γ ⊙ MLP(LN(y))."""
        t_BHWC = self.norm2(y).permute(0, 2, 3, 1)
        t_BHWC = activated_linear(t_BHWC, self.expand.weight, self.expand.bias, "gelu")
        t_BHWC = pixel_product(t_BHWC, self.project.weight, self.project.bias)
        return (t_BHWC if self.gamma is None else t_BHWC * self.gamma).permute(0, 3, 1, 2)
