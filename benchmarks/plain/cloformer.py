"""CloFormer's layers as the paper writes them, on (B, C, H, W) in contiguous memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import AttnConv, CloAttention, CloBlock, ConvFFN
from pellucid.models.cloformer import CloFormer
from plain.cases import Case


def plain_attn_conv(layer: AttnConv, x: Tensor) -> Tensor:
    """AttnConv as written in the paper."""
    Q, K, V = layer.depthwise(layer.qkv(x)).chunk(3, dim=1)
    d = V.shape[1] // layer.heads
    return torch.tanh(layer.w2(F.silu(layer.w1(Q * K))) * d**-0.5) * V


def plain_attention(layer: CloAttention, x: Tensor) -> Tensor:
    """The token mixer as written in the paper: every branch by itself, and the scores of each head in full."""
    B, _, H, W = x.shape
    branches = [plain_attn_conv(branch, x) for branch in layer.local]
    if layer.query is not None:
        h, d = layer.global_heads, layer.query.out_channels // layer.global_heads
        q = layer.query(x).reshape(B, h, d, H * W).transpose(-2, -1)
        keys_values = layer.key_value(F.avg_pool2d(x, layer.pool))
        k, v = keys_values.reshape(B, 2, h, d, -1).transpose(-2, -1).unbind(1)
        attention = (q @ k.transpose(-2, -1) * d**-0.5).softmax(dim=-1)
        branches.append((attention @ v).transpose(-2, -1).reshape(B, h * d, H, W))
    return layer.project(torch.cat(branches, dim=1))


def plain_ffn(layer: ConvFFN, x: Tensor) -> Tensor:
    """ConvFFN as written in the paper."""
    return layer.project(layer.depthwise(F.gelu(layer.expand(x))))


def plain_block(block: CloBlock, x: Tensor) -> Tensor:
    """The block as written in the paper, with batch normalisation by itself."""
    x = x + block.mixer(block.norm1(x))
    shortcut = block.shortcut
    skip = x if isinstance(shortcut, nn.Identity) else shortcut.project(shortcut.norm(shortcut.convolution(x)))
    return skip + block.feedforward(block.norm2(x))


def plain_network(network: CloFormer, x: Tensor) -> Tensor:
    """The classifier as written in the paper, with batch normalisation by itself."""
    *convolutions, project, norm = network.stem
    for layer in convolutions:
        x = F.relu(layer.norm(layer.convolution(x)))
    x = norm(project(x))
    for stage in network.stages:
        for block in stage.blocks:
            x = block(x)
    return network.head(network.norm(x).mean((2, 3)))


PLAIN = {
    AttnConv: plain_attn_conv,
    CloAttention: plain_attention,
    ConvFFN: plain_ffn,
    CloBlock: plain_block,
    CloFormer: plain_network,
}
LAYERS = (
    Case(name="AttnConv", make=lambda: AttnConv(96, 6, 3), shape=(4, 96, 56, 56)),
    Case(name="AttnConv-large", make=lambda: AttnConv(48, 3, 3), shape=(1, 48, 256, 256)),
    Case(name="CloAttention", make=lambda: CloAttention(96, 6, (3, 3), (5,), 4), shape=(4, 96, 56, 56)),
    Case(name="CloAttention-large", make=lambda: CloAttention(48, 3, (2, 1), (3,), 8), shape=(1, 48, 256, 256)),
    Case(name="ConvFFN", make=lambda: ConvFFN(96, 384, 5), shape=(4, 96, 56, 56)),
)
NETWORKS = (Case(name="CloFormer", make=lambda: create("cloformer", preset="s"), shape=(4, 3, 224, 224)),)
