"""Cutting a picture into stripes of rows that keep intermediates small.

A chain of local operations with a vertical reach of ρ rows gives the same rows whether it sees the whole picture or
only those rows and ρ more on either side, because only the picture's own border is padded:

    f(x)[a:b] = f(x[a−ρ : b+ρ])[ρ : ρ+b−a]

Running it stripe by stripe bounds the memory of every intermediate, and keeps them in the processor's last cache.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_STRIPE_VALUES = 3 << 19  # values in the widest intermediate of a stripe: 6 MiB in float32


class RowStripe(NamedTuple):
    """Rows of one stripe: what to read, which of the rows read are wanted, and where those belong."""

    read: slice
    wanted: slice
    rows: slice

    @classmethod
    def of(cls, rows: slice, height: int, reach: int) -> "RowStripe":
        """Return the stripe of some rows of a picture that is `height` rows high."""
        first, last = max(rows.start - reach, 0), min(rows.stop + reach, height)
        return cls(slice(first, last), slice(rows.start - first, rows.stop - first), rows)

    @property
    def inside(self) -> bool:
        """Whether rows beyond it are read above and below, so that a convolution of its reach needs no zeros there."""
        return self.wanted.start > 0 and self.wanted.stop < self.read.stop - self.read.start

    @property
    def convolved(self) -> slice:
        """Where the wanted rows lie in a convolution of those read, with zeros above and below unless `inside`."""
        return slice(None) if self.inside else self.wanted


def row_stripes(height: int, values_per_row: int, reach: int) -> Iterator[RowStripe]:
    """Cut `height` rows into equal stripes whose widest intermediate has `values_per_row` values a row."""
    most = max(8, _STRIPE_VALUES // max(values_per_row, 1))
    count = -(-height // most)
    for number in range(count):
        rows = slice(number * height // count, (number + 1) * height // count)
        yield RowStripe.of(rows, height, reach)


def whole_picture(height: int) -> RowStripe:
    """Return the one stripe that is the whole picture."""
    rows = slice(0, height)
    return RowStripe(rows, rows, rows)


def worth_striping(*tensors: Tensor) -> bool:
    """Whether stripes may be used: only where no gradient and no graph is being recorded, and on a CPU."""
    recording = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return not (recording or torch.compiler.is_compiling()) and tensors[0].device.type == "cpu"


def depthwise_rows(x: Tensor, weight: Tensor, bias: Tensor | None, stripe: RowStripe, dilation: int = 1) -> Tensor:
    """Convolve each channel of a stripe's rows by its own r × r kernel, with zeros beyond the picture.

    Args:
        x: the rows that the stripe reads, (B, C, h, W); it reaches as far as the kernel.
        weight: (C, 1, r, r), r odd.
        bias: (C,) or None.
        stripe: which rows those are.
        dilation: distance of the kernel's taps.

    Returns:
        The wanted rows, (B, C, h′, W).
    """
    reach = dilation * (weight.shape[-1] // 2)
    padding = (0 if stripe.inside else reach, reach)
    out = F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=x.shape[1])
    return out[:, :, stripe.convolved]


def map_rows(function: Callable[[Tensor], Tensor], x: Tensor, widest: int, reach: int, scale: int = 1) -> Tensor:
    """Apply a local function to x, (B, C, H, W), stripe by stripe.

    Args:
        function: maps (B, C, h, W) to (B, C′, s h, s W) for any h.
        x: the picture; the function's memory format is kept.
        widest: values of the widest intermediate inside the function for each pixel of x.
        reach: rows of x above and below that what comes of a row depends on.
        scale: s.
    """
    B, _, H, W = x.shape
    stripes = list(row_stripes(H, B * W * widest, reach))
    if len(stripes) <= 1:
        return function(x)
    out: Tensor | None = None
    for stripe in stripes:
        part = function(x[:, :, stripe.read])
        if out is None:
            last = part.is_contiguous(memory_format=torch.channels_last)
            memory_format = torch.channels_last if last else torch.contiguous_format
            shape = (B, part.shape[1], scale * H, scale * W)
            out = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=memory_format)
        rows, wanted = (slice(scale * rows.start, scale * rows.stop) for rows in (stripe.rows, stripe.wanted))
        out[:, :, rows] = part[:, :, wanted]
    assert out is not None  # there are stripes
    return out
