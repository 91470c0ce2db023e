"""Convolutional feed-forward network."""

from torch import Tensor, nn

from pellucid.layers.parameters import matrix_and_bias
from pellucid.ops.activated_linear import activated_linear


class ConvFFN(nn.Module):
    """Feed-forward layer that mixes its hidden channels locally, and may halve the resolution.

    CloFormer (Fan et al., 2023), section 3.3:

        out = 1×1(dw_k,t(GELU(1×1(x))))

    with the exact GELU, ½ x (1 + erf(x / √2)), biases everywhere, and nothing between the last two convolutions.

    Args:
        channels: C; the input is (B, C, H, W) of any H, W ≥ 1.
        hidden: width of the hidden channels; CloFormer uses 4 C.
        kernel_size: k, odd.
        out_channels: channels of the output; C by default.
        stride: t; the output is (B, out_channels, ⌈H/t⌉, ⌈W/t⌉).

    Raises:
        ValueError: the kernel is even.
    """

    def __init__(
        self, channels: int, hidden: int, kernel_size: int, out_channels: int | None = None, stride: int = 1
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"the kernel size must be odd, not {kernel_size}")
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size, stride, kernel_size // 2, groups=hidden)
        self.project = nn.Conv2d(hidden, channels if out_channels is None else out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        activated = activated_linear(x.permute(0, 2, 3, 1), *matrix_and_bias(self.expand), "gelu")
        return self.project(self.depthwise(activated.permute(0, 3, 1, 2)))
