"""GRL: an image restoration network that models an image globally, regionally and locally in each layer.

Y. Li, Y. Fan, X. Xiang, D. Demandolx, R. Ranjan, R. Timofte, L. Van Gool, "Efficient and Explicit Modelling of Image
Hierarchies for Image Restoration", CVPR 2023, arXiv 2303.00748.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers import ChannelAttentionBlock, ChannelLayerNorm, MixedAttention
from pellucid.layers.tile_padding import pad_to_tiles
from pellucid.ops.activated_linear import activated_linear
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.row_stripes import map_rows, row_stripes, worth_striping

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _MOST_LAYERS, _LARGEST_MULTIPLE = 2**14, 512, 2**12

_MEAN = (0.4488, 0.4371, 0.4040)  # of the training pictures' red, green and blue
_HEAD_WIDTH = 64
# Rows that a head depends on around a row, and values for each pixel by which its stripes are planned: up to eight
# times fewer than it holds, since low stripes would convolve many rows twice.
_HEAD_REACH, _HEAD_VALUES = 3, 128
_LARGEST_DROP = 0.1


@dataclass(frozen=True, kw_only=True)
class GRLConfig:
    """Everything that determines the network.

    Attributes:
        in_channels: channels of the input; 6 (left then right view) for the dual-pixel variant.
        out_channels: channels of the output. At scale 1 the input is added to it where they are as many.
        scale: factor by which height and width grow.
        upsampler: what follows the body: "pixelshuffle", "pixelshuffledirect" or "nearest+conv" (×4), or "none" (×1).
        width: channels C of the body.
        depths: layers of each stage.
        window_heads: heads on the half of the channels that attends in windows, for each stage.
        stripe_heads: heads on the half that attends in stripes, for each stage.
        mlp_width: hidden channels of the feed-forward layers.
        local: whether a channel-attention block runs beside the attention.
        window_size: height and width of a window.
        stripe_size: height and width of a horizontal stripe; None on an axis that is cut into groups.
        stripe_groups: number of stripes along each axis; None on an axis whose stripes have a fixed size.
        stripe_shift: shift the stripes of every other pair of layers.
        anchor_factor: an anchor is the mean of this many rows and columns.
    """

    in_channels: int = 3
    out_channels: int = 3
    scale: int = 1
    upsampler: str = "none"
    width: int = 64
    depths: tuple[int, ...] = (4, 4, 4, 4)
    window_heads: tuple[int, ...] = (2, 2, 2, 2)
    stripe_heads: tuple[int, ...] = (2, 2, 2, 2)
    mlp_width: int = 128
    local: bool = False
    window_size: int = 16
    stripe_size: tuple[int | None, int | None] = (64, 128)
    stripe_groups: tuple[int | None, int | None] = (None, None)
    stripe_shift: bool = True
    anchor_factor: int = 4

    def __post_init__(self) -> None:
        optional = [size for size in (*self.stripe_size, *self.stripe_groups) if size is not None]
        sizes = (self.in_channels, self.out_channels, self.scale, self.width, self.mlp_width, self.window_size)
        lists = (*self.depths, *self.window_heads, *self.stripe_heads, self.anchor_factor)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in (*sizes, *lists, *optional)):
            raise ValueError(f"sizes, depths, heads and groups must be whole numbers from 1 to {_LARGEST_SIZE}")
        if not all(type(flag) is bool for flag in (self.local, self.stripe_shift)):
            raise ValueError("local and stripe_shift must be true or false")
        if not len(self.depths) == len(self.window_heads) == len(self.stripe_heads) or not self.depths:
            raise ValueError("depths, window_heads and stripe_heads must name the same number of stages, at least one")
        if sum(self.depths) > _MOST_LAYERS:
            raise ValueError(f"there may be {_MOST_LAYERS} layers at most")
        if self.width % 2 or any(self.width // 2 % heads for heads in (*self.window_heads, *self.stripe_heads)):
            raise ValueError(f"half the width {self.width} must be divisible by the heads of every stage")
        if self.local and self.width < 18:
            raise ValueError("a channel-attention block needs a width of 18 or more")
        self._check_stripes()
        self._check_upsampler()

    def _check_stripes(self) -> None:
        if len(self.stripe_size) != 2 or len(self.stripe_groups) != 2:
            raise ValueError("stripe_size and stripe_groups must have a value, or None, for each of two axes")
        for size, groups in zip(self.stripe_size, self.stripe_groups, strict=True):
            if groups is None and (size is None or size % self.anchor_factor):
                raise ValueError(
                    f"on each axis a stripe needs a size that is a multiple of {self.anchor_factor}, or a number of "
                    f"groups, not {self.stripe_size} and {self.stripe_groups}"
                )
        if self.multiple > _LARGEST_MULTIPLE:
            raise ValueError(f"windows and stripes fit together only every {self.multiple} pixels")

    def _check_upsampler(self) -> None:
        doublings = self.scale.bit_length() - 1
        scales = {"pixelshuffle": (2**doublings, 3), "nearest+conv": (4,), "none": (1,)}
        if self.upsampler not in (*scales, "pixelshuffledirect"):
            raise ValueError(f"there is no upsampler {self.upsampler!r}")
        if self.upsampler in scales and self.scale not in scales[self.upsampler]:
            raise ValueError(f"the upsampler {self.upsampler!r} cannot have the scale {self.scale}")

    @property
    def multiple(self) -> int:
        """Height and width are padded to a multiple of this inside the network."""
        sizes = [size for size in self.stripe_size if size is not None]
        groups = [self.anchor_factor * number for number in self.stripe_groups if number is not None]
        return math.lcm(self.window_size, self.anchor_factor, *sizes, *groups)


_TINY = GRLConfig()
_SMALL = replace(_TINY, width=128, mlp_width=256)
_BASE = replace(
    _TINY,
    width=180,
    depths=(4, 4, 8, 8, 8, 4, 4),
    window_heads=(3,) * 7,
    stripe_heads=(3,) * 7,
    mlp_width=360,
    local=True,
)
_TINY_SR = replace(_TINY, upsampler="pixelshuffledirect", window_size=32, stripe_size=(64, 64))
_SMALL_SR = replace(_SMALL, upsampler="pixelshuffle", window_size=32, stripe_size=(64, 64))
_BASE_SR = replace(_BASE, upsampler="pixelshuffle", window_size=32, stripe_size=(64, 64), anchor_factor=2)
_BASE_DENOISE = replace(_BASE, window_size=32, anchor_factor=2)
_JPEG = replace(_SMALL, window_size=36, stripe_size=(72, 144))
_DEFOCUS = replace(_BASE, stripe_size=(48, 96))

GRL_PRESETS: Mapping[str, GRLConfig] = MappingProxyType(
    {
        **{f"tiny-sr{scale}": replace(_TINY_SR, scale=scale) for scale in (2, 3, 4)},
        **{f"small-sr{scale}": replace(_SMALL_SR, scale=scale) for scale in (2, 3, 4)},
        **{f"base-sr{scale}": replace(_BASE_SR, scale=scale) for scale in (2, 3, 4)},
        "base-real-sr4": replace(_BASE, upsampler="nearest+conv", scale=4, stripe_size=(32, 64)),
        "tiny-denoise": _TINY,
        "tiny-denoise-grey": replace(_TINY, in_channels=1, out_channels=1),
        "small-denoise": _SMALL,
        "small-denoise-grey": replace(_SMALL, in_channels=1, out_channels=1),
        "base-denoise": _BASE_DENOISE,
        "base-denoise-grey": replace(_BASE_DENOISE, in_channels=1, out_channels=1),
        "small-jpeg": _JPEG,
        "small-jpeg-grey": replace(_JPEG, in_channels=1, out_channels=1),
        "small-demosaic": replace(_SMALL, window_size=8, stripe_size=(32, 32)),
        "base-deblur": replace(_BASE, window_size=12, stripe_size=(48, 96)),
        "base-defocus": _DEFOCUS,
        "base-defocus-dual-pixel": replace(_DEFOCUS, in_channels=6),
    }
)


class FeedForward(nn.Module):
    """Linear(GELU(Linear(x))) for each pixel. Takes and returns (B, C, H, W)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        t = activated_linear(x.permute(0, 2, 3, 1), self.expand.weight, self.expand.bias, "gelu")
        return pixel_product(t, self.contract.weight, self.contract.bias).permute(0, 3, 1, 2)


