"""`pellucid restore`: every file comes back restored or with one sentence that says why not."""

import errno
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from little import little_picture
from pellucid.images import Metadata, Picture, read_header, read_pages, read_picture

RNG = np.random.default_rng(0)


def pixels(*shape, kind=np.uint8):
    return RNG.integers(0, np.iinfo(kind).max, shape, dtype=kind)


def save(path, mode=None, *shape, **options):
    image = Image.fromarray(pixels(*(shape or (12, 17, 3))))
    (image.convert(mode) if mode else image).save(path, **options)


GOOD = {
    "one-pixel.png": lambda path: save(path, None, 1, 1, 3),
    "one-row.png": lambda path: save(path, None, 1, 40, 3),
    "narrow.png": lambda path: save(path, None, 5000, 3, 3),
    "wide.tif": lambda path: save(path, None, 3, 5000, 3),
    "grey.png": lambda path: save(path, "L"),
    "alpha.png": lambda path: save(path, None, 12, 17, 4),
    "grey-alpha.png": lambda path: save(path, "LA"),
    "bits.png": lambda path: save(path, "1"),
    "palette.png": lambda path: save(path, "P"),
    "cmyk.jpg": lambda path: save(path, "CMYK"),
    "photo.jpeg": lambda path: save(path),
    "photo.webp": lambda path: save(path, lossless=True),
    "sixteen.png": lambda path: little_picture(12, 17, 3, 16).save(path),
    "sixteen.tiff": lambda path: little_picture(12, 17, 1, 16).save(path),
    "photo.bmp": lambda path: save(path),
    "photo.ppm": lambda path: save(path),
    "grey.pgm": lambda path: save(path, "L"),
    "float.tif": lambda path: tifffile.imwrite(path, RNG.normal(0, 9, (12, 17)).astype(np.float32)),
    "stack.tif": lambda path: tifffile.imwrite(path, pixels(3, 12, 17), photometric="minisblack"),
    "imagej.tif": lambda path: tifffile.imwrite(path, pixels(3, 12, 17), imagej=True),
    "been ’n’ gone – été.PNG": lambda path: save(path, format="PNG"),
}


def truncated(path):
    save(path, None, 60, 60, 3)
    path.write_bytes(path.read_bytes()[:-3000])


