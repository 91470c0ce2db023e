"""TBSN's student by its plain equations, under the authors' names, written from the paper's description.

`python tests/plain_tbsn_unet.py` records golden/tbsn_unet_ours.*: as no recorded output of the authors' student is at
hand, this file has ours, so it shows that names, shapes and wiring are as described, not that the authors agree.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

WIDTH = 4
GOLDEN = Path(__file__).parent / "golden" / "tbsn_unet_ours"


def shapes(width: int, channels: int = 3) -> dict[str, tuple[int, int]]:
    """Output and input channels of every convolution."""
    listed = {"encode_block_1.0": (width, channels), "encode_block_1.2": (width, width)}
    listed |= {f"encode_block_{k}.0": (width, width) for k in range(2, 7)}
    for k in (5, 4, 3, 2, 1):
        joined = {5: 2 * width, 1: 2 * width + channels}.get(k, 3 * width)
        listed |= {f"decode_block_{k}.0": (2 * width, joined), f"decode_block_{k}.2": (2 * width, 2 * width)}
    return {**listed, "output_conv": (channels, 2 * width)}


def random_state(width: int, channels: int = 3) -> dict[str, Tensor]:
    """Random weights that keep the features' size."""
    state: dict[str, Tensor] = {}
    for name, (out, into) in shapes(width, channels).items():
        side = 1 if name == "output_conv" else 3
        state[f"{name}.weight"] = torch.randn(out, into, side, side) * (1.5 / (into * side**2)) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(out)
    return state


def plain_student(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """B₁[up(B₂[up(… B₅[up(z), p₄] …), p₁]), x], then 1×1."""

    def layer(name: str, t: Tensor) -> Tensor:
        t = F.conv2d(t, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
        return torch.where(t > 0, t, 0.1 * t)

    def up(t: Tensor) -> Tensor:
        return t.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    p = [x, F.max_pool2d(layer("encode_block_1.2", layer("encode_block_1.0", x)), 2)]
    for k in (2, 3, 4, 5):
        p.append(F.max_pool2d(layer(f"encode_block_{k}.0", p[-1]), 2))
    u = layer("encode_block_6.0", p[5])
    for k in (5, 4, 3, 2, 1):
        joined = torch.cat([up(u), p[k - 1]], dim=1)
        u = layer(f"decode_block_{k}.2", layer(f"decode_block_{k}.0", joined))
    return F.conv2d(u, state["output_conv.weight"], state["output_conv.bias"])


if __name__ == "__main__":
    torch.manual_seed(0)
    state, picture = random_state(WIDTH), torch.rand(1, 3, 64, 32)
    torch.save(state, GOLDEN.with_suffix(".pth"))
    save_file({"input": picture, "output": plain_student(state, picture)}, f"{GOLDEN}.io.safetensors")
