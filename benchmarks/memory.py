"""Peak memory of restoring a file, against the budget it was given.

`python benchmarks/memory.py [--megapixels 2 24] [--memory 2GiB] [--weights FILE]` makes noisy pictures, restores each
in a fresh process from file to file, and reports the peak of resident memory less what the process had after importing
torch. Writes results/memory.json.
"""

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pellucid import Picture
from pellucid.cli.process import keep_freed_memory
from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore_files
from pellucid.tasks.memory import parse_memory
from timing import extra_peak_bytes

RESULTS = Path(__file__).parent / "results" / "memory.json"


def write_noisy_picture(megapixels: float, path: Path) -> None:
    """Write a 3:2 picture of a smooth scene with noise of σ = 25."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    generator = np.random.default_rng(0)
    pixels = generator.standard_normal((height, width, 3), dtype=np.float32)
    pixels *= np.float32(25 / 255)
    pixels += (0.5 + 0.4 * np.sin(np.arange(width, dtype=np.float32) / 40))[None, :, None]
    Picture(pixels=pixels).save(path)


def prepare(source: Path, memory: int, weights: str | None) -> Callable[[], object]:
    """Import everything and return the job, as the command line would run it."""
    keep_freed_memory()

    def job() -> None:
        restorer = Restorer(RestoreOptions(memory=memory, weights=weights, device="cpu"))
        jobs = plan_jobs([source], source.with_name("out.png"))
        for outcome in restore_files(restorer, jobs, overwrite=True):
            if outcome.error:
                raise SystemExit(outcome.error)

    return job


def main() -> None:
    """Print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[2, 24])
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--weights", default=None)
    options = parser.parse_args()
    budget = parse_memory(options.memory)
    results: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            source = Path(folder) / f"{megapixels:g}.png"
            write_noisy_picture(megapixels, source)
            started = time.perf_counter()
            peak = extra_peak_bytes(functools.partial(prepare, source, budget, options.weights))
            results.append(
                {
                    "megapixels": megapixels,
                    "budget_mib": budget / 2**20,
                    "peak_mib": peak / 2**20,
                    "seconds": time.perf_counter() - started,
                }
            )
            print(
                f"{megapixels:g} megapixels: peak {peak / 2**20:.0f} MiB of {budget / 2**20:.0f} allowed, "
                f"{results[-1]['seconds']:.0f} s with starting Python"
            )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
