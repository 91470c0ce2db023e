"""Discriminative frequency-domain feed-forward network."""

import torch
from torch import Tensor, nn

from pellucid.ops.gated_depthwise import gated_depthwise
from pellucid.ops.patch_spectrum import in_full_precision, pad_to_patches, patch_stripes, to_spectrum
from pellucid.ops.row_stripes import worth_striping
from pellucid.ops.spectral_weight import weighted_patches


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
        y_BHWC = pad_to_patches(y.permute(0, 2, 3, 1))
        if worth_striping(y, *self.parameters()):
            return self._in_stripes(y_BHWC)[..., :H, :W]
        return self.project(self._gated(self._weighted(y_BHWC)))[..., :H, :W]

    def _in_stripes(self, y: Tensor) -> Tensor:
        """Go through stripes of patches; each hands on the two last rows, with which the next one's convolution begins."""
        B, H, W, C = y.shape
        out = y.new_empty(B, H, W, C).permute(0, 3, 1, 2)
        halves: list[Tensor] = []
        for rows in patch_stripes(H, B * W * self.project.in_channels):
            first, done, ready = max(rows.start - 2, 0), max(rows.start - 1, 0), rows.stop - (rows.stop < H)
            above, halves = [t[:, -2:] for t in halves], self._weighted(y[:, rows])
            if above:
                halves = [torch.cat(pair, dim=1) for pair in zip(above, halves, strict=True)]
            out[:, :, done:ready] = self.project(self._gated(halves)[:, :, done - first : ready - first])
        return out

    def _weighted(self, y: Tensor) -> list[Tensor]:
        """Return both halves of F⁻¹(W̄ ⊙ F(1×1(y))), so that each lies contiguous in memory."""
        _, H, W, _ = y.shape
        bias = (None, None) if self.expand.bias is None else self.expand.bias.chunk(2)
        halves = zip(self.spectral_weight.chunk(2), self.expand.weight.flatten(1).chunk(2), bias, strict=True)
        with in_full_precision(y.device):
            spectrum = to_spectrum(y)
            return [weighted_patches(spectrum, H, W, *half).to(y.dtype) for half in halves]

    def _gated(self, halves: list[Tensor]) -> Tensor:
        bias = (None, None) if self.depthwise.bias is None else self.depthwise.bias.chunk(2)
        return gated_depthwise(*halves, *self.depthwise.weight.chunk(2), *bias).permute(0, 3, 1, 2)
