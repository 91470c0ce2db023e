"""TBSN's layers and the whole network as the paper writes them: dilated convolutions, masks, patches, (B, C, H, W)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import (
    BiasFreeLayerNorm,
    CentreMaskedConv2d,
    GroupedChannelAttention,
    MaskedWindowAttention,
    PatchShuffleUpsample,
    PatchUnshuffleDownsample,
)
from pellucid.models.tbsn import DTAB, TBSN, LatticeFeedForward
from plain.cases import Case


def plain_embedding(layer: CentreMaskedConv2d, x: Tensor) -> Tensor:
    """The convolution whose kernel is multiplied by a mask."""
    mask = torch.ones_like(layer.convolution.weight)
    mask[:, :, 1, 1] = 0
    return F.conv2d(x, layer.convolution.weight * mask, padding=1)


def plain_window_attention(layer: MaskedWindowAttention, x: Tensor) -> Tensor:
    """M-WSA as written: 64 queries, 144 keys, three quarters of the scores masked."""
    B, _, H, W = x.shape
    d, w, reach = layer.height.shape[1], layer.window, layer.reach
    o = w + 2 * reach
    q, k, v = F.conv2d(x, layer.qkv.weight).chunk(3, dim=1)
    h, rows, columns = q.shape[1] // d, H // w, W // w
    q = q.reshape(B, h, d, rows, w, columns, w).permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, w * w, d) * d**-0.5
    k, v = (F.unfold(t, o, padding=reach, stride=w).reshape(B, h, d, o * o, rows * columns) for t in (k, v))
    k, v = (t.permute(0, 4, 1, 3, 2).reshape(-1, o * o, d) for t in (k, v))

    i, j = torch.arange(w), torch.arange(o)
    offset = j - i[:, None]
    grid = q.view(-1, w, w, d)
    scores = (q @ k.transpose(-2, -1)).view(-1, w, w, o, o)
    scores = scores + torch.einsum("nabd,akd->nabk", grid, layer.height[offset + o - 1]).unsqueeze(-1)
    scores = scores + torch.einsum("nabd,bkd->nabk", grid, layer.width[offset + o - 1]).unsqueeze(-2)
    even = offset % 2 == 0
    visible = even[:, None, :, None] & even[:, None, :]
    y = scores.masked_fill(~visible, -torch.inf).reshape(-1, w * w, o * o).softmax(dim=-1) @ v
    y = y.view(B, rows, columns, h, w, w, d).permute(0, 3, 6, 1, 4, 2, 5).reshape(B, h * d, H, W)
    return F.conv2d(y, layer.project.weight)


def plain_channel_attention(layer: GroupedChannelAttention, y: Tensor) -> Tensor:
    """G-CSA as written, with q and k normalised over the pixels."""
    B, C, H, W = y.shape
    h = layer.temperature.shape[0]
    t = F.conv2d(y, layer.qkv.weight)
    t = F.conv2d(t, layer.depthwise.weight, padding=2, dilation=2, groups=3 * C)
    q, k, v = (part.reshape(B, h, C // h, H * W) for part in t.chunk(3, dim=1))
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    attention = (q @ k.transpose(-2, -1) * layer.temperature).softmax(dim=-1)
    return F.conv2d((attention @ v).reshape(B, C, H, W), layer.project.weight)


def plain_feedforward(layer: LatticeFeedForward, x: Tensor) -> Tensor:
    """Two convolutions of dilation 2."""
    t = F.gelu(F.conv2d(x, layer.expand.weight, padding=2, dilation=2))
    return F.conv2d(t, layer.project.weight, padding=2, dilation=2)


def plain_downsample(layer: PatchUnshuffleDownsample, x: Tensor) -> Tensor:
    """1×1, then patches of 2×2 pixels into channels."""
    t = F.conv2d(x, layer.convolution.weight)
    B, C, H, W = t.shape
    t = t.view(B, C, H // 4, 2, 2, W // 4, 2, 2).permute(0, 1, 3, 6, 2, 4, 5, 7)  # B C i j U a V b
    return t.reshape(B, 4 * C, H // 2, W // 2)


def plain_upsample(layer: PatchShuffleUpsample, x: Tensor) -> Tensor:
    """1×1, then channels into patches of 2×2 pixels."""
    t = F.conv2d(x, layer.convolution.weight)
    B, C, H, W = t.shape
    t = t.view(B, C // 4, 2, 2, H // 2, 2, W // 2, 2).permute(0, 1, 4, 2, 5, 6, 3, 7)  # B C U i a V j b
    return t.reshape(B, C // 4, 2 * H, 2 * W)


def plain_norm(norm: BiasFreeLayerNorm, x: Tensor) -> Tensor:
    """The bias-free layer normalisation over channels."""
    variance = x.var(1, keepdim=True, correction=0)
    return x / torch.sqrt(variance + norm.epsilon) * norm.weight.view(1, -1, 1, 1)


def plain_block(block: DTAB, x: Tensor) -> Tensor:
    """The block as written, on the picture."""
    x = x + plain_channel_attention(block.channel_attention, plain_norm(block.norm1, x))
    x = x + plain_feedforward(block.channel_feedforward, plain_norm(block.norm2, x))
    x = x + plain_window_attention(block.window_attention, plain_norm(block.norm3, x))
    return x + plain_feedforward(block.window_feedforward, plain_norm(block.norm4, x))


def plain_network(network: TBSN, image: Tensor) -> Tensor:
    """The network as written, on a picture whose sides are multiples of 32."""

    def blocks(stage: torch.nn.Module, x: Tensor) -> Tensor:
        for block in stage.children():
            x = plain_block(block, x)
        return x

    x = plain_embedding(network.embed, image)
    skips: list[Tensor] = []
    for stage, down in zip(network.encoders, network.downs, strict=True):
        x = blocks(stage, x)
        skips.append(x)
        x = plain_downsample(down, x)
    x = blocks(network.latent, x)
    for up, reduce, stage in zip(network.ups, [*network.reductions, None], network.decoders, strict=True):
        x = torch.cat([plain_upsample(up, x), skips.pop()], dim=1)
        x = blocks(stage, x if reduce is None else F.conv2d(x, reduce.weight))
    return F.conv2d(blocks(network.refinement, x), network.output.weight)


PLAIN = {
    CentreMaskedConv2d: plain_embedding,
    MaskedWindowAttention: plain_window_attention,
    GroupedChannelAttention: plain_channel_attention,
    PatchUnshuffleDownsample: plain_downsample,
    PatchShuffleUpsample: plain_upsample,
    BiasFreeLayerNorm: plain_norm,
    TBSN: plain_network,
}
LAYERS = (
    Case(name="MaskedWindowAttention", make=lambda: MaskedWindowAttention(48, 2), shape=(1, 48, 256, 256)),
    Case(name="GroupedChannelAttention", make=lambda: GroupedChannelAttention(48, 1), shape=(1, 48, 256, 256)),
)
NETWORKS = (Case(name="TBSN", make=lambda: create("tbsn", preset="base"), shape=(1, 3, 256, 256)),)
