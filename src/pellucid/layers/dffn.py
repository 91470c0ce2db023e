"""Discriminative frequency-domain feed-forward network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pellucid.ops.gated_depthwise import gated_depthwise
from pellucid.ops.patch_spectrum import from_spectrum, spread_weight, to_spectrum
from pellucid.ops.patches import pad_to_patches, patch_stripes
from pellucid.ops.pixel_product import PixelMap
from pellucid.ops.precision import without_autocast
from pellucid.ops.row_stripes import worth_striping
from pellucid.ops.spectral_weight import weighted_spectrum


class DFFN(nn.Module):
    """Feed-forward layer with a learned weight for each frequency of 8×8 patches, and a gate.

    FFTformer (Kong et al., CVPR 2023), section 3.2:

        t₁, t₂ = dw3×3(F⁻¹(W̄ ⊙ F(1×1(y))));   out = 1×1(GELU(t₁) ⊙ t₂)

    with F the discrete Fourier transform of each channel of each 8×8 patch, a real weight W for each bin of the half
    spectrum (W̄ is the mean of W over conjugate bins), and the exact GELU, ½ x (1 + erf(x / √2)).

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1. Where they are no multiples of 8, the input
            is padded with zeros on the right and bottom, and the output cropped.
        hidden: width of each half; FFTformer uses 3 · C.
        bias: whether the three convolutions have biases.
    """

    def __init__(self, channels: int, hidden: int, bias: bool = False) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.spectral_weight = nn.Parameter(torch.ones(2 * hidden, 8, 5))
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, y: Tensor) -> Tensor:
        H, W = y.shape[-2:]
        y_BHWC = pad_to_patches(y.permute(0, 2, 3, 1).contiguous())
        halves = self._halves()
        if not worth_striping(y, *self.parameters()):
            return self.project(self._gated(_weighted(y_BHWC, halves)).permute(0, 3, 1, 2))[..., :H, :W]
        out = torch.empty_like(y_BHWC)
        for b in range(y.shape[0]):
            self._in_stripes(y_BHWC[b : b + 1], halves, out[b : b + 1])
        return out.permute(0, 3, 1, 2)[..., :H, :W]

    def _halves(self) -> list["_Half"]:
        """Split what comes before the gate by output channel, and spread the weights over the numbers of a patch."""
        bias = (None, None) if self.expand.bias is None else self.expand.bias.chunk(2)
        projection, spread = self.expand.weight.flatten(1).chunk(2), map(spread_weight, self.spectral_weight.chunk(2))
        return [_Half(*half) for half in zip(spread, projection, bias, strict=True)]

    def _in_stripes(self, y: Tensor, halves: Sequence["_Half"], out: Tensor) -> None:
        """Go through stripes of patches; the last two rows of each stay above the next, for its convolution."""
        _, H, W, _ = y.shape
        m = self.project.in_channels
        stripes = [stripe.rows for stripe in patch_stripes(H, m * W, reach=0)]
        buffers = [y.new_empty(1, 2 + stripes[0].stop, W, m) for _ in range(2)]
        project = PixelMap(self.project.weight.flatten(1), self.project.bias)
        for rows in stripes:
            above, height = min(rows.start, 2), rows.stop - rows.start
            for buffer in buffers:
                buffer[:, :2] = buffer[:, -2:]
            _weighted(y[:, rows], halves, [buffer[:, 2 : 2 + height] for buffer in buffers])
            gated = self._gated([buffer[:, 2 - above : 2 + height] for buffer in buffers])
            first, done, ready = rows.start - above, max(rows.start - 1, 0), rows.stop - (rows.stop < H)
            gated = gated[:, done - first : ready - first].permute(0, 3, 1, 2)
            out[:, done:ready] = project(gated).permute(0, 2, 3, 1)

    def _gated(self, halves: Sequence[Tensor]) -> Tensor:
        bias = (None, None) if self.depthwise.bias is None else self.depthwise.bias.chunk(2)
        return gated_depthwise(halves[0], halves[1], *self.depthwise.weight.chunk(2), *bias)


class _Half(NamedTuple):
    """What turns the spectrum of y into that of one half of the hidden channels; see `weighted_spectrum`."""

    weight: tuple[Tensor, Tensor]
    projection: Tensor
    bias: Tensor | None


def _weighted(y: Tensor, halves: Sequence[_Half], out: Sequence[Tensor | None] = (None, None)) -> list[Tensor]:
    """Return both halves of F⁻¹(W̄ ⊙ F(1×1(y))), each contiguous in memory."""
    _, H, W, _ = y.shape
    with without_autocast(y.device):
        spectrum = to_spectrum(y)
        weighted = (weighted_spectrum(spectrum, *half) for half in halves)
        return [from_spectrum(t, H, W, target).to(y.dtype) for t, target in zip(weighted, out, strict=True)]
