"""Pictures in stripes of rows: read and written like whole ones, in memory that does not grow with them."""

import io
import json
import struct
import subprocess
import sys
import zlib
from itertools import product

import imagecodecs
import numpy as np
import pytest
from PIL import Image, features

import picture_files as files
from pellucid.errors import PictureError
from pellucid.images import Metadata, _bmp, _heif, _jpeg, _png, _pnm, _webp
from pellucid.images._sheet import Sheet, gathered
from pellucid.images._survey import only_page

RNG = np.random.default_rng(0)
SIZES = [(1, 1), (1, 9), (9, 1), (7, 13), (16, 33)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
TRANSPARENT = {0: b"\0\1", 2: b"\0\1\0\1\0\1", 3: bytes(range(0, 250, 50))}
PNG_KINDS = [
    *((bits, colour, False) for colour, depths in ((0, (1, 2, 4, 8, 16)), (3, (1, 2, 4, 8))) for bits in depths),
    *((bits, colour, False) for colour in (2, 4, 6) for bits in (8, 16)),
    *((bits, colour, True) for bits, colour in ((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (2, 3), (8, 3))),
]


def png_with(size, bits, colour, data, *between):
    """A PNG of these compressed rows."""
    head = struct.pack(">IIBBBBB", size[1], size[0], bits, colour, 0, 0, 0)
    return files.png_of([(b"IHDR", head), *between, (b"IDAT", data), (b"IEND", b"")])


def filtered_rows(size, bits, colour):
    """Random bytes behind random filters: all are legal, and nearly all values depend on all rows above."""
    rows = RNG.integers(0, 256, (size[0], 1 + -(-size[1] * bits * CHANNELS[colour] // 8)), dtype=np.uint8)
    rows[:, 0] %= 5
    return rows.tobytes()


def any_png(size, bits, colour, transparent):
    between = [(b"PLTE", RNG.bytes(3 * 2**bits))] if colour == 3 else []
    if transparent:
        between.append((b"tRNS", TRANSPARENT[colour][: 2**bits if colour == 3 else None]))
    return png_with(size, bits, colour, zlib.compress(filtered_rows(size, bits, colour)), *between)


def bmp_kinds(size):
    colour = Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8))
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        image = colour.quantize(5) if mode == "P" else colour.convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, "BMP")
        yield buffer.getvalue()
    data = bytearray(buffer.getvalue())
    data[22:26] = struct.pack("<i", -size[0])  # the first row first
    yield bytes(data)


def pnm_kinds(size):
    head = b" %d %d" % size[::-1]
    yield b"P4" + head + b"\n" + RNG.bytes(size[0] * -(-size[1] // 8))
    for kind, top, count in product((5, 6), (100, 255, 1023, 65535), (size[0] * size[1],)):
        values = RNG.integers(0, top + 1, count * (3 if kind == 6 else 1))
        yield b"P%d%s %d\n" % (kind, head, top) + values.astype(np.uint8 if top < 256 else ">u2").tobytes()


@pytest.fixture
def assert_stripes_are_the_picture(monkeypatch):
    def check(form, data):
        file = io.BytesIO(data)
        (page,) = only_page(form.survey, form.decode, form.stripes_of)(file)
        whole = form.decode(file, page.survey)
        for rows in {1, 2, max(1, len(whole) - 1), len(whole), len(whole) + 1}:
            monkeypatch.setattr("pellucid.images._survey.stripe_rows", lambda *_, rows=rows: rows)
            stripes = list(page.stripes())
            assert [len(stripe) for stripe in stripes[:-1]] == [rows] * ((len(whole) - 1) // rows)
            assert {stripe.dtype for stripe in stripes} == {whole.dtype}
            np.testing.assert_array_equal(np.concatenate(stripes), whole)

    return check


@pytest.mark.parametrize(("bits", "colour", "transparent"), PNG_KINDS)
def test_png_is_read_by_stripes(assert_stripes_are_the_picture, bits, colour, transparent):
    for size in SIZES:
        assert_stripes_are_the_picture(_png, any_png(size, bits, colour, transparent))


@pytest.mark.parametrize(("form", "kinds"), [(_bmp, bmp_kinds), (_pnm, pnm_kinds)])
def test_plain_formats_are_read_by_stripes(assert_stripes_are_the_picture, form, kinds):
    for size in SIZES:
        for data in kinds(size):
            assert_stripes_are_the_picture(form, data)


def test_what_has_no_rows_in_order_is_read_as_a_whole():
    interlaced = bytearray(any_png((7, 13), 8, 2, transparent=False))
    interlaced[28] = 1
    compressed = bytearray(next(data for data in bmp_kinds((7, 13)) if data[28] == 8))
    compressed[30] = 1
    for form, data in ((_png, interlaced), (_bmp, compressed), (_pnm, b"P2 2 1 255\n1 2")):
        file = io.BytesIO(data)
        assert form.stripes_of(file, form.survey(file)) is None


def test_png_stripes_can_be_read_in_turn(monkeypatch):
    """The file's position is nobody's own."""
    monkeypatch.setattr("pellucid.images._survey.stripe_rows", lambda *_: 1)
    file = io.BytesIO(any_png((200, 300), 8, 2, transparent=False))  # more than is read of it at a time
    survey = _png.survey(file)
    stripes = _png.stripes_of(file, survey)
    for one, other in zip(stripes(), stripes(), strict=True):
        np.testing.assert_array_equal(one, other)


def read_as_far_as_it_goes(data):
    file, found = io.BytesIO(data), []
    try:
        found.extend(_png.stripes_of(file, _png.survey(file))())
    except (PictureError, zlib.error, imagecodecs.PngError) as error:
        return found, error
    return found, None


def test_truncated_png_gives_the_rows_before_the_cut_and_then_an_error(monkeypatch):
    monkeypatch.setattr("pellucid.images._survey.stripe_rows", lambda *_: 4)
    packed = zlib.compress(filtered_rows((100, 60), 8, 2), 0)
    whole = np.concatenate(read_as_far_as_it_goes(png_with((100, 60), 8, 2, packed))[0])
    for tenth in range(10):
        data = png_with((100, 60), 8, 2, packed[: len(packed) * tenth // 10])
        found, error = read_as_far_as_it_goes(data)
        assert error is not None
        assert 25 * tenth // 10 - len(found) in (0, 1)
        if found:
            rows = np.concatenate(found)
            np.testing.assert_array_equal(rows, whole[: len(rows)])
        with pytest.raises(imagecodecs.PngError):
            _png.decode(io.BytesIO(data), _png.survey(io.BytesIO(data)))


def test_truncated_bmp_is_refused(monkeypatch):
    monkeypatch.setattr("pellucid.images._survey.stripe_rows", lambda *_: 4)
    for data in bmp_kinds((40, 50)):
        at = int.from_bytes(data[10:14], "little")
        for tenth in range(10):
            file = io.BytesIO(data[: at + (len(data) - at) * tenth // 10])
            survey = _bmp.survey(file)
            with pytest.raises(PictureError, match="truncated"):
                list(_bmp.stripes_of(file, survey)())
            with pytest.raises(OSError, match="truncated"):
                _bmp.decode(file, survey)


def damaged_pngs():
    rows = filtered_rows((9, 7), 8, 2)
    packed = zlib.compress(rows)
    good = png_with((9, 7), 8, 2, packed)
    yield "checksum of a chunk", good[:-16] + bytes([good[-16] ^ 1]) + good[-15:]
    yield "checksum of the header", good[:32] + bytes([good[32] ^ 1]) + good[33:]
    yield "checksum of the rows", png_with((9, 7), 8, 2, packed[:-1] + bytes([packed[-1] ^ 1]))
    yield "no checksum of the rows", png_with((9, 7), 8, 2, packed[:-4])
    yield "one byte missing", png_with((9, 7), 8, 2, zlib.compress(rows[:-1]))
    yield "unknown filter", png_with((9, 7), 8, 2, zlib.compress(b"\5" + rows[1:]))
    yield "unknown part", png_with((9, 7), 8, 2, packed, (b"ABCD", b""))
    yield "no palette", png_with((9, 7), 8, 3, zlib.compress(filtered_rows((9, 7), 8, 3)))
    yield "impossible depth", png_with((9, 7), 3, 0, packed)
    yield "impossible colour", png_with((9, 7), 8, 5, packed)
    head, body, end = files.png_chunks(good)
    halves = [(b"IDAT", body[1][:99]), (b"tEXt", b"a\0b"), (b"IDAT", body[1][99:])]
    yield "rows in two places", files.png_of([head, *halves, end])
    yield "nothing", files.png_of([head, end])


@pytest.mark.parametrize("data", [pytest.param(data, id=damage) for damage, data in damaged_pngs()])
def test_damaged_png_is_refused_by_stripes_as_well(data):
    assert read_as_far_as_it_goes(data)[1] is not None
    with pytest.raises((imagecodecs.PngError, UnicodeDecodeError)):  # the latter in telling of an unknown part
        _png.decode(io.BytesIO(data), _png.survey(io.BytesIO(data)))


def test_more_data_than_rows_do_no_harm():
    rows = filtered_rows((9, 7), 8, 2)
    expected, _ = read_as_far_as_it_goes(png_with((9, 7), 8, 2, zlib.compress(rows)))
    for packed in (zlib.compress(rows + bytes(10**6)), zlib.compress(rows) + b"more"):
        found, error = read_as_far_as_it_goes(png_with((9, 7), 8, 2, packed))
        assert error is None
        np.testing.assert_array_equal(found, expected)


def in_stripes(samples, height):
    return (samples[start : start + height] for start in range(0, len(samples), height))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes samples in stripes of several heights, asserts that all files are the same, and gives one back."""

    def write(encode, samples, stripe_rows=None, metadata=Metadata()):  # noqa: B008  # it never changes
        if stripe_rows:
            monkeypatch.setattr("pellucid.images._sheet.stripe_rows", lambda *_: stripe_rows)
        sheet = Sheet(*samples.shape, samples.dtype.type, 8 * samples.itemsize, metadata)
        found = set()
        for height in (1, 3, 8, 9, len(samples)):
            encode(tmp_path / "picture", sheet, in_stripes(samples, height))
            found.add((tmp_path / "picture").read_bytes())
        (data,) = found
        return data

    return write


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_is_written_by_stripes(write, kind, channels):
    for size, rows in product(SIZES, (1, 4, None)):
        samples = RNG.integers(0, np.iinfo(kind).max, (*size, channels), dtype=kind, endpoint=True)
        found = imagecodecs.png_decode(write(_png.encode, samples, rows))
        np.testing.assert_array_equal(found.reshape(samples.shape), samples)
        assert found.dtype == kind


@pytest.mark.parametrize("size", [(2**20 + 1, 1), (70000, 7), (1, 70000)])
def test_png_may_be_long(tmp_path, size):
    """More than a million rows are more than libpng takes at once."""
    samples = RNG.integers(0, 256, (*size, 1), dtype=np.uint8)
    _png.encode(tmp_path / "long.png", Sheet(*size, 1, np.uint8, 8, Metadata()), in_stripes(samples, size[0]))
    with (tmp_path / "long.png").open("rb") as file:
        found = np.concatenate(list(_png.stripes_of(file, _png.survey(file))()))
    np.testing.assert_array_equal(found, samples)


def test_png_is_as_small_as_one_written_at_once(write):
    y, x = np.mgrid[:1500, :900]
    samples = np.stack([x // 4, y // 6, (x + y) // 10], axis=2).astype(np.uint8) + RNG.integers(0, 8, (1500, 900, 1))
    data = write(_png.encode, samples.astype(np.uint8))
    assert len(data) < 1.01 * len(imagecodecs.png_encode(samples.astype(np.uint8), level=4))
    sizes = [len(data) for kind, data in files.png_chunks(data) if kind == b"IDAT"]
    assert max(sizes) <= 2**20
    assert len(sizes) > 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stripe_rows", [1, 8, 16, 23, 1000])
def test_jpeg_by_stripes_has_the_pixels_of_one_encoded_at_once(write, channels, stripe_rows):
    for size in (*SIZES, (8, 8), (150, 70), (161, 17)):
        samples = RNG.integers(0, 256, (*size, channels), dtype=np.uint8)
        image = Image.fromarray(samples.squeeze(2) if channels == 1 else samples)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=95, subsampling=0)
        data = write(_jpeg.encode, samples, stripe_rows)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(Image.open(buffer)))
        if size[0] <= max(8, stripe_rows // 8 * 8):
            assert data == buffer.getvalue()


def test_jpeg_of_greatest_width(write):
    """Of more rows there would be too many blocks between two restart markers."""
    samples = RNG.integers(0, 256, (80, _jpeg.MOST_PIXELS_PER_SIDE, 1), dtype=np.uint8)
    data = write(_jpeg.encode, samples, 80)
    decoded = np.asarray(Image.open(io.BytesIO(data)), np.int16)
    assert decoded.shape == samples.shape[:2]
    assert np.abs(decoded - samples[..., 0]).mean() < 3
    assert b"\xff\xd0" in data


def test_jpeg_is_described_once(write, icc, make_exif):
    metadata = Metadata(icc=icc, exif=make_exif(), xmp=files.XMP % 1, comment=b"said", resolution=(300.0, 300.0))
    data = write(_jpeg.encode, RNG.integers(0, 256, (99, 9, 3), dtype=np.uint8), 8, metadata)
    survey = _jpeg.survey(io.BytesIO(data))
    for name in ("icc", "exif", "xmp", "comment", "resolution"):
        assert getattr(survey.metadata, name) == getattr(metadata, name)
    assert [data.count(mark) for mark in (b"ICC_PROFILE", b"Exif\0", b"said", b"\xff\xd9")] == [1, 1, 1, 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_bmp_by_stripes_is_the_same_file(write, channels):
    for size, rows in product(SIZES, (1, 4, None)):
        samples = RNG.integers(0, 256, (*size, channels), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(samples.squeeze(2) if channels == 1 else samples).save(buffer, "BMP", dpi=(0, 0))
        assert write(_bmp.encode, samples, rows) == buffer.getvalue()


def test_other_formats_take_stripes(write):
    samples = RNG.integers(0, 256, (20, 9, 3), dtype=np.uint8)
    for encode in (_pnm.encode, _pnm.encode_colour):
        assert write(encode, samples, 4) == b"P6\n9 20\n255\n" + samples.tobytes()
    grey = samples[..., :1]
    assert write(_pnm.encode, grey, 4) == b"P5\n9 20\n255\n" + grey.tobytes()
    assert write(_pnm.encode_colour, grey, 4) == b"P6\n9 20\n255\n" + grey.repeat(3, 2).tobytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(write(_webp.encode, samples, 4)))), samples)
    if features.check("avif"):
        assert Image.open(io.BytesIO(write(_heif.encode_avif, samples, 4))).size == (9, 20)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.zeros((8, 5, 3), np.uint8), "1 of 9 rows are missing"),
        (np.zeros((10, 5, 3), np.uint8), "do not fit"),
        (np.zeros((9, 4, 3), np.uint8), "do not fit"),
        (np.zeros((9, 5, 1), np.uint8), "do not fit"),
        (np.zeros((9, 5, 3), np.uint16), "do not fit"),
    ],
)
def test_rows_that_are_not_the_pictures_are_refused(tmp_path, rows, reason):
    sheet = Sheet(9, 5, 3, np.uint8, 8, Metadata())
    for encode in (_png.encode, _jpeg.encode, _bmp.encode, _pnm.encode):
        with pytest.raises(ValueError, match=reason):
            encode(tmp_path / "picture", sheet, in_stripes(rows, 2))
    with pytest.raises(ValueError, match=reason):
        gathered(sheet, in_stripes(rows, 2))


PASS = """
import io, json, sys
from pathlib import Path
import numpy as np
from pellucid.images import Metadata, _bmp, _jpeg, _png, _pnm
from pellucid.images._sheet import Sheet

def most_resident():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

path, found = Path(sys.argv[1]), {}
rows = np.arange(100 * 6000 * 3, dtype=np.uint32).reshape(100, 6000, 3).astype(np.uint8)
for form in (_png, _bmp, _pnm, _jpeg):
    before = most_resident()
    form.encode(path, Sheet(5000, 6000, 3, np.uint8, 8, Metadata()), (rows for _ in range(50)))
    if form is not _jpeg:
        with path.open("rb") as file:
            assert sum(len(stripe) for stripe in form.stripes_of(file, form.survey(file))()) == 5000
    found[form.__name__] = most_resident() - before
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_picture(tmp_path):
    """Of 30 million pixels, 90 MB, only stripes are ever there."""
    command = [sys.executable, "-c", PASS, str(tmp_path / "picture")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert max(json.loads(result.stdout).values()) < 40 * 2**20
