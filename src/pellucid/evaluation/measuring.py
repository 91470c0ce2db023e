"""Measuring a method on cases, and the rows of a table."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError, UsageError
from pellucid.evaluation.cases import Case, read_case
from pellucid.evaluation.protocols import Level, Protocol
from pellucid.files import atomic_path
from pellucid.images import Picture
from pellucid.images.picture import to_integers
from pellucid.metrics import (
    SSIM_WINDOW,
    best_aligned,
    psnr_grey,
    psnr_rgb,
    psnr_y,
    ssim_grey,
    ssim_rgb,
    ssim_y,
)

Restore: TypeAlias = Callable[[Picture], Picture]

MEASURES = {"rgb": (psnr_rgb, ssim_rgb), "y": (psnr_y, ssim_y), "grey": (psnr_grey, ssim_grey)}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One picture at one level: the measures by name, PSNR in dB, before and after; seconds, and megapixels of result.

    `input` is measured on what restoration starts from: the degraded picture, for super-resolution enlarged and for a
    mosaic interpolated.
    """

    picture: str
    level: Level
    input: Mapping[str, float]
    restored: Mapping[str, float]
    seconds: float
    megapixels: float


class Shown(NamedTuple):
    """The pictures of a measurement, (H, W, C) bytes each."""

    case: Case
    input: NDArray[np.uint8]
    restored: NDArray[np.uint8]
    clean: NDArray[np.uint8]


def measure(
    restore: Restore, protocol: Protocol, cases: Iterable[Case], *, show: Callable[[Shown], None] | None = None
) -> Iterator[Measurement]:
    """Restore pictures and compare them with the clean ones.

    Results are clipped and rounded to 8 bits before they are compared.

    Args:
        restore: the tool, or anything that makes a picture of a picture.
        protocol, cases: from `find_cases`.
        show: called with the pictures of each measurement.

    Raises:
        DataError: a picture is too small to be measured, or cannot be used.
        UsageError: the restored picture has another size or other channels than the clean one.
    """
    for case in cases:
        degraded, clean = read_case(protocol, case)
        side = SSIM_WINDOW + 2 * (protocol.border + protocol.reach)
        if min(clean.shape[:2]) < side:
            raise DataError(f"{case.clean} is too small to measure: what is compared must be {side} × {side} pixels")
        started = time.perf_counter()
        restored = restore(degraded)
        seconds = time.perf_counter() - started
        if restored.pixels.shape != clean.shape:
            raise UsageError(
                f"{case.name} is restored to {restored.width} × {restored.height} × {restored.channels}, where "
                f"{clean.shape[1]} × {clean.shape[0]} × {clean.shape[2]} are wanted; are these weights for the task?"
            )
        result, before = (_bytes(picture) for picture in (restored, protocol.prepare(degraded)))
        if show is not None:
            show(Shown(case, before, result, clean))
        yield Measurement(
            picture=case.name,
            level=case.level,
            input=_compare(before, clean, protocol),
            restored=_compare(result, clean, protocol),
            seconds=seconds,
            megapixels=clean.shape[0] * clean.shape[1] / 1e6,
        )


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    return to_integers(picture.pixels, 8).astype(np.uint8, copy=False)


def _compare(result: NDArray[np.uint8], clean: NDArray[np.uint8], protocol: Protocol) -> dict[str, float]:
    if protocol.reach:
        result, clean = best_aligned(result, clean, reach=protocol.reach)
    measures = MEASURES[protocol.compared]
    return {measure.__name__: measure(result, clean, border=protocol.border) for measure in measures}


@dataclass(frozen=True, kw_only=True)
class Row:
    """The means over a set of pictures at one level; seconds per megapixel over all of them together."""

    level: Level
    pictures: int
    input: Mapping[str, float]
    restored: Mapping[str, float]
    seconds_per_megapixel: float


def summarise(measurements: Sequence[Measurement]) -> list[Row]:
    """Average measurements over pictures, one row for each level in order of appearance."""
    levels = dict.fromkeys(m.level for m in measurements)
    return [_row(level, [m for m in measurements if m.level == level]) for level in levels]


def overall(measurements: Sequence[Measurement]) -> Row:
    """Average measurements of all levels, with a picture counted at each; raises ValueError where there are none."""
    if not measurements:
        raise ValueError("nothing was measured")
    return _row("mean", measurements)


def _row(level: Level, measurements: Sequence[Measurement]) -> Row:
    def means(of: Callable[[Measurement], Mapping[str, float]]) -> dict[str, float]:
        return {name: float(np.mean([of(m)[name] for m in measurements])) for name in of(measurements[0])}

    return Row(
        level=level,
        pictures=len(measurements),
        input=means(lambda m: m.input),
        restored=means(lambda m: m.restored),
        seconds_per_megapixel=sum(m.seconds for m in measurements) / sum(m.megapixels for m in measurements),
    )


def plain_values(measured: Measurement | Row) -> dict[str, Any]:
    """Return names and values for JSON, which has no infinity: the PSNR of equal pictures becomes null."""
    values = asdict(measured)
    for name in ("input", "restored"):
        values[name] = {measure: None if math.isinf(value) else value for measure, value in values[name].items()}
    return values


def save_measurements(
    path: Path, *, protocol: Protocol, data: str, weights: str, method: str, measurements: Sequence[Measurement]
) -> None:
    """Write the means and every single measurement as JSON, with what was measured, on what, and how."""
    content = {
        "task": protocol.task,
        "data": data,
        "weights": weights,
        "method": method,
        "protocol": str(protocol),
        "rows": [plain_values(row) for row in summarise(measurements)],
        "pictures": [plain_values(measurement) for measurement in measurements],
    }
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
