"""The page and the picture beside a result show both pictures truly, need nothing else, and never cost the result."""

import base64
import errno
import io
import os
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from little import little_picture
from pellucid.errors import PellucidError
from pellucid.images import Metadata, Picture, PictureStream, read_picture
from pellucid.images.comparison import Comparison
from pellucid.tasks import Job, RestoreOptions, Restorer, plan_jobs, restore_files
from pellucid.tasks.account import Account
from pellucid.tasks.comparing import comparison_paths, refuse_comparison, save_comparison

RNG = np.random.default_rng(0)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{facts}}&amp;.png"
VOID = {"meta", "input", "img"}


@pytest.fixture(scope="module")
def restorer(weights):
    return Restorer(RestoreOptions(weights=weights, device="cpu"))


@pytest.fixture
def photo(tmp_path):
    little_picture().save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


class Page(HTMLParser):
    """A page taken apart; it must be well formed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def pictures(self):
        """Kind, side, samples and profile of each picture."""
        pictures = []
        for image in self.all("img"):
            kind, _, data = image["src"].partition(";base64,")
            opened = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            samples = np.asarray(opened)
            assert (image["width"], image["height"]) == (str(opened.width), str(opened.height))
            pictures.append((kind, image["alt"], samples, opened.info.get("icc_profile")))
        return pictures


def comparison_of(before, after):
    height, width, channels = before.shape
    comparison = Comparison(width, height, channels)
    comparison.add(before, after)
    return comparison


def random(*shape):
    return RNG.random(shape, dtype=np.float32)


def page_of(folder, comparison, name="photo.png", facts=None, **options):
    save_comparison(comparison, folder / "out.tif", name=name, facts=facts or {}, **options)
    return Page((folder / "out-compare.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("channels", [1, 3])
def test_page_shows_both_pictures(tmp_path, channels):
    before, after = random(7, 9, channels), random(7, 9, channels)
    page = page_of(tmp_path, comparison_of(before, after), facts={"task": "denoise", "strength": "0.5"})
    (_, alt_after, shown_after, _), (kind, alt_before, shown_before, _) = page.pictures
    assert kind == "data:image/png"
    assert (alt_before, alt_after) == ("photo.png, Whole picture, before", "photo.png, Whole picture, after")
    for found, expected in ((shown_before, before), (shown_after, after)):
        np.testing.assert_array_equal(found.reshape(before.shape), np.rint(expected.astype(np.float64) * 255))
    assert page.texts["h1"] == ["photo.png"]
    assert page.texts["dt"] == ["task", "strength", "size", "change"]
    assert page.texts["dd"][:3] == ["denoise", "0.5", "9 × 7 pixels"]
    change = np.abs(after - before)
    assert page.texts["dd"][3] == f"{change.mean() * 255:.2f} of 255 on average, {change.max() * 255:.0f} at most"


def test_page_needs_nothing_else(tmp_path):
    page = page_of(tmp_path, comparison_of(random(3, 4, 3), random(3, 4, 3)))
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe", "object", "base", "form", "a"})
    for tag, attributes in page.elements:
        assert not {"href", "srcset", "action", "style"} & set(attributes)
        assert "src" not in attributes or (tag == "img" and attributes["src"].startswith("data:image/"))
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    code = "".join(page.texts["script"] + page.texts["style"])
    assert not [word for word in ("http", "fetch(", "import ", "url(", "innerHTML", "eval(") if word in code]


def test_page_can_be_used_without_a_mouse_and_seen_in_the_dark(tmp_path):
    page = page_of(tmp_path, comparison_of(random(3, 4, 3), random(3, 4, 3)))
    (slider,) = page.all("input")
    assert (slider["type"], slider["min"], slider["max"]) == ("range", "0", "100")
    assert slider["aria-label"]
    assert all(image["alt"] for image in page.all("img"))
    assert all(element["aria-label"] for element in (*page.all("select"), *page.all("output")))
    assert page.all("html") == [{"lang": "en"}]
    assert "prefers-color-scheme: dark" in page.texts["script"][0]


def test_script_and_page_speak_of_the_same_things(tmp_path):
    page = page_of(tmp_path, comparison_of(random(3, 4, 3), random(3, 4, 3)))
    (script,) = page.texts["script"]
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert ids == {"stage", "slider", "line", "views", "zoom", "fit", "actual", "closer", "farther", "surround"}
    assert all(re.search(rf"\b{name}\b", script) for name in ids)
    assert [element.get("class") for element in page.all("div")][1:4] == ["view", "side after", "side before"]
    assert all(f'("{name}")' in script for name in (".view", ".before"))


def test_names_are_text_and_nothing_else(tmp_path):
    harmless = page_of(tmp_path, comparison_of(random(3, 4, 3), random(3, 4, 3)), facts={"weights": "w"})
    page = page_of(
        tmp_path,
        comparison_of(random(3, 4, 3), random(3, 4, 3)),
        name=HOSTILE,
        facts={HOSTILE: HOSTILE},
        overwrite=True,
    )
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements]
    assert "".join(page.texts["h1"]) == HOSTILE
    assert page.texts["title"] == [f"{HOSTILE}: before and after"]
    assert page.texts["dd"][0] == page.texts["dt"][0] == HOSTILE
    assert page.all("img")[0]["alt"] == f"{HOSTILE}, Whole picture, after"


def test_names_that_are_no_text(tmp_path):
    page = page_of(tmp_path, comparison_of(random(3, 4, 3), random(3, 4, 3)), name="a\udcff\n.png")
    assert page.texts["h1"] == ["a?\n.png"]


def test_large_pictures_are_jpegs_beside_details_without_loss(tmp_path):
    y, x = np.mgrid[0:1:500j, 0:1:2600j].astype(np.float32)
    before = np.stack([x, y, x * y], axis=2)
    after = before * np.float32(0.9)
    page = page_of(tmp_path, comparison_of(before, after), icc=ICC)
    kinds = [kind for kind, *_ in page.pictures]
    assert kinds == ["data:image/jpeg"] * 2 + ["data:image/png"] * 6
    assert all(profile == ICC for *_, profile in page.pictures)
    for (_, _, found, _), expected in zip(page.pictures[:2], (after, before), strict=True):
        assert np.abs(found - expected * 255).max() < 8
    np.testing.assert_array_equal(page.pictures[2][2], np.rint(after[:256, 2304:2560].astype(np.float64) * 255))
    assert [view["data-name"] for view in page.all("div") if view.get("class") == "view"] == [
        "Whole picture",
        *(f"Detail {number} at {2560 - 256 * number}, 0" for number in (1, 2, 3)),
    ]


@pytest.mark.parametrize(("channels", "space", "kept"), [(3, b"RGB ", True), (1, b"GRAY", True), (1, b"RGB ", False)])
def test_profile_goes_along_where_it_fits(tmp_path, channels, space, kept):
    icc = ICC[:16] + space + ICC[20:]
    page = page_of(tmp_path, comparison_of(random(3, 4, channels), random(3, 4, channels)), icc=icc)
    with Image.open(tmp_path / "out-compare.png") as picture:
        profiles = [picture.info.get("icc_profile"), *(profile for *_, profile in page.pictures)]
    assert profiles == [icc if kept else None] * 3


def test_template_is_short_enough_to_read():
    lines = resources.files("pellucid.tasks").joinpath("comparison.html").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 120


def test_where_it_goes(tmp_path):
    names = [path.name for path in comparison_paths(tmp_path / "a.b.tif")]
    assert names == ["a.b-compare.png", "a.b-compare.html"]


def test_nothing_is_replaced(tmp_path):
    comparison, target = comparison_of(random(3, 4, 3), random(3, 4, 3)), tmp_path / "a.png"
    page = tmp_path / "a-compare.html"
    page.write_text("mine")
    with pytest.raises(PellucidError, match=r"a-compare\.html exists; pass --overwrite"):
        refuse_comparison(target, set(), overwrite=False)
    with pytest.raises(PellucidError, match=r"a-compare\.html exists; pass --overwrite"):
        save_comparison(comparison, target, name="a", facts={})
    assert page.read_text() == "mine"
    save_comparison(comparison, target, name="a", facts={}, overwrite=True)
    assert page.read_text().startswith("<!doctype html>")


def outcomes(restorer, jobs, **options):
    return list(restore_files(restorer, jobs, **{"overwrite": False, "compare": True, **options}))


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_beside_a_result(photo, restorer, tmp_path):
    (outcome,) = outcomes(restorer, plan_jobs([photo], None))
    assert (outcome.error, outcome.notes) == (None, ())
    assert files(tmp_path) == {
        "photo.png",
        "photo-restored.png",
        "photo-restored-compare.png",
        "photo-restored-compare.html",
    }
    before, after = (np.asarray(Image.open(tmp_path / name)) for name in ("photo.png", "photo-restored.png"))
    sheet = np.asarray(Image.open(tmp_path / "photo-restored-compare.png"))
    np.testing.assert_array_equal(sheet[:, :13], before)
    np.testing.assert_array_equal(sheet[:, -13:], after)
    page = Page((tmp_path / "photo-restored-compare.html").read_text(encoding="utf-8"))
    told = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert told["sha256"] == outcome.provenance["sha256"]
    assert {"tool", "version", "task", "weights", "strength", "time", "size", "change"} <= told.keys()


def test_first_page_of_several(restorer, tmp_path):
    stack = RNG.integers(0, 255, (3, 12, 17), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    (outcome,) = outcomes(restorer, plan_jobs([tmp_path / "a.tif"], None))
    assert outcome.error is None
    page = Page((tmp_path / "a-restored-compare.html").read_text(encoding="utf-8"))
    assert "the first of 3" in page.texts["dd"]
    np.testing.assert_array_equal(page.pictures[1][2], stack[0])


def test_result_without_a_comparison_is_a_failure_and_stays(photo, restorer, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pellucid.tasks.comparing._page", full)
    (outcome,) = outcomes(restorer, plan_jobs([photo], None))
    assert outcome.error.startswith(f"{tmp_path / 'photo-restored.png'} is restored, but not the files that compare it")
    assert "No space left" in outcome.error
    assert outcome.as_dict()["target"] == str(tmp_path / "photo-restored.png")
    assert read_picture(tmp_path / "photo-restored.png").width == 13
    assert files(tmp_path) == {"photo.png", "photo-restored.png"}

    def too_large(*_):
        raise MemoryError

    monkeypatch.setattr(Comparison, "side_by_side", too_large)
    (outcome,) = outcomes(restorer, plan_jobs([photo], None), overwrite=True)
    assert "more memory than there is" in outcome.error


def test_originals_and_results_are_not_replaced(restorer, tmp_path):
    """Not even with --overwrite; what is in the way is found before the work."""
    for name in ("a.png", "a.tif", "b.png", "b-restored-compare.png"):
        little_picture().save(tmp_path / name)
    original = (tmp_path / "b-restored-compare.png").read_bytes()
    sources = [tmp_path / name for name in ("a.png", "a.tif", "b.png", "b-restored-compare.png")]
    jobs = [*plan_jobs(sources, None), Job(source=tmp_path / "a.png", target=tmp_path / "missing" / "x.png")]
    second, third, fifth, first, fourth = outcomes(restorer, jobs, overwrite=True)
    assert (first.error, fourth.error) == (None, None)
    assert "would replace" in second.error
    assert "would replace" in third.error
    assert "missing" in fifth.error
    assert (tmp_path / "b-restored-compare.png").read_bytes() == original
    assert not (tmp_path / "a-restored.tif").exists()


def test_colour_profile_of_the_source(restorer, tmp_path):
    picture = little_picture()
    Picture(pixels=picture.pixels, metadata=Metadata(icc=ICC)).save(tmp_path / "a.jpg")
    outcomes(restorer, plan_jobs([tmp_path / "a.jpg"], None))
    with Image.open(tmp_path / "a-restored-compare.png") as sheet:
        assert sheet.info["icc_profile"] == ICC


def test_a_batch_that_is_done_is_compared_when_that_is_asked_for(restorer, tmp_path):
    """Asked for later, or killed before: the results stay what they were."""
    sources = [tmp_path / name for name in ("a.png", "b.png")]
    for source in sources:
        little_picture().save(source)
    jobs = plan_jobs(sources, None)
    list(restore_files(restorer, jobs, overwrite=False))
    results = [job.target.read_bytes() for job in jobs]
    assert [(outcome.status, outcome.error) for outcome in outcomes(restorer, jobs)] == [("restored", None)] * 2
    assert [job.target.read_bytes() for job in jobs] == results
    assert all(path.exists() for job in jobs for path in comparison_paths(job.target))
    assert [outcome.status for outcome in outcomes(restorer, jobs)] == ["done already"] * 2
    for path in comparison_paths(jobs[0].target):
        path.unlink()
    assert [outcome.status for outcome in outcomes(restorer, jobs)] == ["done already", "restored"]


def test_a_comparison_takes_its_memory_until_the_last_page():
    page = PictureStream.of(little_picture())
    account = Account(Path("a.tif"), compare=True, record=False)
    assert account.start(page) == account.start(page) > 0
