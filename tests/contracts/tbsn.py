"""TBSN and its student answer the checklist with these."""

from collections.abc import Callable
from typing import Any

from torch import nn

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import (
    CentreMaskedConv2d,
    GroupedChannelAttention,
    MaskedWindowAttention,
    PatchShuffleUpsample,
    PatchUnshuffleDownsample,
)
from pellucid.models.tbsn import TBSN, TBSNConfig
from pellucid.models.tbsn_unet import TBSNUNet, TBSNUNetConfig
from pellucid.ops.local_feedforward import fast as local_feedforward_fast
from pellucid.ops.local_feedforward import local_feedforward
from pellucid.ops.local_feedforward import reference as local_feedforward_reference
from pellucid.ops.masked_window_attention import fast as masked_window_attention_fast
from pellucid.ops.masked_window_attention import masked_window_attention
from pellucid.ops.masked_window_attention import reference as masked_window_attention_reference


def _window_inputs(batch: int, height: int, width: int, *, window: int, overlap: int) -> tuple[Any, ...]:
    q, k, v = (randn(batch, height, width, 6) for _ in range(3))
    return q, k, v, randn(2 * overlap - 1, 3), randn(2 * overlap - 1, 3), window


def _window_row(name: str, window: int, overlap: int) -> OpRow:
    return OpRow(
        name=name,
        op=masked_window_attention,
        reference=masked_window_attention_reference.masked_window_attention,
        fast=masked_window_attention_fast.masked_window_attention,
        inputs=lambda B, H, W: _window_inputs(B, H, W, window=window, overlap=overlap),
        pictures=3,
    )


def _feedforward_row(name: str, bias: bool) -> OpRow:
    def inputs(B: int, H: int, W: int) -> tuple[Any, ...]:
        biases = (randn(4), randn(3)) if bias else (None, None)
        return randn(B, H, W, 3), randn(B, H, W, 5), randn(4, 5, 3, 3) / 45**0.5, randn(3, 4, 3, 3) / 6, *biases

    return OpRow(
        name=name,
        op=local_feedforward,
        reference=local_feedforward_reference.local_feedforward,
        fast=local_feedforward_fast.local_feedforward,
        inputs=inputs,
        pictures=2,
    )


def _window_layer(**fields: Any) -> Callable[[], nn.Module]:
    return lambda: MaskedWindowAttention(6, 2, **{"head_channels": 3, "window": 4, "overlap": 8, **fields})


def _small_tbsn(**fields: Any) -> Callable[[], nn.Module]:
    config = {
        "width": 8,  # few channels may nearly agree, and then the norm magnifies rounding
        "blocks": (1, 1),
        "refinement": 0,
        "channel_heads": (1, 2),
        "window_heads": (1, 2),
        "head_channels": 3,
        "window": 4,
        "overlaps": (8, 8),
        **fields,
    }
    return lambda: TBSN(TBSNConfig(**config))


OPS = (
    _feedforward_row("local_feedforward", bias=False),
    _feedforward_row("local_feedforward-bias", bias=True),
    _window_row("masked_window_attention", 8, 12),
    _window_row("masked_window_attention-small", 4, 8),
    _window_row("masked_window_attention-not-overlapping", 2, 2),
)
LAYERS = (
    ModuleRow(name="MaskedWindowAttention", make=_window_layer(), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(
        name="MaskedWindowAttention-bias",
        make=_window_layer(bias=True, window=2, overlap=2),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="GroupedChannelAttention",
        make=lambda: GroupedChannelAttention(6, 2),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="GroupedChannelAttention-bias",
        make=lambda: GroupedChannelAttention(6, 3, bias=True),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="CentreMaskedConv2d", make=lambda: CentreMaskedConv2d(3, 5), channels=3, result=lambda H, W: (5, H, W)
    ),
    ModuleRow(
        name="PatchUnshuffleDownsample",
        make=lambda: PatchUnshuffleDownsample(4),
        channels=4,
        result=lambda H, W: (8, H // 2, W // 2),
        sizes=((4, 4), (4, 12), (20, 8)),
    ),
    ModuleRow(
        name="PatchShuffleUpsample",
        make=lambda: PatchShuffleUpsample(4),
        channels=4,
        result=lambda H, W: (2, 2 * H, 2 * W),
        sizes=((2, 2), (2, 6), (18, 10)),
    ),
)
NETWORKS = (
    ModuleRow(name="TBSN", make=_small_tbsn(), channels=3, result=lambda H, W: (3, H, W)),
    ModuleRow(
        name="TBSN-bias",
        make=_small_tbsn(in_channels=1, out_channels=1, norm_bias=True, bias=True, embed_bias=True),
        channels=1,
        result=lambda H, W: (1, H, W),
    ),
    ModuleRow(
        name="TBSNUNet",
        make=lambda: TBSNUNet(
            TBSNUNetConfig(width=12)
        ),  # at few channels, rounding scatters; at many, gradcheck takes minutes
        channels=3,
        result=lambda H, W: (3, H, W),
    ),
)
CHECKPOINTS = (
    CheckpointRow(name="tbsn_small", system="tbsn"),
    # Not the authors': see `plain_tbsn_unet`.
    CheckpointRow(name="tbsn_unet_ours", system="tbsn-unet"),
)
PUBLIC = {
    "pellucid.layers": [
        "CentreMaskedConv2d",
        "GroupedChannelAttention",
        "MaskedWindowAttention",
        "PatchShuffleUpsample",
        "PatchUnshuffleDownsample",
    ],
    "pellucid.ops.local_feedforward": ["local_feedforward"],
    "pellucid.ops.masked_window_attention": [
        "check_blind_spot",
        "lattice_window_attention",
        "masked_window_attention",
    ],
}
