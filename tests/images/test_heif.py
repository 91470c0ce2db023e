"""AVIF wherever Pillow reads it, HEIC where the extra is installed, and a sentence where it is not."""

import importlib.util
import io
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image, features

import picture_files as files
from pellucid.errors import PictureError
from pellucid.images import Metadata, Picture, read_header, read_picture, unsupported

RNG = np.random.default_rng(0)
RGBA = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
SMOOTH = np.linspace(0, 255, 20 * 30 * 3).astype(np.uint8).reshape(20, 30, 3)

AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
HEIC = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="the extra heif is not installed")
BOTH = [pytest.param(".avif", marks=AVIF), pytest.param(".heic", marks=HEIC)]


@pytest.fixture
def read(tmp_path):
    def read(data):
        (tmp_path / "picture.bin").write_bytes(data)
        header, picture = read_header(tmp_path / "picture.bin"), read_picture(tmp_path / "picture.bin")
        assert (header.height, header.width, header.channels) == picture.pixels.shape
        assert (header.bit_depth, header.has_alpha) == (picture.bit_depth, picture.has_alpha)
        return picture

    return read


def heic(samples, **options):
    import pillow_heif

    buffer = io.BytesIO()
    image = pillow_heif.from_pillow(Image.fromarray(samples))
    image.save(buffer, format="HEIF", quality=-1, chroma=444, matrix_coefficients=0, **options)
    return buffer.getvalue()


@AVIF
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif(read, icc, tags_of, orientation):
    data = files.saved(SMOOTH, "AVIF", icc, orientation, quality=100, subsampling="4:4:4")
    picture = read(data)
    np.testing.assert_allclose(picture.pixels, files.turned(SMOOTH, orientation) / 255, atol=0.02)
    assert (picture.metadata.icc, picture.metadata.xmp) == (icc, files.XMP % 1)
    assert tags_of(picture.metadata.exif) == tags_of(files.exif_of(1))
    assert picture.notes == ()


@AVIF
@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_keeps_its_depth_elsewhere(read, tmp_path, bits):
    samples = RNG.integers(0, 2**bits, (20, 30, 3)).astype(np.uint16)
    picture = read(imagecodecs.avif_encode(samples, level=100, bitspersample=bits))
    assert picture.bit_depth == bits
    np.testing.assert_array_equal(picture.pixels, samples / np.float32(2**bits - 1))
    assert picture.save(tmp_path / "a.png") == picture.save(tmp_path / "a.tif") == ()
    for name in ("a.png", "a.tif"):
        found = read_picture(tmp_path / name)
        assert found.bit_depth == 16
        np.testing.assert_array_equal(np.rint(found.pixels * (2**bits - 1)), samples)
    assert unsupported(picture, ".avif") == (f"AVIF holds 8 bits per channel; this picture has {bits}",)


@AVIF
def test_avif_with_alpha_and_grey(read):
    picture = read(files.saved(RGBA, "AVIF", quality=100, subsampling="4:4:4"))
    np.testing.assert_allclose(picture.alpha, RGBA[..., 3] / 255, atol=0.01)
    grey = read(imagecodecs.avif_encode(SMOOTH[..., 0], level=100))
    assert grey.channels == 1
    np.testing.assert_array_equal(np.rint(grey.pixels[..., 0] * 255), SMOOTH[..., 0])


@AVIF
def test_animated_avif_is_refused(read):
    frames = [Image.fromarray(SMOOTH), Image.fromarray(SMOOTH[::-1].copy())]
    buffer = io.BytesIO()
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="animated AVIF"):
        read(buffer.getvalue())


@AVIF
def test_colours_stated_outside_a_profile_are_noted(read):
    data = files.saved(SMOOTH, "AVIF")
    at = data.index(b"colrnclx") + 8
    assert read(data).notes == ()
    wide = data[:at] + b"\0\x0c\0\x10" + data[at + 4 :]  # Display P3 and PQ
    assert "nclx" in read(wide).notes[0]


@HEIC
@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic(read, icc, orientation):
    data = heic(SMOOTH, exif=b"Exif\0\0" + files.exif_of(orientation), icc_profile=icc, xmp=files.XMP % orientation)
    picture = read(data)
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), files.turned(SMOOTH, orientation))
    assert (picture.metadata.icc, picture.metadata.xmp) == (icc, files.XMP % 1)
    assert picture.metadata.exif == files.exif_of(1)
    assert picture.notes == ()


@HEIC
def test_heic_in_10_bits_and_with_several_pictures(read, tmp_path):
    import pillow_heif

    samples = RNG.integers(0, 1024, (20, 30, 3)).astype(np.float32) / 1023
    Picture(pixels=samples, bit_depth=10).save(tmp_path / "a.heic")
    found = read_picture(tmp_path / "a.heic")
    assert found.bit_depth == 10
    np.testing.assert_array_equal(found.pixels, samples)
    container = pillow_heif.from_pillow(Image.fromarray(SMOOTH))
    container.add_from_pillow(Image.fromarray(SMOOTH[::2]))
    buffer = io.BytesIO()
    container.save(buffer, format="HEIF")
    assert read(buffer.getvalue()).notes[0] == "the file holds 2 pictures; only the main one is kept"


@pytest.mark.parametrize("suffix", BOTH)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
def test_round_trip(tmp_path, icc, tags_of, suffix, channels, alpha):
    metadata = Metadata(icc=icc, exif=files.exif_of(1), xmp=files.XMP % 1)
    samples = np.dstack([SMOOTH, RGBA[..., 3]]).astype(np.float32) / 255
    pixels = samples[..., :channels].copy()
    picture = Picture(pixels=pixels, alpha=samples[..., 3] if alpha else None, metadata=metadata)
    assert picture.save(tmp_path / f"a{suffix}") == ()
    found = read_picture(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(
        found.pixels, np.broadcast_to(pixels, SMOOTH.shape), atol=0 if suffix == ".heic" else 0.03
    )
    assert found.has_alpha == alpha
    if alpha:
        np.testing.assert_array_equal(found.alpha, picture.alpha)
    assert (found.metadata.icc, found.metadata.xmp) == (icc, metadata.xmp)
    assert tags_of(found.metadata.exif) == tags_of(metadata.exif)  # Pillow moves an orientation out of AVIF's
    header = read_header(tmp_path / f"a{suffix}")
    assert (header.format, header.width, header.height) == (suffix[1:].upper(), 30, 20)


@pytest.mark.parametrize("suffix", BOTH)
def test_what_has_no_place_is_said(tmp_path, icc, suffix):
    grey = Metadata(icc=icc[:16] + b"GRAY" + icc[20:], resolution=(300.0, 300.0))
    said = Picture(pixels=np.zeros((20, 30, 1), np.float32), metadata=grey).save(tmp_path / f"a{suffix}")
    assert ["resolution" in said[0], "grey colour profile" in said[1]] == [True, True]


def test_where_the_extra_is_missing_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(99))
    for attempt in (
        lambda: read_picture(tmp_path / "a.heic"),
        lambda: unsupported(Picture(pixels=np.zeros((2, 2, 3), np.float32)), ".heic"),
    ):
        with pytest.raises(PictureError, match=r"pip install 'pellucid\[heif\]'"):
            attempt()


def test_where_avif_is_missing_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "check", lambda _: False)
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0mif1avif" + bytes(99))
    with pytest.raises(PictureError, match="AVIF needs Pillow"):
        read_picture(tmp_path / "a.avif")
