"""A picture in, the same picture restored out: everything that is not asked for stays."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pellucid
from little import MULTIPLE, little_network, little_picture, saved
from pellucid.errors import BudgetError, PellucidError, PictureError, UsageError
from pellucid.images import Metadata, Picture, PictureStream, read_header, read_picture
from pellucid.tasks import RestoreOptions, Restorer, restore
from pellucid.tasks.grey import as_colour, noise_level
from pellucid.tasks.memory import TileShape
from pellucid.tasks.runner import Runner

MODULE = sys.modules["pellucid.tasks.restore"]  # `pellucid.tasks.restore` is the function of that name
TILE = TileShape(4 * MULTIPLE, 4 * MULTIPLE, MULTIPLE)
WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here, which is not refused")
WITHOUT_MPS = pytest.mark.skipif(
    torch.backends.mps.is_available(), reason="there is an MPS device here, which is not refused"
)


@pytest.fixture(scope="session")
def grey_weights(tmp_path_factory):
    network = little_network(in_channels=1, out_channels=1)
    return saved(network, tmp_path_factory.mktemp("weights") / "grey.safetensors")


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(MODULE, "plan_tile", lambda *_, **__: TILE)


def restorer_of(path, **options):
    return Restorer(RestoreOptions(weights=path, device="cpu", **options))


def run_network(path, pixels):
    """The network of a file on (H, W, C), by itself."""
    with torch.inference_mode():
        return pellucid.load(path)(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()


@pytest.fixture
def described():
    """A picture with everything a picture may have."""
    plain = little_picture(14, 11, bit_depth=16)
    alpha = np.linspace(0, 1, 14 * 11, dtype=np.float32).reshape(14, 11)
    metadata = Metadata(xmp=b"<x:xmpmeta/>", resolution=(300.0, 150.0))
    return replace(plain, alpha=alpha, metadata=metadata, notes=("converted from a palette to RGB",))


SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(SIZES, st.sampled_from([8, 16]), st.integers(4, 8), st.integers(0, 1))
@settings(deadline=None, max_examples=30)
@example((1, 1), 8, 4, 1)
@example((17, 15), 16, 4, 1)
def test_identity_through_tiles_is_bit_exact(identity, size, bit_depth, longest, shared):
    check_identity(identity, little_picture(*size, 3, bit_depth), longest, shared)


@given(SIZES, st.sampled_from([8, 16]), st.integers(4, 8), st.integers(0, 1))
@settings(deadline=None, max_examples=30)
@example((17, 15), 16, 4, 1)
def test_identity_of_a_grey_picture_is_bit_exact(identity, size, bit_depth, longest, shared):
    """The network sees grey as three equal channels, of which it gives back three."""
    check_identity(identity, little_picture(*size, 1, bit_depth), longest, shared)


def check_identity(identity, picture, longest, shared):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            MODULE, "plan_tile", lambda *_, **__: TileShape(longest * MULTIPLE, longest * MULTIPLE, shared * MULTIPLE)
        )
        result = restorer_of(identity)(picture)
    assert result.pixels.tobytes() == picture.pixels.tobytes()


@pytest.mark.parametrize(("channels", "suffix"), [(1, ".png"), (3, ".png"), (3, ".tif")])
def test_identity_from_file_to_file(identity, tmp_path, channels, suffix):
    """With tiles that a real, small budget forces."""
    little_picture(300, 270, channels, 16).save(tmp_path / f"a{suffix}")
    with pytest.raises(BudgetError) as caught:
        restore(tmp_path / f"a{suffix}", weights=identity, device="cpu", memory=1)
    smallest = re.search(r"at least (\d+) MiB", str(caught.value))[1]
    shares = []
    restored = restore(
        tmp_path / f"a{suffix}", weights=identity, device="cpu", memory=f"{smallest}MiB", report=shares.append
    )
    assert len(shares) > 1
    restored.save(tmp_path / f"b{suffix}")
    before, after = (read_picture(tmp_path / f"{name}{suffix}") for name in "ab")
    assert after.pixels.tobytes() == before.pixels.tobytes()
    assert after.bit_depth == 16


def test_result_is_the_networks(weights):
    picture = little_picture(20, 23)
    result = restore(picture, weights=weights, device="cpu")
    np.testing.assert_allclose(result.pixels, np.clip(run_network(weights, picture.pixels), 0, 1), atol=1e-6)
    assert np.abs(result.pixels - picture.pixels).max() > 1e-3


def test_result_stays_within_black_and_white(tmp_path):
    path = saved(little_network(change=50.0), tmp_path / "strong.safetensors")
    result = restore(little_picture(), weights=path, device="cpu").pixels
    assert result.min() == 0
    assert result.max() == 1


@pytest.mark.usefixtures("small_tiles")
def test_grey_stays_grey(weights):
    picture = little_picture(40, 23, channels=1)
    result = restorer_of(weights)(picture)
    assert result.pixels.shape == (40, 23, 1)
    assert (result.pixels != picture.pixels).any()


def test_grey_is_the_mean_of_the_three_channels(weights):
    picture = little_picture(channels=1)
    rows, columns = slice(0, picture.height), slice(0, picture.width)
    level = noise_level(PictureStream.of(picture))
    expected = run_network(weights, as_colour(picture.pixels, level, rows, columns)).mean(2, keepdims=True)
    np.testing.assert_allclose(restorer_of(weights)(picture).pixels, np.clip(expected, 0, 1), atol=1e-6)


def test_grey_network_restores_each_plane(grey_weights):
    picture = little_picture()
    result = restorer_of(grey_weights)(picture).pixels
    for channel in range(3):
        plane = Picture(pixels=picture.pixels[..., channel : channel + 1])
        np.testing.assert_allclose(restorer_of(grey_weights)(plane).pixels[..., 0], result[..., channel], atol=1e-6)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (500, 3), (15, 17)])
def test_any_size(weights, size):
    assert restorer_of(weights)(little_picture(*size)).pixels.shape == (*size, 3)


def test_alpha_metadata_depth_and_notes_are_kept(weights, described):
    result = restorer_of(weights)(described)
    np.testing.assert_array_equal(result.alpha, described.alpha)
    assert result.metadata is described.metadata
    assert (result.bit_depth, result.notes) == (16, described.notes)


def test_alpha_metadata_and_depth_reach_the_file(weights, described, tmp_path):
    described.save(tmp_path / "a.png")
    restore(tmp_path / "a.png", weights=weights, device="cpu").save(tmp_path / "b.png")
    before, after = read_picture(tmp_path / "a.png"), read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(after.alpha, before.alpha)
    assert (after.bit_depth, after.metadata.xmp) == (16, before.metadata.xmp)
    assert after.metadata.resolution == before.metadata.resolution
    values = np.rint(after.pixels.astype(np.float64) * 65535).astype(int)
    assert (values % 257 != 0).any()  # more than 8 bits spread over 16


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_picture_given_is_not_modified(weights, described, strength):
    pixels, alpha = described.pixels.copy(), described.alpha.copy()
    result = restorer_of(weights, strength=strength)(described)
    np.testing.assert_array_equal(described.pixels, pixels)
    np.testing.assert_array_equal(described.alpha, alpha)
    assert not np.shares_memory(result.pixels, described.pixels)


@pytest.mark.usefixtures("small_tiles")
def test_no_strength_no_change(weights):
    picture = little_picture(40, 37)
    assert restorer_of(weights, strength=0)(picture).pixels.tobytes() == picture.pixels.tobytes()


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_strength_is_the_share_of_the_way(weights, strength):
    picture = little_picture(40, 37)
    full = restorer_of(weights)(picture).pixels
    assert 0 < full.min() < full.max() < 1
    expected = picture.pixels + strength * (full - picture.pixels)
    np.testing.assert_allclose(restorer_of(weights, strength=strength)(picture).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf")])
def test_strength_outside_its_range_is_refused(weights, strength):
    with pytest.raises(UsageError, match="between 0 and 1"):
        restorer_of(weights, strength=strength)


@pytest.mark.usefixtures("small_tiles")
def test_progress_rises_to_one(weights):
    shares = []
    restore(little_picture(40, 40), weights=weights, device="cpu", report=shares.append)
    assert len(shares) > 4
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_restorer_serves_many_pictures(weights):
    restorer = restorer_of(weights)
    first = restorer(little_picture()).pixels
    restorer(little_picture(31, 8, channels=1))
    np.testing.assert_array_equal(restorer(little_picture()).pixels, first)


def spoil(monkeypatch, when, value=np.nan):
    """Make the network answer with `value` where when(dtype, call) is true; returns the list of dtypes it ran in."""
    run, ran = Runner._run, []

    def spoiled(self, network, tile):
        dtype = next(network.parameters()).dtype
        ran.append(dtype)
        result = run(self, network, tile)
        if when(dtype, len(ran)):
            result[0, 0, 0] = value
        return result

    monkeypatch.setattr(Runner, "_run", spoiled)
    return ran


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_spoiled_tiles_are_redone_in_float32(weights, monkeypatch, value):
    picture = little_picture(20, 20)
    expected = restorer_of(weights)(picture).pixels
    ran = spoil(monkeypatch, lambda dtype, _: dtype == torch.bfloat16, value)
    result = restorer_of(weights, dtype="bfloat16")(picture).pixels
    np.testing.assert_array_equal(result, expected)
    assert ran == [torch.bfloat16, torch.float32] * 4


@pytest.mark.usefixtures("small_tiles")
def test_only_the_spoiled_tile_is_redone(weights, monkeypatch):
    ran = spoil(monkeypatch, lambda _, call: call == 2)
    result = restorer_of(weights, dtype="bfloat16")(little_picture(20, 20)).pixels
    assert np.isfinite(result).all()
    assert [str(dtype) for dtype in ran].count("torch.float32") == 1
    assert ran[2] == torch.float32


def test_network_that_overflows_in_float16_gives_what_float32_gives(tmp_path):
    network = little_network()
    with torch.no_grad():
        network.output.weight.mul_(1e4)
        network.refinement[0].feedforward.project.weight.mul_(1e6)
    path = saved(network, tmp_path / "overflowing.safetensors")
    expected = restorer_of(path)(little_picture()).pixels
    result = restorer_of(path, dtype="float16")(little_picture()).pixels
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result, expected)


def test_reduced_precision_is_used_and_near(weights):
    picture = little_picture(20, 20)
    full, reduced = (restorer_of(weights, dtype=dtype)(picture).pixels for dtype in ("float32", "bfloat16"))
    assert (full != reduced).any()
    np.testing.assert_allclose(reduced, full, atol=0.02)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_numbers_that_are_none_even_in_float32_are_refused(weights, monkeypatch, dtype):
    spoil(monkeypatch, lambda *_: True)
    with pytest.raises(PellucidError, match=r"little\.safetensors .*not numbers"):
        restorer_of(weights, dtype=dtype)(little_picture())


def test_too_small_a_budget_is_refused_before_any_work(weights, tmp_path, monkeypatch):
    little_picture(40, 30).save(tmp_path / "a.png")

    def never(*_):
        raise AssertionError("this is work")

    monkeypatch.setattr(Runner, "_run", never)
    monkeypatch.setattr(PictureStream, "whole", never)
    with pytest.raises(BudgetError, match="30 × 40"):
        restore(tmp_path / "a.png", weights=weights, device="cpu", memory="1MiB")
    restorer = restorer_of(weights, memory=2**20)
    with pytest.raises(BudgetError, match="at least"):
        restorer.check(read_header(tmp_path / "a.png"))
    with pytest.raises(BudgetError, match="at least"):
        restorer(little_picture())


def test_the_smallest_budget_that_is_named_works_and_one_less_does_not(weights):
    picture = little_picture(40, 30)
    with pytest.raises(BudgetError) as caught:
        restore(picture, weights=weights, device="cpu", memory="1MiB")
    needed = int(re.search(r"at least (\d+) MiB", str(caught.value))[1])
    with pytest.raises(BudgetError):
        restore(picture, weights=weights, device="cpu", memory=f"{needed - 1}MiB")
    for memory in (f"{needed}MiB", needed * 2**20):
        assert restore(picture, weights=weights, device="cpu", memory=memory).pixels.shape == (40, 30, 3)


@pytest.mark.parametrize("memory", [0, "0", "0GiB"])
def test_no_memory_at_all_is_not_the_default(weights, memory):
    with pytest.raises((BudgetError, UsageError)):
        restore(little_picture(), weights=weights, device="cpu", memory=memory)


@pytest.mark.parametrize("name", ["tpu", "", "cuda:0", "CPU"])
def test_unknown_device_is_refused(weights, name):
    with pytest.raises(UsageError, match="is no device"):
        Restorer(RestoreOptions(weights=weights, device=name))


@pytest.mark.parametrize("name", [pytest.param("cuda", marks=WITHOUT_CUDA), pytest.param("mps", marks=WITHOUT_MPS)])
def test_device_that_is_not_there_is_refused(weights, name):
    with pytest.raises(UsageError, match=f"no usable {name} device"):
        Restorer(RestoreOptions(weights=weights, device=name))


@pytest.mark.parametrize("dtype", ["float64", "half", "", "Float32"])
def test_unknown_precision_is_refused(weights, dtype):
    with pytest.raises(UsageError, match="is no precision"):
        restorer_of(weights, dtype=dtype)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"bears": ["float16", "bfloat16"]}, torch.float16),
        ({"bears": []}, torch.float32),
        ({}, torch.float32),
        (None, torch.float32),
    ],
)
def test_precision_is_reduced_where_the_card_says_that_nothing_is_lost(tmp_path, monkeypatch, card, expected):
    monkeypatch.setattr("pellucid.tasks.weights._FOLDER", tmp_path)
    path = saved(little_network(), tmp_path / "little.safetensors")
    if card is not None:
        (tmp_path / "little.json").write_text(json.dumps(card))
    assert MODULE._choose_dtype("auto", torch.device("cuda"), path) == expected
    assert MODULE._choose_dtype("auto", torch.device("mps"), path) == torch.float32
    assert MODULE._choose_dtype("bfloat16", torch.device("cuda"), path) == torch.bfloat16
    assert Restorer(RestoreOptions(weights="little", device="cpu")).dtype == torch.float32


def test_weights_of_the_user_bear_nothing_whatever_lies_beside_them(tmp_path):
    path = saved(little_network(), tmp_path / "little.safetensors")
    (tmp_path / "little.json").write_text('{"bears": ["float16"]}')
    assert MODULE._choose_dtype("auto", torch.device("cuda"), path) == torch.float32


@pytest.mark.parametrize("given_weights", [False, True])
def test_unknown_task_is_refused(weights, given_weights):
    """Also where weights are given, which would make it meaningless."""
    with pytest.raises(UsageError, match=r"no task 'beautify'.*denoise"):
        restorer_of(weights if given_weights else None, task="beautify")


@pytest.mark.parametrize("name", ["nothing-of-the-kind", "no/such.safetensors", "n" * 300, "nul\0"])
def test_unknown_weights_are_refused(name):
    with pytest.raises(UsageError, match="neither a weight file nor"):
        restorer_of(name)


def test_weights_of_a_run_are_found_in_its_folder(tmp_path):
    path = saved(little_network(), tmp_path / "weights.safetensors")
    assert restorer_of(tmp_path).weights == path
    assert restorer_of(str(tmp_path)).weights == path


def test_network_for_two_views_is_refused(tmp_path):
    network = little_network(in_channels=6, dual_pixel=True, unshuffle=1)
    path = saved(network, tmp_path / "dual.safetensors")
    with pytest.raises(UsageError, match="does not restore pictures"):
        restorer_of(path)


def test_missing_and_damaged_sources_are_named(weights, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    for name in ("missing.png", "broken.png"):
        with pytest.raises(PictureError, match=name):
            restore(tmp_path / name, weights=weights, device="cpu")
