"""The rows of a PNG stripe by stripe: libpng undoes and chooses the filters, one zlib stream runs through them all.

A filter looks at the row above. So libpng sees each stripe as a small picture of its own, stored without compression,
that starts with the row above; that row is dropped again.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np

from pellucid.errors import PictureError
from pellucid.images._sheet import Sheet
from pellucid.images.picture import Samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INTERLACED_AT = len(SIGNATURE) + 20  # the byte that says so

_HEAD_SIZE = 13
_FIRST_AFTER_HEAD = len(SIGNATURE) + 12 + _HEAD_SIZE
_MOST_MEANING = 768  # bytes: a palette of 256 colours
_PIECE = 2**16  # compressed bytes looked at at a time
_MOST_DATA = 2**20  # bytes of one chunk of rows
_OPTIONAL = 0x20  # the bit of a chunk's name that allows a reader not to know it
_PALETTE = 3  # of PNG's types of colour
_CHANNELS = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}


class Chunk(NamedTuple):
    """Where the data of a chunk stand in the file."""

    kind: bytes
    at: int
    size: int


class _Layout(NamedTuple):
    """How a file stores its rows: its header's data, the chunks that say what values mean, and where the rows begin."""

    head: bytes
    meaning: bytes
    at: int

    @property
    def is_packed(self) -> bool:
        """Whether bytes are not samples but several of them, or numbers of a palette."""
        return self.head[8] < 8 or self.head[9] == _PALETTE

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        width, height = struct.unpack(">II", self.head[:8])
        return width, height

    @property
    def row_bytes(self) -> int:
        """Of a row as stored, without the number of its filter."""
        return -(-self.size[0] * self.head[8] * _CHANNELS.get(self.head[9], 1) // 8)


def chunks_of(file: BinaryIO) -> Iterator[Chunk]:
    """Every chunk up to the end mark, skipping over the data; raises PictureError where the file stops before."""
    end = file.seek(0, 2)
    at = len(SIGNATURE)
    while at + 12 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if at + 12 + size > end:
            break
        yield Chunk(kind, at + 8, size)
        if kind == b"IEND":
            return
        at += 12 + size
    raise PictureError("the PNG data is truncated; get a whole copy of the file")


def pack(kind: bytes, data: bytes | memoryview) -> bytes:
    """A chunk of these data."""
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


def head_of(sheet: Sheet) -> bytes:
    """The data of the header of such a picture, not interlaced."""
    bits, colour = 8 * np.dtype(sheet.type).itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[sheet.channels]
    return struct.pack(">IIBBBBB", sheet.width, sheet.height, bits, colour, 0, 0, 0)


def read_rows(file: BinaryIO, stripe_rows: int) -> Iterator[Samples]:
    """The samples in stripes of so many rows, palettes and transparent colours expanded.

    Raises PictureError, zlib.error and imagecodecs.PngError for damaged data.
    """
    layout = _layout_of(file)
    height, row_bytes = layout.size[1], layout.row_bytes
    # A filter works on bytes, whatever they mean.
    head = struct.pack(">II", row_bytes, 1) + b"\x08" + bytes(4) if layout.is_packed else layout.head
    inflated = _Inflated(file, layout.at)
    above = b""
    for start in range(0, height, stripe_rows):
        count = min(stripe_rows, height - start)
        stripe = _decoded(head, count + bool(above), above + inflated.read(count * (1 + row_bytes)))[-count:]
        if start + count == height:
            inflated.finish()
        above = _plain(stripe[-1:])
        if layout.is_packed or layout.meaning:
            stripe = _decoded(layout.head, count, _plain(stripe), layout.meaning)
        yield stripe


def packed_rows(stripes: Iterator[Samples], level: int) -> Iterator[bytes]:
    """The chunks of a whole picture's rows, each filtered as libpng finds best, from stripes `(h, W, C)`."""
    stream = zlib.compressobj(level)
    above: Samples | None = None
    for stripe in stripes:
        framed = stripe if above is None else np.concatenate([above, stripe])
        filtered = _filtered(framed)
        dropped = 0 if above is None else len(filtered) // len(framed)
        above = stripe[-1:].copy()
        yield from _split(stream.compress(memoryview(filtered)[dropped:]))
    yield from _split(stream.flush())


def _filtered(rows: Samples) -> bytes:
    size = rows.nbytes + len(rows)
    # By itself imagecodecs leaves too little room for narrow rows that are not compressed.
    encoded = imagecodecs.png_encode(rows, level=0, out=size + size // 64 + 1024)
    return zlib.decompress(b"".join(_image_data(BytesIO(encoded), _FIRST_AFTER_HEAD)))


def _split(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _MOST_DATA):
        yield pack(b"IDAT", memoryview(data)[start : start + _MOST_DATA])


def _layout_of(file: BinaryIO) -> _Layout:
    """What stands before the rows; raises PictureError where it is damaged."""
    chunks = chunks_of(file)
    head = _stored(file, next(chunks))
    if head != pack(b"IHDR", head[8:-4]) or len(head) != 12 + _HEAD_SIZE:
        raise PictureError("the PNG data is damaged: its header is wrong")
    meaning = b""
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            return _Layout(head[8:-4], meaning, chunk.at - 8)
        if chunk.kind in (b"PLTE", b"tRNS"):
            meaning += _stored(file, chunk)
        elif not (chunk.kind.isalpha() and chunk.kind[0] & _OPTIONAL):
            break
    raise PictureError("the PNG data is damaged before its pixels")


def _stored(file: BinaryIO, chunk: Chunk) -> bytes:
    """All bytes of a chunk; nothing of one too long to be honest."""
    file.seek(chunk.at - 8)
    return file.read(12 + chunk.size) if chunk.size <= _MOST_MEANING else b""


class _Inflated:
    """The decompressed data of the chunks from byte `at`, never more of them than are asked for."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self._stream = zlib.decompressobj()
        self._pieces = _image_data(file, at)
        self._waiting = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes; raises PictureError where they end before."""
        parts: list[bytes] = []
        while size:
            parts.append(self._part(size))
            size -= len(parts[-1])
        return b"".join(parts)

    def finish(self) -> None:
        """Look at the checksum behind the last byte; it does no harm if there are more bytes than were needed."""
        while not self._stream.eof and not self._part(1):
            pass

    def _part(self, size: int) -> bytes:
        piece = b"" if self._stream.eof else self._waiting or next(self._pieces, b"")
        part = self._stream.decompress(piece, size)
        self._waiting = self._stream.unconsumed_tail
        if not (piece or part):
            raise PictureError("the PNG data is damaged: its rows end too early")
        return part


def _image_data(file: BinaryIO, at: int) -> Iterator[bytes]:
    """The data of the chunks of pixels from byte `at`, in pieces; raises PictureError where a checksum is wrong."""
    while True:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind != b"IDAT":
            return
        check = zlib.crc32(kind)
        for start in range(0, size, _PIECE):
            file.seek(at + 8 + start)  # others may have read in between
            piece = file.read(min(_PIECE, size - start))
            check = zlib.crc32(piece, check)
            if start + len(piece) == size and file.read(4) != check.to_bytes(4, "big"):
                raise PictureError("the PNG data is damaged: a checksum is wrong")
            yield piece
        at += 12 + size


def _plain(rows: Samples) -> bytes:
    """The bytes of rows, each after the number of the filter that changes nothing."""
    big_endian = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">")).reshape(len(rows), -1).view(np.uint8)
    return np.pad(big_endian, ((0, 0), (1, 0))).tobytes()


def _decoded(head: bytes, height: int, rows: bytes, meaning: bytes = b"") -> Samples:
    """Samples `(height, W, C)` of a picture of these filtered rows and otherwise the same header."""
    head = head[:4] + struct.pack(">I", height) + head[8:]
    data = pack(b"IDAT", zlib.compress(rows, 0))
    samples = imagecodecs.png_decode(b"".join((SIGNATURE, pack(b"IHDR", head), meaning, data, pack(b"IEND", b""))))
    return samples if samples.ndim == 3 else samples[..., np.newaxis]
