"""Queries, keys and values that mix channels first and neighbours then, made when they are needed.

    dw(W y + b) + c,    a 1×1 and a depth-wise convolution

Neither mixes one of the three with another, so each can be made alone, in memory of its own, stripe by stripe.
"""

from torch import Tensor

from pellucid.ops.pixel_product import PixelMap
from pellucid.ops.row_stripes import RowStripe, depthwise_rows


class LocalProjection:
    """dw(W y + b) + c for the stripes of a picture.

    Args:
        weight, bias: W, (C_out, C) or (C_out, C, 1, 1), and b, (C_out,) or None.
        depthwise, depthwise_bias: kernels, (C_out, 1, r, r) with r odd, and c, (C_out,) or None.
        dilation: distance of the kernels' taps.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, depthwise: Tensor, depthwise_bias: Tensor | None, dilation: int = 1
    ) -> None:
        self._map = PixelMap(weight.flatten(1), bias)
        self._depthwise, self._bias, self._dilation = depthwise, depthwise_bias, dilation

    def __call__(self, y: Tensor, stripe: RowStripe) -> Tensor:
        """Return the wanted rows, (B, h, W, C_out), for the picture y, (B, C, H, W)."""
        t = self._map(y[:, :, stripe.read])
        return depthwise_rows(t, self._depthwise, self._bias, stripe, self._dilation).permute(0, 2, 3, 1)


def thirds(
    weight: Tensor, bias: Tensor | None, depthwise: Tensor, depthwise_bias: Tensor | None, dilation: int = 1
) -> list[LocalProjection]:
    """Return the projections to q, k and v, whose channels lie one after another in the weights."""
    biases = ((None, None, None) if t is None else t.chunk(3) for t in (bias, depthwise_bias))
    parts = zip(weight.chunk(3), depthwise.chunk(3), *biases, strict=True)
    return [LocalProjection(w, b, d, c, dilation) for w, d, b, c in parts]
