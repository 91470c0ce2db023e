"""What is told of a result: in its file, and if wanted in files beside it that show it with what it was made from."""

from collections.abc import Mapping
from pathlib import Path

from pellucid.images import Metadata, Picture, PictureStream
from pellucid.images.comparison import Comparison, shown
from pellucid.tasks.comparing import save_comparison
from pellucid.tasks.provenance import recorded


class Account:
    """Goes along while one file is restored: `start` for each page, `recorded` for its metadata,
    `add` for its rows as they come, `save` at the end.

    Args:
        target: the result's file.
        compare: show the first page before and after, beside the result.
        record: say in the result how it was made.

    Attributes:
        provenance: how the first page was made; None before it was begun.
    """

    def __init__(self, target: Path, *, compare: bool, record: bool) -> None:
        self.provenance: Mapping[str, str] | None = None
        self._target, self._compare, self._record = target, compare, record
        self._pages = 0
        self._icc: bytes | None = None
        self._comparison: Comparison | None = None

    def start(self, result: PictureStream) -> int:
        """Begin a page, of whose result all but the pixels is known; returns the memory that going along takes."""
        self._pages += 1
        if self._compare and self._comparison is None:
            self._icc = result.metadata.icc
            self._comparison = Comparison(result.width, result.height, result.channels)
        return self._comparison.bytes_held if self._comparison else 0

    def recorded(self, result: PictureStream, provenance: Mapping[str, str]) -> tuple[Metadata, tuple[str, ...]]:
        """The metadata for a page's result with how it was made, and what there is to say."""
        self.provenance = self.provenance or provenance
        return recorded(result.metadata, provenance, self._target.suffix) if self._record else (result.metadata, ())

    def add(self, before: Picture, after: Picture) -> None:
        """Take the next rows of the page; only the first page is compared."""
        if self._comparison and self._pages == 1:
            self._comparison.add(shown(before), shown(after))

    def save(self, name: str, *, seconds: float, overwrite: bool) -> None:
        """Write what shows the result beside it, if that was wanted; raises PellucidError where it cannot be written.

        `name` is that of the source, `seconds` what restoring it took.
        """
        if self._comparison is None:
            return
        facts = {**(self.provenance or {}), "time": f"{seconds:.1f} s"}
        if self._pages > 1:
            facts["page"] = f"the first of {self._pages}"
        save_comparison(self._comparison, self._target, name=name, facts=facts, icc=self._icc, overwrite=overwrite)
