"""Through a network that changes nothing, every file comes back bit for bit: pixels, profile and tags.

The files are made and looked at by other people's code: imagecodecs, tifffile, Pillow.
"""

import io
import itertools
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

import picture_files as files
from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore_files

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDE = ICC[:36] + b"acsp" + ICC[40:] + bytes(8)  # a profile that nobody knows must not be touched either
ORIENTATIONS = range(1, 9)
RESOLUTION = tuple(map(int, files.RESOLUTION))
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def through(identity, tmp_path_factory):
    """What becomes of a file: the bytes of the result, and the notes."""
    restorer, folder = Restorer(RestoreOptions(weights=identity, device="cpu")), tmp_path_factory.mktemp("files")

    def through(data: bytes, suffix: str, target: str | None = None) -> tuple[bytes, tuple[str, ...]]:
        source, output = folder / f"a{suffix}", folder / f"b{target or suffix}"
        source.write_bytes(data)
        (outcome,) = restore_files(restorer, plan_jobs([source], output), overwrite=True, record=False)
        assert outcome.error is None, outcome.error
        assert source.read_bytes() == data
        assert {path.name for path in folder.iterdir()} >= {source.name, output.name}
        assert not list(folder.glob(".pellucid*"))
        return output.read_bytes(), outcome.notes

    return through


def random(kind, channels, alpha):
    shape = (7, 10) if channels + alpha == 1 else (7, 10, channels + alpha)
    if np.dtype(kind).kind == "f":
        values = RNG.normal(5, 100, shape).astype(kind)
        if alpha:
            values[..., -1] = RNG.random(shape[:2])
    else:
        limits = np.iinfo(kind)
        values = RNG.integers(limits.min, limits.max + 1, shape).astype(kind)
    if alpha:
        values[2:4, 3:6, -1] = 0
    return values


PNGS = list(itertools.product([np.uint8, np.uint16], [1, 3], [False, True], [None, ICC, WIDE], [None, *ORIENTATIONS]))


@pytest.mark.parametrize(("kind", "channels", "alpha", "icc", "orientation"), PNGS)
def test_png(through, kind, channels, alpha, icc, orientation):
    samples = random(kind, channels, alpha)
    result, notes = through(files.png(samples, icc, orientation), ".png")
    np.testing.assert_array_equal(imagecodecs.png_decode(result), files.turned(samples, orientation or 1))
    chunks = dict(files.png_chunks(result))
    profile = zlib.decompress(chunks[b"iCCP"].partition(b"\0")[2][1:]) if b"iCCP" in chunks else None
    assert profile == icc
    expected = dict(files.png_chunks(files.png(samples, icc, orientation and 1)))
    for name in (b"pHYs", b"eXIf", b"iTXt"):
        assert chunks.get(name) == expected.get(name)
    assert notes == ()


TIFFS = itertools.product(
    [np.uint8, np.uint16, np.int16, np.float16, np.float32], [1, 3], [False, True], [None, ICC], [None, *ORIENTATIONS]
)


def described(data):
    """The tags of a first page, without those that say how the pixels are stored."""
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        storage = {"RowsPerStrip", "StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "Compression"}
        storage |= {"Predictor", "TileWidth", "TileLength"}
        return {tag.name: tag.value for tag in tif.pages[0].tags if tag.name not in storage}


@pytest.mark.parametrize(
    ("kind", "channels", "alpha", "icc", "orientation"), [row for row in TIFFS if not (row[0] == np.int16 and row[2])]
)
def test_tiff(through, kind, channels, alpha, icc, orientation):
    samples = random(kind, channels, alpha)
    data = files.tiff(samples, icc, orientation, byteorder="<>"[(orientation or 0) % 2])
    result, notes = through(data, ".tif")
    found = tifffile.imread(io.BytesIO(result))
    assert found.dtype == samples.dtype
    np.testing.assert_array_equal(found, files.turned(samples, orientation or 1))
    tags, expected = described(result), described(files.tiff(files.turned(samples, orientation or 1), icc, 1))
    assert tags.pop("Orientation", 1) == expected.pop("Orientation", 1) == 1
    if not orientation:
        expected = described(files.tiff(samples, icc))
        expected.pop("Orientation", None)
    assert tags == expected
    assert all("the network sees" in note for note in notes)


LAYOUTS = [
    {"bigtiff": True, "byteorder": ">"},
    {"tile": (16, 16), "compression": "zlib", "predictor": True},
    {"tile": (16, 32), "compression": "lzw"},
    {"rowsperstrip": 2, "compression": "zstd"},
    {"planarconfig": "separate", "compression": "zlib"},
]


@pytest.mark.parametrize("options", LAYOUTS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_layouts_of_tiff(through, options, kind):
    samples = random(kind, 3, alpha=False)
    stored = np.moveaxis(samples, 2, 0) if "planarconfig" in options else samples
    result, _ = through(files.tiff(stored, ICC, 1, photometric="rgb", **options), ".tif")
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(result)), stored)
    assert described(result)["PlanarConfiguration"] == (2 if "planarconfig" in options else 1)


@pytest.mark.parametrize(
    ("alpha", "icc", "orientation"), list(itertools.product([False, True], [None, ICC], [None, *ORIENTATIONS]))
)
def test_webp(through, alpha, icc, orientation):
    samples = random(np.uint8, 3, alpha)
    result, notes = through(files.webp(samples, icc, orientation), ".webp")
    found = Image.open(io.BytesIO(result))
    np.testing.assert_array_equal(np.asarray(found), files.turned(samples, orientation or 1))
    assert found.info.get("icc_profile") == icc
    assert found.info.get("exif") == (files.exif_of(1) if orientation else None)
    assert found.info.get("xmp") == (files.XMP % 1 if orientation else None)
    assert notes == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_bmp_and_pnm(through, channels):
    samples = random(np.uint8, channels, alpha=False)
    assert through(files.bmp(samples), ".bmp") == (files.bmp(samples), ())
    for kind, suffix in itertools.product([np.uint8, np.uint16], [".pnm", ".ppm" if channels == 3 else ".pgm"]):
        samples = random(kind, channels, alpha=False)
        assert through(files.pnm(samples), suffix) == (files.pnm(samples), ())


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(through, orientation, channels, progressive):
    """Lossy, so the pixels come near; everything else is the same."""
    ramp = np.linspace(0, 255, 24 * 16 * channels).astype(np.uint8).reshape(24, 16, -1)
    samples = ramp if channels == 3 else ramp[..., 0]
    data = files.saved(samples, "JPEG", ICC, orientation, quality=95, progressive=progressive, dpi=RESOLUTION)
    result, notes = through(data, ".jpg")
    found = Image.open(io.BytesIO(result))
    decoded = files.turned(np.asarray(Image.open(io.BytesIO(data))), orientation)
    np.testing.assert_allclose(np.asarray(found).astype(int), decoded, atol=4)
    assert found.info["icc_profile"] == ICC
    assert found.info["exif"] == b"Exif\0\0" + files.exif_of(1)
    assert found.info["xmp"] == files.XMP % 1
    assert found.info["dpi"] == RESOLUTION
    assert notes == ()
