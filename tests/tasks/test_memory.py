"""The budget is kept by calculation; what cannot fit is refused with the number that would."""

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from little import LITTLE
from pellucid.checkpoints import SYSTEMS
from pellucid.errors import BudgetError, UsageError
from pellucid.images import PictureHeader
from pellucid.images.tiles import plan_tiles
from pellucid.models.restormer import RESTORMER_PRESETS, RestormerConfig
from pellucid.tasks.memory import default_memory, parse_memory, picture_bytes, plan_tile

NETWORKS = [
    SYSTEMS["restormer"].restoration(config)
    for config in (RestormerConfig(**LITTLE), RESTORMER_PRESETS["small"], RESTORMER_PRESETS["base"])
]
MIB = 2**20


def header(height=1000, width=1500, channels=3, bit_depth=8, has_alpha=False):
    return PictureHeader(
        format="PNG", height=height, width=width, channels=channels, bit_depth=bit_depth, has_alpha=has_alpha
    )


HEADERS = st.builds(
    header,
    height=st.integers(1, 30_000),
    width=st.integers(1, 30_000),
    channels=st.sampled_from([1, 3]),
    bit_depth=st.sampled_from([8, 16]),
    has_alpha=st.booleans(),
)


def smallest_budget(picture, network):
    with pytest.raises(BudgetError) as caught:
        plan_tile(picture, network, 1)
    return int(re.search(r"at least (\d+) MiB", str(caught.value))[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GiB", 2 * 2**30),
        ("512MiB", 512 * MIB),
        ("512M", 512 * MIB),
        ("1.5 GB", 3 * 2**29),
        ("  3 kib ", 3 * 1024),
        ("1t", 2**40),
        ("1000", 1000),
        ("7b", 7),
        ("0.5MiB", MIB // 2),
    ],
)
def test_sizes(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "much", "GiB", "-1GiB", "1e9", "1,5GB", "2 GiB!", "1PB", "1G i B", "nan", "1.G"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is not a size of memory"):
        parse_memory(text)


def test_default_is_half_of_what_is_free(monkeypatch):
    assert 0 < default_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def unknown(_):
        raise ValueError

    monkeypatch.setattr(os, "sysconf", unknown)
    assert default_memory() == 2 * 2**30


def test_picture_counts_floats_twice_and_integers_once():
    assert picture_bytes(header(10, 20)) == 200 * 3 * 9
    assert picture_bytes(header(10, 20, channels=1, bit_depth=16)) == 200 * 10
    assert picture_bytes(header(10, 20, has_alpha=True)) > picture_bytes(header(10, 20))


@given(HEADERS, st.sampled_from(NETWORKS), st.integers(0, 2**36))
@settings(max_examples=300)
def test_tile_fits_the_budget_and_the_layout(picture, network, budget):
    try:
        tile = plan_tile(picture, network, budget)
    except BudgetError:
        assert budget < smallest_budget(picture, network) * MIB
        return
    assert picture_bytes(picture) + network.bytes_per_pixel * tile.side**2 <= budget
    assert tile.side % network.multiple == 0
    assert tile.overlap % network.multiple == 0
    assert tile.side >= 4 * tile.overlap > 0
    plan_tiles(picture.height, picture.width, tile=tile.side, overlap=tile.overlap, multiple=network.multiple)


@given(HEADERS, st.sampled_from(NETWORKS))
def test_the_budget_that_is_named_is_the_smallest(picture, network):
    needed = smallest_budget(picture, network)
    plan_tile(picture, network, needed * MIB)
    with pytest.raises(BudgetError, match=f"at least {needed} MiB"):
        plan_tile(picture, network, (needed - 1) * MIB)


@given(HEADERS, st.sampled_from(NETWORKS), st.integers(0, 2**34), st.integers(0, 2**34))
def test_more_memory_never_means_smaller_tiles(picture, network, more, even_more):
    start = smallest_budget(picture, network) * MIB
    sides = [plan_tile(picture, network, start + extra).side for extra in (0, more, more + even_more)]
    assert sides == sorted(sides)


def test_refusal_is_a_sentence_with_the_size_and_both_budgets():
    picture = header(20_000, 30_000)
    with pytest.raises(BudgetError) as caught:
        plan_tile(picture, NETWORKS[1], 300 * MIB)
    assert "30000 × 20000" in str(caught.value)
    assert "300 MiB" in str(caught.value)
    assert f"{smallest_budget(picture, NETWORKS[1])} MiB" in str(caught.value)
    assert "\n" not in str(caught.value)
