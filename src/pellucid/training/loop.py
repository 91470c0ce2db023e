"""Training from first step to last, so that it can be stopped and resumed anywhere."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pellucid.data import PictureFolders
from pellucid.errors import DataError, UsageError
from pellucid.training.feed import Feed
from pellucid.training.recipes import Recipe
from pellucid.training.records import Records, sample_sheet
from pellucid.training.state import load_state, save_state
from pellucid.training.trainer import Trainer


class Progress(NamedTuple):
    """What a run reports after each step.

    Attributes:
        step, steps: reached, of how many.
        loss: mean since the last line of the log.
        seconds: of training, pauses of the machine not counted.
        share: how much of the run is done, by steps or by time, whichever is more.
        sheet: the last picture of samples, degraded | restored | clean.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    share: float
    sheet: Path | None


def train(
    recipe: Recipe,
    folders: Sequence[Path],
    run: Path,
    *,
    start: Path | None = None,
    max_seconds: float = math.inf,
    log_every: int = 50,
    save_every: int = 250,
    report: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train until the recipe's last step or `max_seconds`, going on from what `run` holds.

    The folder `run` receives `weights.safetensors` (the averaged weights, for `pellucid restore --weights`), `state.pt`
    (to go on from), `log.jsonl`, sheets of samples, and what TensorBoard reads where that is installed.

    Sample k depends only on the seed and k, so on a CPU with the same number of threads an interrupted run ends with
    the same bits as an uninterrupted one. Started by `torchrun` or `accelerate launch`, the processes share each batch,
    and the losses are those of one process but for rounding.

    Where the time is limited, the phases and the learning rates follow the time as soon as it is ahead of the steps, so
    that the run is a whole one, only shorter. What it then ends with depends on the speed of the machine.

    Args:
        recipe, folders, run: what to train, on which photographs, and where to keep it.
        start: weights to begin with instead of random ones, as far as their names and shapes are the network's.
        max_seconds: of training, earlier parts of the run counted in.
        log_every, save_every: steps between lines of the log and between saves.
        report: is told after each step how the run goes on.
        say: is told in a sentence what was taken over from `start`.

    Returns:
        The path of the averaged weights.

    Raises:
        CheckpointError: `start` cannot be loaded, or nothing in it fits.
        DataError: the folders hold no pictures, `run` holds a run of another recipe, or the loss became infinite.
        UsageError: there is no time, accelerate is not installed, or a batch cannot be shared by the processes.
    """
    if max_seconds <= 0:
        raise UsageError("training takes time; allow more than none")
    pictures = PictureFolders(*folders)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{run} cannot be the folder of a run: {error.strerror}") from error
    trainer = Trainer(recipe, start, say)
    step, samples, seconds = load_state(run / "state.pt", recipe, trainer.parts)
    watch, losses = _Stopwatch(seconds), list[float]()
    feed = Feed(recipe, pictures, trainer.rank, trainer.processes)
    records = Records(run, step, active=trainer.rank == 0)

    def diverged() -> DataError:
        return DataError(f"The run in {run} diverged at step {step}; start a new one with lower learning rates")

    def save() -> None:
        if trainer.rank == 0:
            sheet = sample_sheet(trainer.average, trainer.device, recipe, pictures)
            if not np.isfinite(sheet).all():  # the last good state stays
                raise diverged()
            trainer.save_weights(run / "weights.safetensors")
            save_state(run / "state.pt", recipe, trainer.parts, step, samples, watch.seconds)
            records.sheet(sheet, step)
        trainer.wait()

    with records, feed:
        while (at := max(step, int(recipe.steps * watch.seconds / max_seconds))) < recipe.steps:
            phase = recipe.phase_at(at)
            loss = trainer.advance(feed.batch(samples, phase), step, at)
            step, samples = step + 1, samples + phase.batch
            loss, watch.seconds = trainer.agreed(loss, watch.lap())
            if not math.isfinite(loss):
                raise diverged()
            losses.append(loss)
            done = max(step / recipe.steps, watch.seconds / max_seconds)
            if step % save_every == 0 or done >= 1:
                save()
            mean = sum(losses) / len(losses)
            if step % log_every == 0 or done >= 1:
                records.log(step, loss=mean, rate=recipe.schedule(at, recipe.steps), seconds=watch.seconds)
                losses.clear()
            report(Progress(step, recipe.steps, mean, watch.seconds, min(done, 1.0), records.last_sheet))
    return run / "weights.safetensors"


class _Stopwatch:
    """Seconds of training. A lap far longer than those before was a pause of the machine, and counts as they did."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._usual, self._last = seconds, math.inf, time.monotonic()

    def lap(self) -> float:
        """Count the time since the last lap and return all seconds."""
        now = time.monotonic()
        took, self._last = now - self._last, now
        counted = took if took < 5 + 5 * self._usual else self._usual
        self._usual = counted if self._usual == math.inf else 0.9 * self._usual + 0.1 * counted
        return self.seconds + counted
