import contextlib
import gc
import subprocess
import sys
import threading
import time

import pytest

from pellucid.pipelines import StoppedError, ahead, fed


def numbers(count, made, fail_at=None):
    for number in range(count):
        if number == fail_at:
            raise ValueError(f"no {number}")
        made.append((number, threading.current_thread()))
        yield number


@pytest.mark.parametrize("depth", [1, 3, 50])
def test_items_come_in_order_from_another_thread(depth):
    made = []
    assert list(ahead(numbers(20, made), depth)) == list(range(20))
    assert {thread for _, thread in made}.isdisjoint({threading.current_thread()})


def test_no_more_items_are_made_than_are_wanted():
    made = []
    items = ahead(numbers(100, made), 3)
    assert next(items) == 0
    items.close()
    assert len(made) <= 5


def test_what_goes_wrong_beforehand_is_raised_in_its_place():
    items = ahead(numbers(9, [], fail_at=2), 5)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="no 2"):
        next(items)


def test_a_consumer_is_fed_in_a_thread_of_its_own():
    made, consumers = [], []

    def total(items):
        consumers.append(threading.current_thread())
        return sum(items)

    assert fed(total, numbers(20, made), 2) == 190
    assert {thread for _, thread in made} == {threading.current_thread()}
    assert consumers != [threading.current_thread()]


def test_an_item_that_cannot_be_made_stops_the_consumer():
    seen = []

    def consume(items):
        try:
            seen.extend(items)
        except StoppedError:
            seen.append("stopped")
            raise

    with pytest.raises(ValueError, match="no 3"):
        fed(consume, numbers(9, [], fail_at=3), 1)
    assert seen[-1] == "stopped"


def test_a_consumer_that_fails_stops_the_making():
    made = []

    def consume(items):
        next(items)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fed(consume, numbers(10_000, made), 2)
    assert len(made) < 10_000


def test_a_consumer_that_has_enough_ends_it():
    assert fed(next, numbers(10_000, []), 2) == 0


def test_making_and_consuming_overlap():
    def slowly(items):
        for item in items:
            time.sleep(0.02)
            yield item

    started = time.perf_counter()
    assert fed(lambda items: list(slowly(items)), slowly(iter(range(20))), 2) == list(range(20))
    assert time.perf_counter() - started < 0.75


INTERRUPTED = """
import _thread, time
from pellucid.pipelines import fed

def consume(items):
    next(items)
    time.sleep(0.3)  # the queue is full by now, and the end waits for room
    _thread.interrupt_main()
    time.sleep(0.3)
    return list(items)

try:
    fed(consume, iter(range(3)), 2)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_while_the_end_waits_for_room_does_not_hang():
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=20, check=True)
    assert run.stdout == "interrupted\n"


def test_a_consumer_that_fails_lets_go_of_the_items():
    """At once, not when cycles are looked for: they hold the rows of whole pictures."""
    let_go = []

    def items():
        try:
            yield from range(10_000)
        finally:
            let_go.append(True)

    def consume(_):
        raise OSError("the disk is full")

    gc.disable()
    try:
        with contextlib.suppress(OSError):
            fed(consume, items(), 2)
        assert let_go
    finally:
        gc.enable()
