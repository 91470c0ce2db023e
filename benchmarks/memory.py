"""Peak memory and overhead of restoring a file, from small to very large, against the budget it was given.

`python benchmarks/memory.py [--megapixels 1 10 100 400] [--format tif] [--memory 1GiB] [--weights FILE]` makes noisy
pictures (TIFF in tiles of 256 × 256), restores each in a fresh process from file to file as the command line does, and
reports the peak of resident memory less what the process had after importing torch, and how much of the time passes
outside the network. Writes results/memory.json and results/memory.png, where runs of other formats are kept.
"""

import argparse
import functools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import tifffile
from numpy.typing import NDArray

from pellucid.cli.process import (
    ask_for_whole_blocks,
    keep_freed_memory,
    lay_in_small_blocks,
    peak_resident_bytes,
)
from pellucid.images import Picture
from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore_files
from pellucid.tasks.memory import parse_memory
from pellucid.tasks.runner import Runner

matplotlib.use("agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parent / "results"
TILE = 256


def noisy_rows(height: int, width: int, step: int) -> Iterator[NDArray[np.float32]]:
    """A smooth scene with noise of σ = 25, so many rows at a time."""
    generator = np.random.default_rng(0)
    scene = (0.5 + 0.4 * np.sin(np.arange(width, dtype=np.float32) / 40))[None, :, None]
    for top in range(0, height, step):
        rows = generator.standard_normal((min(step, height - top), width, 3), dtype=np.float32)
        yield np.clip(scene + rows * np.float32(25 / 255), 0, 1)


def write_noisy_picture(megapixels: float, path: Path) -> None:
    """Write a 3:2 picture."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    if path.suffix != ".tif":
        Picture(pixels=np.concatenate(list(noisy_rows(height, width, TILE)))).save(path)
        return

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for rows in noisy_rows(height, width, TILE):
            padded = np.pad(rows, ((0, TILE - len(rows)), (0, -width % TILE), (0, 0)))
            for left in range(0, width, TILE):
                yield (padded[:, left : left + TILE] * 255).round().astype(np.uint8)

    shape = (height, width, 3)
    tifffile.imwrite(
        path, tiles(), shape=shape, dtype=np.uint8, tile=(TILE, TILE), photometric="rgb", compression="zlib"
    )


def measure(source: Path, memory: int, weights: str | None) -> dict[str, float]:
    """Restore in this process, which must be fresh; return its peak, the seconds, and those spent in the network."""
    keep_freed_memory()
    in_network = 0.0
    run: Callable[..., Any] = Runner._run

    @functools.wraps(run)
    def timed(*arguments: Any) -> Any:
        nonlocal in_network
        started = time.perf_counter()
        result = run(*arguments)
        in_network += time.perf_counter() - started
        return result

    Runner._run = timed
    before, started = peak_resident_bytes(), time.perf_counter()
    restorer = Restorer(RestoreOptions(memory=memory, weights=weights, device="cpu"))
    lay_in_small_blocks()
    target = source.with_name(f"out{source.suffix}")
    for outcome in restore_files(restorer, plan_jobs([source], target), overwrite=True):
        if outcome.error:
            raise SystemExit(outcome.error)
    seconds = time.perf_counter() - started
    peak = (peak_resident_bytes() - before) / 2**20
    return {"peak_mib": peak, "seconds": seconds, "network_seconds": in_network}


def show(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the peaks."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for form in dict.fromkeys(row["format"] for row in rows):
        of_form = [row for row in rows if row["format"] == form]
        axes.plot([row["megapixels"] for row in of_form], [row["peak_mib"] for row in of_form], "o-", label=form)
    budget = rows[0]["budget_mib"]
    axes.axhline(budget, color="grey", linestyle="--", label="budget")
    axes.set(xscale="log", xlabel="megapixels", ylabel="MiB above importing", ylim=(0, 1.1 * budget))
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1, 10, 100, 400])
    parser.add_argument("--format", default="tif", choices=["tif", "png", "jpg"])
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--weights", default=None)
    options = parser.parse_args()
    budget, results = parse_memory(options.memory), RESULTS / "memory.json"
    rows: list[dict[str, Any]] = json.loads(results.read_text()) if results.exists() else []
    same = {"format": options.format, "budget_mib": budget / 2**20}
    ask_for_whole_blocks()
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            source = Path(folder) / f"{megapixels:g}.{options.format}"
            write_noisy_picture(megapixels, source)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = {"megapixels": megapixels, **same, **pool.apply(measure, (source, budget, options.weights))}
            source.unlink()
            rows = [old for old in rows if any(old[name] != row[name] for name in ("megapixels", *same))] + [row]
            outside = row["seconds"] / row["network_seconds"] - 1
            print(
                f"{megapixels:g} megapixels of {options.format}: peak {row['peak_mib']:.0f} MiB of "
                f"{budget / 2**20:.0f} allowed, {row['seconds']:.1f} s, {100 * outside:.1f} % more than the network",
                flush=True,
            )
    rows.sort(key=lambda row: (row["format"], row["budget_mib"], row["megapixels"]))
    RESULTS.mkdir(exist_ok=True)
    results.write_text(json.dumps(rows, indent=1) + "\n")
    show([row for row in rows if row["budget_mib"] == same["budget_mib"]], RESULTS / "memory.png")


if __name__ == "__main__":
    main()
