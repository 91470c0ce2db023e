"""Picture files made by other people's encoders, for tests that ask whether a file comes back as it was."""

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d" dc:title="\xc3\xa9t\xc3\xa9"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x05\0\5title"
RESOLUTION = (300.0, 150.0)


def exif_of(orientation: int) -> bytes:
    """A block with an orientation and a few tags, big-endian as cameras write it."""
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x010F], exif[0x0112], exif[0x0132], exif[0x8298] = "Pellucid", orientation, "2024:05:06 07:08:09", "nobody"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def turned(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The independent account of the eight orientations: Pillow's, on a picture of pixel numbers."""
    numbers = np.arange(samples.shape[0] * samples.shape[1], dtype=np.int32).reshape(samples.shape[:2])
    image = Image.fromarray(numbers)
    image.getexif()[0x0112] = orientation
    return samples.reshape(-1, *samples.shape[2:])[np.asarray(ImageOps.exif_transpose(image))]


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk of a PNG, in order."""
    chunks, at = [], 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks."""
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def png(samples: NDArray[Any], icc: bytes | None = None, orientation: int | None = None) -> bytes:
    """A PNG; with an orientation, all the metadata there is."""
    chunks = png_chunks(imagecodecs.png_encode(samples))
    more: list[tuple[bytes, bytes]] = []
    if icc:
        more.append((b"iCCP", b"any name\0\0" + zlib.compress(icc)))
    if orientation:
        more.append((b"pHYs", struct.pack(">IIB", *(round(dpi / 0.0254) for dpi in RESOLUTION), 1)))
        more.append((b"eXIf", exif_of(orientation)))
        more.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % orientation))
    return png_of([chunks[0], *more, *chunks[1:]])


def tiff(samples: NDArray[Any], icc: bytes | None = None, orientation: int | None = None, **options: Any) -> bytes:
    """A TIFF; with an orientation, all the metadata there is but Exif."""
    tags: list[tuple[int, Any, int, Any, bool]] = []
    if icc:
        tags.append((34675, 7, len(icc), icc, True))
    if orientation:
        xmp = XMP % orientation
        tags += [(274, "H", 1, orientation, True), (700, 1, len(xmp), xmp, True), (33723, 7, len(IPTC), IPTC, True)]
        tags += [(271, "s", 0, "Pellucid", True), (306, "s", 0, "2024:05:06 07:08:09", True)]
        options |= {"resolution": RESOLUTION, "resolutionunit": "inch"}
    channels = samples.shape[2] if samples.ndim == 3 else 1
    options.setdefault("photometric", "rgb" if channels >= 3 else "minisblack")
    if channels in (2, 4):
        options |= {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, extratags=tags, metadata=None, **options)
    return buffer.getvalue()


def saved(
    samples: NDArray[Any], form: str, icc: bytes | None = None, orientation: int | None = None, **options: Any
) -> bytes:
    """A file by Pillow; with an orientation, all the metadata there is."""
    if icc:
        options["icc_profile"] = icc
    if orientation:
        options |= {"exif": b"Exif\0\0" + exif_of(orientation), "xmp": XMP % orientation}
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, form, **options)
    return buffer.getvalue()


def webp(samples: NDArray[Any], icc: bytes | None = None, orientation: int | None = None) -> bytes:
    """A lossless WebP."""
    return saved(samples, "WEBP", icc, orientation, lossless=True, exact=True)


def bmp(samples: NDArray[Any]) -> bytes:
    """A BMP."""
    return saved(samples, "BMP", dpi=RESOLUTION)


def pnm(samples: NDArray[Any]) -> bytes:
    """A PGM or PPM."""
    kind, top = (6 if samples.ndim == 3 else 5), np.iinfo(samples.dtype).max
    values = samples.astype(samples.dtype.newbyteorder(">")).tobytes()
    return b"P%d\n%d %d\n%d\n" % (kind, samples.shape[1], samples.shape[0], top) + values
