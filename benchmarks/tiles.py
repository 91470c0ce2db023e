"""How far networks look, and how much tiles show at each overlap.

`python benchmarks/tiles.py [SYSTEM/PRESET …] [--bundled NAME …] [--overlaps 32 64 96]` with random weights, or bundled
ones, on the example picture with noise of σ = 25:

- reach: the distance from the centre of the input within which 99.9 % of the energy of the central output pixel's
  gradient lies;
- seam: two tiles side by side, joined over the overlap, against the same picture whole. The difference inside the
  overlap is that of the seam; the difference far from it is what remains however much the tiles share, because some
  layers sum over the whole picture. Both are in shares of the mean change that the network makes.

Updates results/tiles.json.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import checkpoints
from pellucid.checkpoints import SYSTEMS, Restoration
from pellucid.cli.process import keep_freed_memory
from pellucid.data import read_rgb8
from pellucid.images.picture import to_floats
from pellucid.images.tiles import TilePlan, process_tiles
from pellucid.tasks import find_weights

EXAMPLE = Path(__file__).parent.parent / "examples" / "cat.png"
RESULTS = Path(__file__).parent / "results" / "tiles.json"
OVERLAPS = (16, 32, 48, 64, 96, 128)
ENERGY = 0.999


def noisy_picture(height: int, width: int, channels: int) -> NDArray[np.float32]:
    """The example picture, mirrored until it is large enough, with noise of σ = 25: (H, W, C)."""
    clean = to_floats(read_rgb8(EXAMPLE))
    clean = np.pad(
        clean, ((0, max(0, height - clean.shape[0])), (0, max(0, width - clean.shape[1])), (0, 0)), "symmetric"
    )
    clean = clean[:height, :width, [1] if channels == 1 else [0, 1, 2]]
    return clean + np.random.RandomState(0).normal(0, 25 / 255, clean.shape).astype(np.float32)


def run(network: torch.nn.Module, kind: Restoration, tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network on (H, W, C), as the tool runs it."""
    with torch.inference_mode():
        image = torch.from_numpy(tile).permute(2, 0, 1)[None] * kind.white
        return np.ascontiguousarray(network(image)[0].permute(1, 2, 0).numpy()) / np.float32(kind.white)


def reach(network: torch.nn.Module, kind: Restoration, side: int) -> int:
    """The smallest r with 99.9 % of the gradient's energy within r rows and columns of the centre."""
    picture = torch.from_numpy(noisy_picture(side, side, kind.channels)).permute(2, 0, 1)[None] * kind.white
    picture.requires_grad_()
    centre = side // 2
    network.requires_grad_(False)
    network(picture)[..., kind.scale * centre, kind.scale * centre].sum().backward()
    assert picture.grad is not None
    energy = picture.grad[0].double().square().sum(0).numpy()
    y, x = np.mgrid[:side, :side] - centre
    by_distance = np.bincount(np.maximum(abs(y), abs(x)).ravel(), energy.ravel())
    return int(np.searchsorted(by_distance.cumsum() / by_distance.sum(), ENERGY))


def seam(network: torch.nn.Module, kind: Restoration, tile: tuple[int, int], overlap: int) -> dict[str, float]:
    """Join two tiles that share `overlap` columns and compare with the whole picture."""
    height, width = tile
    whole_width = 2 * width - overlap
    picture = noisy_picture(height, whole_width, kind.channels)
    plan = TilePlan([slice(0, height)], [slice(0, width), slice(width - overlap, whole_width)])
    rows = [v for _, v in process_tiles(plan, lambda r, c: run(network, kind, picture[r, c]), kind.scale)]
    whole = run(network, kind, picture)
    small = picture.repeat(kind.scale, axis=0).repeat(kind.scale, axis=1)
    change = float(np.abs(whole - small).mean())
    difference = np.abs(np.concatenate(rows) - whole) / change
    by_column = difference.mean(axis=(0, 2))
    inside = by_column[kind.scale * (width - overlap) : kind.scale * width]
    # Far away: the halves of the tiles that end with the picture.
    away = np.concatenate([by_column[: kind.scale * width // 2], by_column[-kind.scale * width // 2 :]])
    return {
        "seam": float(inside.mean()),
        "seam_worst_column": float(inside.max()),
        "away": float(away.mean()),
        "away_worst_column": float(away.max()),
        "max": float(difference.max()),
        "change": change,
    }


def measure(
    network: torch.nn.Module, kind: Restoration, overlaps: Sequence[int], tile: int, side: int
) -> dict[str, Any]:
    """Measure reach and seams, and print them."""
    multiple = kind.multiple
    tile = -(-tile // multiple) * multiple
    found: dict[str, Any] = {"multiple": multiple, "default_overlap": kind.overlap, "seams": {}}
    if side:
        found["reach"] = reach(network, kind, -(-side // multiple) * multiple)
        print(f"  reach {found['reach']} pixels", flush=True)
    for overlap in sorted({-(-overlap // multiple) * multiple for overlap in overlaps}):
        row = {"tile": tile, **seam(network, kind, (tile, tile), overlap)}
        found["seams"][str(overlap)] = row
        print(
            f"  overlap {overlap:4}: seam {row['seam']:.2e} (worst column {row['seam_worst_column']:.2e}), away "
            f"{row['away']:.2e} (worst {row['away_worst_column']:.2e}), largest {row['max']:.2e} of the change",
            flush=True,
        )
    return found


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", metavar="SYSTEM/PRESET")
    parser.add_argument("--bundled", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--overlaps", nargs="+", type=int, default=OVERLAPS)
    parser.add_argument("--tile", type=int, default=256, help="side of the two tiles")
    parser.add_argument("--side", type=int, default=256, help="of the picture for the reach; 0 leaves it out")
    options = parser.parse_args()
    keep_freed_memory()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in (*options.bundled, *options.presets):
        if name in options.bundled:
            described = checkpoints.describe(find_weights(name))
            system, config = SYSTEMS[described.system], described.config
            network = checkpoints.build(described)
        else:
            system_name, preset = name.split("/")
            system = SYSTEMS[system_name]
            config = system.presets[preset]
            torch.manual_seed(0)
            network = system.network(config).eval()
        kind = system.restoration(config)
        if kind is None:
            raise SystemExit(f"{name} does not restore")
        print(name, flush=True)
        found = measure(network, kind, options.overlaps, options.tile, options.side)
        found["seams"] = {**results.get(name, {}).get("seams", {}), **found["seams"]}
        results[name] = {**results.get(name, {}), **found}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
