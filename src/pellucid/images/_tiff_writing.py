"""Writing TIFF page by page: pixels through tifffile, descriptions by our own directories."""

import struct
from pathlib import Path

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
from pellucid.images._tiff_tags import ARRAY_NAMES, byte_order, directory_of, stores_planes_apart
from pellucid.images.picture import BitDepth, Metadata, Samples

_MOST_CLASSIC = 2**32 - 2**26  # bytes; beyond, offsets need BigTIFF


class PagesWriter:
    """Takes the pages of one file; ImageJ's are stored plainly, one after another, as it reads them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tifffile.TiffWriter | None = None
        self._layout = Layout("<")
        self._pages: list[tuple[Metadata, tuple[int, int, int]]] = []
        self._plain = self._planar = False

    def add(self, samples: Samples, metadata: Metadata, bit_depth: BitDepth) -> list[str]:
        """Write samples `(H, W)` or `(H, W, C)` losslessly as the next page."""
        del bit_depth  # that of the samples
        height, width, channels = (*samples.shape, 1)[:3]
        if self._file is None:
            expected = samples.nbytes * (metadata.array.shape[0] if metadata.array else 1)
            self._layout = Layout(byte_order(metadata).order, big=expected > _MOST_CLASSIC)
            self._plain = metadata.array is not None and ARRAY_NAMES[0] in metadata.array.names
            self._planar = channels > 1 and stores_planes_apart(metadata)
            self._file = tifffile.TiffWriter(self._path, bigtiff=self._layout.big, byteorder=self._layout.order)
        self._file.write(
            np.moveaxis(samples, 2, 0) if self._planar else samples,
            photometric="rgb" if channels >= 3 else "minisblack",
            planarconfig=("separate" if self._planar else "contig") if channels > 1 else None,
            extrasamples=("unassalpha",) if channels in (2, 4) else None,
            compression=None if self._plain else "zlib",
            predictor=not self._plain,
            metadata=None,
            software=False,
            contiguous=self._plain and {shape for _, shape in self._pages} == {(height, width, channels)},
        )
        self._pages.append((metadata, (height, width, channels)))
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
