"""Scientific files: pages, axes, pixel sizes and ranges come back, and a network sees every range as 0..1."""

import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

import picture_files as files
from little import little_picture
from pellucid.errors import BudgetError, PellucidError, PictureError
from pellucid.images import Picture, read_header, read_pages, read_picture, unsupported, write_pages
from pellucid.tasks import Job, RestoreOptions, Restorer, plan_jobs, restore, restore_files
from pellucid.tasks.restore import ResultSize

RNG = np.random.default_rng(0)
STACK = RNG.integers(100, 4000, (2, 3, 12, 17)).astype(np.uint16)


@pytest.fixture(scope="module")
def restorer(identity):
    return Restorer(RestoreOptions(weights=identity, device="cpu"))


@pytest.fixture(scope="module")
def changer(weights):
    return Restorer(RestoreOptions(weights=weights, device="cpu"))


def restored(restorer, source, **options):
    (outcome,) = restore_files(restorer, plan_jobs([source], None), overwrite=True, **options)
    if outcome.error:
        raise PellucidError(outcome.error)
    return source.with_stem(f"{source.stem}-restored"), outcome


def stack(name):
    """The bytes of a stack as each program writes it."""
    buffer = io.BytesIO()
    if name == "imagej":
        metadata = {"axes": "ZCYX", "spacing": 0.5, "unit": "um", "Labels": list("abcdef"), "mode": "composite"}
        tifffile.imwrite(buffer, STACK, imagej=True, resolution=(3.3, 3.3), metadata=metadata)
    elif name == "imagej, one directory":
        tifffile.imwrite(buffer, STACK, imagej=True, metadata={"axes": "ZCYX"}, truncate=True)
    elif name == "ome":
        size = {"PhysicalSizeX": 0.29, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.29, "PhysicalSizeYUnit": "µm"}
        options = {"resolution": (1e4 / 0.29, 1e4 / 0.29), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(buffer, STACK, ome=True, tile=(16, 16), metadata={"axes": "CZYX", **size}, **options)
    elif name == "big":
        tifffile.imwrite(buffer, STACK, photometric="minisblack", bigtiff=True, byteorder=">", compression="zlib")
    elif name == "shaped, one directory":
        tifffile.imwrite(buffer, STACK, photometric="minisblack", metadata={"axes": "TZYX"}, truncate=True)
    elif name == "float":
        values = RNG.normal(0, 1e5, STACK.shape).astype(np.float32)
        tifffile.imwrite(buffer, values, photometric="minisblack", metadata={"axes": "TZYX"})
    elif name == "planar":
        channels = STACK.astype(np.uint8)[0]
        tifffile.imwrite(buffer, channels, photometric="rgb", planarconfig="separate", metadata={"axes": "CYX"})
    return buffer.getvalue()


STACKS = ["imagej", "imagej, one directory", "ome", "big", "shaped, one directory", "float", "planar"]


def seen(data):
    """What tifffile makes of a file: arrays, axes, and the first page's own words and sizes."""
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        tags = tif.pages[0].tags
        words = {code: tags[code].value for code in (270, 282, 283, 296, 305, 50838, 50839) if code in tags}
        return [series.asarray() for series in tif.series], [series.axes for series in tif.series], words


@pytest.mark.parametrize("name", STACKS)
def test_stacks_come_back(restorer, tmp_path, name):
    source = tmp_path / "a.tif"
    source.write_bytes(stack(name))
    target, outcome = restored(restorer, source)
    arrays, axes, words = seen(source.read_bytes())
    found, found_axes, found_words = seen(target.read_bytes())
    assert found_axes == axes
    assert [array.dtype for array in found] == [array.dtype for array in arrays]
    for array, expected in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
    if name == "shaped, one directory":
        words[270] = words[270].replace(', "truncated": true', "")
    assert found_words == words
    assert outcome.header.pages == (1 if name == "planar" else 6)
    assert len(outcome.notes) <= 1  # of the span
    second, _ = restored(restorer, target)
    assert seen(second.read_bytes())[1:] == (found_axes, found_words)


def test_every_page_is_restored_by_itself(changer, tmp_path):
    pages = [little_picture(20, 23, channels, bits, seed=channels) for channels, bits in ((3, 8), (1, 16), (3, 16))]
    assert write_pages(pages, tmp_path / "a.tif") == ()
    shares = []
    target, outcome = restored(changer, tmp_path / "a.tif", report=lambda state: shares.append(state.megapixels_done))
    found = list(read_pages(target))
    assert outcome.header.pages == len(found) == 3
    for page, before in zip(found, read_pages(tmp_path / "a.tif"), strict=True):
        changer(before).save(tmp_path / "b.tif", overwrite=True)
        np.testing.assert_array_equal(page.pixels, read_picture(tmp_path / "b.tif").pixels)
        assert (page.bit_depth, page.channels) == (before.bit_depth, before.channels)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(3 * 20 * 23 / 1e6)


def test_what_needs_tiff_says_so(restorer, weights, tmp_path):
    (tmp_path / "a.tif").write_bytes(stack("big"))
    (outcome,) = restore_files(restorer, plan_jobs([tmp_path / "a.tif"], tmp_path / "b.png"), overwrite=True)
    assert "PNG holds one picture; this file has 6 pages; use .tif" in outcome.error
    for reading in (read_picture, lambda path: restore(path, weights=weights, device="cpu")):
        with pytest.raises(PictureError, match="several pages"):
            reading(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=r"b\.png: its format holds one picture"):
        write_pages([little_picture(), little_picture()], tmp_path / "b.png")
    with pytest.raises(PictureError, match="no page"):
        write_pages([], tmp_path / "b.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_the_largest_page_counts_for_the_budget(identity, tmp_path):
    write_pages([little_picture(), little_picture(900, 900), little_picture()], tmp_path / "a.tif")
    assert (read_header(tmp_path / "a.tif").width, read_header(tmp_path / "a.tif").pages) == (900, 3)
    restorer = Restorer(RestoreOptions(weights=identity, device="cpu", memory="1MiB"))
    with pytest.raises((BudgetError, PellucidError), match="900 × 900"):
        restored(restorer, tmp_path / "a.tif")


def test_a_failure_on_a_later_page_leaves_nothing(restorer, tmp_path):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as tif:
        tif.write(STACK[0, 0], metadata=None)
        tif.write(STACK[0, 1], metadata=None, compression="zlib")
    data = buffer.getvalue()
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        at = tif.pages[1].dataoffsets[0]
    (tmp_path / "a.tif").write_bytes(data[: at + 20] + bytes(20) + data[at + 40 :])
    with pytest.raises(PellucidError, match=r"a\.tif: it is damaged"):
        restored(restorer, tmp_path / "a.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_description_is_not_kept_where_it_would_lie(tmp_path):
    (tmp_path / "a.tif").write_bytes(stack("imagej"))
    pages = list(read_pages(tmp_path / "a.tif"))
    assert "ImageJ description" in write_pages(pages[:2], tmp_path / "b.tif")[0]
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert not tif.is_imagej
        assert len(tif.pages) == 2
    (said,) = pages[0].save(tmp_path / "c.png")
    assert said == "PNG has no place for the ImageJ description; it is not kept"


def ome(files_named):
    blocks = "".join(f'<TiffData><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>' for name in files_named)
    return f'<?xml version="1.0"?><OME><Image><Pixels>{blocks}</Pixels></Image></OME>'


def test_ome_never_points_back_to_the_original(restorer, tmp_path):
    for names, kept in ((["a.tif"], True), (["a.tif", "b.tif"], False)):
        tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], description=ome(names), metadata=None)
        target, outcome = restored(restorer, tmp_path / "a.tif")
        with tifffile.TiffFile(target) as tif:
            assert ("OME" in tif.pages[0].description) == kept
            assert "FileName" not in tif.pages[0].description
        assert any("speaks of other files" in note for note in outcome.notes) == (not kept)


def test_maps_keep_their_place(restorer, tmp_path):
    tags = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0, 0, 0, 1e5, 2e5, 0), True)]
    tags += [(34735, "H", 4, (1, 1, 0, 0), True), (42113, "s", 0, "-99", True)]
    values = RNG.normal(500, 100, (12, 17)).astype(np.float32)
    values[3:5, 3:5] = -99
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=tags, metadata=None)
    target, outcome = restored(restorer, tmp_path / "a.tif")
    assert outcome.notes[0] == "its pixels of no data (-99) stay as they are"
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(target) as after:
        for code, *_ in tags:
            assert after.pages[0].tags[code].value == before.pages[0].tags[code].value
        np.testing.assert_array_equal(after.asarray(), before.asarray())


