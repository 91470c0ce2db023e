"""Results say how they were made, where their format has a place for it; nothing else about them changes."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from little import little_picture
from pellucid import __version__
from pellucid.errors import PictureError
from pellucid.images import FORMATS, Metadata, Picture, PictureStream, read_header, read_picture, unsupported
from pellucid.images.provenance import restorations, with_event
from pellucid.tasks import RestoreOptions, Restorer, bundled_weights, find_weights, plan_jobs, read_card, restore_files
from pellucid.tasks.ledger import sha256_of
from pellucid.tasks.provenance import provenance, recorded

TOLD = provenance(task="denoise", weights=Path("x/net.safetensors"), sha256="ab" * 32, strength=1.0, dtype="float32")


@pytest.fixture(scope="module")
def restorer(weights):
    return Restorer(RestoreOptions(weights=weights, device="cpu", strength=0.25))


def restored(restorer, source, target, **options):
    (outcome,) = restore_files(restorer, plan_jobs([source], target), overwrite=True, **options)
    assert outcome.error is None
    return outcome


def test_in_words():
    assert {
        "tool": "pellucid",
        "version": __version__,
        "task": "denoise",
        "weights": "net",
        "sha256": "ab" * 32,
        "strength": "1",
        "scale": "1",
        "precision": "float32",
        "tiles": "whole",
    } == TOLD


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/net.safetensors", "net"), ("a/their.v2.pth", "their.v2.pth"), ("runs/mine/weights.safetensors", "mine")],
)
def test_weights_are_named_as_people_name_them(path, name):
    told = provenance(task="t", weights=Path(path), sha256="", strength=0.5, dtype="float16", scale=2, tiles="some")
    assert told["weights"] == name


def test_hash_is_that_of_the_card():
    for name in bundled_weights():
        assert sha256_of(find_weights(name)) == read_card(name)["sha256"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_only_formats_with_a_place_for_it_tell(suffix):
    holds = suffix not in {".bmp", ".ppm", ".pgm", ".pnm"}
    picture = Picture(pixels=np.zeros((2, 2, 1), np.float32), metadata=Metadata(xmp=b"<x/>"))
    with suppress(PictureError):  # some formats need an extra
        assert holds != any("XMP" in sentence for sentence in unsupported(picture, suffix))
    metadata, notes = recorded(Metadata(), TOLD, suffix)
    assert notes == ()
    assert bool(restorations(metadata.xmp)) == holds


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_result_tells_and_is_told_of_twice(restorer, tmp_path, suffix):
    old = with_event(None, {**TOLD, "version": "0"}).replace(b"pellucid 0", b"gimp 2.10 ")
    picture = little_picture()
    Picture(pixels=picture.pixels, metadata=Metadata(xmp=old)).save(tmp_path / f"a{suffix}")
    outcome = restored(restorer, tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    assert outcome.notes == ()
    xmp = read_picture(tmp_path / f"b{suffix}").metadata.xmp
    assert xmp == with_event(old, outcome.provenance)
    (line,) = read_header(tmp_path / f"b{suffix}").restored_with
    assert line.startswith(f"pellucid {__version__} (task: denoise; weights: little; sha256: ")
    assert "strength: 0.25" in line
    again = restored(restorer, tmp_path / f"b{suffix}", tmp_path / f"c{suffix}")
    assert again.header.restored_with == (line,)
    assert read_header(tmp_path / f"c{suffix}").restored_with == (line, line)


@pytest.mark.parametrize("suffix", [".bmp", ".ppm"])
def test_nothing_is_said_where_there_is_no_place(restorer, tmp_path, suffix):
    little_picture().save(tmp_path / f"a{suffix}")
    assert restored(restorer, tmp_path / f"a{suffix}", tmp_path / f"b{suffix}").notes == ()
    assert read_header(tmp_path / f"b{suffix}").restored_with == ()


def test_same_picture_same_file(restorer, tmp_path):
    little_picture().save(tmp_path / "a.png")
    for name in ("b.png", "c.png"):
        restored(restorer, tmp_path / "a.png", tmp_path / name)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_not_told_where_it_is_not_wanted(restorer, tmp_path):
    little_picture().save(tmp_path / "a.png")
    outcome = restored(restorer, tmp_path / "a.png", tmp_path / "b.png", record=False)
    assert read_picture(tmp_path / "b.png").metadata.xmp is None
    assert outcome.provenance["weights"] == "little"


def test_damaged_xmp_stays_as_it_is(restorer, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.webp", xmp=b"<x:xmpmeta> damaged")
    outcome = restored(restorer, tmp_path / "a.webp", tmp_path / "b.webp")
    assert outcome.notes == ("its XMP data is damaged; it stays as it is and does not tell of the restoration",)
    assert read_picture(tmp_path / "b.webp").metadata.xmp == b"<x:xmpmeta> damaged"


def test_xmp_that_fills_a_jpeg_stays_as_it_is():
    full = with_event(None, TOLD).replace(b"</x:xmpmeta>", b"</x:xmpmeta>" + b" " * 64800)
    metadata, notes = recorded(Metadata(xmp=full), TOLD, ".JPG")
    assert metadata.xmp == full
    assert notes == ("its XMP data fills what JPEG can hold; it stays as it is and does not tell of the restoration",)
    metadata, notes = recorded(Metadata(xmp=full), TOLD, ".png")
    assert len(metadata.xmp) > len(full)
    assert notes == ()


def test_tiles_are_told(weights):
    restorer = Restorer(RestoreOptions(weights=weights, device="cpu", memory="512MiB"))
    large = Picture(pixels=np.zeros((2000, 3000, 3), np.float32))
    whole, tiled = (restorer.provenance(PictureStream.of(picture))["tiles"] for picture in (little_picture(), large))
    assert whole == "whole"
    assert "overlap" in tiled


def test_a_network_that_enlarges_sees_the_small_picture():
    golden = Path(__file__).parent.parent / "golden" / "grl_tiny_sr4.pth"
    restorer = Restorer(RestoreOptions(weights=golden, device="cpu"))
    told = restorer.provenance(PictureStream.of(little_picture(70, 50)))
    assert (told["scale"], told["tiles"]) == ("4", "whole")


def test_in_json(restorer, tmp_path):
    little_picture().save(tmp_path / "a.png")
    done = restored(restorer, tmp_path / "a.png", tmp_path / "b.png").as_dict()
    assert json.loads(json.dumps(done))["provenance"]["strength"] == "0.25"
    (failed,) = restore_files(restorer, plan_jobs([tmp_path / "missing.png"], None), overwrite=False)
    assert failed.as_dict()["provenance"] is None
