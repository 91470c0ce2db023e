"""GRL answers the checklist with these."""

from collections.abc import Callable
from typing import Any

from torch import nn

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import AnchoredStripeAttention, ChannelAttentionBlock, MixedAttention, WindowAttention
from pellucid.models.grl import GRL, GRLConfig
from pellucid.ops.tile_attention import fast as tile_attention_fast
from pellucid.ops.tile_attention import reference as tile_attention_reference
from pellucid.ops.tile_attention import tile_attention

Pair = tuple[int, int]


def _attention_row(
    name: str, query_tile: Pair, key_tile: Pair, query_shift: Pair = (0, 0), key_shift: Pair = (0, 0)
) -> OpRow:
    """A grid of height × width tiles, of two channels for each of two heads."""

    def inputs(batch: int, height: int, width: int) -> tuple[Any, ...]:
        q = randn(batch, height * query_tile[0], width * query_tile[1], 4)
        k, v = (randn(batch, height * key_tile[0], width * key_tile[1], 4) for _ in range(2))
        table = randn(2, query_tile[0] + key_tile[0] - 1, query_tile[1] + key_tile[1] - 1)
        return q, k, v, 1 + randn(2, 1, 1), table, query_tile, key_tile, query_shift, key_shift

    return OpRow(
        name=f"tile_attention-{name}",
        op=tile_attention,
        reference=tile_attention_reference.tile_attention,
        fast=tile_attention_fast.tile_attention,
        inputs=inputs,
        pictures=3,
    )


def _small_grl(**fields: Any) -> Callable[[], nn.Module]:
    config = {
        "width": 16,
        "depths": (2,),
        "window_heads": (2,),
        "stripe_heads": (1,),
        "mlp_width": 12,
        "window_size": 4,
        "stripe_size": (4, 8),
        "anchor_factor": 2,
        **fields,
    }
    return lambda: GRL(GRLConfig(**config))


OPS = (
    _attention_row("windows", (2, 3), (2, 3), (1, 1), (1, 1)),
    _attention_row("gather", (1, 2), (2, 4), (0, 1), (1, 2)),
    _attention_row("read", (4, 2), (2, 1), (2, 1), (1, 0)),
)
LAYERS = (
    ModuleRow(
        name="WindowAttention",
        make=lambda: WindowAttention(6, 2, window_size=4, shifted=True),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="AnchoredStripeAttention",
        make=lambda: AnchoredStripeAttention(6, 2, stripe_size=(4, 8), anchor_factor=2, shifted=True),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="AnchoredStripeAttention-groups",
        make=lambda: AnchoredStripeAttention(
            6, 3, stripe_size=(4, None), stripe_groups=(None, 2), anchor_factor=2, vertical=True, shifted=True
        ),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="MixedAttention",
        make=lambda: MixedAttention(
            8, 2, 1, window_size=3, stripe_size=(4, 8), anchor_factor=2, vertical=True, shifted_windows=True
        ),
        channels=8,
        result=lambda H, W: (8, H, W),
    ),
    ModuleRow(
        name="ChannelAttentionBlock",
        make=lambda: ChannelAttentionBlock(6, 3, 2),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
)
NETWORKS = (
    ModuleRow(name="GRL", make=_small_grl(width=32, mlp_width=32), channels=3, result=lambda H, W: (3, H, W)),
    ModuleRow(
        name="GRL-local-dual-pixel",
        make=_small_grl(in_channels=6, width=18, window_heads=(3,), stripe_heads=(3,), depths=(1,), local=True),
        channels=6,
        result=lambda H, W: (3, H, W),
    ),
    ModuleRow(
        name="GRL-groups-super-resolution",
        make=_small_grl(
            in_channels=1,
            out_channels=1,
            upsampler="pixelshuffledirect",
            scale=2,
            depths=(1,),
            stripe_size=(4, None),
            stripe_groups=(None, 2),
        ),
        channels=1,
        result=lambda H, W: (1, 2 * H, 2 * W),
    ),
)
CHECKPOINTS = (
    CheckpointRow(name="grl_tiny_sr4", system="grl"),
    CheckpointRow(name="grl_local_denoise", system="grl"),
    CheckpointRow(name="grl_grouped", system="grl", settings={"stripe_size": (8, None), "stripe_groups": (None, 4)}),
)
PUBLIC = {
    "pellucid.layers": ["AnchoredStripeAttention", "ChannelAttentionBlock", "MixedAttention", "WindowAttention"],
    "pellucid.ops.tile_attention": ["tile_attention"],
}
