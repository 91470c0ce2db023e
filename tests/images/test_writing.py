"""A file comes back whole: pixels, bit depth, transparency, profile, EXIF, XMP, resolution."""

import itertools
import tracemalloc

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from pellucid.errors import PellucidError, PictureError
from pellucid.images import FORMATS, Metadata, Picture, read_header, read_picture, unsupported, write_picture
from pellucid.images.picture import to_floats, to_integers
from picture_files import XMP, turned

ORIENTATIONS = range(1, 9)
LOSSLESS = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".webp", 8)]


def random_picture(bit_depth=8, channels=3, alpha=False, size=(5, 7), metadata=None):
    rng = np.random.default_rng(bit_depth + channels + alpha)
    kind = np.uint8 if bit_depth == 8 else np.uint16
    samples = rng.integers(0, 2**bit_depth, (*size, channels + 1), dtype=kind)
    return Picture(
        pixels=to_floats(samples[..., :channels]),
        alpha=to_floats(samples[..., channels]) if alpha else None,
        bit_depth=bit_depth,
        metadata=metadata or Metadata(),
    )


def assert_same_pixels(found, expected, channels=None):
    pixels = expected.pixels if channels in (None, expected.channels) else np.repeat(expected.pixels, 3, 2)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.bit_depth == expected.bit_depth
    assert (found.alpha is None) == (expected.alpha is None)
    if expected.alpha is not None:
        np.testing.assert_array_equal(found.alpha, expected.alpha)


