"""Every op, layer, network and golden checkpoint that answers the checklist, and every public name of a paper.

A file here for each paper, found by its being here, has rows in OPS, LAYERS, NETWORKS and CHECKPOINTS, and names in
PUBLIC. `test_contracts.py` asks each row every question that `checklist.py` has for its kind, and fails while something
public has no row.
"""

from importlib import import_module
from itertools import chain
from pathlib import Path

from contracts.rows import GOLDEN, CheckpointRow, ModuleRow, OpRow

__all__ = ["CHECKPOINTS", "GOLDEN", "LAYERS", "NETWORKS", "OPS", "PUBLIC", "CheckpointRow", "ModuleRow", "OpRow"]

_PAPERS = [
    import_module(f"contracts.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem not in ("__init__", "rows")
]
OPS: tuple[OpRow, ...] = tuple(chain.from_iterable(paper.OPS for paper in _PAPERS))
LAYERS: tuple[ModuleRow, ...] = tuple(chain.from_iterable(paper.LAYERS for paper in _PAPERS))
NETWORKS: tuple[ModuleRow, ...] = tuple(chain.from_iterable(paper.NETWORKS for paper in _PAPERS))
CHECKPOINTS: tuple[CheckpointRow, ...] = tuple(chain.from_iterable(paper.CHECKPOINTS for paper in _PAPERS))
PUBLIC: dict[str, list[str]] = {}
for _paper in _PAPERS:
    for _package, _names in _paper.PUBLIC.items():
        PUBLIC[_package] = PUBLIC.get(_package, []) + _names
