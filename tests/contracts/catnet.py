"""CAT-Net answers the checklist with these."""

from typing import Any

import torch
from torch import Tensor

from contracts.rows import OpRow, randn
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
LAYERS = ()
NETWORKS = ()
CHECKPOINTS = ()
PUBLIC = {
    "pellucid.ops.masked_pooling": ["masked_average_pooling"],
    "pellucid.ops.prior_mask": ["prior_mask"],
    "pellucid.ops.cross_masked_attention": ["attention", "cross_masked_attention", "key_masked_attention"],
}
