"""Work on a stream of things in two threads, so that reading and writing cost no time of their own."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event
from typing import Final, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

_END: Final = object()
_WAIT = 0.05  # seconds until it is looked again whether the other side is still there


def ahead(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """The same items, of which up to `depth` are made beforehand in a thread; what goes wrong there is raised here."""
    pool = ThreadPoolExecutor(1)
    try:
        coming = deque(pool.submit(next, items, _END) for _ in range(depth))
        while (item := coming.popleft().result()) is not _END:
            coming.append(pool.submit(next, items, _END))
            yield cast(Item, item)
    finally:
        pool.shutdown(cancel_futures=True)


def fed(consume: Callable[[Iterator[Item]], Result], items: Iterator[Item], depth: int) -> Result:
    """`consume(items)`, where `consume` runs in a thread and the items are made in this one, up to `depth` beforehand.

    What goes wrong in making an item is raised as it is, after `consume` has met a `StoppedError` in its place; what
    goes wrong in `consume` is raised too, and no further items are made.
    """
    queue: Queue[object] = Queue(depth)
    stopped = Event()

    def received() -> Iterator[Item]:
        while (item := _taken(queue, stopped)) is not _END:
            yield cast(Item, item)

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(consume, received())
        try:
            for item in items:
                if not _put(queue, item, result):
                    break
            _put(queue, _END, result)
            return result.result()
        finally:
            stopped.set()  # whatever interrupts this thread, and wherever, the other one ends
            del result  # an error in it holds this frame, and the frame the items, until cycles are looked for


class StoppedError(Exception):
    """No more items come, because one could not be made."""


def _put(queue: Queue[object], item: object, consumer: Future[Result]) -> bool:
    """Wait for room and put an item there; False where the consumer has ended."""
    while not consumer.done():
        try:
            queue.put(item, timeout=_WAIT)
        except Full:
            continue
        return True
    return False


def _taken(queue: Queue[object], stopped: Event) -> object:
    """Wait for an item and take it; raises StoppedError where no more come."""
    while True:
        try:
            return queue.get(timeout=_WAIT)
        except Empty:
            if stopped.is_set():
                raise StoppedError from None
