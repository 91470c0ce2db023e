"""What a person sees in the terminal. Results go to standard output, progress and complaints to standard error."""

import math
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from pellucid.evaluation import Protocol, Row
    from pellucid.selfsupervised import Learning
    from pellucid.training import Progress as TrainingProgress
    from pellucid.training import Recipe

_stderr = Console(stderr=True)
_SECONDS_BETWEEN_LINES = 30.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@contextmanager
def counter(total: int, *, quiet: bool) -> Generator[Callable[[], None]]:
    """Count measurements, with the time left."""
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=_stderr, transient=True, disable=quiet or not _stderr.is_terminal)
    with bar:
        task = bar.add_task("measuring", total=total)

        yield lambda: bar.advance(task)


@contextmanager
def training_progress() -> Generator[Callable[["TrainingProgress"], None]]:
    """Say after each step how training goes on; where nobody watches a terminal, in a line every half minute."""
    first: list[TrainingProgress] = []
    with _course("the first step") as show:

        def report(state: "TrainingProgress") -> None:
            if not first:
                first.append(state)
            show(state.share, _training_words(state, first[0]))

        yield report


@contextmanager
def learning_progress(*, quiet: bool) -> Generator[Callable[["Learning"], None]]:
    """Say how a network learns from noisy pictures, in the same way."""
    with _course("looking at the pictures", quiet=quiet) as show:

        def report(state: "Learning") -> None:
            words = state.doing
            if state.quality is not None:
                words += f", about {state.quality:.1f} dB by now"
            show(state.share, words if state.seconds is None else f"{words}, {_duration(state.seconds)} left")

        yield report


@contextmanager
def _course(begin: str, *, quiet: bool = False) -> Generator[Callable[[float, str], None]]:
    """Show a share of work done and words; where nobody watches a terminal, a line every half minute and at the end."""
    printed = -math.inf
    bar = Progress(
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        console=_stderr,
        disable=quiet or not _stderr.is_terminal,
    )

    def show(share: float, words: str) -> None:
        nonlocal printed
        bar.update(line, completed=share, description=words)
        late = time.monotonic() - printed > _SECONDS_BETWEEN_LINES
        if not quiet and not _stderr.is_terminal and (late or share >= 1):
            typer.echo(words, err=True)
            printed = time.monotonic()

    with bar:
        line = bar.add_task(begin, total=1.0)
        yield show


def say(sentence: str) -> None:
    """Say something besides the results."""
    typer.echo(printable(sentence), err=True)


def printable(text: str) -> str:
    """Text as a line that can be printed: the names of files in it may hold anything, even what moves the cursor."""
    text = text.encode(errors="surrogateescape").decode(errors="replace")
    return _CONTROL.sub(lambda character: repr(character[0])[1:-1], text)


def _training_words(state: "TrainingProgress", first: "TrainingProgress") -> str:
    words = f"step {state.step} of {state.steps}: loss {state.loss:.4f}"
    if state.step > first.step and state.seconds > first.seconds:
        seconds = state.seconds - first.seconds
        left = seconds * (1 - state.share) / max(state.share - first.share, 1e-9)
        words += f", {(state.step - first.step) / seconds:.2f} steps/s, {_duration(left)} left"
    return words if state.sheet is None else f"{words}; samples in {state.sheet}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def show_recipes(recipes: Mapping[str, "Recipe"]) -> None:
    """The recipes as a table."""
    table = Table()
    for title in ("recipe", "task", "network", "steps", "most pixels"):
        table.add_column(title, no_wrap=True)
    for name, recipe in recipes.items():
        task = recipe.task if recipe.scale == 1 else f"{recipe.task} × {recipe.scale}"
        largest = max(recipe.phases, key=lambda phase: phase.batch * phase.crop**2)
        network = type(recipe.network).__name__.removesuffix("Config")
        table.add_row(name, task, network, f"{recipe.steps:,}", f"{largest.batch} × {largest.crop}²")
    Console().print(table)


def show_facts(facts: dict[str, Any]) -> None:
    """Names and values, one to a line; nested ones indented."""
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            typer.echo(f"{name.replace('_', ' ')}:")
            for inner, inner_value in cast(dict[str, Any], value).items():
                typer.echo(f"  {inner}: {inner_value}")
        elif isinstance(value, tuple):
            typer.echo(f"{name.replace('_', ' ')}: {', '.join(cast(tuple[str, ...], value)) or 'none'}")
        else:
            typer.echo(f"{name.replace('_', ' ')}: {'none' if value == {} else value}")


def show_cards(cards: Sequence[dict[str, Any]], defaults: set[str]) -> None:
    """The bundled weights as a table, with what the first set on their cards says."""
    table = Table(caption="* the task's default", caption_justify="left", show_lines=True)
    for title in ("weights", "measured on", "PSNR, dB", "s/MP"):
        table.add_column(title, no_wrap=True)
    for card in cards:
        label, measured = next(iter(card["measured"].items()))
        rows = [measured["mean"]] if measured["mean"] else [row for row in measured["rows"] if row["level"] != 0]
        task = card["task"] + (f" ×{card['scale']}" if card["scale"] > 1 else "")
        table.add_row(
            f"{card['name']}{' *' if card['name'] in defaults else ''}\n{task}, {card['parameters'] / 1e6:.2f} M",
            f"{label}, {measured['unit']}\n{'/'.join(str(row['level']) for row in rows)}",
            f"{_psnrs(rows, 'restored', 2)}\nfrom {_psnrs(rows, 'input', 1)}",
            f"{card['seconds_per_megapixel']:.1f}",
        )
    Console().print(table)


def _psnrs(rows: Sequence[dict[str, Any]], which: str, digits: int) -> str:
    """The PSNR of each row, the first of its measures."""
    return "/".join(f"{next(iter(row[which].values())):.{digits}f}" for row in rows)


def show_rows(name: str, protocol: "Protocol", rows: Sequence["Row"]) -> None:
    """The table of an evaluation."""
    values = {"rgb": "RGB", "y": "Y", "grey": "grey"}[protocol.compared]
    table = Table(title=name, caption=str(protocol), caption_justify="left")
    for title in (protocol.unit, "pictures", f"PSNR ({values})", "gain", f"SSIM ({values})", "s / MP"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        (psnr_before, ssim_before), (psnr, ssim) = row.input.values(), row.restored.values()
        table.add_row(
            str(row.level),
            str(row.pictures),
            f"{psnr_before:.2f} → {psnr:.2f}",
            f"{psnr - psnr_before:+.2f}" if math.isfinite(psnr_before) else "",
            f"{ssim_before:.4f} → {ssim:.4f}",
            f"{row.seconds_per_megapixel:.2f}",
        )
    Console().print(table)
