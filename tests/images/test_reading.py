"""Every kind of file reads exactly or is refused in one sentence."""

import io
import os
import struct
import zlib
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from pellucid.errors import PictureError
from pellucid.images import read_header, read_picture

RNG = np.random.default_rng(0)
GREY8, RGB8, RGBA8 = (RNG.integers(0, 256, (6, 9, *end), dtype=np.uint8) for end in ((), (3,), (4,)))
GREY16, RGB16, RGBA16 = (RNG.integers(0, 65536, (6, 9, *end), dtype=np.uint16) for end in ((), (3,), (4,)))
SMOOTH = np.linspace(0, 255, 16 * 24 * 3).astype(np.uint8).reshape(16, 24, 3)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, size, bits, colour, *extra):
    """A PNG made by hand: `rows` are the packed bytes of each row."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*each) for each in extra) + body + chunk(b"IEND", b"")


def saved(samples, form, mode=None, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(samples)
    (image.convert(mode) if mode else image).save(buffer, form, **options)
    return buffer.getvalue()


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, metadata=None, **options)
    return buffer.getvalue()


def small_files():
    """One small file of each kind."""
    return {
        "png8": saved(RGBA8, "PNG"),
        "png16": imagecodecs.png_encode(RGB16),
        "palette": saved(RGB8, "PNG", mode="P", transparency=3),
        "jpeg": saved(
            SMOOTH, "JPEG", dpi=(300, 300), exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
        ),
        "progressive": saved(SMOOTH, "JPEG", progressive=True),
        "cmyk": saved(SMOOTH, "JPEG", mode="CMYK"),
        "webp": saved(RGBA8, "WEBP", lossless=True, exact=True),
        "lossy": saved(SMOOTH, "WEBP", exif=b"II*\0\x08\0\0\0\0\0\0\0"),
        "tiff": tiff(RGB16, photometric="rgb"),
        "deflate": tiff(RGBA8, photometric="rgb", compression="zlib", predictor=True, extrasamples=["unassalpha"]),
        "tiles": tiff(RGB8, photometric="rgb", tile=(16, 16), compression="lzw"),
        "big": tiff(GREY16, bigtiff=True, byteorder=">"),
    }


@pytest.fixture
def read(tmp_path):
    def read(data, name="picture.bin"):
        (tmp_path / name).write_bytes(data)
        header, picture = read_header(tmp_path / name), read_picture(tmp_path / name)
        assert (header.height, header.width, header.channels) == picture.pixels.shape
        assert (header.bit_depth, header.has_alpha) == (picture.bit_depth, picture.has_alpha)
        return picture

    return read


def assert_samples(picture, samples):
    top = np.float32(np.iinfo(samples.dtype).max)
    samples = samples.reshape(*samples.shape[:2], -1)
    colours = 3 if samples.shape[2] >= 3 else 1
    np.testing.assert_array_equal(picture.pixels, samples[..., :colours] / top)
    assert picture.bit_depth == samples.itemsize * 8
    if samples.shape[2] > colours:
        np.testing.assert_array_equal(picture.alpha, samples[..., -1] / top)
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("samples", [GREY8, RGB8, RGBA8, RGBA8[..., :2], GREY16, RGB16, RGBA16, RGBA16[..., :2]])
def test_png(read, samples):
    assert_samples(read(imagecodecs.png_encode(np.ascontiguousarray(samples))), samples)


@pytest.mark.parametrize("samples", [GREY16, RGB16])
def test_transparent_colour_in_16_bits(read, samples):
    colour = 0 if samples.ndim == 2 else 2
    big_endian = samples.astype(">u2")
    key = big_endian[2, 3:4].tobytes()
    picture = read(png([row.tobytes() for row in big_endian], (9, 6), 16, colour, (b"tRNS", key)))
    assert picture.alpha[2, 3] == 0
    assert picture.alpha.sum() == 6 * 9 - 1
    assert picture.bit_depth == 16


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(read, bits):
    levels = np.arange(2**bits, dtype=np.uint8)
    row = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, -bits:].ravel()).tobytes()
    picture = read(png([row], (len(levels), 1), bits, 0))
    np.testing.assert_allclose(picture.pixels[0, :, 0], levels / levels[-1], atol=1e-7)
    assert picture.notes == (f"widened from {bits} to 8 bits per channel",)
    palette = RNG.integers(0, 256, (2**bits, 3), dtype=np.uint8)
    picture = read(png([row], (len(levels), 1), bits, 3, (b"PLTE", palette.tobytes()), (b"tRNS", b"\x80")))
    np.testing.assert_array_equal(picture.pixels[0], palette / np.float32(255))
    assert picture.alpha[0, 0] == np.float32(128 / 255)
    assert picture.alpha[0, 1] == 1
    assert picture.notes == ("converted from a palette to RGB",)


def test_png_chunks(read, icc):
    damaged = (b"iCCP", b"x\0\0" + zlib.compress(icc)[:-50])
    bomb = (b"iCCP", b"x\0\0" + zlib.compress(bytes(2**26 + 1)))
    xmp = (b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(b"<x/>"))
    rows = [row.tobytes() for row in RGB8]
    assert read(png(rows, (9, 6), 8, 2, damaged)).notes == ("its colour profile is damaged and is not kept",)
    assert read(png(rows, (9, 6), 8, 2, bomb)).metadata.icc is None
    assert read(png(rows, (9, 6), 8, 2, xmp)).metadata.xmp == b"<x/>"
    assert read(png(rows, (9, 6), 8, 2, (b"eXIf", b"rubbish"))).notes == ("its EXIF data is damaged and is not kept",)
    assert "Raw profile type exif" in read(png(rows, (9, 6), 8, 2, (b"tEXt", b"Raw profile type exif\0x"))).notes[0]
    assert read(png(rows, (9, 6), 8, 2, (b"pHYs", struct.pack(">IIB", 0, 0, 1)))).metadata.resolution is None
    with pytest.raises(PictureError, match="animated PNG"):
        read(png(rows, (9, 6), 8, 2, (b"acTL", bytes(8))))


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg(read, mode):
    picture = read(saved(SMOOTH, "JPEG", mode=mode, quality=95), "misnamed.png")
    assert picture.channels == (1 if mode == "L" else 3)
    assert abs(picture.pixels.mean() - SMOOTH.mean() / 255) < 0.01


def test_cmyk_without_profile(read):
    picture = read(saved(SMOOTH, "JPEG", mode="CMYK", quality=95))
    np.testing.assert_allclose(picture.pixels, SMOOTH / 255, atol=0.03)
    assert picture.notes == ("converted from CMYK to sRGB", "it has no CMYK profile; colours are approximate")


def test_cmyk_with_profile(read, cmyk_icc):
    picture = read(saved(SMOOTH, "JPEG", mode="CMYK", icc_profile=cmyk_icc))
    assert picture.metadata.icc is None
    assert picture.notes[1] == "its CMYK profile is used for the conversion and is not kept"
    assert picture.pixels.std(axis=2).max() < 0.02  # this profile knows greys alone
    assert np.corrcoef(picture.pixels[..., 0].ravel(), SMOOTH[..., 0].ravel())[0, 1] > 0.9
    broken = read(saved(SMOOTH, "JPEG", mode="CMYK", icc_profile=cmyk_icc[:200]))
    assert broken.notes[1] == "its CMYK profile is damaged; colours are approximate"


def test_second_picture_of_a_camera_file_is_noted(read):
    buffer = io.BytesIO()
    image = Image.fromarray(SMOOTH)
    image.save(buffer, "MPO", save_all=True, append_images=[image])
    assert read(buffer.getvalue()).notes == ("the file holds 2 pictures (MPO); only the main one is kept",)


def test_resolution_nobody_stated_is_none(read, make_exif):
    assert read(saved(SMOOTH, "JPEG")).metadata.resolution is None
    assert read(saved(SMOOTH, "JPEG", exif=b"Exif\0\0" + make_exif(dpi=240))).metadata.resolution == (240, 240)


@pytest.mark.parametrize("samples", [RGB8, RGBA8])
def test_webp(read, samples):
    assert_samples(read(saved(samples, "WEBP", lossless=True, exact=True)), samples)
    lossy = read(saved(SMOOTH, "WEBP", quality=90))
    np.testing.assert_allclose(lossy.pixels, SMOOTH / 255, atol=0.1)


def test_animated_webp_is_refused(read):
    frames = [Image.fromarray(RGB8), Image.fromarray(RGB8[::-1].copy())]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="animated WebP"):
        read(buffer.getvalue())


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
@pytest.mark.parametrize("samples", [GREY8, RGB8, RGBA8, GREY16, RGB16, RGBA16])
def test_tiff(read, samples, compression, byteorder):
    options = {"compression": compression, "byteorder": byteorder, "predictor": compression in ("lzw", "zlib")}
    options["photometric"] = "minisblack" if samples.ndim == 2 else "rgb"
    options["extrasamples"] = ["unassalpha"] if samples.shape[2:] == (4,) else None
    assert_samples(read(tiff(samples, **options)), samples)
    if samples.ndim == 3:
        planar = np.moveaxis(samples, 2, 0)
        assert_samples(read(tiff(planar, planarconfig="separate", rowsperstrip=4, **options)), samples)


def test_tiff_grey_with_alpha_and_white_as_zero(read):
    pair = RGBA16[..., :2]
    data = tiff(pair, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    assert_samples(read(data), pair)
    assert_samples(read(tiff(GREY8, photometric="miniswhite")), 255 - GREY8)
    white = tiff(pair, photometric="miniswhite", planarconfig="contig", extrasamples=["unassalpha"])
    assert_samples(read(white), np.dstack([65535 - pair[..., 0], pair[..., 1]]))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12])
def test_tiff_of_unusual_depths(read, bits, photometric):
    top = 2**bits - 1
    samples = (GREY16 % (top + 1)).astype(np.uint8 if bits < 8 else np.uint16)
    stored = samples.astype(bool) if bits == 1 else samples
    packed = [] if bits == 1 else {"bitspersample": bits}
    picture = read(tiff(stored, photometric=photometric, **dict(packed)))
    expected = top - samples if photometric == "miniswhite" else samples
    np.testing.assert_array_equal(picture.pixels[..., 0], (expected / top).astype(np.float32))
    assert picture.bit_depth == max(bits, 8)
    assert picture.notes == ((f"widened from {bits} to 8 bits per channel",) if bits < 8 else ())


def test_tiff_of_inks(read, cmyk_icc):
    inks = np.asarray(Image.fromarray(SMOOTH).convert("CMYK"))
    plain = read(tiff(inks, photometric="separated"))
    np.testing.assert_allclose(plain.pixels, SMOOTH / 255, atol=0.01)
    assert plain.notes == ("converted from CMYK to sRGB", "it has no CMYK profile; colours are approximate")
    profiled = read(tiff(inks, photometric="separated", iccprofile=cmyk_icc))
    assert profiled.metadata.icc is None
    assert profiled.notes[1] == "its CMYK profile is used for the conversion and is not kept"
    assert profiled.pixels.std(axis=2).max() < 0.02


def test_tiff_jpeg(read):
    picture = read(tiff(SMOOTH, photometric="rgb", compression="jpeg", compressionargs={"level": 95}))
    np.testing.assert_allclose(picture.pixels, SMOOTH / 255, atol=0.05)


@pytest.mark.parametrize("factor", [257, 256])
def test_tiff_palette(read, factor):
    colours = RNG.integers(0, 256, (3, 256), dtype=np.uint16)
    picture = read(tiff(GREY8, photometric="palette", colormap=colours * factor))
    assert_samples(picture, colours.T.astype(np.uint8)[GREY8])
    fine = RNG.integers(0, 65536, (3, 256), dtype=np.uint16)
    assert_samples(read(tiff(GREY8, photometric="palette", colormap=fine)), fine.T[GREY8])


def test_premultiplied_alpha_becomes_straight(read):
    alpha = RGBA8[..., 3:].astype(np.uint16)
    samples = np.dstack([RGBA8[..., :3] * alpha // 255, alpha]).astype(np.uint8)
    samples[0, 0] = 0
    picture = read(tiff(samples, photometric="rgb", extrasamples=["assocalpha"]))
    opaque = samples[..., 3] > 100
    np.testing.assert_allclose(picture.pixels[opaque], RGBA8[opaque][:, :3] / 255, atol=0.011)
    assert not picture.pixels[0, 0].any()
    assert picture.notes == ("its colours were premultiplied by alpha and are now straight",)


def test_tiff_notes(read):
    undescribed = read(tiff(RGBA8, photometric="rgb", extrasamples=["unspecified"]))
    assert undescribed.notes == ("its last channel is not described; it is taken for transparency",)
    assert_samples(undescribed, RGBA8)
    tags = [(65000, "d", 3, (1.0, 1.0, 0.0), True)]
    assert read(tiff(RGB8, photometric="rgb", extratags=tags)).notes == ("TIFF tags 65000 are not kept",)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as tif:
        tif.write(RGB8, photometric="rgb", metadata=None)
        tif.write(RGB8[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert read(buffer.getvalue()).notes == ("its small preview is not kept",)


@pytest.mark.parametrize(
    ("samples", "options", "reason"),
    [
        (np.stack([RGB8, RGB8]), {"photometric": "rgb"}, "several pages"),
        (GREY8.astype(np.uint32), {}, "32 bits"),
        (GREY8.astype(np.int8), {}, r"8 bits \(INT\)"),
        (GREY8.astype(np.float32), {"photometric": "miniswhite"}, "white as zero"),
        (RGBA16.astype(np.int16), {"photometric": "rgb", "extrasamples": [2]}, "4 channels"),
        (RGBA16, {"photometric": "separated"}, "SEPARATED"),
        (np.dstack([RGBA8, GREY8]), {"photometric": "rgb", "extrasamples": [2, 0]}, "5 channels"),
        (RGB8, {"photometric": "rgb", "subfiletype": 1}, "camera raw"),
    ],
)
def test_tiff_of_other_kinds_is_refused(read, samples, options, reason):
    with pytest.raises(PictureError, match=reason):
        read(tiff(samples, **options))


def test_imagej_stack_under_one_directory_is_refused(read):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([GREY8] * 3), imagej=True)
    with pytest.raises(PictureError, match="several pages"):
        read(buffer.getvalue())


def test_bad_places(tmp_path, monkeypatch):
    with pytest.raises(PictureError, match=r"missing\.png: there is no such file"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(PictureError, match="it is a directory"):
        read_picture(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError, match="not an ordinary file"):
        read_picture(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PictureError, match="Not a directory"):
        read_picture(tmp_path / "file" / "below.png")
    with pytest.raises(PictureError, match="empty"):
        read_header(tmp_path / "file")
    with pytest.raises(PictureError, match="nul"):
        read_header(tmp_path / "nul\0")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(PictureError, match="cannot be read: Permission denied"):
        read_picture(tmp_path / "file")


@pytest.mark.parametrize(
    "content", [b"hello, this is text", b"\x89PNG", b"GIF89a" + bytes(99), bytes(99), b"RIFFxxxxWAVE"]
)
def test_other_content_is_refused_by_name(read, content):
    with pytest.raises(PictureError, match=r"notes\.png: its content is not a picture"):
        read(content, "notes.png")


@pytest.mark.parametrize("kind", small_files())
@pytest.mark.parametrize("part", [0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_truncated_files_are_refused(read, kind, part):
    data = small_files()[kind]
    with pytest.raises(PictureError):
        read(data[: int(len(data) * part)])


@pytest.mark.parametrize("kind", small_files())
def test_random_damage_is_refused_or_read(tmp_path, kind):
    original, path = small_files()[kind], tmp_path / "damaged"
    rng = np.random.default_rng(1)
    for _ in range(200):
        data = np.frombuffer(original, np.uint8).copy()
        places = rng.integers(0, min(len(data), rng.choice([16, 64, len(data)])), rng.integers(1, 4))
        data[places] = rng.integers(0, 256, len(places))
        path.write_bytes(data.tobytes())
        with suppress(PictureError):  # anything else fails the test
            read_picture(path)


def test_missing_strips_are_not_black(read):
    data = tiff(RGB8, photometric="rgb", compression="zlib", rowsperstrip=6)
    taller = data.replace(struct.pack("<HHII", 257, 4, 1, 6), struct.pack("<HHII", 257, 4, 1, 12))
    taller = taller.replace(struct.pack("<HHIHH", 257, 3, 1, 6, 0), struct.pack("<HHIHH", 257, 3, 1, 12, 0))
    assert taller != data
    with pytest.raises(PictureError, match="truncated"):
        read(taller)


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(RGB8, "PNG"))
    assert read_picture(path, max_pixels=54).width == 9
    with pytest.raises(PictureError, match="9 × 6 pixels, more than the 53 allowed"):
        read_picture(path, max_pixels=53)
    path.write_bytes(png([b""], (60000, 60000), 8, 2))
    assert read_header(path).width == 60000
    with pytest.raises(PictureError, match="cannot hold 60000 × 60000 pixels"):
        read_picture(path)


def test_the_limit_is_the_budget_and_not_pillows(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(SMOOTH, "JPEG"))
    for limit in (300, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_picture(path).width == 24


def test_tiff_with_several_numbers_for_its_width(tmp_path):
    """tifffile gives a tuple, which times the other size would fill the memory."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((4, 5), np.uint16), metadata=None, byteorder="<")
    data = bytearray(buffer.getvalue())
    at = data.index(struct.pack("<H", 256), struct.unpack("<I", data[4:8])[0] + 2)
    data[at : at + 12] = struct.pack("<HHII", 256, 4, 200, 8)  # 200 longs, from anywhere
    (tmp_path / "a.tif").write_bytes(bytes(data) + bytes(2000))
    with pytest.raises(PictureError, match="not one number"):
        read_header(tmp_path / "a.tif")
