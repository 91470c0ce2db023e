"""CloFormer's token mixer: local and global branches side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.attn_conv import AttnConv
from pellucid.ops.pooled_attention import pooled_attention


class CloAttention(nn.Module):
    """Mix pixels by context-aware convolutions (high frequencies) beside attention to pooled pixels (low ones).

    CloFormer (Fan et al., 2023), section 3.2; the authors' class is `EfficientAttention`:

        out = 1×1(concat[AttnConv₁(x), …, AttnConv_K(x), attention(W_q x; W_k P, W_v P)]),   P = AvgPool_p(x)

    Each branch has some of the heads, every head d = C / heads channels.

    Args:
        channels: C; the input and output are (B, C, H, W).
        heads: of all branches together.
        splits: heads of each local branch, then of the global one; they add up to `heads`. A branch with 0 is absent.
        kernel_sizes: of each local branch, odd.
        pool: p. With a global branch, H and W must be at least p; rows and columns that do not fill a window of p are
            not pooled. Without one, any H, W ≥ 1 will do, and p means nothing.

    Raises:
        ValueError: the heads do not divide C, the splits do not add up to them, or a kernel is missing or even; in
            `forward`, the picture is smaller than p.
    """

    def __init__(
        self, channels: int, heads: int, splits: Sequence[int], kernel_sizes: Sequence[int], pool: int
    ) -> None:
        super().__init__()
        *local_heads, global_heads = splits
        if heads < 1 or channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels")
        if sum(splits) != heads or min(splits) < 0 or len(kernel_sizes) != len(local_heads) or pool < 1:
            raise ValueError(
                f"splits {tuple(splits)} must add up to {heads} heads, with a kernel size for each but the last, "
                f"not {tuple(kernel_sizes)}, and a pool of 1 or more, not {pool}"
            )
        d = channels // heads
        branches = [(h, size) for h, size in zip(local_heads, kernel_sizes, strict=True) if h]
        self.local = nn.ModuleList(AttnConv(channels, h, size, out_channels=h * d) for h, size in branches)
        self.global_heads, self.pool = global_heads, pool
        self.query = nn.Conv2d(channels, global_heads * d, 1) if global_heads else None
        self.key_value = nn.Conv2d(channels, 2 * global_heads * d, 1) if global_heads else None
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [branch(x) for branch in self.local]
        if self.query is not None and self.key_value is not None:
            q, keys_values = self.query(x), self.key_value(self._pooled(x))
            k, v = keys_values.permute(0, 2, 3, 1).chunk(2, dim=-1)
            branches.append(pooled_attention(q.permute(0, 2, 3, 1), k, v, self.global_heads).permute(0, 3, 1, 2))
        return self.project(torch.cat(branches, dim=1))

    def _pooled(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        if min(H, W) < self.pool:
            raise ValueError(f"a map of {H}×{W} cannot be pooled by {self.pool}: give a larger picture")
        return F.avg_pool2d(x, self.pool)
