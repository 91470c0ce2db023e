import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.selfsupervised.noise import Noise
from pellucid.selfsupervised.report import Crop, write_report

CORRELATION = np.outer(*[np.maximum(1 - abs(np.arange(-6, 7)) / 2, 0)] * 2)
NOISE = Noise(0.1, tuple(0.001 * level for level in range(1, 10)), CORRELATION, 2, 0.0)
COURSE = [(100, 1.0, 0.5), (200, 2.0, 0.25), (300, 3.0, float("nan")), (400, 4.0, 0.3)]
EVIL = '<script>alert("{{facts}}")</script>&\udce4'
VOID = {"meta", "img"}


class Checked(HTMLParser):
    """A page of which every element that opens closes again."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def named(self, tag):
        return [attrs for name, attrs in self.seen if name == tag]


def written(path, **changes):
    crop = Crop("a part", np.zeros((8, 12, 3), np.uint8), np.full((8, 12, 1), 255, np.uint8))
    told = {"name": "photo", "noise": NOISE, "course": COURSE, "chosen": 200, "crops": [crop], "facts": {"a": "b"}}
    write_report(path, **(told | changes))
    return path.read_text(encoding="utf-8")


def test_page_is_whole_and_needs_no_other_file(tmp_path):
    text = written(tmp_path / "page.html")
    page = Checked(text)
    assert not page.open
    assert "{{" not in text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text)
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in page.named("img"))
    assert len(page.named("img")) == 2
    assert not page.named("script") + page.named("link")
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert len(page.named("svg")) == 4
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in page.named("svg"))
    assert sum(circle["class"] == "chosen" for circle in page.named("circle")) == 1
    assert len([square for square in page.named("rect") if square["class"] in {"up", "down"}]) == 13 * 13


def test_every_text_is_escaped(tmp_path):
    crop = Crop(EVIL, np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 1), np.uint8))
    page = Checked(written(tmp_path / "page.html", name=EVIL, crops=[crop], facts={EVIL: EVIL}))
    assert not page.open
    assert not page.named("script")


def test_without_training_and_crops(tmp_path):
    page = Checked(written(tmp_path / "page.html", course=[(1, 1.0, float("inf"))], crops=[]))
    assert len(page.named("svg")) == 3
    assert not page.named("img")


@pytest.mark.parametrize("course", [[(7, 0.5, 0.1)], [(7, 0.5, 0.1), (8, 0.5, 0.1)]])
def test_courses_without_extent(tmp_path, course):
    assert "nan" not in re.sub(r"base64,[^\"]*", "", written(tmp_path / "page.html", course=course, chosen=9))


def test_a_file_that_exists_stays(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(PellucidError, match="exists"):
        written(path)
    assert path.read_text() == "mine"
    assert written(path, overwrite=True).startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