@pytest.mark.parametrize(("suffix", "bit_depth"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_round_trip(tmp_path, icc, make_exif, tags_of, suffix, bit_depth, channels, alpha, described):
    exif = make_exif(endian="<>"[alpha])
    metadata = Metadata(icc=icc, exif=exif, xmp=XMP % 1, resolution=(240.0, 240.0)) if described else Metadata()
    picture = random_picture(bit_depth, channels, alpha, metadata=metadata)
    path = tmp_path / f"picture{suffix}"
    assert picture.save(path) == ()
    found = read_picture(path)
    assert_same_pixels(found, picture, channels=3 if suffix == ".webp" else channels)
    header = read_header(path)
    assert (header.width, header.height, header.channels) == (found.width, found.height, found.channels)
    assert (header.bit_depth, header.has_alpha, header.format) == (bit_depth, alpha, FORMATS[suffix])
    assert (found.metadata.icc, found.metadata.xmp) == (metadata.icc, metadata.xmp)
    assert found.notes == ()
    if described:
        assert tags_of(found.metadata.exif) == tags_of(exif)
        assert found.metadata.resolution == pytest.approx(metadata.resolution, rel=0.005)
        assert suffix == ".tif" or found.metadata.exif == exif
    else:
        assert found.metadata.exif is None
        assert found.metadata.resolution is None


@pytest.mark.parametrize(("suffix", "bit_depth"), LOSSLESS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_is_applied_once(tmp_path, make_exif, suffix, bit_depth, orientation):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    exif = make_exif(orientation)
    picture = random_picture(bit_depth, alpha=True, metadata=Metadata(exif=exif, xmp=XMP % orientation))
    if suffix == ".tif":
        samples = np.dstack([to_integers(picture.pixels, bit_depth), to_integers(picture.alpha, bit_depth)])
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(first, samples, photometric="rgb", extrasamples=["unassalpha"], extratags=tags, metadata=None)
    else:
        write_picture(picture, first)
    found = read_picture(first)
    np.testing.assert_array_equal(found.pixels, turned(picture.pixels, orientation))
    np.testing.assert_array_equal(found.alpha, turned(picture.alpha, orientation))
    assert (read_header(first).width, read_header(first).height) == (found.width, found.height)
    if suffix != ".tif":
        assert found.metadata.exif == make_exif(1)
        assert found.metadata.xmp == XMP % 1
    write_picture(found, second)
    assert_same_pixels(read_picture(second), found)


@pytest.mark.parametrize(("source", "target"), [*itertools.permutations([".png", ".tif", ".webp", ".jpg"], 2)])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_descriptions_cross_formats(tmp_path, icc, make_exif, tags_of, source, target, endian):
    exif = make_exif(endian=endian)
    metadata = Metadata(icc=icc, exif=exif, xmp=XMP % 1, resolution=(240.0, 240.0))
    first, second = tmp_path / f"first{source}", tmp_path / f"second{target}"
    assert write_picture(random_picture(metadata=metadata), first) == ()
    assert write_picture(read_picture(first), second) == ()
    found = read_picture(second).metadata
    assert found.icc == icc
    assert found.xmp == XMP % 1
    assert tags_of(found.exif) == tags_of(exif)
    assert found.resolution == pytest.approx((240.0, 240.0), rel=0.005)


def test_tiff_directories_are_real(tmp_path, make_exif, icc):
    path = tmp_path / "photo.tif"
    random_picture(16, metadata=Metadata(exif=make_exif(endian=">"), icc=icc)).save(path)
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        assert tags["Make"].value == "Pellucid Optics"
        assert tags["ExifTag"].value["ISOSpeedRatings"] == 400
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert tif.byteorder == ">"
    with Image.open(path) as image:
        assert image.getexif().get_ifd(0x8769)[0x927C] == bytes(range(251))
        assert image.info["icc_profile"] == icc


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, icc, make_exif, orientation, channels):
    path = tmp_path / "photo.jpg"
    exif = make_exif(orientation)
    metadata = Metadata(icc=icc, exif=exif, xmp=XMP % 1, iptc=b"\x1c\x02\x05\0\5title", resolution=(300.0, 300.0))
    ramp = np.linspace(0, 1, 24 * 16 * channels, dtype=np.float32).reshape(24, 16, channels)
    assert Picture(pixels=ramp, metadata=metadata).save(path) == ()
    found = read_picture(path)
    np.testing.assert_allclose(found.pixels, turned(ramp, orientation), atol=0.02)
    assert (found.metadata.icc, found.metadata.iptc, found.metadata.xmp) == (icc, metadata.iptc, XMP % 1)
    assert found.metadata.exif == make_exif(1)
    assert found.metadata.resolution == (300.0, 300.0)
    header = read_header(path)
    assert (header.width, header.height, header.channels) == (found.width, found.height, channels)


def test_iptc_in_tiff(tmp_path):
    path = tmp_path / "photo.tif"
    random_picture(metadata=Metadata(iptc=b"\x1c\x02\x05\0\5title")).save(path)
    assert read_picture(path).metadata.iptc == b"\x1c\x02\x05\0\5title"


def test_what_a_format_cannot_hold_is_said(tmp_path):
    picture = random_picture(16, alpha=True)
    assert unsupported(picture, ".PNG") == ()
    assert unsupported(picture, ".webp") == ("WEBP holds 8 bits per channel; this picture has 16",)
    sentences = unsupported(picture, ".jpg")
    assert len(sentences) == 2
    assert write_picture(picture, tmp_path / "a.jpg") == sentences
    assert read_picture(tmp_path / "a.jpg").alpha is None
    assert unsupported(read_header(tmp_path / "a.jpg"), ".jpeg") == ()
    with pytest.raises(PictureError, match=r"cannot write \.gif; use one of \.png"):
        unsupported(picture, ".gif")
    with pytest.raises(PictureError, match="at most 16383 pixels per side"):
        unsupported(random_picture(size=(1, 16384)), ".webp")


def test_metadata_that_does_not_fit_never_stops_a_write(tmp_path, make_exif):
    large = make_exif() + bytes(70000)
    broken = Metadata(exif=b"II*\0garbage", icc=b"no profile", xmp=bytes(70000), iptc=bytes(70000))
    for name, metadata in itertools.product(("a.jpg", "b.png", "c.tif", "d.webp"), (Metadata(exif=large), broken)):
        random_picture(metadata=metadata).save(tmp_path / name, overwrite=True)
        assert read_picture(tmp_path / name).width == 7
    (said,) = random_picture(metadata=Metadata(exif=large)).save(tmp_path / "e.jpg")
    assert "EXIF data is too large for JPEG" in said
    for name, dpi in itertools.product(("f.jpg", "g.png", "h.tif", "i.webp"), (1e-30, 1e30)):
        (said,) = random_picture(metadata=Metadata(resolution=(dpi, dpi))).save(tmp_path / name, overwrite=True)
        assert "resolution" in said


def test_damaged_exif_never_stops_a_write(tmp_path, make_exif):
    original, rng = np.frombuffer(make_exif(), np.uint8), np.random.default_rng(0)
    for _ in range(60):
        exif = original.copy()
        exif[rng.integers(8, len(exif), 5)] = rng.integers(0, 256, 5)
        picture = random_picture(metadata=Metadata(exif=exif.tobytes(), resolution=(72.0, 72.0)))
        for name in ("a.tif", "a.webp"):
            picture.save(tmp_path / name, overwrite=True)
            assert read_picture(tmp_path / name).channels == 3


def test_big_tiff(tmp_path, monkeypatch, icc, make_exif, tags_of):
    monkeypatch.setattr("pellucid.images._tiff_writing._MOST_CLASSIC", 0)
    picture = random_picture(16, metadata=Metadata(icc=icc, exif=make_exif()))
    assert picture.save(tmp_path / "a.tif") == ()
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    found = read_picture(tmp_path / "a.tif")
    assert_same_pixels(found, picture)
    assert found.metadata.icc == icc
    assert tags_of(found.metadata.exif) == tags_of(make_exif())


def test_grey_profile_is_not_given_to_webp(tmp_path, icc):
    grey = icc[:16] + b"GRAY" + icc[20:]
    (said,) = random_picture(channels=1, metadata=Metadata(icc=grey)).save(tmp_path / "a.webp")
    assert "grey colour profile" in said
    assert read_picture(tmp_path / "a.webp").metadata.icc is None


def test_microscope_resolution(tmp_path):
    random_picture(metadata=Metadata(resolution=(254000.0, 123456.7))).save(tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").metadata.resolution == pytest.approx((254000, 123456.7), rel=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (5000, 3), (2, 1)])
def test_extreme_sizes(tmp_path, suffix, size):
    picture = random_picture(size=size)
    picture.save(tmp_path / f"a{suffix}")
    found = read_picture(tmp_path / f"a{suffix}")
    assert found.pixels.shape == picture.pixels.shape


def test_no_picture_with_nan_is_written(tmp_path):
    pixels = np.full((2, 2, 3), np.nan, np.float32)
    with pytest.raises(PictureError, match=r"a\.png: .*not numbers"):
        Picture(pixels=pixels).save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("libpng failed"), MemoryError()])
def test_codec_failure_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("imagecodecs.png_encode", fail)
    with pytest.raises(PictureError, match=r"a\.png: "):
        random_picture().save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_not_replaced(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(PellucidError, match="exists; pass --overwrite"):
        random_picture().save(path)
    assert path.read_bytes() == b"precious"
    random_picture().save(path, overwrite=True)
    assert read_picture(path).width == 7


@pytest.mark.parametrize(
    "fields",
    [
        {"pixels": np.zeros((2, 2), np.float32)},
        {"pixels": np.zeros((2, 2, 4), np.float32)},
        {"pixels": np.zeros((0, 2, 3), np.float32)},
        {"pixels": np.zeros((2, 2, 3))},
        {"pixels": np.zeros((2, 2, 3), np.float32), "alpha": np.zeros((2, 3), np.float32)},
        {"pixels": np.zeros((2, 2, 3), np.float32), "alpha": np.zeros((2, 2))},
        {"pixels": np.zeros((2, 2, 3), np.float32), "bit_depth": 13},
    ],
)
def test_a_picture_checks_itself(fields):
    with pytest.raises(PictureError):
        Picture(**fields)


@pytest.mark.parametrize("resolution", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_a_resolution_is_positive(resolution):
    with pytest.raises(PictureError, match="resolution"):
        Metadata(resolution=resolution)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_integer_survives_the_floats(kind):
    every = np.arange(np.iinfo(kind).max + 1, dtype=kind).reshape(-1, 16)
    floats = to_floats(every)
    assert floats.dtype == np.float32
    assert floats.max() == 1
    np.testing.assert_array_equal(to_integers(floats, every.itemsize * 8), every)


@given(
    npst.arrays(np.float32, npst.array_shapes(max_dims=3), elements=st.floats(-2, 3, width=32)),
    st.sampled_from([8, 16]),
)
def test_quantiser_rounds_half_to_even(values, bit_depth):
    top = 2**bit_depth - 1
    expected = [round(min(max(float(value), 0.0), 1.0) * top) for value in values.ravel()]
    np.testing.assert_array_equal(to_integers(values, bit_depth).ravel(), expected)


def test_quantiser_clips_infinity_and_refuses_nan():
    np.testing.assert_array_equal(to_integers(np.float32([-np.inf, np.inf]), 8), [0, 255])
    with pytest.raises(PictureError, match="NaN"):
        to_integers(np.float32([0, np.nan]), 8)


def test_quantiser_needs_no_large_temporary():
    values = np.zeros((1000, 1000, 3), np.float32)
    tracemalloc.start()
    to_floats(to_integers(values, 16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6 * (2 + 4) + 8e6
