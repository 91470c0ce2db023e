"""Texts, comments and colour descriptions that one format alone has: kept there, and said elsewhere."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import ExifTags, Image

import picture_files as files
from pellucid.images import read_header, read_picture, unsupported

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
TEXTS = [
    (b"tEXt", b"parameters\0a castle on a hill, steps: 20"),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"long")),
    (b"iTXt", b"Title\0\0\0de\0Titel\0\xc3\xa9t\xc3\xa9"),
    (b"tIME", struct.pack(">HBBBBB", 2024, 5, 6, 7, 8, 9)),
]
COLOURS = [(b"cICP", b"\x0c\x0d\0\1"), (b"gAMA", struct.pack(">I", 100000)), (b"cHRM", bytes(range(32)))]


@pytest.fixture
def path(tmp_path):
    chunks = files.png_chunks(imagecodecs.png_encode(RGB))
    path = tmp_path / "a.png"
    path.write_bytes(files.png_of([chunks[0], *COLOURS, *chunks[1:-1], *TEXTS, chunks[-1]]))
    return path


def test_png_keeps_its_texts_and_colours(path, tmp_path):
    picture = read_picture(path)
    assert picture.notes == picture.save(tmp_path / "b.png") == ()
    found = files.png_chunks((tmp_path / "b.png").read_bytes())
    for chunk in (*TEXTS, *COLOURS):
        assert found.count(chunk) == 1
    kinds = [kind for kind, _ in found]
    assert all(kinds.index(kind) < kinds.index(b"IDAT") for kind, _ in COLOURS)


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".webp"])
def test_others_say_that_they_do_not(path, tmp_path, suffix):
    said = unsupported(read_header(path), suffix)
    assert ["texts" in said[0], "colour description" in said[1], len(said)] == [True, True, 2]
    assert read_picture(path).save(tmp_path / f"b{suffix}") == said


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_comment_is_jpegs(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", comment=b"for Ada")
    said = read_picture(tmp_path / "a.jpg").save(tmp_path / f"b{suffix}")
    if suffix == ".jpg":
        assert said == ()
        with Image.open(tmp_path / "b.jpg") as image:
            assert image.info["comment"] == b"for Ada"
    else:
        assert said == ("PNG has no place for the comment; it is not kept",)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_preview_is_not_left_lying_on_its_side(tmp_path, orientation):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG")
    thumbnail = buffer.getvalue()
    exif = bytearray(files.exif_of(orientation))
    pointer = 8 + 2 + 12 * int.from_bytes(exif[8:10], "big")
    at = len(exif) + len(exif) % 2
    exif[pointer : pointer + 4] = struct.pack(">I", at)
    second = struct.pack(">HHHIIHHIII", 2, 513, 4, 1, at + 30, 514, 4, 1, len(thumbnail), 0)
    exif += bytes(at - len(exif)) + second + thumbnail
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    picture = read_picture(tmp_path / "a.jpg")
    assert thumbnail in picture.metadata.exif  # bytes are not moved, which maker notes would not survive
    found = Image.Exif()
    found.load(picture.metadata.exif)
    assert (513 in found.get_ifd(ExifTags.IFD.IFD1)) == (orientation == 1)
    assert len(picture.notes) == (orientation == 6)


def test_extended_xmp_is_noted(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG", xmp=b"<x/>")
    data = buffer.getvalue()
    body = b"http://ns.adobe.com/xmp/extension/\0" + bytes(50)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.metadata.xmp, picture.notes) == (b"<x/>", ("its extended XMP data is not kept",))


@pytest.mark.parametrize("write", [files.png, files.tiff])
def test_where_a_profile_says_what_white_is_the_values_do_not(tmp_path, icc, write):
    dark = RNG.integers(0, 1000, (6, 9, 3)).astype(np.uint16)
    for profile, top in ((None, 1023), (icc, 65535)):
        (tmp_path / "a").write_bytes(write(dark, profile))
        picture = read_picture(tmp_path / "a")
        assert picture.span == (0, top / 65535)
        assert len(picture.notes) == (profile is None)
        np.testing.assert_array_equal(picture.pixels, dark / np.float32(65535))
