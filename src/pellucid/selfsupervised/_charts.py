"""Charts as inline SVG, in the colours of the page that they stand in."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 10, 40
_CELL = 16
_MOST_DOTS = 60  # more of them hide the line

Points = Sequence[tuple[float, float]]


def line_chart(
    title: str, x: str, y: str, lines: Sequence[Points], *, lowest: float | None = None, chosen: int | None = None
) -> str:
    """Draw one or two lines over the same axes.

    Args:
        title: what a person who does not see the chart is told.
        x: what the axis to the right is called.
        y: what the axis upwards is called.
        lines: points (x, y) of each, finite, at least one altogether; the second line is dashed.
        lowest: where the axis upwards begins; without it, at the lowest point.
        chosen: index of a point of the first line to be ringed.
    """
    x_low, x_high = _ends([point[0] for line in lines for point in line])
    y_low, y_high = _ends([point[1] for line in lines for point in line] + ([] if lowest is None else [lowest]))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across, up = (point[0] - x_low) / (x_high - x_low), (point[1] - y_low) / (y_high - y_low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    drawn = _axes(x, y, (x_low, x_high), (y_low, y_high))
    for index, line in enumerate(lines):
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in map(place, line))
        drawn.append(f'<polyline class="line{" other" if index else ""}" points="{path}"/>')
    if len(lines[0]) <= _MOST_DOTS:
        dots = map(place, lines[0])
        drawn += [f'<circle class="dot" cx="{across:.1f}" cy="{down:.1f}" r="2.5"/>' for across, down in dots]
    if chosen is not None:
        across, down = place(lines[0][chosen])
        drawn.append(f'<circle class="chosen" cx="{across:.1f}" cy="{down:.1f}" r="6"/>')
    return _figure(title, _WIDTH, _HEIGHT, drawn)


def heat_map(title: str, values: NDArray[np.float64]) -> str:
    """Draw values (H, W) of -1..1 as squares, the more opaque the larger, in another colour below 0."""
    drawn: list[str] = []
    for (row, column), value in np.ndenumerate(values):
        kind, opacity = "up" if value >= 0 else "down", min(abs(float(value)), 1.0)
        drawn.append(
            f'<rect class="{kind}" x="{column * _CELL}" y="{row * _CELL}" width="{_CELL}" height="{_CELL}" '
            f'fill-opacity="{opacity:.3f}"><title>{float(value):.2f}</title></rect>'
        )
    height, width = values.shape
    drawn.append(f'<rect class="axis" fill="none" x="0" y="0" width="{width * _CELL}" height="{height * _CELL}"/>')
    return _figure(title, width * _CELL, height * _CELL, drawn)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The range of an axis, never empty."""
    low, high = min(values), max(values)
    return low, high if high > low else low + 1


def _axes(x: str, y: str, across: tuple[float, float], up: tuple[float, float]) -> list[str]:
    """Both axes with their names and ends."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    middle = (_TOP + bottom) / 2
    return [
        f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>',
        f'<text x="{_LEFT}" y="{bottom + 16}">{across[0]:.4g}</text>',
        f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{across[1]:.4g}</text>',
        f'<text x="{(_LEFT + right) / 2}" y="{bottom + 32}" text-anchor="middle">{escape(x)}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{up[0]:.3g}</text>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{up[1]:.3g}</text>',
        f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(y)}</text>',
    ]


def _figure(title: str, width: int, height: int, drawn: Sequence[str]) -> str:
    label = escape(title)
    return (
        f'<figure><svg role="img" aria-label="{label}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{"".join(drawn)}</svg><figcaption>{label}</figcaption></figure>'
    )
