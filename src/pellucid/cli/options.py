"""Kinds of options that typer does not have."""

import ast
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperOption

from pellucid.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600}


class SeveralValues(TyperCommand):
    """A command whose repeatable options also take several values at once: `--sigma 15 25 50`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write `--option a b` as `--option a --option b`, then parse as usual."""
        repeatable = {name for p in self.params if isinstance(p, TyperOption) and p.multiple for name in p.opts}
        spelled_out: list[str] = []
        current = None
        for previous, arg in pairwise(["", *args]):
            if arg.startswith("--"):
                current = arg if arg in repeatable else None
            elif current is not None and previous != current:
                spelled_out.append(current)
            spelled_out.append(arg)
        return super().parse_args(ctx, spelled_out)


def parse_path(text: str | Path) -> Path:
    """Read the name of a file or folder.

    Raises:
        UsageError: the text is empty, as a variable of the shell that is not set; as a path it would be this folder.
    """
    if text == "":
        raise UsageError("an empty name names no file; a variable in the command may not be set")
    return Path(text)


def parse_duration(text: str) -> float:
    """Read a time such as "90s", "45m" or "2h" as seconds.

    Raises:
        UsageError: the text is not a time.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text.lower())
    if match is None:
        raise UsageError(f"{text!r} is not a time; write it as 90s, 45m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def parse_settings(texts: Iterable[str]) -> dict[str, object]:
    """Read settings such as "num_heads=(2, 4, 6, 8)" or "stripe_size=8,None": a name and a value as Python writes it.

    Raises:
        UsageError: a text is not that.
    """
    settings: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not (equals and name.strip().isidentifier()):
                raise ValueError
            settings[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
            raise UsageError(f"{text!r} is not a setting; write it as num_heads=2,4,6,8") from error
    return settings
