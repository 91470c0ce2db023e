"""Cross masked attention transformer."""

from torch import Tensor, nn

from pellucid.layers.norm import ChannelLayerNorm
from pellucid.layers.shots import check_shots, nearest, stacked
from pellucid.ops.cross_masked_attention import attention, cross_masked_attention, key_masked_attention

_MASKED_ATTENTION = {"rows": cross_masked_attention, "keys": key_masked_attention}


class CrossMaskedAttention(nn.Module):
    """Attention from the pixels of x to those of another picture, received only inside a mask.

    CAT-Net (Lin et al., MICCAI 2023), cross masked attention of the CMAT; the authors' class is `CrossAttention`:

        Q = W_q x,   K, V = W_k s, W_v s;   out = M ⊙ (softmax(Q Kᵀ / √d) V)

    Args:
        channels: C, of both pictures and of the values.
        key_channels: of queries and keys, all heads together; C/8 by default.
        heads: number of heads; must divide both.
        mask_mode: "rows", the paper's, where the mask is that of x and gates what its pixels receive; or "keys", for
            study, where the mask is that of s and chooses which pixels are attended to.

    `forward` takes x and s, (B, C, h, w) and (B, C, h', w') of any sizes, and a mask (B, 1, H, W) of any size, resized
    to the nearest pixel and constant for the gradient; it returns the shape of x. Where one batch is K times the other,
    its pictures are shots: each K in a row belong to one picture of the other batch.

    Raises:
        ValueError: the heads do not divide the channels, or there is no such mode; in `forward`, shapes disagree.
    """

    def __init__(self, channels: int, key_channels: int | None = None, heads: int = 1, mask_mode: str = "rows") -> None:
        super().__init__()
        if mask_mode not in _MASKED_ATTENTION:
            raise ValueError(f"mask_mode must be {' or '.join(_MASKED_ATTENTION)}, not {mask_mode!r}")
        self.key_channels = _key_channels(channels, key_channels, heads)
        self.heads, self.mask_mode = heads, mask_mode
        self.query = nn.Conv2d(channels, self.key_channels, 1)
        self.key_value = nn.Conv2d(channels, self.key_channels + channels, 1)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        _check_batches(x, source)
        B, D = min(x.shape[0], source.shape[0]), self.key_channels
        resized = nearest(mask.detach(), x if self.mask_mode == "rows" else source)
        q, kv, m = (stacked(t, B) for t in (self.query(x), self.key_value(source), resized))
        out = _MASKED_ATTENTION[self.mask_mode](q, kv[..., :D], kv[..., D:], m, self.heads)
        return out.view(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)


class SelfAttentionStep(nn.Module):
    """X = LN(MLP(softmax(Q Kᵀ / √d) V) + F). Takes and returns (B, C, H, W)."""

    def __init__(self, channels: int, key_channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.key_channels = heads, key_channels
        self.qkv = nn.Conv2d(channels, 2 * key_channels + channels, 1)
        self.mlp = _mlp(channels)
        self.norm = ChannelLayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        D, qkv = self.key_channels, self.qkv(x).permute(0, 2, 3, 1)
        attended = attention(qkv[..., :D], qkv[..., D : 2 * D], qkv[..., 2 * D :], self.heads).permute(0, 3, 1, 2)
        return self.norm(self.mlp(attended).add_(x))


class CrossAttentionStep(nn.Module):
    """Y = LN(X + O), F = LN(Y + MLP(Y)), where O is what X receives from the other picture. (B, C, H, W)."""

    def __init__(self, channels: int, key_channels: int, heads: int, mask_mode: str) -> None:
        super().__init__()
        self.attention = CrossMaskedAttention(channels, key_channels, heads, mask_mode)
        self.norm1 = ChannelLayerNorm(channels)
        self.mlp = _mlp(channels)
        self.norm2 = ChannelLayerNorm(channels)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        y = self.norm1(x + self.attention(x, source, mask))
        return self.norm2(self.mlp(y).add_(y))


class CMAT(nn.Module):
    """Let each of two pictures look at itself, then at the other from inside its mask.

    CAT-Net (Lin et al., MICCAI 2023), cross masked attention transformer; the authors' classes are `SelfAttention` and
    `CrossAttention`. For each stream a of support and query, with b the other:

        X_a = LN(MLP(softmax(Q Kᵀ / √d) V) + F_a)                           attention within a
        Y_a = LN(X_a + M_a ⊙ (softmax(Q_a K_bᵀ / √d) V_b)),   F_a ← LN(Y_a + MLP(Y_a))

    MLP is 1×1, ReLU, 1×1. Several shots look each at itself and at the query, and the query at all of them.

    Args:
        channels: C.
        key_channels: of queries and keys, all heads together; C/8 by default.
        heads: number of heads; must divide both.
        mask_mode: "rows" or "keys", as in `CrossMaskedAttention`.
        shared: whether both streams have the same weights; the paper has "two identical modules".

    `forward` takes support features (B·K, C, h, w), the K shots of an episode next to each other, query features
    (B, C, h', w'), and the masks of both, of any sizes, which are resized to the nearest pixel and constant for the
    gradient; it returns both features.

    Raises:
        ValueError: the heads do not divide the channels, or there is no such mode; in `forward`, shapes disagree.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int | None = None,
        heads: int = 1,
        mask_mode: str = "rows",
        *,
        shared: bool = False,
    ) -> None:
        super().__init__()
        D, streams = _key_channels(channels, key_channels, heads), 1 if shared else 2
        self.mask_mode = mask_mode
        # The support's first, the query's last; the same one where the weights are shared.
        self.within = nn.ModuleList(SelfAttentionStep(channels, D, heads) for _ in range(streams))
        self.across = nn.ModuleList(CrossAttentionStep(channels, D, heads, mask_mode) for _ in range(streams))

    def forward(
        self, support: Tensor, query: Tensor, support_mask: Tensor, query_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        check_shots(support, query, support_mask)
        masks = (support_mask, query_mask) if self.mask_mode == "rows" else (query_mask, support_mask)
        X_s, X_q = self.within[0](support), self.within[-1](query)
        return self.across[0](X_s, X_q, masks[0]), self.across[-1](X_q, X_s, masks[1])


def _check_batches(x: Tensor, source: Tensor) -> None:
    """Check that one batch is a multiple of the other, since pictures are stacked and could be mixed up silently."""
    small, large = sorted((x.shape[0], source.shape[0]))
    if x.ndim != 4 or source.ndim != 4 or x.shape[1] != source.shape[1] or large % small:
        raise ValueError(
            "x and source must be (B, C, H, W) with one C, and one batch a multiple of the other, "
            f"not {tuple(x.shape)}, {tuple(source.shape)}"
        )


def _mlp(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1))


def _key_channels(channels: int, key_channels: int | None, heads: int) -> int:
    """The width of queries and keys, checked against the heads."""
    D = max(channels // 8, heads) if key_channels is None else key_channels
    if D % heads or channels % heads:
        raise ValueError(f"{heads} heads do not divide {channels} channels and {D} key channels")
    return D
