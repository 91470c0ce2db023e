"""Before and after are gathered band by band: the averages are exact, and the places that changed most are found."""

import tracemalloc

import numpy as np
import pytest

from pellucid.images import Picture
from pellucid.images.comparison import Comparison, shown

RNG = np.random.default_rng(0)


def compared(before, after, *, rows=7, **options):
    """Both arrays given in bands of a few rows."""
    height, width, channels = before.shape
    comparison = Comparison(width, height, channels, **options)
    for top in range(0, height, rows):
        comparison.add(before[top : top + rows], after[top : top + rows])
    return comparison


def random(*shape):
    return RNG.random(shape, dtype=np.float32)


def as_bytes(values):
    return np.rint(np.asarray(values, np.float64) * 255)


def boxes(values, factor):
    """The averages of squares, of what there is of them at the edges."""
    height, width, channels = values.shape
    padded = np.pad(
        values.astype(np.float64), ((0, -height % factor), (0, -width % factor), (0, 0)), constant_values=np.nan
    )
    return np.nanmean(padded.reshape(-(-height // factor), factor, -(-width // factor), factor, channels), axis=(1, 3))


@pytest.mark.parametrize("size", [(1, 1, 1), (9, 13, 3), (40, 30, 1)])
def test_small_pictures_are_shown_as_they_are(size):
    before, after = random(*size), random(*size)
    comparison = compared(before, after)
    height, width, channels = size
    sheet = comparison.side_by_side()
    assert sheet.shape == (height, 2 * width + 8, channels)
    np.testing.assert_array_equal(sheet[:, :width], as_bytes(before))
    np.testing.assert_array_equal(sheet[:, -width:], as_bytes(after))
    assert (sheet[:, width:-width] == 128).all()
    whole = comparison.whole()
    assert (whole.name, whole.reduction) == ("Whole picture", 1)
    np.testing.assert_array_equal(whole.before, as_bytes(before))
    np.testing.assert_array_equal(whole.after, as_bytes(after))
    assert comparison.details() == []
    change = np.abs(after.astype(np.float64) - before)
    assert comparison.mean_change == pytest.approx(change.mean(), rel=1e-6)
    assert comparison.largest_change == pytest.approx(change.max(), rel=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("size", [(50, 5000, 3), (4100, 30, 1), (601, 2050, 1)])
def test_large_pictures_are_averaged_exactly(size, rows):
    before, after = random(*size), random(*size)
    sheet = compared(before, after, rows=rows).side_by_side()
    factor = next(n for n in (1, 2, 3, 4) if 2 * -(-size[1] // n) + 8 <= 4096 and -(-size[0] // n) <= 4096)
    assert factor > 1
    for values, at in ((before, 0), (after, 8 - (size[1] // -factor))):
        expected = boxes(values, factor)
        found = sheet[: expected.shape[0], at : at + expected.shape[1]]
        assert np.abs(found - expected * 255).max() < 0.5 + 1e-4
    assert sheet.shape[1] <= 4096


def test_places_that_changed_most_are_shown_as_they_are():
    before = random(600, 2600, 3)
    after = before.copy()
    places = [(256, 2304), (0, 512), (256, 0)]  # top and left, the most changed first
    for amount, (top, left) in zip((0.3, 0.2, 0.1), places, strict=True):
        after[top : top + 256, left : left + 256] += np.float32(amount)
    after = np.minimum(after, 1)
    comparison = compared(before, after, rows=100)
    details = comparison.details()
    assert [detail.name for detail in details] == ["Detail 1 at 2304, 256", "Detail 2 at 512, 0", "Detail 3 at 0, 256"]
    for detail, (top, left) in zip(details, places, strict=True):
        tile = slice(top, top + 256), slice(left, left + 256)
        np.testing.assert_array_equal(detail.before, as_bytes(before[tile]))
        np.testing.assert_array_equal(detail.after, as_bytes(after[tile]))
    sheet = comparison.side_by_side()
    assert sheet.shape == (300 + 8 + 256, 2 * 1300 + 8, 3)
    np.testing.assert_array_equal(sheet[308:, :256], details[0].before)
    np.testing.assert_array_equal(sheet[308:, 264:520], details[0].after)
    assert comparison.whole().reduction == 1


def test_nothing_changed_has_no_details():
    before = random(300, 3000, 1)
    comparison = compared(before, before)
    assert comparison.details() == []
    assert (comparison.mean_change, comparison.largest_change) == (0, 0)
    assert comparison.side_by_side().shape == (150, 3008, 1)


def test_page_shows_as_many_pixels_as_were_allowed():
    before = random(100, 90, 3)
    whole = compared(before, before, most_pixels=30 * 34).whole()
    assert (whole.name, whole.reduction) == ("Whole picture at 1/3 of its size", 3)
    assert np.abs(whole.after - boxes(before, 3) * 255).max() < 0.5 + 1e-4
    assert compared(random(1, 20000, 1), random(1, 20000, 1)).whole().reduction == 2


def test_rows_of_another_picture_are_refused():
    comparison = Comparison(4, 3, 1)
    for before, after in ((random(1, 5, 1), random(1, 5, 1)), (random(1, 4, 1), random(2, 4, 1))):
        with pytest.raises(ValueError, match="not those of the picture"):
            comparison.add(before, after)
    with pytest.raises(ValueError, match="not those of the picture"):
        Comparison(4, 3, 1).add(random(4, 4, 1), random(4, 4, 1))


def test_what_is_kept_is_bounded():
    width, rows = 10000, 8
    band = random(rows, width, 3)
    tracemalloc.start()
    comparison = Comparison(width, 40000, 3, most_pixels=2**20)  # 400 megapixels, of which a part comes
    for _ in range(40):
        comparison.add(band, band * np.float32(0.9))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert comparison.details()
    assert comparison.bytes_held < 2 * 3 * (2**20 + 2048 * 4096 + 256 * (width + 3 * 256))
    assert peak < comparison.bytes_held + 20 * band.nbytes


def test_shown_as_the_network_sees_it():
    pixels = np.array([[[-5.0], [0.0], [15.0], [40.0], [np.nan], [-1.0]]], np.float32)
    picture = Picture(pixels=pixels, numbers="float", bit_depth=32, span=(0.0, 30.0), no_data=-1.0)
    np.testing.assert_allclose(shown(picture)[0, :, 0], [0, 0, 0.5, 1, 128 / 255, 128 / 255], atol=1e-6)


def test_transparent_over_grey():
    alpha = np.array([[0, 0.5, 1]], np.float32)
    found = shown(Picture(pixels=np.ones((1, 3, 3), np.float32), alpha=alpha))
    np.testing.assert_allclose(found[0, :, 0], [128 / 255, (128 / 255 + 1) / 2, 1], atol=1e-6)
    plain = random(2, 2, 3)
    np.testing.assert_array_equal(shown(Picture(pixels=plain)), plain)
