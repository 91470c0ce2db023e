"""Restormer's layers as the paper writes them, on (B, C, H, W) in contiguous memory."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import GDFN, MDTA, BiasFreeLayerNorm, ChannelLayerNorm
from pellucid.models.restormer import RestormerBlock, RestormerConfig
from plain.cases import Case


def plain_norm(norm: ChannelLayerNorm, x: Tensor) -> Tensor:
    """Layer normalisation over channels, as written in the paper."""
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    normalised = (x - mean) / torch.sqrt(variance + norm.epsilon)
    return normalised * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)


def plain_mdta(layer: MDTA, y: Tensor) -> Tensor:
    """MDTA as written in the paper, with q and k normalised over the pixels."""
    B, C, H, W = y.shape
    h = layer.temperature.shape[0]
    qkv = F.conv2d(F.conv2d(y, layer.qkv.weight), layer.depthwise.weight, padding=1, groups=3 * C)
    q, k, v = (t.reshape(B, h, C // h, H * W) for t in qkv.chunk(3, dim=1))
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    attention = (q @ k.transpose(-2, -1) * layer.temperature).softmax(dim=-1)
    return F.conv2d((attention @ v).reshape(B, C, H, W), layer.project.weight)


def plain_gdfn(layer: GDFN, x: Tensor) -> Tensor:
    """GDFN as written in the paper."""
    t = F.conv2d(x, layer.expand.weight)
    t1, t2 = F.conv2d(t, layer.depthwise.weight, padding=1, groups=t.shape[1]).chunk(2, dim=1)
    return F.conv2d(F.gelu(t1) * t2, layer.project.weight)


def plain_block(block: RestormerBlock, x: Tensor) -> Tensor:
    """The transformer block as written in the paper."""
    x = x + block.attention(block.norm1(x))
    return x + block.feedforward(block.norm2(x))


def plain_bias_free_norm(norm: BiasFreeLayerNorm, x: Tensor) -> Tensor:
    """The bias-free variant, as written in the authors' text."""
    variance = x.var(1, keepdim=True, correction=0)
    return x / torch.sqrt(variance + norm.epsilon) * norm.weight.view(1, -1, 1, 1)


PLAIN = {
    MDTA: plain_mdta,
    GDFN: plain_gdfn,
    ChannelLayerNorm: plain_norm,
    BiasFreeLayerNorm: plain_bias_free_norm,
    RestormerBlock: plain_block,
}
LAYERS = (
    Case(name="MDTA", make=lambda: MDTA(48, 1), shape=(1, 48, 256, 256)),
    Case(name="GDFN", make=lambda: GDFN(48, 127), shape=(1, 48, 256, 256)),
    Case(name="RestormerBlock", make=lambda: RestormerBlock(48, 1, RestormerConfig()), shape=(1, 48, 256, 256)),
)
NETWORKS = (Case(name="Restormer", make=lambda: create("restormer", preset="base"), shape=(1, 3, 256, 256)),)
