"""Changing a recipe by words from the command line: `lr=3e-4`."""

import ast
import math
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, get_args

from pellucid.errors import UsageError
from pellucid.training.recipes import Phase, Recipe

_FIXED = {"task", "scale", "prepare", "network", "degradation", "schedule"}


def changed(recipe: Recipe, texts: Iterable[str]) -> Recipe:
    """Return a recipe with some of its values replaced.

    Args:
        recipe: the recipe.
        texts: such as "lr=3e-4", "loss=charbonnier", "phases=(4000, 8, 64), (6000, 4, 96)", each phase being the step
            at which it ends, its batch and its crop; or "steps=2000", which shortens or lengthens all phases alike.

    Raises:
        UsageError: a text is not that, there is no such value, or it is of another kind.
    """
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise UsageError(f"{text!r} is not a setting; write it as lr=3e-4")
        if name == "steps":
            recipe = replace(recipe, phases=_stretched(recipe.phases, _whole("steps", value)))
        elif name == "phases":
            recipe = replace(recipe, phases=_phases(recipe, value))
        else:
            recipe = replace(recipe, **{name: _value(name, value)})
    return recipe


def _value(name: str, value: str) -> Any:
    kinds = {field.name: field.type for field in fields(Recipe) if field.name not in {*_FIXED, "phases"}}
    if name not in kinds:
        raise UsageError(f"a recipe has no setting {name!r}; it has {', '.join(kinds)}, phases and steps")
    if kinds[name] is int:
        return _whole(name, value, least=0)
    if kinds[name] is float:
        return _number(name, value)
    choices: tuple[str, ...] = get_args(kinds[name])
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(choices)}, not {value!r}")
    return value


def _whole(name: str, value: str, least: int = 1) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise UsageError(f"{name} takes a whole number from {least}, not {value!r}")
    return int(value)


def _number(name: str, value: str) -> float:
    share = name.endswith("_share") or name in {"ema", "beta2"}
    try:
        number = float(value)
        if not (0 <= number <= 1 if share else 0 <= number < math.inf):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"{name} takes a number {'from 0 to 1' if share else 'from 0'}, not {value!r}") from error
    return number


def _stretched(phases: tuple[Phase, ...], steps: int) -> tuple[Phase, ...]:
    return tuple(phase._replace(until=math.ceil(phase.until * steps / phases[-1].until)) for phase in phases)


def _phases(recipe: Recipe, value: str) -> tuple[Phase, ...]:
    try:
        phases = tuple(Phase(*phase) for phase in ast.literal_eval(f"[{value}]"))
        numbers = [number for phase in phases for number in phase]
        ends = [phase.until for phase in phases]
        if not phases or ends != sorted(set(ends)) or any(type(n) is not int or n < 1 for n in numbers):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise UsageError(
            f"phases are written as (4000, 8, 64), (6000, 4, 96): the step at which each ends, in ascending order, "
            f"its batch and its crop, not as {value!r}"
        ) from error
    multiple = recipe.degradation.multiple
    if any(phase.crop % multiple for phase in phases):
        raise UsageError(f"crops of this recipe must be multiples of {multiple}")
    return phases
