"""Peak memory of every restoring network on a tile, against the formula by which tiles are planned.

`python benchmarks/cost.py [SYSTEM …] [--dtype float32 bfloat16]` runs each preset on tiles of several shapes, each in a
fresh process, and compares the peak with `Restoration.bytes` of its adapter. Networks keep their widths and lose depth:
one block where the preset has several, which hold the same memory one after another. The tile and the result, as
floats, count; the parameters do not. Updates results/cost.json, and prints all of it.
"""

import argparse
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pellucid.checkpoints import SYSTEMS, Restoration
from pellucid.cli.process import ask_for_whole_blocks, keep_freed_memory
from timing import extra_peak_bytes

RESULTS = Path(__file__).parent / "results" / "cost.json"
THREADS = 2
SHAPES = ((256, 256), (512, 512), (768, 768), (256, 1024), (1024, 256))
SLOW_SHAPES = ((256, 256), (512, 512), (256, 768), (768, 256))  # for networks as wide as the papers'
WIDE = 100
MIB = 2**20


class Case(NamedTuple):
    """A preset of a system, made shallow, and how it restores."""

    system: str
    preset: str
    config: Any
    restoration: Restoration


def shallow(config: Any) -> Any:
    """Leave one block of several that come one after another; of GRL's layers, a cycle of four."""
    if hasattr(config, "depths"):
        return replace(config, depths=(4,), window_heads=config.window_heads[:1], stripe_heads=config.stripe_heads[:1])
    if hasattr(config, "blocks"):
        return replace(config, blocks=(1,) * len(config.blocks), refinement=1)
    return config


def cases(names: list[str]) -> Iterator[Case]:
    """Yield every preset that restores."""
    for name, system in SYSTEMS.items():
        for preset, config in system.presets.items():
            kind = system.restoration(config)
            if kind is not None and (not names or name in names):
                yield Case(name, preset, shallow(config), kind)


def prepare(case: Case, shape: tuple[int, int], dtype: torch.dtype) -> Callable[[], object]:
    """Build the network, start the libraries, and return the job: from a tile as floats to the result as floats."""
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    network = SYSTEMS[case.system].network(case.config).eval().to(dtype)

    @torch.inference_mode()
    def run(height: int, width: int, layer: torch.nn.Module) -> object:
        tile = np.full((height, width, case.restoration.channels), 0.5, np.float32)
        image = torch.from_numpy(tile).permute(2, 0, 1).unsqueeze(0).to(dtype)
        result = (layer(image)[0].permute(1, 2, 0).float() / case.restoration.white).numpy()
        return tile, result

    run(64, 64, torch.nn.Conv2d(case.restoration.channels, 64, 3, dtype=dtype))
    return functools.partial(run, *shape, network)


def measure(case: Case, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Measure and print every shape of a case."""
    multiple = case.restoration.multiple
    shapes = SLOW_SHAPES if case.config.width > WIDE or case.preset.startswith("base") else SHAPES
    rows: list[dict[str, Any]] = []
    for height, width in dict.fromkeys((-(-h // multiple) * multiple, -(-w // multiple) * multiple) for h, w in shapes):
        peak = extra_peak_bytes(functools.partial(prepare, case, (height, width), dtype))
        rows.append({"height": height, "width": width, "peak_mib": peak / MIB})
        print(f"{case.system} {case.preset}, {dtype}, {height} × {width}: peak {peak / MIB:.0f} MiB", flush=True)
    return rows


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Bytes per pixel and bytes whatever the size, as least squares find them in the peaks."""
    pixels = np.array([row["height"] * row["width"] for row in rows], float)
    peaks = np.array([row["peak_mib"] * MIB for row in rows])
    slope, constant = np.polyfit(pixels, peaks, 1)
    return {"bytes_per_pixel": round(float(slope)), "bytes_fixed": round(float(constant))}


def compare(results: dict[str, Any]) -> None:
    """Put what the formula says now beside every peak, and print the table."""
    for case in cases([]):
        for dtype, measured in results.get(case.system, {}).get(case.preset, {}).items():
            for row in measured["shapes"]:
                formula = case.restoration.bytes(row["height"], row["width"]) / MIB
                row["formula_mib"], row["ratio"] = formula, formula / row["peak_mib"]
            ratios = ", ".join(f"{row['height']} × {row['width']}: {row['ratio']:.2f}" for row in measured["shapes"])
            print(f"{case.system:10} {case.preset:18} {dtype:8} formula / peak {ratios}")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*")
    parser.add_argument("--presets", nargs="+", help="only presets of these names")
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    ask_for_whole_blocks()  # as the command does, see there
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for case in cases(options.systems):
        if options.presets and case.preset not in options.presets:
            continue
        for dtype in options.dtype:
            rows = measure(case, getattr(torch, dtype))
            results.setdefault(case.system, {}).setdefault(case.preset, {})[dtype] = {**fit(rows), "shapes": rows}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")  # a run that is ended keeps what it has
    compare(results)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
