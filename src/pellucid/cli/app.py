"""The commands. What needs torch is imported inside them, so that `pellucid --help` answers at once."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid import __version__
from pellucid.cli import display
from pellucid.cli.arguments import (
    Compare,
    Device,
    Json,
    Memory,
    NoProvenance,
    Output,
    Overwrite,
    Pictures,
    Precision,
    Recursive,
    Scale,
    SelfEnsemble,
    Settings,
    Strength,
    Task,
    Weights,
)
from pellucid.cli.batch import BatchDisplay
from pellucid.cli.denoise_self import denoise_self
from pellucid.cli.options import SeveralValues, parse_duration, parse_settings

app = typer.Typer(
    name="pellucid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Restore pictures: take out noise and, with other weights, blur, rain and JPEG's blocks, or enlarge."""


@app.command()
def restore(
    pictures: Pictures,
    output: Output = None,
    task: Task = None,
    scale: Scale = None,
    weights: Weights = None,
    strength: Strength = 1.0,
    memory: Memory = None,
    device: Device = "auto",
    dtype: Precision = "auto",
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    compare: Compare = False,
    no_provenance: NoProvenance = False,
    as_json: Json = False,
) -> None:
    """Restore pictures: remove noise, blur or rain, or enlarge.

    All else in the files stays as it was, and originals are never touched. The weights that come with pellucid, and how
    good they are, are listed by "pellucid models".
    """
    from pellucid.tasks import RestoreOptions, Restorer, plan_jobs

    options = RestoreOptions(
        task=task, scale=scale, weights=weights, strength=strength, memory=memory, device=device, dtype=dtype
    )
    batch = BatchDisplay(as_json=as_json)
    try:
        jobs = plan_jobs(pictures, output, recursive=recursive, skip=batch.skip)
    finally:
        batch.show_skipped()
    restorer = Restorer(options)
    raise typer.Exit(batch.restore(restorer, jobs, overwrite=overwrite, compare=compare, record=not no_provenance))


app.command("denoise-self")(denoise_self)


@app.command()
def models(as_json: Json = False) -> None:
    """List the bundled weights, and the networks that can be built and loaded."""
    from pellucid.checkpoints import SYSTEMS
    from pellucid.tasks import DEFAULT_WEIGHTS, bundled_weights, read_card

    cards = [read_card(name) for name in bundled_weights()]
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    defaults = {name for by_scale in DEFAULT_WEIGHTS.values() for name in by_scale.values()}
    display.show_cards(cards, defaults=defaults)
    for name, system in SYSTEMS.items():
        typer.echo(f"{name}: {', '.join(system.presets)}")


@app.command()
def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A picture, or weights: a file, the folder of a run, a bundled name.")
    ],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Say what a picture or a weight file holds."""
    from pellucid.tasks import bundled_weights, find_weights

    if str(file) in bundled_weights() or (file / "weights.safetensors").is_file():
        file = find_weights(file)
    facts = _describe_weights(file, settings) if file.suffix.lower() in _WEIGHT_SUFFIXES else _describe_picture(file)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        display.show_facts(facts)


_WEIGHT_SUFFIXES = {".safetensors", ".pth", ".pt", ".ckpt", ".bin"}


def _describe_picture(file: Path) -> dict[str, Any]:
    from pellucid.images import read_header

    facts = asdict(read_header(file))
    del facts["bytes_held"]  # of no interest outside
    return facts


def _describe_weights(file: Path, settings: list[str] | None) -> dict[str, Any]:
    from pellucid.checkpoints import SYSTEMS, count_parameters, describe

    described = describe(file, **parse_settings(settings or []))
    system = SYSTEMS[described.system]
    return {
        "system": system.title,
        "parameters": count_parameters(described),
        "tensors_used": len(described.tensors),
        "tensors_left_out": described.dismissed,
        "origin": "the authors' layout" if described.official else "pellucid",
        "configuration": asdict(described.config),
        "input": system.input_rule(described.config),
        "licence": system.licence if described.official else "see the model card",
    }


@app.command()
def convert(
    official: Annotated[Path, typer.Argument(metavar="OFFICIAL", help="The authors' weight file.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    settings: Settings = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Store authors' weights as safetensors with their configuration."""
    from pellucid import checkpoints

    described = checkpoints.convert(official, output, overwrite=overwrite, **parse_settings(settings or []))
    title = checkpoints.SYSTEMS[described.system].title
    typer.echo(f"{output}: {title}, {len(described.tensors)} tensors used, {len(described.dismissed)} left out")


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Such as restormer-denoise-s; without, all are listed.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder of photographs; may be given repeatedly.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The run's folder; an interrupted run goes on.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change the recipe, as lr=3e-4.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Begin with these weights, as far as they fit.")
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="A whole run in this time, such as 90m or 2h.")
    ] = None,
) -> None:
    """Train a network on a folder of photographs.

    Stop it at any time: the same command goes on from what was saved last.
    """
    from pellucid.errors import UsageError
    from pellucid.tasks import find_weights
    from pellucid.training import RECIPES, changed
    from pellucid.training import train as run_recipe

    if recipe is None:
        display.show_recipes(RECIPES)
        return
    if recipe not in RECIPES:
        raise UsageError(f"there is no recipe {recipe!r}; there is {', '.join(RECIPES)}")
    if not data or out is None:
        raise UsageError("training needs photographs, --data DIR, and a folder for the run, --out RUN")
    wanted = changed(RECIPES[recipe], settings or [])
    max_seconds = math.inf if max_time is None else parse_duration(max_time)
    begin = None if start is None else find_weights(start)
    try:
        with display.training_progress() as report:
            weights = run_recipe(
                wanted, data, out, start=begin, max_seconds=max_seconds, report=report, say=display.say
            )
    except KeyboardInterrupt as error:
        display.say(f"interrupted; the same command goes on from what {out} holds, saved every five minutes or oftener")
        raise typer.Exit(130) from error
    typer.echo(f"{weights}: use it with pellucid restore --weights {out}")


