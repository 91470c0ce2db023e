"""Strips show the same place of three pictures, the worst one."""

from pathlib import Path

import numpy as np
import pytest

from pellucid.data import read_rgb8
from pellucid.errors import DataError
from pellucid.evaluation import Case, Shown, strip_writer
from pellucid.evaluation.strips import strip_of, worst_square


def shown(height=50, width=70, channels=3, name="a.png", level=25):
    clean = np.full((height, width, channels), 100, np.uint8)
    degraded, restored = clean.copy(), clean.copy()
    degraded[30:40, 50:60] = 160
    restored[30:40, 50:60] = 110
    return Shown(Case(level=level, clean=Path(name)), degraded, restored, clean)


def test_the_worst_place_is_shown():
    one = shown()
    rows, columns = worst_square(one.input, one.clean, side=20)
    assert (one.input[rows, columns] == 160).sum() == 3 * 100
    strip = strip_of(one, side=20)
    assert strip.shape == (20, 3 * 20 + 2 * 6, 3)
    assert (strip == 160).sum() == (strip == 110).sum() == 3 * 100
    assert (strip[:, 20:26] == 255).all()


def test_a_picture_smaller_than_the_square_is_shown_whole():
    assert strip_of(shown(), side=500).shape == (50, 3 * 70 + 2 * 6, 3)
    assert strip_of(shown(channels=1), side=60).shape == (50, 3 * 60 + 2 * 6, 1)


def test_strips_are_saved_under_names_of_their_own(tmp_path):
    write = strip_writer(tmp_path / "new" / "strips")
    for one in (shown(), shown(level=50), shown(), shown(level="LR/X2")):
        write(one)
    names = sorted(path.name for path in (tmp_path / "new" / "strips").iterdir())
    assert names == ["a-25-2-strip.png", "a-25-strip.png", "a-50-strip.png", "a-LR-X2-strip.png"]
    np.testing.assert_array_equal(read_rgb8(tmp_path / "new" / "strips" / names[0]), strip_of(shown()))


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be the folder"):
        strip_writer(tmp_path / "file")
