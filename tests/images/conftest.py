"""What the tests of this room put into their pictures."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005


@pytest.fixture(scope="session")
def icc():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def cmyk_icc():
    """A real if crude press profile: ink darkens, and never turns into colour."""
    inks = np.indices((2, 2, 2, 2)).reshape(4, -1).T
    lightness = 255 * (1 - inks[:, :3].mean(1) * 0.7) * (1 - inks[:, 3] * 0.8)
    table = np.stack([lightness, np.full(16, 128), np.full(16, 128)], 1).astype(np.uint8).tobytes()
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i in (0, 4, 8) else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    directory = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, len(white))
    directory += b"A2B0" + struct.pack(">II", 156 + len(white), len(lut))
    body = directory + white + lut
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body


@pytest.fixture(scope="session")
def make_exif():
    """A camera's EXIF block, with every directory and kind of value, in either byte order."""

    def make(orientation=1, endian="<", dpi=240):
        exif = Image.Exif()
        exif.endian = endian
        exif[0x010F], exif[0x0110], exif[0x0112] = "Pellucid Optics", "Model 1", orientation
        exif[0x011A] = exif[0x011B] = IFDRational(dpi)
        exif[0x0128], exif[0x0132], exif[0x8298] = 2, "2024:05:06 07:08:09", "© nobody"
        inner = exif.get_ifd(EXIF)
        inner[0x829A], inner[0x8827], inner[0x9003] = IFDRational(1, 250), 400, "2024:05:06 07:08:09"
        inner[0x927C], inner[0x9204] = bytes(range(251)), IFDRational(-1, 3)
        inner[INTEROPERABILITY] = {1: "R98"}
        exif.get_ifd(GPS).update({1: "N", 2: (48.0, 51.0, 29.5), 3: "E", 4: (2.0, 17.0, 40.25), 5: b"\0"})
        return exif.tobytes().removeprefix(b"Exif\0\0")

    return make


@pytest.fixture(scope="session")
def tags_of():
    """The tags of a block as an independent reader (Pillow) sees them, but for places and orientation."""

    def tags(block):
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + block)
        directories = {name: dict(exif.get_ifd(name)) for name in (EXIF, GPS, INTEROPERABILITY)}
        directories[0] = dict(exif)
        for pointer in (EXIF, GPS, INTEROPERABILITY, 0x0112):
            for directory in directories.values():
                directory.pop(pointer, None)
        return directories

    return tags
