"""CloFormer answers the checklist with these."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import AttnConv, CloAttention, CloBlock, ConvFFN
from pellucid.models.cloformer import CloFormer, CloFormerConfig
from pellucid.ops.activated_linear import activated_linear
from pellucid.ops.activated_linear import fast as activated_linear_fast
from pellucid.ops.activated_linear import reference as activated_linear_reference
from pellucid.ops.attn_conv import attn_conv
from pellucid.ops.attn_conv import fast as attn_conv_fast
from pellucid.ops.attn_conv import reference as attn_conv_reference
from pellucid.ops.pooled_attention import fast as pooled_attention_fast
from pellucid.ops.pooled_attention import pooled_attention
from pellucid.ops.pooled_attention import reference as pooled_attention_reference

_ONEDNN_DTYPES = (torch.float32,) if torch.backends.mkldnn.is_available() else ()


def _weights(channels: int, n: int, kernel: int) -> tuple[Any, ...]:
    """Weights that keep values near 1, where tanh is neither linear nor saturated."""
    qkv, depthwise = randn(3 * n, channels) / channels**0.5, randn(3 * n, 1, kernel, kernel) / kernel
    w1, w2 = (randn(n, n) / n**0.5 for _ in range(2))
    return qkv, randn(3 * n) / 4, depthwise, randn(3 * n) / 4, w1, randn(n) / 4, w2, randn(n) / 4


def _pooled_inputs(batch: int, height: int, width: int) -> tuple[Any, ...]:
    k, v = (randn(batch, -(-height // 2), -(-width // 3), 6) for _ in range(2))
    return randn(batch, height, width, 6), k, v, 2


def _activated(name: str) -> OpRow:
    return OpRow(
        name=f"activated_linear-{name}",
        op=activated_linear,
        reference=activated_linear_reference.activated_linear,
        fast=activated_linear_fast.activated_linear,
        inputs=lambda B, H, W: (randn(B, H, W, 5), randn(6, 5) / 5**0.5, randn(6) / 4, name),
        pictures=1,
        fast_dtypes=_ONEDNN_DTYPES,
    )


def _attn_conv(kernel: int) -> OpRow:
    return OpRow(
        name=f"attn_conv-{kernel}",
        op=attn_conv,
        reference=attn_conv_reference.attn_conv,
        fast=attn_conv_fast.attn_conv,
        inputs=lambda B, H, W: (randn(B, H, W, 5), *_weights(5, 6, kernel), 2),
        pictures=1,
    )


def _small_cloformer(**fields: Any) -> Callable[[], nn.Module]:
    config = {
        "classes": 3,
        "widths": (4, 6),
        "blocks": (1, 1),
        "heads": (2, 3),
        "splits": ((1, 1), (2, 1)),
        "kernels": ((3,), (5,)),
        "pools": (2, 1),
        "expansions": (2, 2),
        "feedforward_kernels": (5, 3),
        **fields,
    }
    return lambda: CloFormer(CloFormerConfig(**config))


OPS = (
    _activated("gelu"),
    _activated("silu"),
    _activated("tanh"),
    _attn_conv(3),
    _attn_conv(9),
    OpRow(
        name="pooled_attention",
        op=pooled_attention,
        reference=pooled_attention_reference.pooled_attention,
        fast=pooled_attention_fast.pooled_attention,
        inputs=_pooled_inputs,
        pictures=3,
    ),
)
_POOLED_SIZES = ((2, 2), (2, 5), (7, 3), (19, 11))
LAYERS = (
    ModuleRow(name="AttnConv", make=lambda: AttnConv(6, 2, 3), channels=6, result=lambda H, W: (6, H, W)),
    ModuleRow(
        name="AttnConv-narrow",
        make=lambda: AttnConv(6, 1, 7, out_channels=2),
        channels=6,
        result=lambda H, W: (2, H, W),
    ),
    ModuleRow(
        name="CloAttention",
        make=lambda: CloAttention(8, 2, (1, 1), (5,), pool=2),
        channels=8,
        result=lambda H, W: (8, H, W),
        sizes=_POOLED_SIZES,
    ),
    ModuleRow(
        name="CloAttention-branches",
        make=lambda: CloAttention(8, 4, (1, 0, 2, 1), (3, 5, 7), pool=1),
        channels=8,
        result=lambda H, W: (8, H, W),
    ),
    ModuleRow(
        name="CloAttention-local",
        make=lambda: CloAttention(6, 3, (3, 0), (3,), pool=8),
        channels=6,
        result=lambda H, W: (6, H, W),
    ),
    ModuleRow(
        name="CloAttention-global",
        make=lambda: CloAttention(6, 3, (3,), (), pool=2),
        channels=6,
        result=lambda H, W: (6, H, W),
        sizes=_POOLED_SIZES,
    ),
    ModuleRow(name="ConvFFN", make=lambda: ConvFFN(4, 9, 5), channels=4, result=lambda H, W: (4, H, W)),
    ModuleRow(
        name="ConvFFN-stride",
        make=lambda: ConvFFN(4, 9, 3, out_channels=5, stride=2),
        channels=4,
        result=lambda H, W: (5, -(-H // 2), -(-W // 2)),
    ),
    ModuleRow(
        name="CloBlock",
        make=lambda: CloBlock(6, 3, (2, 1), (3,), pool=2, hidden=7),
        channels=6,
        result=lambda H, W: (6, H, W),
        sizes=_POOLED_SIZES,
    ),
    ModuleRow(
        name="CloBlock-next",
        make=lambda: CloBlock(6, 3, (2, 1), (3,), pool=2, hidden=7, next_channels=5),
        channels=6,
        result=lambda H, W: (5, -(-H // 2), -(-W // 2)),
        sizes=_POOLED_SIZES,
    ),
)
NETWORKS = (
    ModuleRow(
        name="CloFormer",
        make=_small_cloformer(),
        channels=3,
        result=lambda *_: (3,),
        sizes=((5, 5), (5, 9), (14, 6), (29, 21)),
    ),
    ModuleRow(
        name="CloFormer-local",
        make=_small_cloformer(splits=((2, 0), (1, 2, 0)), kernels=((3,), (3, 7))),
        channels=3,
        result=lambda *_: (3,),
    ),
)
CHECKPOINTS = (
    CheckpointRow(
        name="cloformer_small",
        system="cloformer",
        settings={"num_heads": (2, 4, 6, 8), "window_sizes": (8, 4, 2, 1)},
    ),
)
PUBLIC = {
    "pellucid.layers": ["AttnConv", "CloAttention", "CloBlock", "ConvFFN"],
    "pellucid.ops.activated_linear": ["activated_linear"],
    "pellucid.ops.attn_conv": ["attn_conv"],
    "pellucid.ops.pooled_attention": ["pooled_attention"],
}