@pytest.mark.parametrize(
    ("kind", "nothing"), [(np.float32, -9999), (np.int16, -32768), (np.uint16, 65535), (np.uint8, 0)]
)
def test_no_data_is_not_looked_at(changer, tmp_path, kind, nothing):
    values, where = RNG.integers(50, 200, (40, 37)).astype(kind), np.s_[5:20, 10:30]
    results = []
    for value in (nothing, nothing, 125):
        values[where] = value
        (tmp_path / "a.tif").write_bytes(files.tiff(values))
        if value == nothing:
            tags = [(42113, "s", 0, str(nothing), True)]
            tifffile.imwrite(tmp_path / "a.tif", values, extratags=tags, metadata=None)
        found = tifffile.imread(restored(changer, tmp_path / "a.tif")[0])
        assert value != nothing or (found[where] == nothing).all()
        results.append(np.delete(found.ravel(), np.ravel_multi_index(np.mgrid[where].reshape(2, -1), values.shape)))
    # What stands there instead matters little: the network sees something like the surroundings.
    assert np.abs(results[0].astype(float) - results[2]).mean() < 0.1 * np.abs(results[0].astype(float) - 125).mean()
    assert nothing not in results[0]


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0, 4095, np.uint16), (0, 1023, np.uint16), (0, 3e6, np.float32), (-1024, 3071, np.int16), (300, 301, np.float32)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_sees_every_range_alike(changer, tmp_path, low, high, kind, channels):
    plain = RNG.random((20, 23, channels)).astype(np.float32)
    plain[0, 0], plain[0, 1] = 0, 1
    expected = changer(Picture(pixels=plain)).pixels
    (tmp_path / "a.tif").write_bytes(files.tiff((low + plain * (high - low)).astype(kind).squeeze()))
    found = tifffile.imread(restored(changer, tmp_path / "a.tif")[0]).reshape(plain.shape)
    assert found.dtype == kind
    step = 1 if np.dtype(kind).kind in "iu" else 0
    np.testing.assert_allclose(found, low + expected * (high - low), atol=2 * step + 1e-4 * (high - low))
    assert low <= found.min() < found.max() <= high


