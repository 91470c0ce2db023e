"""What is said of a run on the page that a person may ask for."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.images import Picture
from pellucid.images.picture import to_integers
from pellucid.selfsupervised.denoise import Learned
from pellucid.selfsupervised.report import Crop, write_report
from pellucid.tasks import RestoreOptions, Restorer

_SIDE, _CROPS = 256, 2


def write_page(path: Path, learned: Learned, *, overwrite: bool = False) -> None:
    """Write the HTML page about the noise, the course of the learning, and crops before and after.

    Raises:
        PellucidError: it exists, or cannot be written.
    """
    restorer, samples = Restorer(RestoreOptions(weights=learned.weights)), learned.samples
    low, high = samples.seen.levels
    crops: list[Crop] = []
    for index in range(0, len(samples.pictures), -(-len(samples.pictures) // _CROPS)):
        noisy = _middle(samples.pictures[index])
        if noisy.shape[2] not in (1, 3):
            break
        restored = restorer(Picture(pixels=noisy * np.float32(high - low) + np.float32(low))).pixels
        crops.append(Crop(f"picture {index + 1}", _shown(noisy), _shown((restored - low) / (high - low))))
    best = min(learned.checks, key=lambda check: check.error, default=None)
    write_report(
        path,
        name="Denoising without a clean picture",
        noise=learned.noise,
        course=learned.checks,
        chosen=best.step if best else 0,
        crops=crops,
        facts={
            "pictures": str(len(samples.pictures)),
            "megapixels learned from": f"{sum(values[..., 0].size for values in samples.pictures) / 1e6:.1f}",
            "noise, standard deviation": f"{learned.noise.level:.2%} of the range",
            "sampled down by": str(learned.noise.factor),
            "steps": str(learned.checks[-1].step) if learned.checks else "none, as the weights were there already",
            "weights": learned.weights.name,
        },
        overwrite=overwrite,
    )


def _middle(values: NDArray[np.float32]) -> NDArray[np.float32]:
    top, left = (max(0, (side - _SIDE) // 2) for side in values.shape[:2])
    return values[top : top + _SIDE, left : left + _SIDE]


def _shown(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return to_integers(values.clip(0, 1), 8).astype(np.uint8, copy=False)
