"""Convolution with context-aware weights."""

from torch import Tensor, nn

from pellucid.layers.parameters import matrix_and_bias, weight_and_bias
from pellucid.ops.attn_conv import attn_conv


class AttnConv(nn.Module):
    """Mix values by one local filter for all pixels, then weight them by what each pixel's neighbourhood holds.

    CloFormer (Fan et al., 2023), section 3.2, the local branch:

        [Q; K; V] = dw(1×1(x));   out = tanh(d^−½ W₂ SiLU(W₁ (Q ⊙ K))) ⊙ V

    with biases everywhere, and the zeros of the depth-wise convolution around the projected map.

    Args:
        channels: C; the input is (B, C, H, W) of any H, W ≥ 1.
        heads: d = n / heads sets the temperature; nothing else depends on it.
        kernel_size: r, odd.
        out_channels: n; the output is (B, n, H, W). C by default.

    Raises:
        ValueError: the heads do not divide n, or the kernel size is even.
    """

    def __init__(self, channels: int, heads: int, kernel_size: int, out_channels: int | None = None) -> None:
        super().__init__()
        n = channels if out_channels is None else out_channels
        if heads < 1 or n % heads:
            raise ValueError(f"{heads} heads do not divide {n} channels")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"the kernel size must be odd, not {kernel_size}")
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * n, 1)
        self.depthwise = nn.Conv2d(3 * n, 3 * n, kernel_size, padding=kernel_size // 2, groups=3 * n)
        self.w1 = nn.Conv2d(n, n, 1)
        self.w2 = nn.Conv2d(n, n, 1)

    def forward(self, x: Tensor) -> Tensor:
        qkv, depthwise = matrix_and_bias(self.qkv), weight_and_bias(self.depthwise)
        w1, w2 = matrix_and_bias(self.w1), matrix_and_bias(self.w2)
        return attn_conv(x.permute(0, 2, 3, 1), *qkv, *depthwise, *w1, *w2, self.heads).permute(0, 3, 1, 2)
