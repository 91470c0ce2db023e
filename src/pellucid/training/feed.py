"""Batches for the network, made by threads while it computes."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from pellucid.data import Pair, PictureFolders, batched, degraded_pair
from pellucid.errors import UsageError
from pellucid.training.recipes import Phase, Recipe

_MOST_THREADS = 16


class Feed:
    """A run's batches, or the part of them that is one process's: samples rank, rank + processes, … of each.

    Any batch may be asked for; the one that follows in the same phase is made ahead.
    """

    def __init__(self, recipe: Recipe, pictures: PictureFolders, rank: int, processes: int) -> None:
        for phase in recipe.phases:
            if phase.batch % processes:
                raise UsageError(f"{processes} processes cannot share a batch of {phase.batch}; use a divisor of it")
        self._recipe, self._pictures, self._rank, self._processes = recipe, pictures, rank, processes
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        self._ahead: tuple[int, Phase, list[Future[Pair]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def batch(self, first: int, phase: Phase) -> Pair:
        """Return this process's part of the batch of `phase` that begins with sample `first`."""
        ahead, self._ahead = self._ahead, None
        wanted = ahead[2] if ahead is not None and ahead[:2] == (first, phase) else self._begun(first, phase)
        pairs = [future.result() for future in wanted]
        following = first + phase.batch
        self._ahead = (following, phase, self._begun(following, phase))
        return batched(pairs)

    def _begun(self, first: int, phase: Phase) -> list[Future[Pair]]:
        numbers = range(first + self._rank, first + phase.batch, self._processes)
        return [self._threads.submit(self._pair, k, phase.crop) for k in numbers]

    def _pair(self, k: int, size: int) -> Pair:
        recipe = self._recipe
        return degraded_pair(
            self._pictures,
            k,
            recipe.degradation,
            seed=recipe.seed,
            size=size,
            vivid_share=recipe.vivid_share,
            grey_share=recipe.grey_share,
            plain_share=recipe.plain_share,
        )