class GRLLayer(nn.Module):
    """x ← x + LN(mixed attention(x)) + local(x); x ← x + LN(MLP(x)). Takes and returns (B, C, H, W).

    Layers of a stage come in a cycle of four: window shifts alternate, stripes turn, and every other pair shifts them.
    """

    def __init__(self, config: GRLConfig, stage: int, index: int, drop: float) -> None:
        super().__init__()
        C = config.width
        self.attention = MixedAttention(
            C,
            config.window_heads[stage],
            config.stripe_heads[stage],
            window_size=config.window_size,
            stripe_size=config.stripe_size,
            stripe_groups=config.stripe_groups,
            anchor_factor=config.anchor_factor,
            vertical=index % 2 == 1,
            shifted_windows=index % 2 == 0,
            shifted_stripes=config.stripe_shift and index % 4 in (2, 3),
        )
        self.norm1 = ChannelLayerNorm(C)
        self.local = ChannelAttentionBlock(C, C // 4, C // 18) if config.local else None
        self.mlp = FeedForward(C, config.mlp_width)
        self.norm2 = ChannelLayerNorm(C)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        near, far = self.attention.branches(x)
        shortcut = x if self.local is None else x + self.local(x)
        if self.training or not worth_striping(x, *self.parameters()):
            return self._rest(near, far, shortcut)
        out = torch.empty_like(shortcut)
        widest = x.shape[0] * x.shape[3] * self.mlp.expand.out_features
        for stripe in row_stripes(x.shape[2], widest, reach=0):
            rows = stripe.rows
            out[:, :, rows] = self._rest(near[:, rows], far[:, rows], shortcut[:, :, rows])
        return out

    def _rest(self, near: Tensor, far: Tensor, shortcut: Tensor) -> Tensor:
        """What follows the attention, which is local to each pixel."""
        x = self._dropped(self.norm1(self.attention.join(near, far).permute(0, 3, 1, 2))) + shortcut
        return self._dropped(self.norm2(self.mlp(x))) + x

    def _dropped(self, x: Tensor) -> Tensor:
        """While training, leave the branch out for some pictures (stochastic depth, Huang et al., ECCV 2016)."""
        if not self.training or self.drop == 0:
            return x
        kept = torch.empty(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - self.drop)
        return x * (kept / (1 - self.drop))


class GRLStage(nn.Module):
    """x + 3×3(layers(x)). Takes and returns (B, C, H, W)."""

    def __init__(self, config: GRLConfig, stage: int) -> None:
        super().__init__()
        before, total = sum(config.depths[:stage]), sum(config.depths)
        rates = [_LARGEST_DROP * (before + i) / max(total - 1, 1) for i in range(config.depths[stage])]
        self.layers = nn.Sequential(*(GRLLayer(config, stage, i, rate) for i, rate in enumerate(rates)))
        self.convolution = _convolution(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(self.layers(x)) + x


class EnlargingHead(nn.Module):
    """A chain of convolutions that works at the size of the result, in stripes where no gradient is recorded.

    Takes (B, C, H, W) and returns (B, out_channels, scale · H, scale · W).
    """

    scale: int

    def forward(self, y: Tensor) -> Tensor:
        if not worth_striping(y, *self.parameters()):
            return self.enlarge(y)
        return map_rows(self.enlarge, y, _HEAD_VALUES, reach=_HEAD_REACH, scale=self.scale)

    def enlarge(self, y: Tensor) -> Tensor:
        """What the stripes go through."""
        raise NotImplementedError


class PixelShuffleHead(EnlargingHead):
    """Convolve and pixel-shuffle, once for each factor of 2, or once for a factor of 3."""

    def __init__(self, channels: int, out_channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        self.reduce = _convolution(channels, _HEAD_WIDTH)
        self.expand = nn.ModuleList(_convolution(_HEAD_WIDTH, _HEAD_WIDTH * factor**2) for factor in self.factors)
        self.output = _convolution(_HEAD_WIDTH, out_channels)

    def enlarge(self, y: Tensor) -> Tensor:
        y = F.leaky_relu(self.reduce(y), 0.01)
        for factor, expand in zip(self.factors, self.expand, strict=True):
            y = F.pixel_shuffle(expand(y), factor)
        return self.output(y)


class DirectPixelShuffleHead(nn.Module):
    """Convolve straight to the pixels of the output, and shuffle them into place."""

    def __init__(self, channels: int, out_channels: int, scale: int) -> None:
        super().__init__()
        self.expand = nn.ModuleList([_convolution(channels, out_channels * scale**2)])
        self.scale = scale

    def forward(self, y: Tensor) -> Tensor:
        return F.pixel_shuffle(self.expand[0](y), self.scale)


class NearestHead(EnlargingHead):
    """Repeat pixels and convolve, twice, then refine."""

    scale = 4

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = _convolution(channels, _HEAD_WIDTH)
        self.up1 = _convolution(_HEAD_WIDTH, _HEAD_WIDTH)
        self.up2 = _convolution(_HEAD_WIDTH, _HEAD_WIDTH)
        self.refine = _convolution(_HEAD_WIDTH, _HEAD_WIDTH)
        self.output = _convolution(_HEAD_WIDTH, out_channels)

    def enlarge(self, y: Tensor) -> Tensor:
        y = F.leaky_relu(self.reduce(y), 0.01)
        for up in (self.up1, self.up2):
            y = F.leaky_relu(up(F.interpolate(y, scale_factor=2, mode="nearest")), 0.2)
        return self.output(F.leaky_relu(self.refine(y), 0.2))


class ResidualHead(nn.Module):
    """Convolve to the channels of the output."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.output = _convolution(channels, out_channels)

    def forward(self, y: Tensor) -> Tensor:
        return self.output(y)


class GRL(nn.Module):
    """Restore, and perhaps enlarge, a picture of any height and width ≥ 1.

    Takes (B, in_channels, H, W) with values 0..1 and returns (B, out_channels, scale · H, scale · W), not clamped. The
    input is padded on the right and bottom to the configuration's multiple, by reflection (by zeros where it is too
    small for that), and the output cropped back.
    """

    def __init__(self, config: GRLConfig) -> None:
        super().__init__()
        self.config = config
        C = config.width
        self.embed = _convolution(config.in_channels, C)
        self.norm_start = ChannelLayerNorm(C)
        self.stages = nn.Sequential(*(GRLStage(config, stage) for stage in range(len(config.depths))))
        self.norm_end = ChannelLayerNorm(C)
        self.body = _convolution(C, C)
        self.head = _head(config)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison] - it may be
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        H, W = (self.config.scale * side for side in image.shape[-2:])
        x = pad_to_tiles(image, self.config.multiple).contiguous(memory_format=torch.channels_last)
        mean = image.new_tensor(_MEAN).view(1, 3, 1, 1) if self.config.in_channels == 3 else None
        if mean is not None:
            x = x - mean
        shallow = self.embed(x)
        y = self.head(self.body(self.norm_end(self.stages(self.norm_start(shallow)))) + shallow)
        if self.config.upsampler == "none" and self.config.in_channels == self.config.out_channels:
            y = y + x
        if mean is not None and self.config.out_channels == 3:
            y = y + mean
        return y[..., :H, :W]


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def _head(config: GRLConfig) -> nn.Module:
    C, out_channels = config.width, config.out_channels
    if config.upsampler == "pixelshuffle":
        return PixelShuffleHead(C, out_channels, config.scale)
    if config.upsampler == "pixelshuffledirect":
        return DirectPixelShuffleHead(C, out_channels, config.scale)
    return NearestHead(C, out_channels) if config.upsampler == "nearest+conv" else ResidualHead(C, out_channels)