@app.command("eval", cls=SeveralValues)
def evaluate(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="denoise, dejpeg, sr, demosaic, deblur, defocus or derain.")
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Clean pictures, or pairs in 'target' and 'input'.")],
    level: Annotated[
        list[str] | None, typer.Option(metavar="L...", help="How strong, or which folders of pairs [the usual ones].")
    ] = None,
    sigma: Annotated[
        list[float] | None, typer.Option(metavar="S...", help="Levels of denoise: noise on the scale 0..255.")
    ] = None,
    scale: Scale = None,
    kernels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Blur kernels, .npz, for deblur [our own].")
    ] = None,
    grey: Annotated[bool, typer.Option("--grey", help="Make colour pictures grey first.")] = False,
    weights: Weights = None,
    memory: Memory = None,
    device: Device = "auto",
    self_ensemble: SelfEnsemble = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Save every measurement as JSON.")] = None,
    strips: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save degraded, restored and clean crops side by side.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure PSNR and SSIM of restored pictures.

    By the field's protocols, with the same degradation every time.
    """
    from pellucid import evaluation
    from pellucid.errors import DataError, UsageError

    if out is not None and not out.parent.is_dir():  # said before the work, not after it
        raise DataError(f"cannot write {out}: the directory {out.parent} does not exist; create it first")
    if sigma and task != "denoise":
        raise UsageError(f"--sigma is for denoise; the levels of {task} are given with --level")
    protocol = evaluation.protocol_for(task, scale=scale, kernels=kernels)
    protocol, cases = evaluation.find_cases(protocol, data, [*(level or []), *(sigma or [])], grey=grey)
    restore, used = evaluation.tool_for(protocol, weights=weights, memory=memory, device=device)
    if self_ensemble:
        restore = evaluation.with_self_ensemble(restore, mosaic=task == "demosaic")
    show = None if strips is None else evaluation.strip_writer(strips)
    measurements: list[evaluation.Measurement] = []
    with display.counter(len(cases), quiet=as_json) as advance:
        for measurement in evaluation.measure(restore, protocol, cases, show=show):
            measurements.append(measurement)
            advance()
    method = "self-ensemble of eight orientations" if self_ensemble else "one pass"
    name = {"data": data.name, "weights": used, "method": method}
    if out is not None:
        evaluation.save_measurements(out, protocol=protocol, measurements=measurements, **name)
    rows = evaluation.summarise(measurements)
    if protocol.averaged and len(rows) > 1:
        rows.append(evaluation.overall(measurements))
    if as_json:
        typer.echo(json.dumps([evaluation.plain_values(row) for row in rows]))
    else:
        display.show_rows(data.name, protocol, rows)
