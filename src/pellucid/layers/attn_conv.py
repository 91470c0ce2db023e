"""Convolution with context-aware weights."""

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.attn_conv import attn_conv
from pellucid.ops.batch_stripes import Piece, map_pieces, whole_batch
from pellucid.ops.row_stripes import worth_striping


class AttnConv(nn.Module):
    """Mix values by one local filter for all pixels, then weight them by what each pixel's neighbourhood holds.

    CloFormer (Fan et al., 2023), section 3.2, the local branch:

        [Q; K; V] = dw(1×1(x));   out = tanh(d^−½ W₂ SiLU(W₁ (Q ⊙ K))) ⊙ V

    with biases in every convolution, and the zeros of the depth-wise one around the projected map.

    Args:
        channels: C; the input is (B, C, H, W) of any H, W ≥ 1.
        heads: d = n / heads sets the temperature; nothing else depends on it.
        kernel_size: r, odd.
        out_channels: n, channels of the output; C by default.

    Raises:
        ValueError: the heads do not divide n, or the kernel is even.
    """

    def __init__(self, channels: int, heads: int, kernel_size: int, out_channels: int | None = None) -> None:
        super().__init__()
        n = channels if out_channels is None else out_channels
        if heads < 1 or n % heads:
            raise ValueError(f"{heads} heads do not divide {n} channels")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"the kernel size must be odd, not {kernel_size}")
        self.heads, self.reach = heads, kernel_size // 2
        self.qkv = nn.Conv2d(channels, 3 * n, 1)
        self.depthwise = nn.Conv2d(3 * n, 3 * n, kernel_size, padding=self.reach, groups=3 * n)
        self.w1 = nn.Conv2d(n, n, 1)
        self.w2 = nn.Conv2d(n, n, 1)

    def forward(self, x: Tensor) -> Tensor:
        n = self.w2.out_channels
        if worth_striping(x, self.qkv.weight):
            return map_pieces(lambda piece: self.of_piece(x, piece), x, n, widest=4 * n, reach=self.reach)
        return self.of_piece(x, whole_batch(x))

    def of_piece(self, x: Tensor, piece: Piece) -> Tensor:
        """Compute the equation on a piece of x, for its wanted rows."""
        weight, bias = _parameters(self.qkv)
        x = piece.read(x)
        q, k, v = (
            F.conv2d(x, w, b).permute(0, 2, 3, 1) for w, b in zip(weight.chunk(3), bias.chunk(3), strict=True)
        )
        (w1, b1), (w2, b2) = _parameters(self.w1), _parameters(self.w2)
        out = attn_conv(q, k, v, *_parameters(self.depthwise), w1.flatten(1), b1, w2.flatten(1), b2, self.heads)
        return out.permute(0, 3, 1, 2)[:, :, piece.stripe.wanted]


def _parameters(convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert convolution.bias is not None  # every convolution of the paper has one
    return convolution.weight, convolution.bias
