"""Comparing pieces of code fairly: in turn, in one process, with the allocator set alike; memory in fresh processes."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping

from pellucid.cli.process import peak_resident_bytes


def time_in_turn(functions: Mapping[str, Callable[[], object]], rounds: int = 15) -> dict[str, float]:
    """Run every function once per round, in turn; return the median seconds of each but for three rounds of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 3):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[3:]) for name, values in seconds.items()}


def extra_peak_bytes(prepare: Callable[[], Callable[[], object]]) -> int:
    """Return by how much a call raises the peak of resident memory, in a fresh process where it is the first call."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(prepare, sender))
    process.start()
    peak = receiver.recv()
    process.join()
    return peak


def _measure_peak(prepare: Callable[[], Callable[[], object]], sender: "multiprocessing.connection.Connection") -> None:
    function = prepare()
    before = peak_resident_bytes()
    function()
    sender.send(peak_resident_bytes() - before)