def test_floats_of_0_to_1_are_seen_as_they_are(changer, tmp_path):
    values = (0.2 + 0.1 * RNG.random((20, 23))).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None)
    target, outcome = restored(changer, tmp_path / "a.tif")
    assert outcome.notes == ()
    np.testing.assert_array_equal(tifffile.imread(target), changer(Picture(pixels=values[..., None])).pixels[..., 0])


def test_few_hot_pixels_do_not_set_the_range(changer, tmp_path):
    values = RNG.integers(100, 900, (200, 200)).astype(np.uint16)
    values[50, 60] = 65535
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None)
    assert read_picture(tmp_path / "a.tif").span[1] == 1023 / 65535
    found = tifffile.imread(restored(changer, tmp_path / "a.tif")[0])
    assert (found != values).mean() > 0.5
    assert found[50, 60] > 64000
    assert np.delete(found.ravel(), 50 * 200 + 60).max() <= 1023


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_what_is_not_a_number_stays_and_spreads_nowhere(changer, tmp_path, kind):
    values = RNG.normal(50, 10, (40, 37)).astype(kind)
    clean = tmp_path / "clean.tif"
    tifffile.imwrite(clean, values, metadata=None)
    holes = [(3, 4), (20, 20), (39, 36)]
    for hole, value in zip(holes, (np.nan, np.inf, -np.inf), strict=True):
        values[hole] = value
    values[10:30, 5:9] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None)
    target, outcome = restored(changer, tmp_path / "a.tif")
    found = tifffile.imread(target)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(values))
    np.testing.assert_array_equal(found[~np.isfinite(values)], values[~np.isfinite(values)])
    assert f"{(~np.isfinite(values)).sum()} of its pixels are not numbers" in outcome.notes[-1]
    (failed,) = restore_files(changer, plan_jobs([tmp_path / "a.tif"], tmp_path / "b.png"), overwrite=True)
    assert "PNG holds no values that are not numbers" in failed.error


