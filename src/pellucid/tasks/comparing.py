"""Files to look at beside a result: before and after side by side, and a page with a slider that needs nothing else."""

import base64
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.files import atomic_path
from pellucid.images.comparison import Comparison

_LOSSLESS_PIXELS = 2**20  # larger pictures would make large pages
_QUALITY = 92


def comparison_paths(target: Path) -> tuple[Path, Path]:
    """Where the picture and the page for a result go: photo-compare.png and photo-compare.html beside it."""
    picture, page = (target.with_name(f"{target.stem}-compare{suffix}") for suffix in (".png", ".html"))
    return picture, page


def lacks_comparison(target: Path) -> bool:
    """Whether there is not all that compares a result with its source."""
    return not all(map(os.path.lexists, comparison_paths(target)))


def refuse_comparison(target: Path, taken: set[str], *, overwrite: bool) -> None:
    """Find before the work what would keep the comparison of a result from being written, and claim its place.

    Args:
        target: the result's file.
        taken: real paths of all originals and results of the batch, and of what was claimed before.
        overwrite: replace files that exist.

    Raises:
        PellucidError: it would replace one of those, or a file that exists.
    """
    for path in comparison_paths(target):
        place = os.path.realpath(path)
        if place in taken:
            raise PellucidError(f"the comparison of {target} would replace {path}; choose another output")
        if not overwrite and os.path.lexists(path):
            raise PellucidError(f"{path} exists; pass --overwrite to replace it")
        taken.add(place)


def save_comparison(
    comparison: Comparison,
    target: Path,
    *,
    name: str,
    facts: Mapping[str, str],
    icc: bytes | None = None,
    overwrite: bool = False,
) -> None:
    """Write the picture and the page for a result, both whole or neither.

    Args:
        comparison: all rows of the picture before and after.
        target: the result's file; see `comparison_paths`.
        name: what the page is called.
        facts: what else there is to tell, by what it is called; the sizes and the change are told anyway.
        icc: the colour profile of the pictures, which goes along; not where it describes another number of channels.
        overwrite: replace files that exist.

    Raises:
        PellucidError: a file cannot be written, or exists.
    """
    picture_path, page_path = comparison_paths(target)
    try:
        with (
            atomic_path(picture_path, overwrite=overwrite) as picture,
            atomic_path(page_path, overwrite=overwrite) as page,
        ):
            picture.write_bytes(_encoded(comparison.side_by_side(), "PNG", icc))
            # Names of files may be no text, hence the errors.
            with page.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.writelines(_page(comparison, name=name, facts=facts, icc=icc))
    except MemoryError as error:
        raise PellucidError(f"the comparison of {target} needs more memory than there is") from error


def _page(comparison: Comparison, *, name: str, facts: Mapping[str, str], icc: bytes | None) -> Iterator[str]:
    """The page piece by piece; every text is escaped, so that none can be more than text."""
    change = f"{comparison.mean_change * 255:.2f} of 255 on average, {comparison.largest_change * 255:.0f} at most"
    told = {**facts, "size": f"{comparison.width} × {comparison.height} pixels", "change": change}
    fillings: dict[str, Callable[[], Iterable[str]]] = {
        "name": lambda: [escape(name)],
        "views": lambda: _views(comparison, name, icc),
        "facts": lambda: (f"<dt>{escape(fact)}</dt><dd>{escape(value)}</dd>" for fact, value in told.items()),
    }
    template = resources.files("pellucid.tasks").joinpath("comparison.html").read_text(encoding="utf-8")
    for index, piece in enumerate(re.split(r"\{\{(\w+)\}\}", template)):
        yield from fillings[piece]() if index % 2 else [piece]


def _views(comparison: Comparison, name: str, icc: bytes | None) -> Iterator[str]:
    """Both pictures of each view as HTML."""
    for view in (comparison.whole(), *comparison.details()):
        yield f'  <div class="view" data-name="{escape(view.name)}">'
        for side, samples in (("after", view.after), ("before", view.before)):  # before lies on top and is cut off
            height, width, _ = samples.shape
            kind = "PNG" if width * height <= _LOSSLESS_PIXELS else "JPEG"
            yield f'<div class="side {side}"><img alt="{escape(f"{name}, {view.name}, {side}")}"'
            yield f' width="{width}" height="{height}" src="data:image/{kind.lower()};base64,'
            yield base64.b64encode(_encoded(samples, kind, icc)).decode("ascii")
            yield '"></div>'
        yield "</div>\n"


def _encoded(samples: NDArray[np.uint8], kind: str, icc: bytes | None) -> bytes:
    """A picture file of 8-bit samples (H, W, C)."""
    channels = samples.shape[2]
    fitting = icc if icc and icc[16:20] == (b"GRAY" if channels == 1 else b"RGB ") else b""
    buffer = io.BytesIO()
    image = Image.fromarray(samples if channels > 1 else samples[..., 0])
    image.save(buffer, kind, icc_profile=fitting, quality=_QUALITY, subsampling=0)  # PNG takes no notice of these two
    return buffer.getvalue()
