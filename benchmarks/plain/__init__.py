"""The papers' layers and networks by their plain equations: what our fast ones are measured against.

A file here for each paper, found by its being here, has PLAIN (class → equation), and LAYERS and NETWORKS to measure.
The plain equations use the same weights, contiguous (B, C, H, W) memory, and the operators that a reader of the paper
would take: complex FFTs, masks, separate projections, position tables computed at each call.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

PAPERS: dict[str, ModuleType] = {
    path.stem: import_module(f"plain.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem not in ("__init__", "cases")
}
