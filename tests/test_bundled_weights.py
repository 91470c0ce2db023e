"""The weights that ship: each is what its card says, small enough, and does its work on a real photograph."""

import hashlib
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import pellucid
from pellucid.checkpoints import SYSTEMS, describe
from pellucid.data import read_rgb8
from pellucid.data.degradations import blurred, motion_kernel
from pellucid.data.degradations.drawn import Rain, rounded
from pellucid.evaluation import Problem, protocol_for
from pellucid.images import Picture
from pellucid.images.picture import to_floats, to_integers
from pellucid.metrics import psnr_rgb
from pellucid.tasks import DEFAULT_WEIGHTS, bundled_weights, find_weights, read_card, unshaken

FOLDER = Path(pellucid.__file__).parent / "weights"
EXAMPLES = Path(__file__).parent.parent / "examples"
FIELDS = {
    "name",
    "task",
    "scale",
    "system",
    "config",
    "parameters",
    "licence",
    "sha256",
    "training",
    "measured",
    "seconds_per_megapixel",
}
DEFAULTS = {name for by_scale in DEFAULT_WEIGHTS.values() for name in by_scale.values()}
NAMES = sorted({*DEFAULTS, *bundled_weights()})
# Where denoise-self begins to learn from a person's own pictures: they remove noise, and need do no more by themselves.
STARTS = ["tbsn-denoise-s", "tbsn-unet-denoise-s"]
USED = [name for name in NAMES if name not in STARTS]
OF_TASK = {task: [name for name in USED if read_card(name)["task"] == task] for task in DEFAULT_WEIGHTS}
DENOISERS = OF_TASK["denoise"]
SIDE = 160  # of the crop that is restored, to be quick
MIB = 2**20


@cache
def photograph():
    """The middle of the example picture."""
    pixels = read_rgb8(sorted(EXAMPLES.glob("*.png"))[0])
    top, left = (pixels.shape[0] - SIDE) // 2, (pixels.shape[1] - SIDE) // 2
    return pixels[top : top + SIDE, left : left + SIDE]


def restored(pixels, name):
    """What the tool makes of values 0..1, as 8 bits."""
    return to_integers(pellucid.restore(Picture(pixels=pixels), weights=name, device="cpu").pixels, 8)


def test_every_task_has_its_default():
    assert set(bundled_weights()) >= DEFAULTS


def test_weights_and_cards_come_in_pairs():
    files = {path.name for path in FOLDER.iterdir() if not path.name.startswith((".", "__"))}
    assert files == {f"{name}{suffix}" for name in NAMES for suffix in (".safetensors", ".json")}


def test_size_of_the_package():
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert max(sizes.values()) <= 8 * MIB, sizes
    assert sum(sizes.values()) <= 60 * MIB


@pytest.mark.parametrize("name", NAMES)
def test_card_matches_the_file(name):
    card, path = read_card(name), find_weights(name)
    assert card.keys() >= FIELDS
    assert card["name"] == name
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    described = describe(path)
    assert card["system"] == described.system
    assert card["parameters"] == sum(tensor.numel() for tensor in described.tensors.values())
    config = {key: tuple(value) if isinstance(value, list) else value for key, value in card["config"].items()}
    assert config == asdict(described.config)
    assert SYSTEMS[card["system"]].config(**config) == described.config


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_a_person_wants_to_know(name):
    card = read_card(name)
    assert card["task"] in DEFAULT_WEIGHTS
    assert card["licence"]
    assert card["training"]
    assert card["seconds_per_megapixel"] > 0
    assert card["measured"]
    for entry in card["measured"].values():
        assert entry["protocol"]
        assert entry["rows"]
        for row in entry["rows"]:
            psnr, ssim = row["restored"].values()
            assert 10 < psnr < 80
            assert 0.2 < ssim <= 1
            assert row["input"].keys() == row["restored"].keys()


@pytest.mark.parametrize("name", [*DENOISERS, *STARTS])
@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_noise_is_removed_from_the_example(name, sigma):
    clean = photograph()
    noise = np.random.RandomState(0).normal(0, sigma / 255, clean.shape).astype(np.float32)
    noisy = np.clip(to_floats(clean) + noise, 0, 1)
    before, after = psnr_rgb(to_integers(noisy, 8), clean), psnr_rgb(restored(noisy, name), clean)
    assert after > before + 3


@pytest.mark.parametrize("name", DENOISERS)
def test_clean_pictures_pass(name):
    clean = photograph()
    assert psnr_rgb(restored(to_floats(clean), name), clean) > 35


@pytest.mark.parametrize("name", sorted(set(USED) - {*DENOISERS, *OF_TASK["deblur"]}))
def test_the_example_comes_nearer_to_what_it_was(name):
    card, clean = read_card(name), photograph()
    protocol = protocol_for(card["task"], scale=card["scale"] if card["task"] == "sr" else None)
    problems = [protocol.degrade(clean, level) for level in protocol.levels[:2]] if protocol.degrade else []
    if card["task"] == "derain":  # measured on pairs alone
        problems = [Problem(Picture(pixels=Rain()(to_floats(clean), np.random.default_rng(0))), clean)]
    assert problems
    for degraded, aim in problems:
        before = to_integers(protocol.prepare(degraded).pixels, 8)
        after = to_integers(pellucid.restore(degraded, weights=name, device="cpu").pixels, 8)
        assert psnr_rgb(after, aim) > psnr_rgb(before, aim) + 0.2


@pytest.mark.parametrize("name", NAMES)
def test_flat_and_tiny_pictures_pass(name):
    grey_only = name in OF_TASK.get("demosaic", ())
    for pixels in (
        np.full((9, 7, 3), 0.5, np.float32),
        np.ones((1, 1, 3), np.float32),
        np.zeros((3, 40, 1), np.float32),
    ):
        result = restored(pixels[..., :1] if grey_only else pixels, name).astype(int)
        assert result.shape[0] % pixels.shape[0] == result.shape[1] % pixels.shape[1] == 0
        assert np.abs(result - to_integers(pixels[:1, :1], 8)).max() < 26


@pytest.mark.parametrize("name", OF_TASK["deblur"])
def test_shake_is_undone(name, monkeypatch):
    """With the kernel known, which is read off larger pictures than this crop."""
    kernel = motion_kernel(8, 0.5, np.random.default_rng(1))
    monkeypatch.setattr(unshaken, "estimate_kernel", lambda *_, **__: kernel)
    clean = photograph()
    shaken = rounded(blurred(to_floats(clean), kernel))
    inside = slice(16, -16)
    before, after = to_integers(shaken, 8)[inside, inside], restored(shaken, name)[inside, inside]
    assert psnr_rgb(after, clean[inside, inside]) > psnr_rgb(before, clean[inside, inside]) + 2


def pure_colours() -> np.ndarray:
    """Six pure colours that fade to white below and to black on top, 192 × 384."""
    hues = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]], np.float32)
    columns = hues.repeat(64, axis=0)[None]
    light = np.linspace(0.1, 1, 96, dtype=np.float32)[:, None, None]
    return to_integers(np.concatenate([light * columns, 1 - light * (1 - columns)]), 8)


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("sigma", [0, 25, 50])
def test_pure_colours_are_not_torn_apart(name, sigma):
    clean = pure_colours()
    noise = np.random.RandomState(0).normal(0, sigma / 255, clean.shape).astype(np.float32)
    result = restored(to_floats(clean) + noise, name).astype(int)
    inside = np.abs(result - clean)[4:-4, 4:-4]
    assert np.quantile(inside, 0.999) < 25 + sigma
    assert inside.max() < 128
