"""Which down-sampling factor is chosen for noise whose level and correlation are known.

`python benchmarks/noise_factors.py [DIR …] [--pictures N] [--trials N]` with folders of clean pictures; without a
folder it takes the example picture. White noise is filtered with boxes of 1..4 pixels, and with Gaussians after which
the correlation falls to 1/e over 1..4 pixels, then added to pictures and rounded to 8 bits. Writes
results/noise_factors.json.

With --trials, the choice is held against the best of all factors: the middle of each of the last pictures, with the
noise of boxes, is restored at each factor by the network that learning begins with. Which factor comes nearest to the
clean picture only an oracle knows.
"""

import argparse
import itertools
import json
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.cli.process import keep_freed_memory
from pellucid.data import picture_paths, read_rgb8
from pellucid.models.tbsn import TBSN
from pellucid.selfsupervised import Noise, measure_noise
from pellucid.selfsupervised.denoise import TEACHER
from pellucid.selfsupervised.noise import LAGS, MOST_CHOSEN, leak
from pellucid.selfsupervised.start import taught_by_photographs
from pellucid.tasks.blind_spot import BlindSpotDenoiser, Procedure

EXAMPLE = Path(__file__).parent.parent / "examples"
RESULTS = Path(__file__).parent / "results"
LENGTHS = (1, 2, 3, 4)
SIGMAS = (5, 10, 25, 50)
TRIED_SIGMAS, TRIED_SIDE = (10, 25), 320


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


def noisy_picture(clean: NDArray[np.float64], taps: NDArray[np.float64], sigma: int) -> NDArray[np.float32]:
    """A picture (H, W, C) with noise, in 8 bits."""
    noisy = clean + filtered_noise(clean.shape, taps, np.random.default_rng(0)) * sigma / 255
    return (np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)


def trial(path: Path, length: int, sigma: int) -> dict[str, object]:
    """The gain in dB at each factor, and the factor that is chosen."""
    clean = read_rgb8(path) / 255
    top, left = (max(0, side - TRIED_SIDE) // 2 for side in clean.shape[:2])
    clean = clean[top : top + TRIED_SIDE, left : left + TRIED_SIDE]
    noisy = noisy_picture(clean, kernel("box", length), sigma)
    noise = measure_noise([noisy])
    gains = gains_at_factors(clean, noisy, noise)
    best = int(np.argmax(gains)) + 1
    chosen = {"chosen": noise.factor, "best": best, "within_one": abs(noise.factor - best) <= 1}
    return {"picture": path.name, "length": length, "sigma": sigma, "gains": gains, **chosen}


def gains_at_factors(clean: NDArray[np.float64], noisy: NDArray[np.float32], noise: Noise) -> list[float]:
    """What the network that learning begins with makes of a picture at each factor, in dB."""
    network = taught_by_photographs(TEACHER, TBSN, noisy.shape[2])
    white = network.config.value_range
    bound = tuple(white**2 * variance for variance in noise.curve)
    y = torch.from_numpy(noisy).permute(2, 0, 1)[None]
    gains: list[float] = []
    for factor in range(1, MOST_CHOSEN + 1):
        denoiser = BlindSpotDenoiser(network, network.config.multiple, Procedure(factor, 4, bound)).eval()
        with torch.inference_mode():
            restored = (denoiser(white * y)[0] / white).permute(1, 2, 0).numpy()
        before, after = (float(np.mean((values - clean) ** 2)) for values in (noisy, restored))
        gains.append(round(10 * math.log10(before / after), 3))
    return gains


def rows_for(kind: str, length: int, sigma: int, paths: list[Path]) -> dict[str, object]:
    """Measure all pictures with one noise."""
    taps = kernel(kind, length)
    measured = [measure_noise([noisy_picture(read_rgb8(path) / 255, taps, sigma)]) for path in paths]
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
    parser.add_argument("--trials", type=int, default=0, metavar="N", help="hold the last N against an oracle")
    arguments = parser.parse_args()
    keep_freed_memory()
    every = [path for folder in arguments.folders for path in picture_paths(folder)]
    paths = every[:: max(1, len(every) // arguments.pictures)][: arguments.pictures]
    rows: list[dict[str, object]] = []
    for kind in ("box", "gaussian"):
        for length in LENGTHS:
            for sigma in SIGMAS:
                rows.append(rows_for(kind, length, sigma, paths))
                shown = rows[-1]
                print(f"{kind:8} {length} σ {sigma:2}: found σ {shown['measured_sigma']}, factors {shown['factors']}")
    told: dict[str, object] = {"pictures": [path.name for path in paths], "rows": rows}
    trials: list[dict[str, object]] = []
    for path, length, sigma in itertools.product(paths[::-1][: arguments.trials], LENGTHS, TRIED_SIGMAS):
        trials.append(trial(path, length, sigma))
        print(trials[-1], flush=True)
        within_one = sum(bool(row["within_one"]) for row in trials) / len(trials)
        told["trials"] = {"within_one": within_one, "rows": trials}
    (RESULTS / "noise_factors.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
