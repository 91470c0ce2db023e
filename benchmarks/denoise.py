"""Our default denoiser against the `bm3d` package, in turn on the same noisy pictures.

`python benchmarks/denoise.py DIR [DIR …] [--pictures N] [--sigma 25]` with folders of clean pictures; without a folder
it takes the example picture. BM3D is told the noise level; our network is not. Writes results/denoise.json and
results/denoise.png.
"""

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from classical import with_bm3d
from pellucid.cli.process import keep_freed_memory
from pellucid.evaluation import (
    Case,
    Measurement,
    Restore,
    Row,
    find_cases,
    measure,
    plain_values,
    protocol_for,
    read_case,
    summarise,
    tool_for,
)
from pellucid.images import Picture
from timing import extra_peak_bytes

EXAMPLE = Path(__file__).parent.parent / "examples"
RESULTS = Path(__file__).parent / "results"
PROTOCOL = protocol_for("denoise")


def pellucid_denoise(_: float) -> Restore:
    """Our default network, blind."""
    return tool_for(PROTOCOL)[0]


METHODS: dict[str, Callable[[float], Restore]] = {"bm3d": with_bm3d, "pellucid": pellucid_denoise}


def measure_in_turn(cases: Sequence[Case]) -> dict[str, list[Row]]:
    """Measure every method on one picture after another, so that both see the same machine."""
    measurements: dict[str, list[Measurement]] = {name: [] for name in METHODS}
    for sigma in dict.fromkeys(float(case.level) for case in cases):
        methods = {name: make(sigma) for name, make in METHODS.items()}
        for case in cases:
            if case.level == sigma:
                for name, restore in methods.items():
                    measurements[name] += measure(restore, PROTOCOL, [case])
    return {name: summarise(values) for name, values in measurements.items()}


def prepare_peak(name: str, case: Case) -> Callable[[], object]:
    """Make a method ready in a fresh process, everything loaded, to measure what one picture adds."""
    keep_freed_memory()
    restore = METHODS[name](float(case.level))
    restore(Picture(pixels=np.random.default_rng(0).random((64, 64, 3), np.float32)))
    return functools.partial(restore, read_case(PROTOCOL, case).degraded)


def plot(rows: dict[str, list[Row]], path: Path) -> None:
    """Quality against cost, a line for each method and a point for each noise level."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, of_method in rows.items():
        points = [(row.seconds_per_megapixel, row.restored["psnr_rgb"]) for row in of_method]
        axes.plot(*zip(*points, strict=True), "o-", label=name)
        for row, point in zip(of_method, points, strict=True):
            axes.annotate(f" σ {row.level}", point)
    axes.set(xscale="log", xlabel="seconds per megapixel", ylabel="PSNR (RGB), dB")
    axes.legend()
    figure.savefig(path, dpi=120)


def first(folder: Path, sigmas: Sequence[float], count: int | None) -> list[Case]:
    """The cases of the first pictures of a folder."""
    _, cases = find_cases(PROTOCOL, folder, sigmas)
    wanted = list(dict.fromkeys(case.clean for case in cases))[:count]
    return [case for case in cases if case.clean in wanted]


def main() -> None:
    """Print, save and plot the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=[EXAMPLE])
    parser.add_argument("--sigma", nargs="+", type=float, default=[15, 25, 50])
    parser.add_argument("--pictures", type=int, default=None, help="use the first N pictures of each folder")
    options = parser.parse_args()
    keep_freed_memory()
    cases = [case for folder in options.data for case in first(folder, options.sigma, options.pictures)]
    pictures = list(dict.fromkeys(case.clean for case in cases))
    rows = measure_in_turn(cases)
    middle = Case(level=25, clean=pictures[0])
    peaks = {name: extra_peak_bytes(functools.partial(prepare_peak, name, middle)) for name in METHODS}
    for name, of_method in rows.items():
        for row in of_method:
            psnr, ssim = row.restored.values()
            rate = f"{row.seconds_per_megapixel:.2f} s per megapixel"
            print(f"{name:9} σ {row.level}: {psnr:.2f} dB, SSIM {ssim:.4f}, {rate}")
        print(f"{name:9} adds {peaks[name] / 2**20:.0f} MiB for {pictures[0].name}")
    slow, fast = (sum(r.seconds_per_megapixel for r in rows[name]) for name in ("bm3d", "pellucid"))
    print(f"pellucid takes 1/{slow / fast:.0f} of the time")
    RESULTS.mkdir(exist_ok=True)
    saved = {
        name: {"peak_mib": peaks[name] / 2**20, "rows": [plain_values(row) for row in of_method]}
        for name, of_method in rows.items()
    }
    content = {"pictures": [f"{p.parent.name}/{p.name}" for p in pictures], "time_ratio": slow / fast, **saved}
    (RESULTS / "denoise.json").write_text(json.dumps(content, indent=1) + "\n")
    plot(rows, RESULTS / "denoise.png")


if __name__ == "__main__":
    main()
