"""Restormer answers the checklist with these."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import (
    GDFN,
    MDTA,
    BiasFreeLayerNorm,
    ChannelLayerNorm,
    OverlapPatchEmbed,
    PixelShuffleUpsample,
    PixelUnshuffleDownsample,
)
from pellucid.models.restormer import Restormer, RestormerConfig
from pellucid.ops.bias_free_norm import bias_free_norm
from pellucid.ops.bias_free_norm import fast as bias_free_norm_fast
from pellucid.ops.bias_free_norm import reference as bias_free_norm_reference
from pellucid.ops.channel_attention import channel_attention
from pellucid.ops.channel_attention import fast as channel_attention_fast
from pellucid.ops.channel_attention import reference as channel_attention_reference
from pellucid.ops.gated_depthwise import fast as gated_depthwise_fast
from pellucid.ops.gated_depthwise import gated_depthwise
from pellucid.ops.gated_depthwise import reference as gated_depthwise_reference


def _attention_inputs(batch: int, height: int, width: int, *, bias: bool) -> tuple[Any, ...]:
    q, k, v = (randn(batch, height, width, 6) for _ in range(3))
    return q, k, v, 1 + randn(2, 1, 1), randn(5, 6), randn(5) if bias else None


def _gate_inputs(batch: int, height: int, width: int, *, bias: bool) -> tuple[Any, ...]:
    t1, t2 = (randn(batch, height, width, 6) for _ in range(2))
    return t1, t2, randn(6, 1, 3, 3), randn(6, 1, 3, 3), *((randn(6), randn(6)) if bias else (None, None))


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
        inputs=lambda B, H, W: (randn(B, H, W, 6) + 1, randn(6), 1e-5),
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
PUBLIC = {
    "pellucid.layers": [
        "GDFN",
        "MDTA",
        "BiasFreeLayerNorm",
        "ChannelLayerNorm",
        "OverlapPatchEmbed",
        "PixelShuffleUpsample",
        "PixelUnshuffleDownsample",
    ],
    "pellucid.ops.bias_free_norm": ["bias_free_norm"],
    "pellucid.ops.channel_attention": [
        "GramStatistics",
        "apply_matrix",
        "channel_attention",
        "folded_matrix",
        "gram_statistics",
    ],
    "pellucid.ops.gated_depthwise": ["activated_depthwise", "gated_depthwise", "times_depthwise"],
}
