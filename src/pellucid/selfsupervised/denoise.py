"""Denoising pictures by what they teach themselves: the functions behind `pellucid denoise-self`."""

import hashlib
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from pellucid import __version__, checkpoints
from pellucid.errors import CheckpointError, DataError, PellucidError, PictureError, UsageError
from pellucid.images import Picture, read_pages
from pellucid.selfsupervised.distil import DistilProgress, distil
from pellucid.selfsupervised.fit import SMALLEST, Check, FitOptions, FitProgress, fit
from pellucid.selfsupervised.noise import Noise, measure_noise
from pellucid.selfsupervised.samples import Samples, gather
from pellucid.selfsupervised.windows import Pictures
from pellucid.tasks import RestoreOptions, Restorer, find_weights
from pellucid.tasks.blind_spot import MOST_FACTOR, BlindSpotDenoiser, Procedure

Quality = Literal["best", "fast"]
Beginning = Literal["photographs", "nothing"]

# What they begin with: bundled weights.
TEACHER, STUDENT = "tbsn-denoise-s", "tbsn-unet-denoise-s"
_PASSES = 4  # of the refinement
_FOR_THE_TEACHER = 0.6  # share of the time, where there is a student
_MOST_MEASURED, _MEASURED_SIDE = 32, 1024
_MOST_APART = 12  # pictures that are measured one by one, since they may differ in noise
_LEAST_LEVEL = 1e-4  # of the noise, as a share of the range, by which errors are weighed
_BUDGET = 600.0


@dataclass(frozen=True, kw_only=True)
class LearnOptions:
    """What a person may ask for.

    Attributes:
        budget: seconds to learn for, about.
        quality: "best" restores with the blind-spot network itself; "fast" with a small U-Net that has learned from it,
            which takes a part of the budget and then restores in a fraction of the time.
        factor: of the pixel-shuffle down-sampling, 1 for noise that no two pixels share; None to find it out.
        start: "photographs" goes on from what the network has learned from photographs; "nothing" learns from these
            pictures and from nothing else.
        steps: to take instead of a time, for a result that depends on nothing but the pictures.
        seed: of the first weights and the order of the pictures' parts.
    """

    budget: float = _BUDGET
    quality: Quality = "best"
    factor: int | None = None
    start: Beginning = "photographs"
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.budget > 0 and math.isfinite(self.budget)):
            raise UsageError("learning takes time; allow more than none")
        if self.quality not in ("best", "fast"):
            raise UsageError(f"{self.quality!r} is no quality; choose best or fast")
        if self.start not in ("photographs", "nothing"):
            raise UsageError(f"{self.start!r} is nothing to start from; choose photographs or nothing")
        if self.factor is not None and not 1 <= self.factor <= MOST_FACTOR:
            raise UsageError(f"the factor must be from 1 to {MOST_FACTOR}, not {self.factor}")
        if self.steps is not None and self.steps <= 10:
            raise UsageError("a run has more than ten steps")


class Learning(NamedTuple):
    """What a person is told while a network learns.

    Attributes:
        doing: "learning from the noise", "teaching a faster network" or the like.
        share: how much of the time is over, 0..1.
        seconds: that are left, about; None until that is known.
        quality: PSNR in dB against a clean picture that nobody has, as far as it can be told: the error on noisy pixels
            that are not learned from, less the noise; None until it is known.
    """

    doing: str
    share: float
    seconds: float | None
    quality: float | None


class Learned(NamedTuple):
    """What was learned.

    Attributes:
        weights: the file, for `restore`.
        noise: of the pictures, with the factor in use.
        checks: the course of the errors; empty where the file was there already.
        samples: what was learned from.
    """

    weights: Path
    noise: Noise
    checks: list[Check]
    samples: Samples


def learn(
    sources: Sequence[str | Path | Picture],
    options: LearnOptions,
    weights: Path,
    *,
    overwrite: bool = False,
    skip: Callable[[PictureError], None] | None = None,
    say: Callable[[Noise], None] = lambda _: None,
    report: Callable[[Learning], None] = lambda _: None,
) -> Learned:
    """Learn to denoise pictures from these pictures, with no clean one, and write the weights.

    The state is kept beside the weights until they are there, so that a run that is stopped and started again goes on.
    Weights that were made of the same pictures with the same options are taken as they are.

    Args:
        sources: of one kind: grey or colour, and of one kind of numbers.
        options: how.
        weights: the file to write.
        overwrite: replace weights that were made otherwise.
        skip: is told of each file that cannot be read, which is left out; None to raise instead.
        say: is told what noise there is, with the factor in use.
        report: is told how it goes on.

    Raises:
        DataError: the pictures cannot be learned from, with the reason.
        PictureError: one cannot be read, and there is no `skip`.
        UsageError: they are of several kinds.
        PellucidError: the weights exist and were made otherwise, or they or the state cannot be written.
    """
    samples = gather([source if isinstance(source, Picture) else Path(source) for source in sources], skip)
    noise = measure_noise(_some_of(samples.pictures), step=samples.step)
    factor = options.factor or _factor_that_fits(noise.factor, samples)
    noise = replace(noise, factor=factor)
    say(noise)
    made_of = _fingerprint(samples, options, factor)
    if weights.exists():
        if _made_of(weights) == made_of:
            return Learned(weights, noise, [], samples)
        if not overwrite:
            raise PellucidError(f"{weights} exists and was learned otherwise; use it with --weights, or --overwrite it")
    states = [weights.with_name(f"{weights.name}.{part}") for part in ("state", "student")]
    checks = _write(samples, noise, options, made_of, weights, states, report)
    for state in states:
        state.unlink(missing_ok=True)
    return Learned(weights, noise, checks, samples)


