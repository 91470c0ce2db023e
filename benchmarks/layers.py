"""Restormer's layers against the plain NCHW equations: parity first, then speed in turn, then peak memory.

Input (1, 48, 256, 256), float32, as many threads as torch takes by default, the allocator set alike for both. Writes
results/layers.json.
"""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.cli.process import keep_freed_memory
from pellucid.layers import GDFN, MDTA, ChannelLayerNorm
from pellucid.models.restormer import RestormerBlock, RestormerConfig
from timing import extra_peak_bytes, time_in_turn

SHAPE = (1, 48, 256, 256)
RESULTS = Path(__file__).parent / "results" / "layers.json"


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
    assert isinstance(block.norm1, ChannelLayerNorm)
    assert isinstance(block.norm2, ChannelLayerNorm)
    x = x + plain_mdta(block.attention, plain_norm(block.norm1, x))
    return x + plain_gdfn(block.feedforward, plain_norm(block.norm2, x))


def cases() -> dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]:
    """Name → our layer and its plain equation, on the same weights."""
    torch.manual_seed(0)
    block = RestormerBlock(48, 1, RestormerConfig()).eval().requires_grad_(False)
    pairs: dict[str, tuple[nn.Module, Callable[..., Tensor]]] = {
        "MDTA": (block.attention, plain_mdta),
        "GDFN": (block.feedforward, plain_gdfn),
        "block": (block, plain_block),
    }
    return {name: (layer, functools.partial(plain, layer)) for name, (layer, plain) in pairs.items()}


def prepare(name: str, fast: bool) -> Callable[[], object]:
    """Build one case in a fresh process, ready to be called."""
    torch.set_grad_enabled(False)
    layer, plain = cases()[name]
    x = torch.randn(SHAPE)
    x = x.contiguous(memory_format=torch.channels_last) if fast else x
    small = x[:, :, :8, :8].clone()
    function = layer if fast else plain
    function(small)  # what a first call loads and caches is not the layer's memory
    return functools.partial(function, x)


def main() -> int:
    """Print and save the table; return 1 where parity is red."""
    keep_freed_memory()
    torch.set_grad_enabled(False)
    x = torch.randn(SHAPE)
    x_last = x.contiguous(memory_format=torch.channels_last)
    results: dict[str, dict[str, float]] = {}
    for name, (layer, plain) in cases().items():
        expected = plain(x)
        error = float((layer(x_last) - expected).abs().max() / expected.abs().max())
        if error > 1e-5:
            print(f"{name}: differs from the plain equation by {error:.1e}; nothing is reported", file=sys.stderr)
            return 1
        seconds = time_in_turn({"plain": lambda p=plain: p(x), "fast": lambda f=layer: f(x_last)})
        memory = {kind: extra_peak_bytes(functools.partial(prepare, name, kind == "fast")) for kind in seconds}
        results[name] = {
            "relative_error": error,
            **{f"{kind}_ms": 1e3 * value for kind, value in seconds.items()},
            **{f"{kind}_mib": value / 2**20 for kind, value in memory.items()},
            "speedup": seconds["plain"] / seconds["fast"],
            "memory_share": memory["fast"] / memory["plain"],
        }
        print(
            f"{name:6} plain {1e3 * seconds['plain']:6.1f} ms, {memory['plain'] / 2**20:4.0f} MiB;  "
            f"ours {1e3 * seconds['fast']:6.1f} ms, {memory['fast'] / 2**20:4.0f} MiB;  "
            f"{results[name]['speedup']:.2f}× as fast, {results[name]['memory_share']:.0%} of the memory"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"shape": SHAPE, "threads": torch.get_num_threads(), **results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
