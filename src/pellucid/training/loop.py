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

_WEIGHTS, _STATE = "weights.safetensors", "state.pt"
_MOST_SECONDS_UNSAVED = 300
_MOST_SHEETS = 100  # of a whole run


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
        log_every, save_every: steps between lines of the log and between saves; what takes long is saved every five
            minutes besides.
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
    _Run(recipe, pictures, run, Trainer(recipe, start, say)).go(max_seconds, log_every, save_every, report)
    return run / _WEIGHTS


class _Run:
    """A run at the step, the number of samples and the seconds that it has reached."""

    def __init__(self, recipe: Recipe, pictures: PictureFolders, folder: Path, trainer: Trainer) -> None:
        self.recipe, self.pictures, self.folder, self.trainer = recipe, pictures, folder, trainer
        self.step, self.samples, seconds = load_state(folder / _STATE, recipe, trainer.parts)
        self.watch = _Stopwatch(seconds)
        self.feed = Feed(recipe, pictures, trainer.rank, trainer.processes)
        self.records = Records(folder, self.step, active=trainer.rank == 0)

    def go(self, max_seconds: float, log_every: int, save_every: int, report: Callable[[Progress], None]) -> None:
        """Take the steps that are left."""
        recipe, watch, losses, saved = self.recipe, self.watch, list[float](), self.watch.seconds
        with self.records, self.feed:
            while (at := max(self.step, int(recipe.steps * watch.seconds / max_seconds))) < recipe.steps:
                losses.append(self._advance(at))
                mean, done = sum(losses) / len(losses), max(self.step / recipe.steps, watch.seconds / max_seconds)
                late = watch.seconds - saved > _MOST_SECONDS_UNSAVED
                if self.step % save_every == 0 or done >= 1 or late:
                    self._save(last=done >= 1)
                    saved = watch.seconds
                if self.step % log_every == 0 or done >= 1:
                    rate = recipe.schedule(at, recipe.steps)
                    self.records.log(self.step, loss=mean, rate=rate, seconds=watch.seconds)
                    losses.clear()
                sheet = self.records.last_sheet
                report(Progress(self.step, recipe.steps, mean, watch.seconds, min(done, 1.0), sheet))

    def _advance(self, at: int) -> float:
        """Take one step, with the phase and the learning rates that belong to step `at`; return its loss."""
        phase = self.recipe.phase_at(at)
        loss = self.trainer.advance(self.feed.batch(self.samples, phase), self.step, at)
        self.step, self.samples = self.step + 1, self.samples + phase.batch
        loss, self.watch.seconds = self.trainer.agreed(loss, self.watch.lap())
        if not math.isfinite(loss):
            raise self._diverged()
        return loss

    def _save(self, *, last: bool) -> None:
        """Write the averaged weights, then the state: a run killed in between repeats some steps and writes both."""
        if self.trainer.rank == 0:
            trainer = self.trainer
            sheet = sample_sheet(trainer.average, trainer.white, trainer.device, self.recipe, self.pictures)
            if not np.isfinite(sheet).all():  # the last good state stays
                raise self._diverged()
            self.trainer.save_weights(self.folder / _WEIGHTS)
            parts = self.trainer.parts
            save_state(self.folder / _STATE, self.recipe, parts, self.step, self.samples, self.watch.seconds)
            if last or self.step >= self.records.step_of_last_sheet + self.recipe.steps / _MOST_SHEETS:
                self.records.sheet(sheet, self.step)
        self.trainer.wait()

    def _diverged(self) -> DataError:
        return DataError(
            f"The run in {self.folder} diverged at step {self.step}; start a new one with lower learning rates"
        )


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
