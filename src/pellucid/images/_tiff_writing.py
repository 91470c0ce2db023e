"""Writing TIFF page by page: pixels through tifffile, descriptions by our own directories."""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from pellucid.images._ifd import (
    Directory,
    Layout,
    next_pointer,
    pack_directory,
    read_directory,
    read_layout,
    read_offset,
)
from pellucid.images._sheet import Sheet, gathered, regrouped
from pellucid.images._tiff_tags import ARRAY_NAMES, byte_order, directory_of, stores_planes_apart
from pellucid.images.picture import Metadata, Samples

_MOST_CLASSIC = 2**32 - 2**26  # bytes; beyond, offsets need BigTIFF
_STRIP_BYTES = 2**18
_LEVEL = 4


def takes_whole_pages(metadata: Metadata) -> bool:
    """Whether a page cannot be written row by row: planes stand apart, or ImageJ's pages one after another."""
    return metadata.array is not None and (_is_plain(metadata) or stores_planes_apart(metadata))


class PagesWriter:
    """Takes the pages of one file; ImageJ's are stored plainly, one after another, as it reads them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tifffile.TiffWriter | None = None
        self._layout = Layout("<")
        self._pages: list[tuple[Metadata, tuple[int, int, int]]] = []
        self._plain = self._planar = False

    def add(self, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
        """Write the rows of the next page losslessly, as they come."""
        metadata, shape = sheet.metadata, (sheet.height, sheet.width, sheet.channels)
        row = sheet.width * sheet.channels * np.dtype(sheet.type).itemsize
        if self._file is None:
            expected = sheet.height * row * (metadata.array.shape[0] if metadata.array else 1)
            self._layout = Layout(byte_order(metadata).order, big=expected > _MOST_CLASSIC)
            self._plain = _is_plain(metadata)
            self._planar = sheet.channels > 1 and stores_planes_apart(metadata)
            self._file = tifffile.TiffWriter(self._path, bigtiff=self._layout.big, byteorder=self._layout.order)
        height = max(1, _STRIP_BYTES // row)
        if self._planar:
            plane = sheet._replace(channels=1)
            planes = np.moveaxis(gathered(sheet, rows), 2, 0)[..., np.newaxis]
            strips = itertools.chain.from_iterable(regrouped(plane, iter([samples]), height) for samples in planes)
        else:
            strips = regrouped(sheet, rows, height)
        continued = self._plain and {shape for _, shape in self._pages} == {shape}
        stored = (sheet.channels, *shape[:2]) if self._planar else shape if sheet.channels > 1 else shape[:2]
        if continued:  # tifffile takes nothing but an array there
            data = np.concatenate(list(strips)).reshape(stored)
        else:
            data = strips if self._plain else (_packed(samples, self._layout) for samples in strips)
        self._file.write(
            data,
            shape=stored,
            dtype=sheet.type,
            rowsperstrip=None if self._plain else height,
            photometric="rgb" if sheet.channels >= 3 else "minisblack",
            planarconfig=("separate" if self._planar else "contig") if sheet.channels > 1 else None,
            extrasamples=("unassalpha",) if sheet.channels in (2, 4) else None,
            compression=None if self._plain else "zlib",
            predictor=not self._plain,
            metadata=None,
            software=False,
            contiguous=continued,
        )
        self._pages.append((metadata, shape))
        return []

    def close(self) -> list[str]:
        """Add the descriptions; returns what could not be kept."""
        lost: list[str] = []
        self.release()
        about = [
            directory_of(metadata, (len(self._pages), *shape), self._layout, lost) for metadata, shape in self._pages
        ]
        try:
            _rewrite_directories(self._path, about)
        except (ValueError, struct.error) as error:
            # The directories tifffile wrote still stand, so the pictures are whole without them.
            lost.append(f"the descriptions could not be written ({error}) and are not kept")
        return lost

    def release(self) -> None:
        """Let go of the file, finished or not."""
        if self._file is not None:
            self._file.close()


def _is_plain(metadata: Metadata) -> bool:
    return metadata.array is not None and ARRAY_NAMES[0] in metadata.array.names


def _packed(strip: Samples, layout: Layout) -> bytes:
    """A strip, coded: differences of neighbours in a row, or of the bytes of floats, and these deflated."""
    if strip.dtype.kind == "f":
        coded = imagecodecs.floatpred_encode(np.ascontiguousarray(strip), axis=-2)
    else:
        coded = imagecodecs.delta_encode(np.ascontiguousarray(strip), axis=-2)
        coded = coded.astype(coded.dtype.newbyteorder(layout.order))
    # zlib's format, by libdeflate: smaller, and in a fifth of the time
    return bytes(imagecodecs.deflate_encode(coded.tobytes(), level=_LEVEL))


def _rewrite_directories(path: Path, abouts: list[Directory]) -> None:
    """Append for each page a directory with everything its own has and what it is `about`, and put it in its place.

    tifffile cannot write Exif and GPS directories, and recodes the values of other tags; this does neither.
    """
    with path.open("r+b") as file:
        layout, at = read_layout(file)
        pointer_at = 8 if layout.big else 4
        for about in abouts:
            directory = read_directory(file, layout, at)
            following = read_offset(file, layout, next_pointer(at, len(directory.fields), layout))
            directory.fields |= about.fields
            directory.children = about.children
            end = file.seek(0, 2)
            file.write(b"\0" * (end % 2))
            at = end + end % 2
            file.write(pack_directory(directory, layout, at, following))
            file.seek(pointer_at)
            file.write(layout.pack("Q" if layout.big else "I", at))
            pointer_at = next_pointer(at, len(directory.fields) + len(directory.children), layout)
            at = following
