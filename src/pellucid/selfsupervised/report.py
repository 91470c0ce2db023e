"""A page that shows what was measured and learned: one file, which needs nothing else to be looked at."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.files import atomic_path
from pellucid.selfsupervised._blocks import LAGS
from pellucid.selfsupervised._charts import heat_map, line_chart
from pellucid.selfsupervised.noise import LEVELS, Noise, describe

Course = Sequence[tuple[int, float, float]]


@dataclass(frozen=True)
class Crop:
    """A part of a picture before and after, 8-bit samples (H, W, 1 or 3) each."""

    name: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


def write_report(
    path: Path,
    *,
    name: str,
    noise: Noise,
    course: Course,
    chosen: int,
    crops: Sequence[Crop] = (),
    facts: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file.
        name: what the page is called.
        noise: that was measured.
        course: of the training: step, seconds since its beginning, loss on pictures kept apart; points whose loss is
            not finite are left out, and without any other nothing is said of the training.
        chosen: the step whose weights were kept.
        crops: to be shown before and after.
        facts: what else there is to tell, by what it is called.
        overwrite: replace a file that exists.

    Raises:
        PellucidError: it cannot be written, or exists.
    """
    fillings = {
        "name": escape(name),
        "summary": escape(describe(noise).capitalize() + "."),
        "crops": "".join(map(_pair, crops)),
        "noise": _noise(noise),
        "training": _training(course, chosen),
        "facts": "".join(
            f'<tr><th scope="row">{escape(fact)}</th><td>{escape(value)}</td></tr>' for fact, value in facts.items()
        ),
    }
    template = resources.files("pellucid.selfsupervised").joinpath("report.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda place: fillings[place[1]], template)
    with atomic_path(path, overwrite=overwrite) as temporary:
        # Names of files may be no text, hence the errors.
        temporary.write_text(page, encoding="utf-8", errors="replace", newline="\n")


def _noise(noise: Noise) -> str:
    """The curve, and the correlation as a line and as a map."""
    curve = [(float(level), variance) for level, variance in zip(LEVELS, noise.curve, strict=True)]
    down, right = noise.correlation[LAGS:, LAGS], noise.correlation[LAGS, LAGS:]
    lines = [[(float(lag), float(value)) for lag, value in enumerate(values)] for values in (right, down)]
    return (
        line_chart("Variance of the noise at each brightness", "brightness", "variance", [curve], lowest=0)
        + line_chart(
            "Correlation of the noise of pixels that far apart, to the right and, dashed, down",
            "pixels apart",
            "correlation",
            lines,
            lowest=0,
        )
        + heat_map("The same in all directions, up to 6 pixels", noise.correlation)
    )


def _training(course: Course, chosen: int) -> str:
    """The course of the training, over seconds."""
    told = [point for point in course if np.isfinite(point[2])]
    if not told:
        return ""
    steps = [step for step, _, _ in told]
    ring = steps.index(chosen) if chosen in steps else None
    title = f"Loss on noisy pixels that were kept apart; the weights of step {chosen} were kept"
    chart = line_chart(title, "seconds", "loss", [[(seconds, loss) for _, seconds, loss in told]], chosen=ring)
    return f'<h2>The training</h2><div class="charts">{chart}</div>'


def _pair(crop: Crop) -> str:
    """Before and after, side by side."""
    shown = "".join(
        f"<figure>{_image(f'{crop.name}, {side}', samples)}<figcaption>{side}</figcaption></figure>"
        for side, samples in (("before", crop.before), ("after", crop.after))
    )
    return f'<h2 dir="auto">{escape(crop.name)}</h2><div class="pair">{shown}</div>'


def _image(alt: str, samples: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    height, width, channels = samples.shape
    Image.fromarray(samples if channels > 1 else samples[..., 0]).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escape(alt)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'
