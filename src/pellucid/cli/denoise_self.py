"""`pellucid denoise-self`: learn from noisy pictures alone, then restore them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pellucid.cli import display
from pellucid.cli.arguments import Compare, Device, Json, Memory, NoProvenance, Output, Overwrite, Pictures, Recursive
from pellucid.cli.batch import BatchDisplay
from pellucid.cli.options import parse_duration, parse_path

if TYPE_CHECKING:
    from pellucid.selfsupervised import Beginning, LearnOptions, Noise, Quality
    from pellucid.tasks import Job

Budget = Annotated[str, typer.Option(metavar="TIME", help="How long to learn, such as 5m or 1h.")]
QualityOption = Annotated[
    str, typer.Option(metavar="fast|best", help="fast teaches a small network, for thousands of files.")
]
Factor = Annotated[int | None, typer.Option(metavar="1..8", help="Pixels over which noise is correlated [found out].")]
Start = Annotated[
    str,
    typer.Option(
        metavar="photographs|nothing", help="Where to begin; from nothing, it learns from these pictures alone."
    ),
]
SaveWeights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", parser=parse_path, help="Keep what was learned, for restore --weights FILE."),
]
Weights = Annotated[
    Path | None, typer.Option(metavar="FILE", parser=parse_path, help="Learn nothing; use what was kept.")
]
Report = Annotated[
    Path | None, typer.Option(metavar="FILE", parser=parse_path, help="Write an HTML page about the noise.")
]

_LEARNED = ".pellucid-self.safetensors"  # beside results, so that the same command knows them


def denoise_self(
    pictures: Pictures,
    output: Output = None,
    budget: Budget = "10m",
    quality: QualityOption = "best",
    factor: Factor = None,
    start: Start = "photographs",
    save_weights: SaveWeights = None,
    weights: Weights = None,
    report: Report = None,
    memory: Memory = None,
    device: Device = "auto",
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    compare: Compare = False,
    no_provenance: NoProvenance = False,
    as_json: Json = False,
) -> None:
    """Denoise pictures with no clean one to learn from.

    A network learns from the noisy pictures themselves, then restores them. Name pictures of one kind together: of one
    camera, one microscope, one film. Stop it at any time: the same command goes on.
    """
    from pellucid.errors import UsageError
    from pellucid.selfsupervised import LearnOptions
    from pellucid.tasks import RestoreOptions, Restorer, plan_jobs

    if weights is not None and (save_weights is not None or report is not None):
        raise UsageError("with --weights nothing is learned; leave out --save-weights and --report")
    options = LearnOptions(
        budget=parse_duration(budget),
        quality=cast("Quality", quality),
        factor=factor,
        start=cast("Beginning", start),
    )
    batch = BatchDisplay(as_json=as_json)
    try:
        jobs = plan_jobs(pictures, output, recursive=recursive, skip=batch.skip)
    finally:
        batch.show_skipped()
    kept = save_weights or _beside(jobs[0])
    if weights is None:
        sources = _that_can_be_restored(jobs, overwrite)
        kept.parent.mkdir(parents=True, exist_ok=True)
        _learn(sources, options, kept, report, overwrite=overwrite or save_weights is None, quiet=as_json)
    restorer = Restorer(RestoreOptions(task="denoise", weights=weights or kept, memory=memory, device=device))
    code = batch.restore(restorer, jobs, overwrite=overwrite, compare=compare, record=not no_provenance)
    if code == 0 and weights is None and save_weights is None and jobs[0].root is None:
        kept.unlink(missing_ok=True)
    raise typer.Exit(code)


def _beside(job: "Job") -> Path:
    """Where what was learned is kept for the same command; of a single picture, until that is restored."""
    return job.target.with_name(f".{job.target.stem}{_LEARNED}") if job.root is None else job.root / _LEARNED


def _that_can_be_restored(jobs: "Sequence[Job]", overwrite: bool) -> list[Path]:
    """The pictures whose results can be written, found out before the time is spent; the others fail when restored."""
    from pellucid.errors import PellucidError
    from pellucid.images import read_header
    from pellucid.tasks.plan import refuse_early

    sources: list[Path] = []
    refusals: list[PellucidError] = []
    for job in jobs:
        try:
            # In a folder of results the ledger knows which of those that exist are ours.
            refuse_early(job, read_header(job.source), may_replace=overwrite or job.root is not None)
            sources.append(job.source)
        except PellucidError as error:
            refusals.append(error)
    if not sources:
        raise refusals[0]
    return sources


def _learn(
    sources: Sequence[Path], options: "LearnOptions", kept: Path, report: Path | None, *, overwrite: bool, quiet: bool
) -> None:
    """Learn from the pictures and say how it goes on; then write the page, if one is wanted."""
    from pellucid.selfsupervised import describe, learn, write_page

    def say(noise: "Noise") -> None:
        if not quiet:
            display.say(describe(noise))

    try:  # of what is skipped, restoring tells
        with display.learning_progress(quiet=quiet) as progress:
            learned = learn(sources, options, kept, overwrite=overwrite, skip=lambda _: None, say=say, report=progress)
    except KeyboardInterrupt as error:
        display.say("interrupted; the same command goes on from what was saved last")
        raise typer.Exit(130) from error
    if report is not None:
        write_page(report, learned, overwrite=overwrite)
