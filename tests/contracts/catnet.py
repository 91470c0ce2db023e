"""CAT-Net answers the checklist with these."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import CMAT, MIFE, CrossMaskedAttention, DilatedResNet, PrototypeHead
from pellucid.models.catnet import CATNet, CATNetConfig
from pellucid.ops.cross_masked_attention import attention, cross_masked_attention, key_masked_attention
from pellucid.ops.cross_masked_attention import fast as cross_masked_attention_fast
from pellucid.ops.cross_masked_attention import reference as cross_masked_attention_reference
from pellucid.ops.masked_pooling import fast as masked_pooling_fast
from pellucid.ops.masked_pooling import masked_average_pooling
from pellucid.ops.masked_pooling import reference as masked_pooling_reference
from pellucid.ops.prior_mask import fast as prior_mask_fast
from pellucid.ops.prior_mask import prior_mask
from pellucid.ops.prior_mask import reference as prior_mask_reference


def _attention_inputs(batch: int, height: int, width: int) -> tuple[Any, ...]:
    """Queries, and keys and values of a picture of another size."""
    queries, keys = (batch, height, width), (batch, height + 1, width)
    return randn(*queries, 6), randn(*keys, 6), randn(*keys, 4), (randn(*queries, 1) > 0).double(), 2


def _with_keys_masked(function: Any) -> Any:
    """Give the option a mask of the keys' shape; it has no gradient, so it cannot be an argument of the checklist."""

    def masked(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        return function(q, k, v, (k[..., :1] > 0).to(k.dtype), heads)

    return masked


def _without_mask(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    mask = torch.ones_like(q[..., :1])
    return cross_masked_attention_reference.cross_masked_attention(q, k, v, mask, heads)


def _prior_inputs(batch: int, height: int, width: int) -> tuple[Any, ...]:
    """A soft mask, since at 0 the cosine has no derivative with respect to it."""
    support = (batch, height + 2, width)
    return randn(batch, height, width, 6), randn(*support, 6), 0.5 + randn(*support, 1).sigmoid()


class _OnOneTensor(nn.Module):
    """Splits the channels of one tensor among the inputs of a layer, and joins its outputs to one tensor again.

    Args:
        layer: takes `widths` features, then a mask for each of `masks`; the latter are channels turned into 0 and 1.
    """

    def __init__(self, layer: nn.Module, widths: tuple[int, ...], masks: int) -> None:
        super().__init__()
        self.layer, self.widths, self.masks = layer, widths, masks

    def forward(self, x: Tensor) -> Tensor:
        *features, masks = x.split((*self.widths, self.masks), dim=1)
        out = self.layer(*features, *((mask > 0).to(x.dtype) for mask in masks.split(1, dim=1)))
        return out if isinstance(out, Tensor) else torch.cat(out, dim=1)


class _EpisodeInOneTensor(nn.Module):
    """Two shots, their masks and the query in the channels of one picture; the probabilities of every iteration."""

    def __init__(self, network: CATNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        shots, masks, query = x.split((6, 2, 3), dim=1)
        states = self.network.refine(shots.unflatten(1, (2, 3)), (masks > 0).to(x.dtype), query)
        size = (x.shape[2], x.shape[3])
        return torch.cat([self.network.probabilities(state.foreground, size) for state in states], dim=1)


TINY: dict[str, Any] = {
    "blocks": (1, 1, 1, 1),
    "features": 64,
    "channels": 6,
    "iterations": 2,
    "key_channels": 2,
    "alpha": 2.0,  # so that rounding in half precision moves no pixel across the thresholds
}


def _tiny_catnet(**fields: Any) -> Callable[[], nn.Module]:
    return lambda: _EpisodeInOneTensor(CATNet(CATNetConfig(**{**TINY, **fields})))


def _layer(
    name: str, make: Callable[[], nn.Module], widths: tuple[int, ...], masks: int, channels: int, **fields: Any
) -> ModuleRow:
    return ModuleRow(
        name=name,
        make=lambda: _OnOneTensor(make(), widths, masks),
        channels=sum(widths) + masks,
        result=lambda H, W: (channels, H, W),
        **fields,
    )


OPS = (
    OpRow(
        name="masked_pooling",
        op=masked_average_pooling,
        reference=masked_pooling_reference.masked_average_pooling,
        fast=masked_pooling_fast.masked_average_pooling,
        inputs=lambda B, H, W: (randn(B, H, W, 6), (randn(B, 3 * H + 1, 2 * W, 1) > 0).double()),
        pictures=2,
    ),
    OpRow(
        name="masked_pooling-reduced",
        op=masked_average_pooling,
        reference=masked_pooling_reference.masked_average_pooling,
        fast=masked_pooling_fast.masked_average_pooling,
        inputs=lambda B, H, W: (randn(B, 2 * H, 3 * W, 6), randn(B, H, W, 1).sigmoid()),
        pictures=2,
    ),
    OpRow(
        name="prior_mask",
        op=prior_mask,
        reference=prior_mask_reference.prior_mask,
        fast=prior_mask_fast.prior_mask,
        inputs=_prior_inputs,
        pictures=3,
    ),
    OpRow(
        name="cross_masked_attention",
        op=cross_masked_attention,
        reference=cross_masked_attention_reference.cross_masked_attention,
        fast=cross_masked_attention_fast.cross_masked_attention,
        inputs=_attention_inputs,
        pictures=4,
    ),
    OpRow(
        name="cross_masked_attention-keys",
        op=_with_keys_masked(key_masked_attention),
        reference=_with_keys_masked(cross_masked_attention_reference.key_masked_attention),
        fast=_with_keys_masked(cross_masked_attention_fast.key_masked_attention),
        inputs=lambda B, H, W: (*_attention_inputs(B, H, W)[:3], 2),
        pictures=3,
    ),
    OpRow(
        name="cross_masked_attention-unmasked",
        op=attention,
        reference=_without_mask,
        fast=attention,
        inputs=lambda B, H, W: (*_attention_inputs(B, H, W)[:3], 1),
        pictures=3,
    ),
)
LAYERS = (
    _layer("MIFE", lambda: MIFE(6), (6, 6), 1, channels=13),
    _layer("CrossMaskedAttention", lambda: CrossMaskedAttention(6, 2), (6, 6), 1, channels=6),
    _layer("CrossMaskedAttention-keys", lambda: CrossMaskedAttention(6, 6, 2, "keys"), (6, 6), 1, channels=6),
    _layer("CMAT", lambda: CMAT(6), (6, 6), 2, channels=12),
    _layer("CMAT-shared", lambda: CMAT(6, 6, 2, "keys", shared=True), (6, 6), 2, channels=12),
    _layer("PrototypeHead", lambda: PrototypeHead(alpha=2.0), (6, 6), 1, channels=1),
    ModuleRow(
        name="DilatedResNet",
        make=lambda: DilatedResNet((2, 1, 1, 2), width=3),
        channels=3,
        result=lambda H, W: (96, -(-H // 8), -(-W // 8)),
        sizes=((1, 1), (1, 5), (7, 2), (33, 11)),
    ),
)
NETWORKS = (
    ModuleRow(name="CATNet", make=_tiny_catnet(), channels=11, result=lambda H, W: (6, H, W)),
    ModuleRow(
        name="CATNet-softmax",
        make=_tiny_catnet(head="softmax", mask_mode="keys", shared_streams=True, heads=2),
        channels=11,
        result=lambda H, W: (6, H, W),
    ),
)
# Recorded by tests/catnet_equations.py from equations of our own, as the authors released no weights.
CHECKPOINTS = (CheckpointRow(name="catnet_little", system="catnet"),)
PUBLIC = {
    "pellucid.layers": ["CMAT", "MIFE", "CrossMaskedAttention", "DilatedResNet", "PrototypeHead"],
    "pellucid.ops.masked_pooling": ["masked_average_pooling"],
    "pellucid.ops.prior_mask": ["prior_mask"],
    "pellucid.ops.cross_masked_attention": ["attention", "cross_masked_attention", "key_masked_attention"],
}
