"""Every op, layer, network and golden checkpoint that answers the checklist.

To add one, add a row to OPS, LAYERS, NETWORKS or CHECKPOINTS; `test_contracts.py` asks each row every question that
`checklist.py` has for its kind, and fails while something public has no row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.layers import (
    GDFN,
    MDTA,
    BiasFreeLayerNorm,
    ChannelLayerNorm,
    OverlapPatchEmbed,
    PixelShuffleUpsample,
    PixelUnshuffleDownsample,
)
from pellucid.models import Restormer, RestormerConfig
from pellucid.ops.bias_free_norm import bias_free_norm
from pellucid.ops.bias_free_norm import fast as bias_free_norm_fast
from pellucid.ops.bias_free_norm import reference as bias_free_norm_reference
from pellucid.ops.channel_attention import channel_attention
from pellucid.ops.channel_attention import fast as channel_attention_fast
from pellucid.ops.channel_attention import reference as channel_attention_reference
from pellucid.ops.gated_depthwise import fast as gated_depthwise_fast
from pellucid.ops.gated_depthwise import gated_depthwise
from pellucid.ops.gated_depthwise import reference as gated_depthwise_reference

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True, kw_only=True)
class OpRow:
    """An op.

    Attributes:
        op: the public function; `reference` and `fast` those of its modules, called with the same arguments.
        inputs: (batch, height, width) → all arguments, tensors in float64; pictures are (B, H, W, C).
        pictures: how many of the leading arguments have a batch axis.
        fast_dtypes: those in which `fast` itself must run; `op` must take any.
    """

    name: str
    op: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    fast: Callable[..., Tensor]
    inputs: Callable[[int, int, int], tuple[Any, ...]]
    pictures: int
    fast_dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)


@dataclass(frozen=True, kw_only=True)
class ModuleRow:
    """A layer or network.

    Attributes:
        make: builds it, small.
        channels: channels of the input, which is (B, C, H, W).
        result: (height, width) → shape of the output without the batch.
        sizes: heights and widths it must take; the last is used where one is enough, and has 17 rows or more so that
            it can be cut into stripes.
    """

    name: str
    make: Callable[[], nn.Module]
    channels: int
    result: Callable[[int, int], tuple[int, ...]]
    sizes: tuple[tuple[int, int], ...] = ((1, 1), (1, 5), (7, 2), (19, 11))


@dataclass(frozen=True, kw_only=True)
class CheckpointRow:
    """A golden file in `golden/`: NAME.pth as the authors save it, NAME.io.safetensors with `input` and `output`."""

    name: str
    system: str

    @property
    def path(self) -> Path:
        return GOLDEN / f"{self.name}.pth"


def _randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def _attention_inputs(batch: int, height: int, width: int, *, bias: bool) -> tuple[Any, ...]:
    q, k, v = (_randn(batch, height, width, 6) for _ in range(3))
    return q, k, v, 1 + _randn(2, 1, 1), _randn(5, 6), _randn(5) if bias else None


def _gate_inputs(batch: int, height: int, width: int, *, bias: bool) -> tuple[Any, ...]:
    t1, t2 = (_randn(batch, height, width, 6) for _ in range(2))
    return t1, t2, _randn(6, 1, 3, 3), _randn(6, 1, 3, 3), *((_randn(6), _randn(6)) if bias else (None, None))


_ONEDNN_DTYPES = (torch.float32,) if torch.backends.mkldnn.is_available() else ()


def _small_restormer(**fields: Any) -> Callable[[], nn.Module]:
    config = {"width": 4, "blocks": (1, 1), "heads": (1, 2), "refinement": 1, **fields}
    return lambda: Restormer(RestormerConfig(**config))


OPS = (
    OpRow(
        name="bias_free_norm",
        op=bias_free_norm,
        reference=bias_free_norm_reference.bias_free_norm,
        fast=bias_free_norm_fast.bias_free_norm,
        inputs=lambda B, H, W: (_randn(B, H, W, 6) + 1, _randn(6), 1e-5),
        pictures=1,
    ),
    OpRow(
        name="channel_attention",
        op=channel_attention,
        reference=channel_attention_reference.channel_attention,
        fast=channel_attention_fast.channel_attention,
        inputs=lambda B, H, W: _attention_inputs(B, H, W, bias=True),
        pictures=3,
    ),
    OpRow(
        name="channel_attention-no-bias",
        op=channel_attention,
        reference=channel_attention_reference.channel_attention,
        fast=channel_attention_fast.channel_attention,
        inputs=lambda B, H, W: _attention_inputs(B, H, W, bias=False),
        pictures=3,
    ),
    OpRow(
        name="gated_depthwise",
        op=gated_depthwise,
        reference=gated_depthwise_reference.gated_depthwise,
        fast=gated_depthwise_fast.gated_depthwise,
        inputs=lambda B, H, W: _gate_inputs(B, H, W, bias=True),
        pictures=2,
        fast_dtypes=_ONEDNN_DTYPES,
    ),
    OpRow(
        name="gated_depthwise-no-bias",
        op=gated_depthwise,
        reference=gated_depthwise_reference.gated_depthwise,
        fast=gated_depthwise_fast.gated_depthwise,
        inputs=lambda B, H, W: _gate_inputs(B, H, W, bias=False),
        pictures=2,
        fast_dtypes=_ONEDNN_DTYPES,
    ),
)
LAYERS = (
    ModuleRow(name="MDTA", make=lambda: MDTA(6, 2), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(name="MDTA-bias", make=lambda: MDTA(6, 3, bias=True), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(name="GDFN", make=lambda: GDFN(6, 7), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(name="GDFN-bias", make=lambda: GDFN(6, 7, bias=True), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(name="ChannelLayerNorm", make=lambda: ChannelLayerNorm(6), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(name="BiasFreeLayerNorm", make=lambda: BiasFreeLayerNorm(6), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(
        name="OverlapPatchEmbed", make=lambda: OverlapPatchEmbed(3, 5), channels=3, result=lambda H, W: (5, H, W)
    ),
    ModuleRow(
        name="PixelUnshuffleDownsample",
        make=lambda: PixelUnshuffleDownsample(4),
        channels=4,
        result=lambda H, W: (8, H // 2, W // 2),
        sizes=((2, 2), (2, 6), (18, 10)),
    ),
    ModuleRow(
        name="PixelShuffleUpsample",
        make=lambda: PixelShuffleUpsample(4),
        channels=4,
        result=lambda H, W: (2, 2 * H, 2 * W),
    ),
)
NETWORKS = (
    ModuleRow(
        name="Restormer",
        make=_small_restormer(norm_bias=False),
        channels=3,
        result=lambda H, W: (3, H, W),
    ),
    ModuleRow(
        name="Restormer-dual-pixel",
        make=_small_restormer(refinement=0, in_channels=6, dual_pixel=True, bias=True),
        channels=6,
        result=lambda H, W: (3, H, W),
    ),
    ModuleRow(
        name="Restormer-unshuffle",
        make=_small_restormer(refinement=0, in_channels=1, out_channels=1, unshuffle=2),
        channels=1,
        result=lambda H, W: (1, H, W),
    ),
)
CHECKPOINTS = (
    CheckpointRow(name="restormer_color_biasfree", system="restormer"),
    CheckpointRow(name="restormer_gray_withbias", system="restormer"),
)
