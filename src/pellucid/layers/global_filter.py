"""Global filter layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.global_filter import PackedFilter, apply_packed, global_filter, pack_filter, why_not


class GlobalFilter(nn.Module):
    """Mix all positions of a picture by a learned filter in the two-dimensional Fourier domain.

    GFNet (Rao et al., NeurIPS 2021), equation 4; the authors' class has the same name:

        Y = IRFFT2(RFFT2(X) ⊙ K)

    for each channel: a circular convolution with a kernel as large as the picture. `complex_weight` holds K as the
    authors store it, (h, ⌊w/2⌋ + 1, C, 2); the half of its columns 0 and w/2 that no real result depends on is kept,
    and has no effect. A picture of another size is filtered by K interpolated as the authors do when they fine-tune at
    another resolution: bicubically, corners aligned, rows in the order of an FFT; use `resize_filter` to see it.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        height, width: h and w, for which K is stored.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.complex_weight = nn.Parameter(0.02 * torch.randn(height, width // 2 + 1, channels, 2))
        self._packed = _LastPacked()

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        x_BHWC = x.permute(0, 2, 3, 1)
        if why_not(H, W) or _why_not_remember(x, self.complex_weight):
            return global_filter(x_BHWC, resize_filter(self.complex_weight, H, W)).permute(0, 3, 1, 2)
        return apply_packed(x_BHWC, self._packed(self.complex_weight, H, W)).permute(0, 3, 1, 2)


def resize_filter(weight: Tensor, height: int, width: int) -> Tensor:
    """Interpolate K, (h, ⌊w/2⌋ + 1, C, 2), for a grid of another height and width, as the authors do.

    The authors know square grids only; there the result is theirs. The size for which K is stored changes nothing.
    """
    size = (height, width // 2 + 1)
    if weight.shape[:2] == size:
        return weight
    image = weight.flatten(2).permute(2, 0, 1)[None].to(torch.promote_types(weight.dtype, torch.float32))  # 1 2C h w
    resized = F.interpolate(image, size, mode="bicubic", align_corners=True)
    return resized[0].permute(1, 2, 0).reshape(*size, -1, 2)


def _why_not_remember(x: Tensor, weight: Tensor) -> str | None:
    """Return why what is computed from the weight must not be kept for the next call, or None if it may be."""
    if torch.compiler.is_compiling():
        return "a graph is being recorded"
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return "a gradient is being recorded"
    if weight.is_inference() or type(weight) not in (Tensor, nn.Parameter):
        return "changes of this tensor cannot be noticed"
    return None


class _LastPacked:
    """The filter as it was last arranged, until the weight or the size of the grid is another.

    It holds on to the weight's storage, so that no later weight can lie at the same address; a copy starts empty. What
    is written through `.data` torch itself does not notice, nor does this.
    """

    def __init__(self) -> None:
        self._last: tuple[Tensor, tuple[object, ...], PackedFilter] | None = None

    def __call__(self, weight: Tensor, height: int, width: int) -> PackedFilter:
        key = (weight.data_ptr(), weight._version, weight.dtype, weight.device, height, width)
        last = self._last
        if last is None or last[1] != key:
            packed = pack_filter(resize_filter(weight, height, width), width)
            self._last = last = weight.detach(), key, packed
        return last[2]

    def __reduce__(self) -> tuple[Callable[[], "_LastPacked"], tuple[()]]:
        return _LastPacked, ()
