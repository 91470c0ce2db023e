"""CAT-Net's layers as the paper writes them, on (B, C, H, W) in contiguous memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import CMAT, MIFE, ChannelLayerNorm, CrossMaskedAttention, PrototypeHead
from pellucid.layers.cmat import CrossAttentionStep, SelfAttentionStep
from pellucid.models.catnet import CATNet
from plain.cases import Case


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √d) V, from the map of all scores; one head."""
    B, _, H, W = q.shape
    q, k, v = (t.flatten(2).transpose(1, 2) for t in (q, k, v))  # B L C
    scores = q @ k.transpose(1, 2) / q.shape[2] ** 0.5
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(B, -1, H, W)


def plain_cross_masked_attention(layer: CrossMaskedAttention, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """M ⊙ softmax(Q Kᵀ / √d) V, with separate projections."""
    D = layer.key_channels
    key, value = (
        (layer.key_value.weight[:D], layer.key_value.bias[:D]),
        (
            layer.key_value.weight[D:],
            layer.key_value.bias[D:],
        ),
    )
    attended = plain_attention(layer.query(x), F.conv2d(source, *key), F.conv2d(source, *value))
    return attended * F.interpolate(mask.to(x.dtype), x.shape[-2:], mode="nearest")


def plain_self_attention_step(layer: SelfAttentionStep, x: Tensor) -> Tensor:
    """LN(MLP(softmax(Q Kᵀ / √d) V) + F), with separate projections."""
    D = layer.key_channels
    weight, bias = layer.qkv.weight, layer.qkv.bias
    q, k, v = (F.conv2d(x, weight[i:j], bias[i:j]) for i, j in ((0, D), (D, 2 * D), (2 * D, len(weight))))
    return layer.norm(layer.mlp(plain_attention(q, k, v)) + x)


def plain_cross_attention_step(layer: CrossAttentionStep, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """Y = LN(X + O), F = LN(Y + MLP(Y))."""
    y = layer.norm1(x + layer.attention(x, source, mask))
    return layer.norm2(y + layer.mlp(y))


def plain_norm(norm: ChannelLayerNorm, x: Tensor) -> Tensor:
    """Layer normalisation over channels, of tokens."""
    tokens = x.flatten(2).transpose(1, 2)
    return (
        F.layer_norm(tokens, norm.weight.shape, norm.weight, norm.bias, norm.epsilon).transpose(1, 2).reshape(x.shape)
    )


def plain_masked_average(features: Tensor, mask: Tensor) -> Tensor:
    """Σ F M / (ΣM + ε), at the size of the mask."""
    enlarged = F.interpolate(features, mask.shape[-2:], mode="bilinear", align_corners=False)
    return (enlarged * mask).sum((2, 3)) / (mask.sum((2, 3)) + 1e-5)


def plain_prior(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """The largest cosine with a masked support pixel, from the map of all cosines."""
    q, s = query.flatten(2), (support * mask).flatten(2)  # B C L
    norms = q.norm(dim=1)[:, :, None] * s.norm(dim=1)[:, None, :]
    pi = (q.transpose(1, 2) @ s / (norms + 1e-7)).max(dim=2).values
    low, high = pi.min(dim=1, keepdim=True).values, pi.max(dim=1, keepdim=True).values
    return ((pi - low) / (high - low + 1e-7)).view(query.shape[0], 1, *query.shape[2:])


def plain_mife(layer: MIFE, support: Tensor, query: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The prototype repeated over the grid and joined to the features; one shot."""
    mask = mask.to(support.dtype)
    p = plain_masked_average(support, mask)[:, :, None, None]
    m = F.interpolate(mask, support.shape[-2:], mode="bilinear", align_corners=True)
    pi = plain_prior(query, support, m)
    support = layer.support_fusion(torch.cat([support, p.expand_as(support)], dim=1))
    query = layer.query_fusion(torch.cat([query, p.expand_as(query), pi], dim=1))
    return support, query, layer.classifier(query).sigmoid()


def plain_head(layer: PrototypeHead, support: Tensor, query: Tensor, mask: Tensor) -> Tensor:
    """1 − σ(½(−α cos − t)); one shot."""
    p = plain_masked_average(support, mask.to(support.dtype))
    anomaly = -layer.alpha * F.cosine_similarity(query, p[:, :, None, None], dim=1)
    return 1 - torch.sigmoid(0.5 * (anomaly[:, None] - layer.t))


class WithOrgan(nn.Module):
    """Splits one tensor into two maps and gives a layer an organ's mask for each: a disc on an eighth of the area.

    Args:
        masks: how many the layer takes.
    """

    def __init__(self, layer: nn.Module, masks: int) -> None:
        super().__init__()
        self.layer, self.masks = layer, masks

    def forward(self, x: Tensor) -> Tensor:
        """Takes (B, 2C, H, W)."""
        out = self.layer(*x.chunk(2, dim=1), *[disc(x)] * self.masks)
        return out if isinstance(out, Tensor) else torch.cat(out, dim=1)


class WithEpisode(nn.Module):
    """Splits one tensor into a support and a query picture, with an organ's mask on the former."""

    def __init__(self, network: CATNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Takes (B, 6, H, W)."""
        support, query = x.chunk(2, dim=1)
        return self.network(support[:, None], disc(x), query)


def disc(like: Tensor) -> Tensor:
    """A mask (B, 1, H, W) of an eighth of the area."""
    B, _, H, W = like.shape
    y, x = torch.linspace(-1, 1, H)[:, None], torch.linspace(-1, 1, W)
    return (torch.pi * (y**2 + x**2) < 0.5).to(like.dtype).expand(B, 1, H, W)


PLAIN = {
    CrossMaskedAttention: plain_cross_masked_attention,
    SelfAttentionStep: plain_self_attention_step,
    CrossAttentionStep: plain_cross_attention_step,
    ChannelLayerNorm: plain_norm,
    MIFE: plain_mife,
    PrototypeHead: plain_head,
}
LAYERS = (
    Case(
        name="CrossMaskedAttention-32",
        make=lambda: WithOrgan(CrossMaskedAttention(256), masks=1),
        shape=(1, 512, 32, 32),
        small_side=8,
    ),
    Case(
        name="CrossMaskedAttention-64",
        make=lambda: WithOrgan(CrossMaskedAttention(256), masks=1),
        shape=(1, 512, 64, 64),
        small_side=16,
    ),
    Case(name="CMAT-32", make=lambda: WithOrgan(CMAT(256), masks=2), shape=(1, 512, 32, 32), small_side=8),
    Case(name="CMAT-64", make=lambda: WithOrgan(CMAT(256), masks=2), shape=(1, 512, 64, 64), small_side=16),
)
NETWORKS = (Case(name="CATNet", make=lambda: WithEpisode(create("catnet", preset="resnet50")), shape=(1, 6, 256, 256)),)
