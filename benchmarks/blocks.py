"""All seven papers' blocks on the same input: the table of docs/which-block.md.

`python benchmarks/blocks.py` prints the table and writes results/blocks.json. Input (1, 48, 128, 128), float32, as many
threads as torch takes by default. Multiply-accumulates are those of matrix products and convolutions, as run. The reach
is measured: the rows and columns of the input whose values change the middle pixel of the output.
"""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pellucid.cli.process import keep_freed_memory
from pellucid.layers import (
    FSAS,
    MDTA,
    AttnConv,
    CloAttention,
    CrossMaskedAttention,
    GlobalFilter,
    MaskedWindowAttention,
    MixedAttention,
)
from timing import extra_peak_bytes, time_in_turn

CHANNELS, SIDE = 48, 128
RESULTS = Path(__file__).parent / "results" / "blocks.json"


class Block(NamedTuple):
    """A block, the paper it comes from, and what builds it."""

    paper: str
    make: Callable[[], nn.Module]


class ToItself(nn.Module):
    """Cross masked attention from a picture's features to themselves, the middle ninth being foreground."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = CrossMaskedAttention(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Attend from x to x."""
        mask = torch.zeros_like(x[:, :1])
        H, W = x.shape[-2:]
        mask[..., H // 3 : -(H // 3) or None, W // 3 : -(W // 3) or None] = 1
        return self.attention(x, x, mask)


BLOCKS = {
    "FSAS": Block("FFTformer", lambda: FSAS(CHANNELS)),
    "MDTA": Block("Restormer", lambda: MDTA(CHANNELS, 1)),
    "MaskedWindowAttention": Block("TBSN", lambda: MaskedWindowAttention(CHANNELS, 2)),
    "GlobalFilter": Block("GFNet", lambda: GlobalFilter(CHANNELS, SIDE, SIDE)),
    "CrossMaskedAttention": Block("CAT-Net", ToItself),
    "MixedAttention": Block("GRL", lambda: MixedAttention(CHANNELS, 2, 2)),
    "AttnConv": Block("CloFormer", lambda: AttnConv(CHANNELS, 3, 3)),
    "CloAttention": Block("CloFormer", lambda: CloAttention(CHANNELS, 3, (2, 1), (3,), 8)),
}


def built(name: str) -> nn.Module:
    """Return the block with random weights."""
    torch.manual_seed(0)
    return BLOCKS[name].make().eval().requires_grad_(False).to(memory_format=torch.channels_last)


def random_input(height: int = SIDE, width: int = SIDE) -> Tensor:
    """Return features in channels-last memory."""
    return torch.randn(1, CHANNELS, height, width).contiguous(memory_format=torch.channels_last)


def prepared(name: str) -> Callable[[], object]:
    """Build a block in a fresh process, warmed up on a small input."""
    keep_freed_memory()
    torch.set_grad_enabled(False)
    block = built(name)
    block(random_input(32, 32))
    return functools.partial(block, random_input())


def multiply_accumulates(name: str) -> int:
    """Count those of one call, the fused convolutions of oneDNN included."""

    def fused(x: Any, second: Any, third: Any, *_: object, out_val: Any, **__: object) -> int:
        del x
        with_operand = third is not None and third.ndim == 4  # the convolution's result is combined with it
        weight = third if with_operand else second
        return 2 * out_val.numel() * weight[0].numel()

    fused._get_raw = True
    mapping = {torch.ops.mkldnn._convolution_pointwise: fused}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        built(name)(random_input())
    return counter.get_total_flops() // 2


def reach(name: str) -> tuple[int, int]:
    """Return how many rows and columns of the input change the middle pixel of the output."""
    x = random_input().double().requires_grad_()
    built(name).double()(x)[0, :, SIDE // 2, SIDE // 2].sum().backward()
    assert x.grad is not None
    changed = x.grad[0].abs().sum(0) > 0
    return int(changed.any(1).sum()), int(changed.any(0).sum())


def takes_any_size(name: str) -> bool:
    """Whether odd sizes and single pixels are taken."""
    block = built(name)
    try:
        return all(block(random_input(*size)).shape[-2:] == size for size in ((37, 53), (7, 2), (1, 1)))
    except ValueError:
        return False


def exports(name: str) -> bool:
    """Whether torch.export takes it, with the same result."""
    block, x = built(name), random_input(32, 32)
    program = torch.export.export(block, (x,))
    return torch.allclose(program.module()(x), block(x), rtol=1e-4, atol=1e-5)


def as_markdown(rows: dict[str, dict[str, Any]]) -> str:
    """Write the table as the page has it."""
    lines = [
        "| block | paper | parameters | MACs (M) | time (ms) | extra memory (MiB) | reach | any size | exportable |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        far = "global" if row["reach"] == (SIDE, SIDE) else "{} × {}".format(*row["reach"])
        facts = [f"{row['parameters']:,}", *(f"{row[column]:.0f}" for column in ("mega_macs", "ms", "mib")), far]
        flags = ["yes" if row[column] else "no" for column in ("any_size", "exportable")]
        lines.append(f"| `{name}` | {row['paper']} | " + " | ".join(facts + flags) + " |")
    return "\n".join(lines)


def main() -> int:
    """Print and save the table."""
    keep_freed_memory()
    calls: dict[str, Callable[[], object]] = {name: functools.partial(built(name), random_input()) for name in BLOCKS}
    with torch.no_grad():
        seconds = time_in_turn(calls)
    rows: dict[str, dict[str, Any]] = {}
    for name, block in BLOCKS.items():
        rows[name] = {
            "paper": block.paper,
            "parameters": sum(parameter.numel() for parameter in built(name).parameters()),
            "mega_macs": multiply_accumulates(name) / 1e6,
            "ms": 1e3 * seconds[name],
            "mib": extra_peak_bytes(functools.partial(prepared, name)) / 2**20,
            "reach": reach(name),
            "any_size": takes_any_size(name),
            "exportable": exports(name),
        }
    print(as_markdown(rows))
    RESULTS.write_text(json.dumps({"shape": [1, CHANNELS, SIDE, SIDE], **rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
