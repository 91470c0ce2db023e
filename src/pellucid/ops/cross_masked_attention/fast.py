"""Cross masked attention that neither holds all scores nor computes rows that the mask would erase.

    (M ⊙ softmax(·)) V = M ⊙ (softmax(·) V), and row i of M ⊙ (A V) is 0 where M_i = 0,

so only foreground rows attend, and since each row of the softmax stands alone, they do so in stripes. How many rows
there are depends on the data, which no graph and no other device should wait for: there all rows attend, and the mask
multiplies the result.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.row_stripes import row_stripes, worth_striping


def why_not_foreground_only(mask: Tensor) -> str | None:
    """Return why rows cannot be left out, or None if they can."""
    if torch.compiler.is_compiling():
        return "a graph is being recorded, whose shapes must not depend on the mask"
    if mask.device.type != "cpu":
        return "counting the rows would wait for the device"
    if torch.is_grad_enabled() and mask.requires_grad:
        return "the mask's own gradient needs every row"
    return None


def cross_masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Same values and gradients as the reference."""
    B, H, W, _ = q.shape
    q, k, v, M = (t.flatten(1, 2) for t in (q, k, v, mask.to(v.dtype)))  # B L C
    if why_not_foreground_only(mask):
        return (M * attention(q, k, v, heads)).view(B, H, W, -1)
    out = v.new_zeros(B, H * W, v.shape[-1])
    for b in range(B):
        rows = M[b, :, 0].nonzero().squeeze(1)
        if len(rows):
            attended = attention(q[b : b + 1, rows], k[b : b + 1], v[b : b + 1], heads)
            out[b, rows] = M[b, rows] * attended[0]
    return out.view(B, H, W, -1)


def key_masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Same values and gradients as the reference."""
    B, H, W, _ = q.shape
    outside = mask.flatten(1) == 0  # B L
    outside = outside & ~outside.all(1, keepdim=True)
    bias = torch.zeros_like(outside, dtype=q.dtype).masked_fill(outside, -torch.inf)
    q, k, v = (t.flatten(1, 2) for t in (q, k, v))
    return attention(q, k, v, heads, bias).view(B, H, W, -1)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """softmax(Q Kᵀ / √d + bias) V for tokens, (B, N, C) each, with a bias (B, L) of the keys."""
    if worth_striping(q, k, v):
        return _in_stripes(q, k, v, heads, bias)
    q, k, v = (_by_head(t, heads) for t in (q, k, v))
    bias = None if bias is None else bias[:, None, None, :].expand(-1, -1, q.shape[2], -1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


def _in_stripes(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None) -> Tensor:
    """Attend from some rows at a time, so that their scores stay in the cache; in float32 at least, no gradient."""
    B, N, _ = q.shape
    L, dtype = k.shape[1], torch.promote_types(v.dtype, torch.float32)
    out = v.new_empty(B, N, v.shape[-1])
    q, k, v = (_by_head(t.to(dtype), heads).flatten(0, 1) for t in (q, k, v))  # B·h N d
    k_t = k.mT * q.shape[-1] ** -0.5
    for stripe in row_stripes(N, B * heads * L, reach=0):
        scores = q.new_empty(B * heads, stripe.wanted.stop, L)
        torch.bmm(q[:, stripe.rows], k_t, out=scores)  # into memory of its own type, whatever autocast would choose
        if bias is not None:
            scores.view(B, heads, -1, L).add_(bias[:, None, None, :])
        attended = torch.bmm(torch.softmax(scores, -1, out=scores), v, out=v.new_empty(*scores.shape[:2], v.shape[-1]))
        out[:, stripe.rows] = attended.view(B, heads, *attended.shape[1:]).transpose(1, 2).flatten(2)
    return out


def _by_head(t: Tensor, heads: int) -> Tensor:
    """(B, N, C) → (B, h, N, d)."""
    return t.reshape(*t.shape[:2], heads, -1).transpose(1, 2)
