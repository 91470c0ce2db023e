"""GFNet's layer and networks as the paper writes them: complex FFTs, tokens in contiguous (B, N, C) memory."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import GFBlock, GlobalFilter
from pellucid.layers.global_filter import resize_filter
from pellucid.models.gfnet import GFNet
from pellucid.models.gfnet_h import GFNetH
from plain.cases import Case


def plain_filter(layer: GlobalFilter, x: Tensor) -> Tensor:
    """The filter as written in the paper, on (B, C, H, W)."""
    H, W = x.shape[-2:]
    K = torch.view_as_complex(resize_filter(layer.complex_weight, H, W).contiguous()).permute(2, 0, 1)
    return torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho") * K, s=(H, W), norm="ortho")


def plain_block(block: GFBlock, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """The block as written in the paper, on tokens."""
    C = tokens.shape[-1:]
    y = F.layer_norm(tokens, C, block.norm1.weight, block.norm1.bias, block.norm1.epsilon)
    spectrum = torch.fft.rfft2(y.unflatten(1, grid), dim=(1, 2), norm="ortho")
    spectrum = spectrum * torch.view_as_complex(block.filter.complex_weight)
    y = torch.fft.irfft2(spectrum, s=grid, dim=(1, 2), norm="ortho").flatten(1, 2)
    y = F.layer_norm(y, C, block.norm2.weight, block.norm2.bias, block.norm2.epsilon)
    y = block.project(F.gelu(block.expand(y)))
    return tokens + (y if block.gamma is None else block.gamma * y)


def plain_gfnet(network: GFNet, image: Tensor) -> Tensor:
    """The network on tokens, at its own size."""
    x = network.embed(image)
    tokens = x.flatten(2).transpose(1, 2).contiguous() + network.position.embedding
    for block in network.blocks:
        tokens = plain_block(block, tokens, x.shape[-2:])
    return network.head(_normalised(network, tokens).mean(1))


def plain_gfnet_h(network: GFNetH, image: Tensor) -> Tensor:
    """The hierarchical network on tokens, at its own size."""
    x, tokens = image, image
    for stage, (embed, blocks) in enumerate(zip(network.embeds, network.stages, strict=True)):
        x = embed(x)
        grid = x.shape[-2:]
        tokens = x.flatten(2).transpose(1, 2).contiguous()
        if stage == 0:
            tokens = tokens + network.position.embedding
        for block in blocks:
            tokens = plain_block(block, tokens, grid)
        x = tokens.transpose(1, 2).unflatten(2, grid).contiguous()
    return network.head(_normalised(network, tokens).mean(1))


def _normalised(network: GFNet | GFNetH, tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], network.norm.weight, network.norm.bias, network.norm.epsilon)


def _filter_case(batch: int, channels: int, side: int) -> Case:
    name = "GlobalFilter" if side == 14 else f"GlobalFilter-{side}"
    return Case(name=name, make=lambda: GlobalFilter(channels, side, side), shape=(batch, channels, side, side))


PLAIN = {GlobalFilter: plain_filter, GFNet: plain_gfnet, GFNetH: plain_gfnet_h}
LAYERS = tuple(
    _filter_case(*sizes) for sizes in ((16, 384, 14), (16, 768, 7), (16, 192, 28), (16, 96, 56), (1, 48, 256))
)
NETWORKS = (
    Case(name="GFNet", make=lambda: create("gfnet", preset="s"), shape=(4, 3, 224, 224), small_side=224),
    Case(name="GFNetH", make=lambda: create("gfnet-h", preset="s"), shape=(4, 3, 224, 224), small_side=224),
)
