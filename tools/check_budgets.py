"""Check the size budgets: file ≤ 400 lines, function ≤ 60, package `__init__` ≤ 80; print what is over and fail."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "benchmarks", "tools", "examples")
FILE, FUNCTION, INIT = 400, 60, 80


def over_budget(path: Path) -> Iterator[str]:
    """Yield a line for everything in a file that is too long."""
    source = path.read_text()
    lines, limit = len(source.splitlines()), INIT if path.name == "__init__.py" else FILE
    if lines > limit:
        yield f"{path.relative_to(ROOT)}: {lines} lines, at most {limit}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION:
                yield f"{path.relative_to(ROOT)}: {node.name} has {length} lines, at most {FUNCTION}"


def main() -> int:
    """Return 1 if anything is over its budget."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    complaints = [complaint for path in paths for complaint in over_budget(path)]
    print("\n".join(complaints) or f"{len(paths)} files are within their budgets")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