def bomb(path):
    """A PNG of a hundred bytes that announces ten gigapixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


BAD = {
    "empty.png": lambda path: path.write_bytes(b""),
    "truncated.png": truncated,
    "truncated.jpg": lambda path: (save(path, None, 60, 60, 3), path.write_bytes(path.read_bytes()[:300])),
    "text.png": lambda path: path.write_text("Dear diary,\n" * 50),
    "nothing-but-a-signature.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    "noise.tif": lambda path: path.write_bytes(b"II*\0" + RNG.bytes(500)),
    "noise.webp": lambda path: path.write_bytes(b"RIFF\xff\0\0\0WEBP" + RNG.bytes(500)),
    "bomb.png": bomb,
    "animation.gif": lambda path: save(path, "P"),
    "folder.png": lambda path: path.mkdir(),
    "pipe.png": os.mkfifo,
    "missing.png": lambda _: None,
}


def snapshot(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", GOOD)
def test_good_file(restore, tmp_path, name):
    source = tmp_path / name
    GOOD[name](source)
    before = source.read_bytes()
    result = restore(source)
    target = source.with_stem(f"{source.stem}-restored")
    assert result.code == 0, result.err
    assert result.out.startswith(f"{target}: ")
    assert "restored in" in result.out
    assert source.read_bytes() == before
    assert set(snapshot(tmp_path)) == {name, target.name}
    headers = read_header(source), read_header(target)
    for field in ("width", "height", "bit_depth", "has_alpha", "channels", "numbers", "pages"):
        assert getattr(headers[0], field) == getattr(headers[1], field), field
    pages = list(read_pages(source)), list(read_pages(target))
    for pictures in zip(*pages, strict=True):
        if headers[0].has_alpha:
            np.testing.assert_array_equal(pictures[0].alpha, pictures[1].alpha)
    notes = [f"{source}: {note}" for note in pages[0][0].notes]
    assert result.err.splitlines() == notes


@pytest.mark.parametrize("name", BAD)
def test_bad_file(restore, tmp_path, name):
    source = tmp_path / name
    BAD[name](source)
    before = snapshot(tmp_path)
    result = restore(source)
    assert result.code == 1
    assert result.out == ""
    assert name in result.sentence
    assert snapshot(tmp_path) == before


def test_several_files_of_which_some_are_bad(restore, tmp_path):
    for name in ("grey.png", "palette.png"):
        GOOD[name](tmp_path / name)
    BAD["text.png"](tmp_path / "text.png")
    names = ["grey.png", "text.png", "missing.png", "palette.png"]
    result = restore(*(tmp_path / name for name in names), "-o", tmp_path / "out")
    assert result.code == 1
    assert len(result.out.splitlines()) == 2
    counts, *complaints = result.err.splitlines()[-3:]
    assert counts == "2 restored, 2 failed"
    assert all(line.startswith("pellucid: ") for line in complaints)
    assert [next(name for name in names if name in line) for line in complaints] == ["text.png", "missing.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["grey.png", "palette.png"]


def test_one_of_several_files_may_not_be_read(restore, tmp_path, monkeypatch):
    for name in ("grey.png", "palette.png"):
        GOOD[name](tmp_path / name)
    access, opened = os.access, Path.open

    def closed(path, *arguments, **options):
        if path.name == "grey.png":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "access", lambda path, mode: "grey.png" not in str(path) and access(path, mode))
    monkeypatch.setattr(Path, "open", closed)
    result = restore(tmp_path / "grey.png", tmp_path / "palette.png", "--json")
    assert result.code == 1, result.err
    assert "Permission denied" in result.rows[0]["error"]
    assert result.rows[1]["error"] is None


def test_json_is_a_line_for_each_file(restore, tmp_path):
    for name in ("alpha.png", "palette.png"):
        GOOD[name](tmp_path / name)
    BAD["empty.png"](tmp_path / "empty.png")
    result = restore(tmp_path / "alpha.png", tmp_path / "empty.png", tmp_path / "palette.png", "--json")
    assert result.code == 1
    assert result.err == ""
    bad, good, noted = result.rows  # what cannot be read fails before work begins
    assert good["source"] == str(tmp_path / "alpha.png")
    assert good["target"] == str(tmp_path / "alpha-restored.png")
    assert (good["picture"]["width"], good["picture"]["has_alpha"], good["error"]) == (17, True, None)
    assert good["seconds"] >= 0
    assert bad["target"] is None
    assert [row["status"] for row in result.rows] == ["failed", "restored", "restored"]
    assert "empty.png" in bad["error"]
    assert noted["notes"] == ["converted from a palette to RGB"]


def test_metadata_comes_back(restore, tmp_path):
    metadata = Metadata(xmp=b"<x:xmpmeta/>", resolution=(300.0, 300.0))
    Picture(pixels=little_picture().pixels, metadata=metadata).save(tmp_path / "a.png")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "b.tif").code == 0
    found = read_picture(tmp_path / "b.tif").metadata
    assert found.xmp == metadata.xmp
    assert found.resolution == pytest.approx(metadata.resolution, rel=1e-4)


@pytest.mark.parametrize("strength", [0, 0.5])
def test_strength(restore, tmp_path, strength):
    little_picture().save(tmp_path / "a.png")
    for name, part in (("full.png", 1), ("part.png", strength)):
        assert restore(tmp_path / "a.png", "-o", tmp_path / name, "--strength", part).code == 0
    source, full, part = (read_picture(tmp_path / f"{name}.png").pixels for name in ("a", "full", "part"))
    assert np.abs(full - source).max() > 2 / 255
    np.testing.assert_allclose(part, source + strength * (full - source), atol=1.01 / 255 if strength else 0)


@pytest.fixture
def refused(restore, tmp_path):
    """The sentence of a command that fails and changes nothing."""

    def refused(*arguments, code=1):
        GOOD["grey.png"](tmp_path / "a.png")
        before = snapshot(tmp_path)
        result = restore(tmp_path / "a.png", *arguments)
        assert result.code == code, result.err
        assert result.out == ""
        assert snapshot(tmp_path) == before
        return result.sentence

    return refused


def test_places_that_cannot_be_written(refused, tmp_path, monkeypatch):
    assert "does not exist" in refused("-o", tmp_path / "nowhere" / "b.png")
    (tmp_path / "file").write_text("mine")
    assert "file" in refused("-o", tmp_path / "file" / "b.png")
    assert "cannot write" in refused("-o", tmp_path / "b.gif")
    (tmp_path / "b.png").write_text("mine")
    assert "pass --overwrite" in refused("-o", tmp_path / "b.png")
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    assert "may not be written to" in refused("-o", tmp_path / "c.png")


def test_overwrite_replaces_results_and_never_originals(refused, restore, tmp_path):
    (tmp_path / "link.png").symlink_to("a.png")
    for output in ("a.png", "link.png", "."):
        assert "never replaced" in refused("-o", tmp_path / output, "--overwrite")
    (tmp_path / "b.png").write_text("mine")
    assert restore(tmp_path / "a.png", "-o", tmp_path / "b.png", "--overwrite").code == 0
    assert read_header(tmp_path / "b.png").width == 17


def test_budget_that_is_too_small(refused, restore, tmp_path):
    sentence = refused("--memory", "1MiB")
    smallest = sentence.split("at least ")[1].split(" MiB")[0]
    assert restore(tmp_path / "a.png", "--memory", f"{smallest}MiB").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--memory", "much"),
        ("--strength", "1.5"),
        ("--dtype", "float8"),
        ("--device", "tpu"),
        ("--task", "beautify"),
        ("--weights", "nothing-of-the-kind"),
    ],
    ids=" ".join,
)
def test_options_without_meaning(run, weights, tmp_path, arguments):
    little_picture().save(tmp_path / "a.png")
    others = {"--weights": weights, "--device": "cpu"}
    others.pop(arguments[0], None)
    options = [part for option in others.items() for part in option]
    result = run("restore", tmp_path / "a.png", *options, *arguments)
    assert result.code == 2
    assert arguments[1].split(".")[0] in result.sentence
    assert set(snapshot(tmp_path)) == {"a.png"}


def test_weights_that_are_none(run, tmp_path):
    little_picture().save(tmp_path / "a.png")
    (tmp_path / "w.safetensors").write_bytes(b"garbage" * 20)
    result = run("restore", tmp_path / "a.png", "--weights", tmp_path / "w.safetensors", "--device", "cpu")
    assert result.code == 1
    assert "w.safetensors" in result.sentence


def test_several_pictures_and_one_file(restore, tmp_path):
    result = restore(tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "c.png")
    assert result.code == 2
    assert "is not a folder" in result.sentence


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_as_the_picture(restore, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    result = restore(name)
    assert result.code in (1, 2)
    sentence = result.err.splitlines()[-1]  # after what was skipped
    assert sentence.startswith("pellucid: ")
    assert "picture" in sentence


def test_compare_and_provenance(restore, run, tmp_path):
    little_picture().save(tmp_path / "a.png")
    result = restore(tmp_path / "a.png", "--compare")
    assert (result.code, result.err) == (0, "")
    assert set(snapshot(tmp_path)) == {f"a{end}" for end in (".png", "-restored.png")} | {
        f"a-restored-compare{suffix}" for suffix in (".png", ".html")
    }
    told = run("info", tmp_path / "a-restored.png").out
    assert "\nrestored with: pellucid " in told
    assert "task: denoise; weights: little; " in told
    assert "restored with: none" in run("info", tmp_path / "a.png").out
    assert "exists; pass --overwrite" in restore(tmp_path / "a.png", "-o", tmp_path / "a-restored.png").sentence
    quiet = restore(tmp_path / "a.png", "--overwrite", "--no-provenance", "--json")
    assert quiet.rows[0]["provenance"]["weights"] == "little"
    assert "restored with: none" in run("info", tmp_path / "a-restored.png").out


def test_result_whose_comparison_fails(restore, tmp_path):
    little_picture().save(tmp_path / f"{'n' * 245}.png")  # room for the result's name, and for no longer one
    result = restore(tmp_path / f"{'n' * 245}.png", "-o", tmp_path / f"{'m' * 245}.png", "--compare")
    assert result.code == 1
    assert "is restored, but not the files that compare it: cannot write" in result.sentence
    assert "restored in" in result.out
    assert (tmp_path / f"{'m' * 245}.png").exists()
