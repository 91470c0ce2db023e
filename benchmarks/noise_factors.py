"""Which down-sampling factor is chosen for noise whose level and correlation are known.

`python benchmarks/noise_factors.py [DIR …] [--pictures N]` with folders of clean pictures; without a folder it takes
the example picture. White noise is filtered with boxes of 1..4 pixels, and with Gaussians after which the correlation
falls to 1/e over 1..4 pixels, then added to pictures and rounded to 8 bits. Writes results/noise_factors.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data import picture_paths, read_rgb8
from pellucid.selfsupervised import measure_noise
from pellucid.selfsupervised.noise import LAGS, leak

EXAMPLE = Path(__file__).parent.parent / "examples"
RESULTS = Path(__file__).parent / "results"
LENGTHS = (1, 2, 3, 4)
SIGMAS = (5, 10, 25, 50)


def kernel(kind: str, length: int) -> NDArray[np.float64]:
    """The filter along one axis, of energy 1."""
    # Filtered with exp(−x²/2s²), noise is correlated by about exp(−d²/4s²), which is 1/e at d = 2s.
    gaussian = np.exp(-2 * (np.arange(-3 * length, 3 * length + 1) / length) ** 2)
    taps = np.ones(length) if kind == "box" else gaussian
    return taps / np.sqrt(np.square(taps).sum())


def filtered_noise(
    shape: tuple[int, ...], taps: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Noise (H, W, C) of variance 1."""
    height, width, channels = shape
    more = len(taps) - 1
    white = generator.standard_normal((height + more, width + more, channels))
    rows = sum(tap * white[i : i + height] for i, tap in enumerate(taps))
    return sum(tap * rows[:, i : i + width] for i, tap in enumerate(taps))


def true_correlation(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The autocorrelation of the filtered noise, as `Noise.correlation`."""
    full = np.correlate(np.pad(taps, LAGS), taps, "full")
    middle = int(np.argmax(full))
    along = full[middle - LAGS : middle + LAGS + 1]
    return np.outer(along, along)


def rows_for(kind: str, length: int, sigma: int, paths: list[Path]) -> dict[str, object]:
    """Measure all pictures with one noise."""
    generator = np.random.default_rng(0)
    taps = kernel(kind, length)
    measured = []
    for path in paths:
        clean = read_rgb8(path) / 255
        noisy = clean + filtered_noise(clean.shape, taps, generator) * sigma / 255
        measured.append(measure_noise([(np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)]))
    truth = true_correlation(taps)
    return {
        "kernel": kind,
        "length": length,
        "sigma": sigma,
        "measured_sigma": [round(noise.level * 255, 2) for noise in measured],
        "leak_at_factors": [round(leak(truth, factor), 3) for factor in range(1, 6)],
        "measured_leak_at_factors": [
            round(float(np.mean([leak(noise.correlation, factor) for noise in measured])), 3) for factor in range(1, 6)
        ],
        "factors": [noise.factor for noise in measured],
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[EXAMPLE])
    parser.add_argument("--pictures", type=int, default=5)
    arguments = parser.parse_args()
    every = [path for folder in arguments.folders for path in picture_paths(folder)]
    paths = every[:: max(1, len(every) // arguments.pictures)][: arguments.pictures]
    rows: list[dict[str, object]] = []
    for kind in ("box", "gaussian"):
        for length in LENGTHS:
            for sigma in SIGMAS:
                rows.append(rows_for(kind, length, sigma, paths))
                shown = rows[-1]
                print(f"{kind:8} {length} σ {sigma:2}: found σ {shown['measured_sigma']}, factors {shown['factors']}")
    told = {"pictures": [path.name for path in paths], "rows": rows}
    (RESULTS / "noise_factors.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