def test_nothing_but_nan(changer, tmp_path):
    values = np.full((9, 9), np.nan, np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None)
    np.testing.assert_array_equal(tifffile.imread(restored(changer, tmp_path / "a.tif")[0]), values)


def test_floats_in_other_formats_fill_the_range_and_it_is_said(tmp_path):
    values = np.linspace(-3, 9, 500).reshape(20, 25, 1).astype(np.float32)
    picture = Picture(pixels=values, bit_depth=32, numbers="float", span=(-3.0, 9.0))
    for suffix, depth in ((".png", 16), (".jpg", 8)):
        (said,) = unsupported(picture, suffix)
        assert "holds no floating-point numbers" in said
        picture.save(tmp_path / f"a{suffix}")
        found = read_picture(tmp_path / f"a{suffix}")
        assert found.bit_depth == depth
        np.testing.assert_allclose(found.pixels, (values + 3) / 12, atol=0.01)
    narrow = replace(little_picture(bit_depth=16), span=(0.0, 1023 / 65535), pixels=little_picture().pixels / 64)
    narrow.save(tmp_path / "b.webp")
    assert read_picture(tmp_path / "b.webp").pixels.mean() == pytest.approx(0.5, abs=0.1)


def test_wide_numbers_are_rounded_with_a_note(restorer, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RNG.normal(0, 1, (9, 9)), metadata=None)
    target, outcome = restored(restorer, tmp_path / "a.tif")
    assert tifffile.imread(target).dtype == np.float32
    assert outcome.notes[0] == "its 64-bit numbers are rounded to 32 bits"


def test_notes_come_before_the_work(tmp_path):
    class Idle:
        def check(self, *_, **__):
            pass

        def result_size(self, picture):
            return ResultSize(picture.width, picture.height, picture.channels)

        def restored(self, *_, **__):
            raise PellucidError("this is work")

    (tmp_path / "a.png").write_bytes(files.png(np.zeros((9, 9, 4), np.uint16), orientation=1))
    tifffile.imwrite(tmp_path / "b.tif", np.arange(99, dtype=np.float32).reshape(9, 11), metadata=None)
    Image.fromarray(np.zeros((9, 9, 4), np.uint8), "CMYK").save(tmp_path / "c.jpg")
    sources = {
        "a.png": ["JPEG holds 8 bits per channel", "JPEG holds no transparency"],
        "b.tif": ["JPEG holds no floating-point numbers", "values 0 to 98 as black to white"],
        "c.jpg": ["converted from CMYK to sRGB", "it has no CMYK profile"],
    }
    said = []
    jobs = [Job(source=tmp_path / source, target=tmp_path / "d.jpg") for source in sources]
    outcomes = restore_files(Idle(), jobs, overwrite=True, say=lambda job, note: said.append((job.source.name, note)))
    assert all("this is work" in outcome.error for outcome in outcomes)
    for source, words in sources.items():
        for word in words:
            assert any(name == source and word in note for name, note in said), word


def test_pictures_that_are_more_than_pages_are_refused_and_not_lost(tmp_path):
    """Volumes, and arrays of which only the first plane has a directory."""
    volumes, arrays = tmp_path / "volumes.tif", tmp_path / "arrays.tif"
    with tifffile.TiffWriter(volumes) as file:
        for _ in range(2):
            file.write(STACK[0], photometric="minisblack", volumetric=True, metadata=None)
    with tifffile.TiffWriter(arrays) as file:
        for _ in range(2):
            file.write(STACK[0], photometric="minisblack", metadata={"axes": "ZYX"}, truncate=True)
    for path in (volumes, arrays):
        with pytest.raises(PictureError, match="several pictures in one"):
            list(read_pages(path))
