"""The budget is kept by calculation; what cannot fit is refused with the number that would."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from little import LITTLE
from pellucid.checkpoints import SYSTEMS, Restoration
from pellucid.errors import BudgetError, UsageError
from pellucid.images.tiles import plan_tiles
from pellucid.models.grl import GRL_PRESETS
from pellucid.models.restormer import RESTORMER_PRESETS, RestormerConfig
from pellucid.tasks.memory import MARGIN, TileShape, available_memory, default_memory, parse_memory, plan_tile

MIB, GIB = 2**20, 2**30
NETWORKS = [
    SYSTEMS["restormer"].restoration(RestormerConfig(**LITTLE)),
    SYSTEMS["restormer"].restoration(RESTORMER_PRESETS["small"]),
    SYSTEMS["restormer"].restoration(RESTORMER_PRESETS["base"]),
    SYSTEMS["grl"].restoration(GRL_PRESETS["small-jpeg"]),
    Restoration(3, 8, 0, 1000),
    Restoration(1, 1, 7, 123, bytes_fixed=12345),
]
LENGTHS = st.integers(1, 600) | st.integers(1, 30_000)


@st.composite
def tasks(draw):
    """Arguments of plan_tile but for the budget."""
    size, network = (draw(LENGTHS), draw(LENGTHS)), draw(st.sampled_from(NETWORKS))
    per_row = size[0] * draw(st.sampled_from([0, 12, 31]))
    fixed = draw(st.integers(0, 2**32))
    return (*size, network), {"per_row": per_row, "fixed": fixed}


def bytes_of(tile, task):
    (_, height, network), held = task
    inside = network.bytes(tile.height, tile.width)
    return MARGIN + held["fixed"] + held["per_row"] * min(height, tile.height) + inside


def smallest_budget(task):
    with pytest.raises(BudgetError) as caught:
        plan_tile(*task[0], 1, **task[1])
    return int(re.search(r"at least (\d+) MiB", str(caught.value))[1])


def computed(shape, width, height, network):
    """Pixels of all tiles, padded as the network pads them."""
    padded = [
        [-(-(span.stop - span.start) // network.multiple) * network.multiple for span in spans]
        for spans in plan_tiles(height, width, tile=shape[:2], overlap=network.overlap, multiple=network.multiple)
    ]
    return sum(padded[0]) * sum(padded[1])


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


@given(tasks(), st.integers(0, 2**36))
@settings(max_examples=300)
def test_tile_fits_the_budget_and_the_layout(task, budget):
    (width, height, network), _ = task
    try:
        tile = plan_tile(*task[0], budget, **task[1])
    except BudgetError:
        assert budget < smallest_budget(task) * MIB
        return
    assert bytes_of(tile, task) <= budget
    assert tile.overlap == network.overlap
    for side, length in ((tile.height, height), (tile.width, width)):
        assert side % network.multiple == 0
        assert side >= min(length, 256)
        assert side >= min(length, 4 * tile.overlap)
        assert side < length + network.multiple
    plan_tiles(height, width, tile=tile[:2], overlap=tile.overlap, multiple=network.multiple)


@given(tasks())
@settings(max_examples=200)
def test_the_budget_that_is_named_is_the_smallest(task):
    needed = smallest_budget(task)
    assert bytes_of(plan_tile(*task[0], needed * MIB, **task[1]), task) > (needed - 1) * MIB
    with pytest.raises(BudgetError, match=f"at least {needed} MiB"):
        plan_tile(*task[0], (needed - 1) * MIB, **task[1])


@given(tasks(), st.integers(0, 2**30))
@settings(max_examples=200)
def test_one_tile_where_the_picture_fits_one(task, more):
    (width, height, network), _ = task
    whole = TileShape(*(-(-length // network.multiple) * network.multiple for length in (height, width)), 0)
    needed = bytes_of(whole, task)
    assert plan_tile(*task[0], needed + more, **task[1])[:2] == whole[:2]
    if needed - 1 >= smallest_budget(task) * MIB:
        assert plan_tile(*task[0], needed - 1, **task[1])[:2] != whole[:2]


@given(tasks(), st.integers(0, 2**34), st.integers(0, 2**34))
def test_more_memory_hardly_ever_means_more_work(task, more, even_more):
    start = smallest_budget(task) * MIB
    budgets = (start, start + more, start + more + even_more)
    work = [computed(plan_tile(*task[0], budget, **task[1]), *task[0]) for budget in budgets]
    assert all(after <= 1.02 * before for before, after in pairwise(work))


@given(st.integers(1, 1500), st.integers(1, 1500), st.integers(0, 2**28), st.sampled_from([0, 5000]))
@settings(max_examples=40, deadline=None)
@example(1000, 300, 100 * MIB, 20_000)
def test_no_shape_that_fits_means_much_less_work(width, height, more, per_row):
    network = Restoration(3, 16, 32, 2000, bytes_fixed=10**6)
    task = ((width, height, network), {"per_row": per_row, "fixed": 0})
    budget = smallest_budget(task) * MIB + more
    chosen = plan_tile(*task[0], budget, **task[1])
    sides = [[side for side in range(16, length + 16, 16) if side >= min(length, 256)] for length in (height, width)]
    shapes = [TileShape(h, w, 32) for h in sides[0] for w in sides[1]]
    least = min(computed(shape, *task[0]) for shape in shapes if bytes_of(shape, task) <= budget)
    assert computed(chosen, *task[0]) <= 1.02 * least


@pytest.mark.parametrize("size", [(10**6, 10**6), (2**31, 1), (1, 2**31), (2**31, 2**31)], ids=str)
def test_huge_pictures_are_planned_at_once(size):
    started = time.process_time()
    for budget in (64 * GIB, 2**50):
        plan_tile(*size, NETWORKS[1], budget, per_row=12)
    assert time.process_time() - started < 3  # and not for ever


def test_bands_favour_flat_tiles():
    free = plan_tile(30_000, 30_000, NETWORKS[1], 2 * GIB)
    costly = plan_tile(30_000, 30_000, NETWORKS[1], 2 * GIB, per_row=30_000 * 100)
    assert free.height > costly.height


def test_refusal_is_a_sentence_with_the_size_and_both_budgets():
    task = ((30_000, 20_000, NETWORKS[1]), {"per_row": 720_000, "fixed": 0})
    with pytest.raises(BudgetError) as caught:
        plan_tile(*task[0], 300 * MIB, **task[1])
    assert "30000 × 20000" in str(caught.value)
    assert "300 MiB" in str(caught.value)
    assert f"{smallest_budget(task)} MiB" in str(caught.value)
    assert "\n" not in str(caught.value)


def system_of(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    8000 kB\n"}
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4 * GIB),
        (MACHINE, 8000 * 1024),
        ({**MACHINE, "proc/self/cgroup": "0::/\n"}, 8000 * 1024),
        (
            {**MACHINE, "proc/self/cgroup": "0::/a\n", f"{V2}/a/memory.max": "max\n", f"{V2}/a/memory.current": "7\n"},
            8192000,
        ),
    ],
    ids=["unknown", "machine", "no limit to be seen", "no limit"],
)
def test_memory_without_limits(tmp_path, files, expected):
    assert available_memory(system_of(tmp_path, files)) == expected


def test_limits_of_control_groups_count_less_what_they_hold_but_for_caches(tmp_path):
    files = {
        **MACHINE,
        "proc/self/cgroup": "0::/outer/inner\n",
        f"{V2}/outer/memory.max": "5000000\n",
        f"{V2}/outer/memory.current": "3000000\n",
        f"{V2}/outer/memory.stat": "anon 1000000\ninactive_file 1500000\nactive_file 5\n",
        f"{V2}/outer/inner/memory.max": "max\n",
        f"{V2}/outer/inner/memory.current": "2000000\n",
    }
    assert available_memory(system_of(tmp_path, files)) == 3_500_000
    inner = {f"{V2}/outer/inner/memory.max": "2500000\n"}
    assert available_memory(system_of(tmp_path, inner)) == 500_000


def test_limits_of_the_older_control_groups(tmp_path):
    files = {
        **MACHINE,
        "proc/self/cgroup": "5:cpu:/x\n4:memory,other:/box/of:mine\n0::/\n",
        f"{V1}/box/of:mine/memory.limit_in_bytes": "9223372036854771712\n",
        f"{V1}/box/of:mine/memory.usage_in_bytes": "1000\n",
        f"{V1}/memory.limit_in_bytes": "4000000\n",
        f"{V1}/memory.usage_in_bytes": "1000000\n",
        f"{V1}/memory.stat": "inactive_file 1\ntotal_inactive_file 500000\n",
    }
    assert available_memory(system_of(tmp_path, files)) == 3_500_000


def test_a_group_beyond_its_limit_leaves_nothing(tmp_path):
    files = {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "10\n", f"{V2}/memory.current": "20\n"}
    assert available_memory(system_of(tmp_path, files)) == 0


def test_default_is_half_of_what_is_available(monkeypatch):
    monkeypatch.setattr("pellucid.tasks.memory.available_memory", lambda: 1001)
    assert default_memory() == 500
