"""Pictures restored row by row: as in memory, enlarged and coloured on the way, and whatever memory does."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from little import MULTIPLE, little_network, little_picture, saved
from pellucid import checkpoints
from pellucid.errors import BudgetError, PellucidError, PictureError, UsageError
from pellucid.images import (
    Metadata,
    Picture,
    PictureStream,
    open_picture,
    read_header,
    read_picture,
    write_pages,
)
from pellucid.images.mosaic import malvar
from pellucid.images.resampling import resized
from pellucid.images.stream import Window
from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore, restore_files
from pellucid.tasks.memory import TileShape
from pellucid.tasks.runner import Runner

MODULE = sys.modules["pellucid.tasks.restore"]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return saved(little_network(change=0), tmp_path_factory.mktemp("weights") / "identity.safetensors")


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(MODULE, "plan_tile", lambda *_, **__: TileShape(4 * MULTIPLE, 6 * MULTIPLE, MULTIPLE))


def restorer_of(path, **options):
    return Restorer(RestoreOptions(weights=path, device="cpu", **options))


# The rows of a stream


@given(st.integers(1, 300), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 90)), max_size=8), st.booleans())
@settings(deadline=None, max_examples=100)
def test_a_window_shows_the_rows_of_its_stream(height, moves, with_alpha):
    pixels = np.arange(height * 6, dtype=np.float32).reshape(height, 2, 3)
    stream = PictureStream.of(Picture(pixels=pixels, alpha=pixels[..., 0].copy() if with_alpha else None))
    window, top = Window(stream), 0
    for down, count in moves:
        top = min(top + down, height - 1)
        rows = slice(top, min(top + count, height))
        shown = window.rows(rows)
        np.testing.assert_array_equal(shown.pixels, pixels[rows])
        if with_alpha:
            np.testing.assert_array_equal(shown.alpha, pixels[rows, :, 0])


def test_a_window_does_not_go_up():
    window = Window(PictureStream.of(little_picture(20, 5)))
    window.rows(slice(7, 9))
    with pytest.raises(ValueError, match="row 6 is gone"):
        window.rows(slice(6, 9))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm", ".webp"])
def test_a_file_is_restored_as_the_picture_in_it(weights, tmp_path, suffix):
    for channels in (1, 3):
        source = tmp_path / f"{channels}{suffix}"
        picture = little_picture(150, 70, channels=3 if suffix == ".webp" else channels)
        if suffix in (".png", ".tif"):
            picture = replace(picture, alpha=RNG.random((150, 70), dtype=np.float32).round())
        picture.save(source)
        restorer, target = restorer_of(weights), tmp_path / f"out{channels}{suffix}"
        with open_picture(source) as stream:
            write_pages([restorer.restored(stream)], target)
        restorer(read_picture(source)).save(tmp_path / f"whole{channels}{suffix}")
        found, expected = read_picture(target), read_picture(tmp_path / f"whole{channels}{suffix}")
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert target.read_bytes() == (tmp_path / f"whole{channels}{suffix}").read_bytes()


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("layout", [{"tile": (32, 48)}, {"rowsperstrip": 7}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_of_every_layout_comes_back(identity, tmp_path, layout, dtype):
    pixels = (RNG.random((101, 67, 3)) * (1 if dtype == np.float32 else 200)).astype(dtype)
    stored = np.moveaxis(pixels, 2, 0) if "planarconfig" in layout else pixels
    for compression in (None, "zlib", "lzw"):
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", compression=compression, **layout)
        with open_picture(tmp_path / "a.tif") as stream:
            write_pages([restorer_of(identity).restored(stream)], tmp_path / "b.tif", overwrite=True)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif").reshape(stored.shape), stored)


def test_what_goes_wrong_while_rows_are_made_is_told_as_it_is(weights, tmp_path, monkeypatch):
    def fail(*_):
        raise PellucidError("the network is ill")

    monkeypatch.setattr(Runner, "__call__", fail)
    little_picture(50, 50).save(tmp_path / "a.png")
    with open_picture(tmp_path / "a.png") as stream, pytest.raises(PellucidError, match=r"^the network is ill$"):
        write_pages([restorer_of(weights).restored(stream)], tmp_path / "b.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# Larger pictures, and mosaics


def weights_for(folder, task, scale=1, **fields):
    path = folder / f"{task}{scale}.safetensors"
    network = little_network(change=0, **fields)
    checkpoints.save(network, "restormer", path, about={"task": task, "scale": str(scale)})
    return path


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_enlarged_before_the_network(tmp_path, scale, channels):
    path = weights_for(tmp_path, "sr", scale, unshuffle=2)
    picture = little_picture(33, 21, channels=channels)
    alpha = np.ones((33, 21), np.float32)
    alpha[10:, 5:9] = 0
    expected = np.clip(resized(picture.pixels, 33 * scale, 21 * scale), 0, 1)
    np.testing.assert_array_equal(restorer_of(path)(picture).pixels, expected)
    restored = restorer_of(path)(replace(picture, alpha=alpha))
    assert restored.alpha.shape == restored.pixels.shape[:2] == (33 * scale, 21 * scale)
    assert restored.alpha[-1, 7 * scale] == 0
    assert restored.alpha.max() == 1


@pytest.mark.usefixtures("small_tiles")
def test_a_mosaic_becomes_colour(tmp_path):
    path = weights_for(tmp_path, "demosaic")
    picture = little_picture(75, 52, channels=1)
    restored = restorer_of(path)(picture)
    np.testing.assert_array_equal(restored.pixels, np.clip(malvar(picture.pixels[..., 0]), 0, 1))
    with pytest.raises(PellucidError, match="a mosaic is a grey picture"):
        restorer_of(path)(little_picture())


def test_weights_say_what_they_are_for(tmp_path):
    path = weights_for(tmp_path, "sr", 2)
    assert (restorer_of(path).task, restorer_of(path).scale) == ("sr", 2)
    with pytest.raises(UsageError, match="are for the task sr, not denoise"):
        restorer_of(path, task="denoise")
    with pytest.raises(UsageError, match="enlarge 2 times, not 4"):
        restorer_of(path, scale=4)
    with pytest.raises(UsageError, match="deblur keeps the size"):
        restorer_of(weights_for(tmp_path, "deblur"), scale=2)


@pytest.mark.usefixtures("small_tiles")
def test_what_lies_under_transparency_does_not_colour_the_edge(tmp_path):
    """Alpha is interpolated, so at the edge of what shows there are pixels that lie nearest to one that does not."""
    pixels = np.zeros((20, 20, 3), np.float32)
    pixels[:, :9] = (0.75, 0.25, 0.5)
    alpha = np.zeros((20, 20), np.float32)
    alpha[:, :9] = 1
    restored = restorer_of(weights_for(tmp_path, "sr", 4))(Picture(pixels=pixels, alpha=alpha))
    assert ((restored.alpha > 0) & (restored.alpha < 1)).any()
    np.testing.assert_allclose(restored.pixels[restored.alpha > 0], [(0.75, 0.25, 0.5)] * (restored.alpha > 0).sum())
    np.testing.assert_array_equal(restored.pixels[restored.alpha == 0], 0)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("nothing", [np.nan, -9999.0])
def test_what_a_mosaic_does_not_know_spreads_nowhere(tmp_path, nothing):
    pixels = np.full((75, 52, 1), 0.5, np.float32)
    pixels[20:23, 30:33] = nothing
    no_data = nothing if np.isfinite(nothing) else None
    picture = Picture(pixels=pixels, bit_depth=32, numbers="float", no_data=no_data)
    restored = restorer_of(weights_for(tmp_path, "demosaic"))(picture).pixels
    expected = np.repeat(pixels, 3, axis=2)
    np.testing.assert_allclose(restored, expected, rtol=1e-6)


def test_a_grey_profile_does_not_describe_colours(tmp_path):
    picture = replace(little_picture(20, 20, channels=1), metadata=Metadata(icc=bytes(16) + b"GRAY" + bytes(112)))
    restored = restorer_of(weights_for(tmp_path, "demosaic"))(picture)
    assert restored.metadata.icc is None
    assert "its grey colour profile does not describe the colours of a mosaic and is not kept" in restored.notes


def test_what_is_no_mosaic_is_refused_before_the_work(tmp_path):
    restorer = restorer_of(weights_for(tmp_path, "demosaic"))
    little_picture().save(tmp_path / "colour.png")
    replace(little_picture(channels=1), alpha=np.ones((9, 13), np.float32)).save(tmp_path / "alpha.png")
    with pytest.raises(PictureError, match="this one is in colour"):
        restorer.check(read_header(tmp_path / "colour.png"))
    with pytest.raises(PictureError, match="this one has transparency"):
        restorer.check(read_header(tmp_path / "alpha.png"))


def test_a_picture_twice_as_large_keeps_its_size_in_print(tmp_path):
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 300.0, 150.0, 2
    exif.get_ifd(34665).update({40962: 40_000, 40963: 9})
    xmp = b'<x exif:PixelXDimension="13" tiff:XResolution="300/1"><exif:PixelYDimension>9</exif:PixelYDimension></x>'
    metadata = Metadata(exif=exif.tobytes()[6:], xmp=xmp, resolution=(300.0, 150.0))
    picture = replace(little_picture(), metadata=metadata)
    restored = restorer_of(weights_for(tmp_path, "sr", 2))(picture).metadata
    assert restored.resolution == (600, 300)
    found = Image.Exif()
    found.load(b"Exif\0\0" + restored.exif)
    assert (found[282], found[283]) == (600, 300)
    assert dict(found.get_ifd(34665)) == {40962: 80_000, 40963: 18}
    assert restored.xmp == xmp.replace(b'"13"', b'"26"').replace(b"300/1", b"600/1").replace(b">9<", b">18<")


def test_a_larger_picture_has_smaller_pixels_whatever_their_unit(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((9, 13), np.uint8), imagej=True, resolution=(3.3, 3.3), resolutionunit=1
    )
    picture = restorer_of(weights_for(tmp_path, "sr", 2))(read_picture(tmp_path / "a.tif"))
    picture.save(tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].tags["XResolution"].value == (66, 10)


def test_writing_a_larger_picture_needs_memory_for_the_larger(tmp_path, monkeypatch):
    """WebP is encoded whole: 4 × 4 as many pixels, of four channels, and the encoder's copy."""
    held = []

    def plan(*_, fixed, **__):
        held.append(fixed)
        return TileShape(4 * MULTIPLE, 6 * MULTIPLE, MULTIPLE)

    monkeypatch.setattr(MODULE, "plan_tile", plan)
    replace(little_picture(), alpha=np.ones((9, 13), np.float32)).save(tmp_path / "a.png")
    restorer = restorer_of(weights_for(tmp_path, "sr", 4))
    for target in (tmp_path / "b.png", tmp_path / "b.webp"):
        jobs = plan_jobs([tmp_path / "a.png"], target)
        assert [outcome.error for outcome in restore_files(restorer, jobs, overwrite=False)] == [None]
    by_rows, whole = set(held[: len(held) // 2]), set(held[len(held) // 2 :])
    assert {fixed + 2 * 16 * 9 * 13 * 4 for fixed in by_rows} == whole


def test_a_larger_picture_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    little_picture(1, 20_000).save(tmp_path / "a.jpg")
    monkeypatch.setattr(Restorer, "restored", None)
    restorer = restorer_of(weights_for(tmp_path, "sr", 4))
    (outcome,) = restore_files(restorer, plan_jobs([tmp_path / "a.jpg"], None), overwrite=False)
    assert "JPEG holds at most 65500 pixels per side; this picture has 80000 × 4" in outcome.error


@pytest.mark.parametrize("scale", ["many", "0", "-2"])
def test_weights_of_no_scale_are_refused(tmp_path, scale):
    path = tmp_path / "w.safetensors"
    checkpoints.save(little_network(), "restormer", path, about={"task": "sr", "scale": scale})
    with pytest.raises(UsageError, match=f"say that they enlarge {scale} times"):
        restorer_of(path)


@pytest.mark.parametrize("scale", [0, -2])
def test_no_scale_is_refused(weights, scale):
    with pytest.raises(UsageError, match=f"the scale must be 1 or more, not {scale}"):
        restorer_of(weights, scale=scale)


def test_every_task_takes_weights_of_the_user(weights):
    assert restorer_of(weights, task="derain").task == "derain"
    assert restorer_of(weights, task="sr", scale=3).scale == 3


# Memory that runs out


def local(_, __, tile):
    """In the place of a network: the mean of 3 × 3 pixels, which no tile's border changes further in."""
    padded = np.pad(tile, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = tile.shape[:2]
    return sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3)) / np.float32(9)


class Exhausted:
    """`run`, but memory runs out in some calls."""

    def __init__(self, run, when, error):
        self.run, self.when, self.error, self.calls = run, when, error, 0

    def __get__(self, runner, _):
        def run(network, tile):
            self.calls += 1
            if self.when(self.calls, tile):
                raise self.error
            return self.run(runner, network, tile)

        return run


ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("call", [1, 3, 6])
def test_memory_that_runs_out_once_changes_nothing(weights, monkeypatch, error, call):
    picture = little_picture(60, 60)
    expected = restorer_of(weights)(picture).pixels
    monkeypatch.setattr(Runner, "_run", Exhausted(Runner._run, lambda calls, _: calls == call, error))
    np.testing.assert_array_equal(restorer_of(weights)(picture).pixels, expected)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_tiles_that_do_not_fit_are_halved(weights, monkeypatch, error):
    picture = little_picture(700, 500)
    monkeypatch.setattr(Runner, "_run", local)
    expected = restorer_of(weights)(picture).pixels
    exhausted = Exhausted(local, lambda _, tile: tile.shape[0] * tile.shape[1] > 150_000, error)
    monkeypatch.setattr(Runner, "_run", exhausted)
    restorer = restorer_of(weights)
    np.testing.assert_array_equal(restorer(picture).pixels, expected)
    tries = exhausted.calls
    restorer(picture)
    assert exhausted.calls - tries == tries - 2  # what did not fit twice is not tried again


def test_memory_for_nothing_is_said(weights, monkeypatch):
    monkeypatch.setattr(Runner, "_run", Exhausted(local, lambda *_: True, MemoryError()))
    with pytest.raises(BudgetError, match="not even memory for"):
        restorer_of(weights)(little_picture(300, 300))


def test_other_errors_are_not_taken_for_memory(weights, monkeypatch):
    exhausted = Exhausted(local, lambda *_: True, RuntimeError("shapes do not match"))
    monkeypatch.setattr(Runner, "_run", exhausted)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        restorer_of(weights)(little_picture())
    assert exhausted.calls == 1


@pytest.mark.usefixtures("small_tiles")
def test_a_tile_that_fails_once_in_float32_is_computed_again(weights, monkeypatch):
    picture, run, calls = little_picture(60, 60), Runner._run, []

    def spoiled(self, network, tile):
        calls.append(tile.shape)
        result = run(self, network, tile)
        if len(calls) == 4:
            result[3, 4] = np.nan
        return result

    expected = restorer_of(weights)(picture).pixels
    monkeypatch.setattr(Runner, "_run", spoiled)
    np.testing.assert_array_equal(restorer_of(weights)(picture).pixels, expected)
    assert calls[3] == calls[4]


def test_half_precision_beyond_any_picture_is_redone(weights, monkeypatch):
    picture, run = little_picture(20, 20), Runner._run

    def overflown(self, network, tile):
        result = run(self, network, tile)
        if next(network.parameters()).dtype != torch.float32:
            result[2, 2] = 6000
        return result

    monkeypatch.setattr(Runner, "_run", overflown)
    full, half = (restore(picture, weights=weights, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    np.testing.assert_array_equal(half.pixels, full.pixels)
