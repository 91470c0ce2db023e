"""TIFF directories, the structure of TIFF files and EXIF blocks alike: read and written, value bytes untouched."""

import struct
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, NamedTuple

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16

# Which tags of a directory point to further directories that belong to it; 0 is the main directory.
_POINTERS = {0: (EXIF, GPS), EXIF: (INTEROPERABILITY,)}
# Bytes per value: the twelve classic kinds and IFD, then the three of BigTIFF.
_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1)) | {16: 8, 17: 8, 18: 8}
_MOST_FIELDS = 4096


class Layout(NamedTuple):
    """Byte order, and whether offsets have 64 bits (BigTIFF)."""

    order: Literal["<", ">"]
    big: bool = False

    def pack(self, codes: str, *values: int) -> bytes:
        """`struct.pack` in this byte order."""
        return struct.pack(self.order + codes, *values)

    def number(self, value: bytes) -> int:
        """One unsigned integer of any size."""
        return int.from_bytes(value, "little" if self.order == "<" else "big")


@dataclass(frozen=True)
class Field:
    """One tag: its kind, number of values, the values' bytes as stored, and where those stand in the source."""

    kind: int
    count: int
    value: bytes
    at: int = 0


@dataclass
class Directory:
    """The fields of one directory and the directories below it; `whole` is false where a part could not be read."""

    fields: dict[int, Field] = field(default_factory=dict[int, Field])
    children: dict[int, "Directory"] = field(default_factory=dict[int, "Directory"])
    whole: bool = True


def read_layout(source: BinaryIO) -> tuple[Layout, int]:
    """The layout of a TIFF structure and where its main directory stands; raises ValueError if it is none."""
    head = _take(source, 0, 8)
    if head[:2] not in (b"II", b"MM"):
        raise ValueError("no TIFF structure")
    layout = Layout("<" if head[:2] == b"II" else ">")
    version = layout.number(head[2:4])
    if version == 42:
        return layout, layout.number(head[4:8])
    if version == 43:
        return Layout(layout.order, big=True), layout.number(_take(source, 8, 8))
    raise ValueError("no TIFF structure")


def read_directory(source: BinaryIO, layout: Layout, at: int, inside: int = 0) -> Directory:
    """The directory at byte `at` with the Exif, GPS and interoperability directories below it.

    Fields and children that cannot be read are left out and clear `whole`; raises ValueError where nothing can be read.
    """
    count_size, entry_size, inline = (8, 20, 8) if layout.big else (2, 12, 4)
    count = layout.number(_take(source, at, count_size))
    if not 0 < count <= _MOST_FIELDS:
        raise ValueError(f"a directory of {count} fields")
    table = _take(source, at + count_size, count * entry_size)
    directory = Directory()
    # No honest file has more value bytes than bytes; one whose values overlap could ask for thousands of times more.
    allowance = source.seek(0, 2)
    for start in range(0, len(table), entry_size):
        entry = table[start : start + entry_size]
        tag, kind = struct.unpack(layout.order + "HH", entry[:4])
        values = layout.number(entry[4:-inline])
        size = _SIZES.get(kind, 0) * values
        place = at + count_size + start + entry_size - inline
        if size > inline:
            place = layout.number(entry[-inline:])
        allowance -= size
        try:
            if kind not in _SIZES or allowance < 0:
                raise ValueError(f"a value of kind {kind} and {size} bytes")
            found = Field(kind, values, _take(source, place, size), place)
            if tag in _POINTERS.get(inside, ()):
                directory.children[tag] = read_directory(source, layout, layout.number(found.value), tag)
                directory.whole &= directory.children[tag].whole
            else:
                directory.fields[tag] = found
        except ValueError:
            directory.whole = False
    return directory


def next_pointer(directory_at: int, fields: int, layout: Layout) -> int:
    """Where a directory of so many fields says where the next one stands."""
    return directory_at + (8 + 20 * fields if layout.big else 2 + 12 * fields)


def read_offset(source: BinaryIO, layout: Layout, at: int) -> int:
    """The offset that stands at byte `at`; raises ValueError where the source ends before."""
    return layout.number(_take(source, at, 8 if layout.big else 4))


def pack_directory(directory: Directory, layout: Layout, at: int, following: int = 0) -> bytes:
    """`directory` as it stands at byte `at`: its table, then long values and children; raises struct.error past 4 GiB.

    `following` is where the next page's directory stands.

    A maker note keeps its bytes but not its place, so those few that hold absolute offsets lose them.
    """
    count_code, offset_code, inline, pointer = ("Q", "Q", 8, LONG8) if layout.big else ("H", "I", 4, LONG)
    tags = sorted({*directory.fields, *directory.children})
    tail_at = at + struct.calcsize("=" + count_code) + len(tags) * (4 + 2 * inline) + inline
    table, tail = bytearray(layout.pack(count_code, len(tags))), bytearray()
    for tag in tags:
        place = tail_at + len(tail)
        if tag in directory.children:
            tail += pack_directory(directory.children[tag], layout, place)
            entry = Field(pointer, 1, layout.pack(offset_code, place))
        else:
            entry = directory.fields[tag]
        value = entry.value
        if len(value) > inline:
            tail += value + b"\0" * (len(value) % 2)  # values start on even bytes
            value = layout.pack(offset_code, place)
        table += layout.pack("HH" + offset_code, tag, entry.kind, entry.count) + value.ljust(inline, b"\0")
    table += layout.pack(offset_code, following)
    return bytes(table + tail)


def pack_block(directory: Directory, order: Literal["<", ">"]) -> bytes:
    """A whole classic TIFF structure of this one directory: an EXIF block."""
    layout = Layout(order)
    head = (b"II" if order == "<" else b"MM") + layout.pack("HI", 42, 8)
    return head + pack_directory(directory, layout, len(head))


def _take(source: BinaryIO, at: int, size: int) -> bytes:
    """Exactly `size` bytes at `at`; raises ValueError where the source ends before."""
    source.seek(min(at, 2**62))  # a lying 64-bit offset would overflow the system call
    data = source.read(size)
    if len(data) != size:
        raise ValueError(f"{size} bytes announced at {at}, {len(data)} there")
    return data
