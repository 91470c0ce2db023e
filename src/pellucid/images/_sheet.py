"""A page on its way into a file: what is known of it before its rows come, and the rows as formats want them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from pellucid.images.picture import BitDepth, Metadata, Sample, Samples

_STRIPE_BYTES = 2**21  # of samples: small beside a picture, large beside what a stripe costs by itself
_MOST_ROWS = 2**16  # as some libraries take no higher pictures


class Sheet(NamedTuple):
    """A page to be written: all of it but its rows. `channels` are those stored, alpha included."""

    height: int
    width: int
    channels: int
    type: type[Sample]
    bit_depth: BitDepth
    metadata: Metadata

    @property
    def stripe_rows(self) -> int:
        """How many rows make a stripe."""
        return stripe_rows(self.width, self.channels, self.type)


def stripe_rows(width: int, channels: int, kind: type[Sample]) -> int:
    """How many rows of such samples to work on at a time; at least one."""
    return min(max(1, _STRIPE_BYTES // (width * channels * np.dtype(kind).itemsize)), _MOST_ROWS)


def regrouped(sheet: Sheet, rows: Iterator[Samples], height: int) -> Iterator[Samples]:
    """Stripes of `height` rows, the last one of what is left, from stripes `(h, W, C)` of any heights.

    Raises ValueError where the rows are not exactly those of the sheet.
    """
    held: list[Samples] = []
    waiting, missing = 0, sheet.height
    for stripe in rows:
        missing -= len(stripe)
        if missing < 0 or stripe.shape[1:] != (sheet.width, sheet.channels) or stripe.dtype != sheet.type:
            raise ValueError(f"{stripe.shape} samples of {stripe.dtype} do not fit into {sheet[:4]}")
        while len(stripe):
            part, stripe = stripe[: height - waiting], stripe[height - waiting :]
            held.append(part)
            waiting += len(part)
            if waiting == height:
                yield _joined(held)
                held, waiting = [], 0
    if missing:
        raise ValueError(f"{missing} of {sheet.height} rows are missing")
    if held:
        yield _joined(held)


def gathered(sheet: Sheet, rows: Iterator[Samples]) -> Samples:
    """All rows as one array, for formats that take no less; raises ValueError like `regrouped`."""
    samples, at = np.empty((sheet.height, sheet.width, sheet.channels), sheet.type), 0
    for stripe in regrouped(sheet, rows, sheet.stripe_rows):
        samples[at : at + len(stripe)] = stripe
        at += len(stripe)
    return samples


def as_image(samples: Samples) -> Image.Image:
    """8-bit samples `(H, W, C)` as Pillow takes them."""
    return Image.fromarray(samples if samples.shape[2] > 1 else samples[..., 0])


def _joined(stripes: list[Samples]) -> Samples:
    return stripes[0] if len(stripes) == 1 else np.concatenate(stripes)
