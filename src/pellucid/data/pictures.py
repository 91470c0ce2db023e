"""Folders of photographs to train on or to measure with."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import DataError
from pellucid.images import read_picture
from pellucid.images.picture import scaled, to_integers

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})


def picture_paths(folder: Path) -> list[Path]:
    """List the pictures below a folder, in an order that does not depend on the file system.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of pictures")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise DataError(f"{folder} holds no picture ({', '.join(sorted(_SUFFIXES))})")
    return paths


def read_rgb8(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) bytes: grey is repeated, alpha left out, others rounded to 8 bits."""
    picture = read_picture(path)
    values = picture.pixels if picture.numbers == "unsigned" else scaled(picture.pixels, picture.span)
    pixels = to_integers(values, 8).astype(np.uint8, copy=False)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


class PictureFolders:
    """The pictures of one or more folders as (H, W, 3) bytes, kept once decoded as far as there is room.

    Args:
        folders: at least one.
        most_bytes: room for decoded pictures; where it is full, the one that was decoded first makes way.
    """

    def __init__(self, *folders: Path, most_bytes: int = 4 * 2**30) -> None:
        self.paths = [path for folder in folders for path in picture_paths(folder)]
        self._decoded: dict[int, NDArray[np.uint8]] = {}
        self._room = most_bytes
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        kept = self._decoded.get(index)
        if kept is not None:
            return kept
        picture = read_rgb8(self.paths[index])
        with self._lock:  # several threads ask for pictures
            if index not in self._decoded:
                while self._decoded and picture.nbytes > self._room:
                    self._room += self._decoded.pop(next(iter(self._decoded))).nbytes
                self._decoded[index] = picture
                self._room -= picture.nbytes
        return picture

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[index] for index in range(len(self)))
