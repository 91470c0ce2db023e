"""Our default denoiser against the `bm3d` package, in turn on the same noisy pictures.

`python benchmarks/denoise.py DIR [DIR …] [--pictures N] [--sigma 25]` with folders of clean pictures; without a folder
it takes the example picture. BM3D is told the noise level; our network is not. Writes results/denoise.json and
results/denoise.png.
"""

import argparse
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.cli.process import keep_freed_memory
from pellucid.data import picture_paths, read_rgb8
from pellucid.evaluation import Measurement, Row, measure_denoising, summarise, with_restorer
from pellucid.images.picture import to_floats
from pellucid.tasks import RestoreOptions, Restorer
from timing import extra_peak_bytes

EXAMPLE = Path(__file__).parent.parent / "examples"
RESULTS = Path(__file__).parent / "results"
Denoise = Callable[[NDArray[np.float32], float], NDArray[np.float32]]


def bm3d_denoise(noisy: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Colour BM3D (Dabov et al., 2007) with the authors' package and the true noise level."""
    import bm3d  # not needed by the package itself

    return bm3d.bm3d_rgb(noisy, sigma / 255).astype(np.float32)


def pellucid_denoise() -> Denoise:
    """Our default network, blind."""
    return with_restorer(Restorer(RestoreOptions()))


METHODS: dict[str, Callable[[], Denoise]] = {"bm3d": lambda: bm3d_denoise, "pellucid": pellucid_denoise}


def measure_in_turn(paths: Sequence[Path], sigmas: Sequence[float]) -> dict[str, list[Row]]:
    """Measure every method on one picture after another, so that both see the same machine."""
    methods = {name: make() for name, make in METHODS.items()}
    measurements: dict[str, list[Measurement]] = {name: [] for name in methods}
    for sigma in sigmas:
        for path in paths:
            for name, denoise in methods.items():
                measurements[name] += measure_denoising(denoise, [path], [sigma])
    return {name: summarise(values) for name, values in measurements.items()}


def prepare_peak(name: str, path: Path, sigma: float) -> Callable[[], object]:
    """Make a method ready in a fresh process, everything loaded, to measure what one picture adds."""
    keep_freed_memory()
    denoise = METHODS[name]()
    denoise(np.random.default_rng(0).random((64, 64, 3), np.float32), sigma)
    return functools.partial(denoise, to_floats(read_rgb8(path)), sigma)


def plot(rows: dict[str, list[Row]], path: Path) -> None:
    """Quality against cost, a line for each method and a point for each noise level."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, of_method in rows.items():
        axes.plot([r.seconds_per_megapixel for r in of_method], [r.psnr_rgb for r in of_method], "o-", label=name)
        for row in of_method:
            axes.annotate(f" σ {row.sigma:g}", (row.seconds_per_megapixel, row.psnr_rgb))
    axes.set(xscale="log", xlabel="seconds per megapixel", ylabel="PSNR (RGB), dB")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print, save and plot the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=[EXAMPLE])
    parser.add_argument("--sigma", nargs="+", type=float, default=[15, 25, 50])
    parser.add_argument("--pictures", type=int, default=None, help="use the first N pictures of each folder")
    options = parser.parse_args()
    keep_freed_memory()
    paths = [path for folder in options.data for path in picture_paths(folder)[: options.pictures]]
    rows = measure_in_turn(paths, options.sigma)
    peaks = {name: extra_peak_bytes(functools.partial(prepare_peak, name, paths[0], 25.0)) for name in METHODS}
    for name, of_method in rows.items():
        for row in of_method:
            print(
                f"{name:9} σ {row.sigma:g}: {row.psnr_rgb:.2f} dB, SSIM {row.ssim_rgb:.4f}, "
                f"{row.seconds_per_megapixel:.2f} s per megapixel"
            )
        print(f"{name:9} adds {peaks[name] / 2**20:.0f} MiB for {paths[0].name}")
    slow, fast = (sum(r.seconds_per_megapixel for r in rows[name]) for name in ("bm3d", "pellucid"))
    print(f"pellucid takes 1/{slow / fast:.0f} of the time")
    RESULTS.mkdir(exist_ok=True)
    saved = {
        name: {"peak_mib": peaks[name] / 2**20, "rows": [asdict(row) for row in of_method]}
        for name, of_method in rows.items()
    }
    content = {"pictures": [f"{p.parent.name}/{p.name}" for p in paths], "time_ratio": slow / fast, **saved}
    (RESULTS / "denoise.json").write_text(json.dumps(content, indent=1) + "\n")
    plot(rows, RESULTS / "denoise.png")


if __name__ == "__main__":
    main()