def _write(
    samples: Samples,
    noise: Noise,
    options: LearnOptions,
    made_of: str,
    weights: Path,
    states: Sequence[Path],
    report: Callable[[Learning], None],
) -> list[Check]:
    """Train what is asked for, going on from the states, and write the weights."""
    is_fast, is_taught = options.quality == "fast", options.start == "photographs"
    seconds = options.budget * (_FOR_THE_TEACHER if is_fast else 1.0)
    whole = options.budget / seconds
    network, checks = fit(
        samples.pictures,
        FitOptions(
            factor=noise.factor,
            level=max(noise.level, _LEAST_LEVEL),
            seconds=seconds,
            steps=options.steps,
            seed=options.seed,
            start=TEACHER if is_taught else None,
        ),
        about=made_of,
        state=states[0],
        report=lambda state: report(_fitting(state, noise, whole)),
    )
    white = network.config.value_range
    about = {"task": "denoise", "made_of": made_of, **samples.seen.about()}
    procedure = Procedure(noise.factor, _PASSES, tuple(white**2 * v for v in _largest_variances(samples, noise)))
    if not is_fast:
        checkpoints.save(network, "tbsn", weights, about={**about, **procedure.about()})
        return checks
    student = distil(
        BlindSpotDenoiser(network, network.config.multiple, procedure).eval(),
        white,
        samples.pictures,
        seconds=options.budget - seconds,
        steps=options.steps,
        seed=options.seed,
        start=STUDENT if is_taught else None,
        about=made_of,
        state=states[1],
        report=lambda state: report(_teaching(state, whole)),
    )
    checkpoints.save(student, "tbsn-unet", weights, about=about)
    return checks


def denoise_self(
    pictures: Sequence[str | Path | Picture],
    *,
    budget: float = _BUDGET,
    quality: Quality = "best",
    factor: int | None = None,
    start: Beginning = "photographs",
    weights: str | Path | None = None,
    save_weights: str | Path | None = None,
    memory: int | str | None = None,
    device: str = "auto",
    report: Callable[[Learning], None] = lambda _: None,
) -> list[Picture]:
    """Denoise pictures by what they teach themselves; no clean picture is needed.

    `pellucid.denoise_self(["a.tif", "b.tif"], budget=300)[0].save("a-clean.tif")`

    Args:
        pictures: noisy pictures of one kind, files or in memory; of files with several pages, each page.
        budget, quality, factor, start: see `LearnOptions`.
        weights: what was saved before, to learn nothing and only restore.
        save_weights: a file for what is learned, for `pellucid.restore` too.
        memory, device: for restoring, see `RestoreOptions`; learning takes the processor.
        report: is told how the learning goes on.

    Returns:
        The restored pictures, page after page.

    Raises:
        PellucidError: with one sentence that says what is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        if weights is None:
            options = LearnOptions(budget=budget, quality=quality, factor=factor, start=start)
            weights = Path(save_weights) if save_weights is not None else Path(folder) / "learned.safetensors"
            learn(pictures, options, weights, report=report)
        restorer = Restorer(RestoreOptions(task="denoise", weights=weights, memory=memory, device=device))
    pages = (page for source in pictures for page in ([source] if isinstance(source, Picture) else read_pages(source)))
    return [restorer(page) for page in pages]


def _some_of(pictures: Pictures) -> Pictures:
    """Windows of pictures spread over all of them, which are enough to measure noise in."""
    every = -(-len(pictures) // _MOST_MEASURED)
    return [values[:_MEASURED_SIDE, :_MEASURED_SIDE] for values in pictures[::every]]


def _largest_variances(samples: Samples, noise: Noise) -> Sequence[float]:
    """Those of the noise at each level of brightness, of any of some pictures."""
    pictures = _some_of(samples.pictures)
    curves = [noise.curve]
    for values in pictures[:: -(-len(pictures) // _MOST_APART)] if len(pictures) > 1 else ():
        with suppress(DataError):  # too small by itself
            curves.append(measure_noise([values], step=samples.step).curve)
    return [max(variances) for variances in zip(*curves, strict=True)]


def _factor_that_fits(factor: int, samples: Samples) -> int:
    """The factor, or a smaller one where the largest picture is too small for it."""
    longest = max(min(values.shape[:2]) for values in samples.pictures)
    return max(1, min(factor, longest // SMALLEST))


def _fingerprint(samples: Samples, options: LearnOptions, factor: int) -> str:
    """What decides the weights, but for how many steps fit the time."""
    digest = hashlib.sha256(f"{__version__} {options} {factor} {samples.seen}".encode())
    for start in (TEACHER, STUDENT) if options.start == "photographs" else ():
        digest.update(find_weights(start).read_bytes())
    for values in samples.pictures:
        digest.update(str(values.shape).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _made_of(weights: Path) -> str | None:
    try:
        return checkpoints.describe(weights).about.get("made_of")
    except CheckpointError:
        return None


def _fitting(state: FitProgress, noise: Noise, whole: float) -> Learning:
    error = min((check.error for check in state.checks), default=None)
    quality = None if error is None else -10 * math.log10(max(error - noise.level**2, 1e-6))
    return _learning("learning from the noise", state.step, state.steps, state.seconds, 0.0, 1 / whole, quality)


def _teaching(state: DistilProgress, whole: float) -> Learning:
    doing = "teaching a faster network" if state.step else f"making lessons for a faster network, {state.windows}"
    return _learning(doing, state.step, state.steps, state.seconds, 1 / whole, 1.0, None)


def _learning(
    doing: str, step: int, steps: int | None, seconds: float, start: float, end: float, quality: float | None
) -> Learning:
    if steps is None:
        return Learning(doing, start, None, quality)
    left = seconds / max(step, 1) * (steps - step)
    return Learning(doing, start + (end - start) * step / steps, left, quality)
