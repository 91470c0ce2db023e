"""Training from first step to last, so that it can be stopped and resumed anywhere."""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from pellucid import checkpoints
from pellucid.data import Pair, PictureFolders, degraded_batch
from pellucid.errors import CheckpointError, DataError
from pellucid.training.losses import LOSSES, frequency_l1
from pellucid.training.muon import Muon
from pellucid.training.recipes import Phase, Recipe
from pellucid.training.state import Stateful, load_state, save_state, trim_log


class Progress(NamedTuple):
    """What a run reports: the step reached of how many, the mean loss since the last report, seconds of training.

    `share` is how much of the run is done, by steps or by time, whichever is more.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    share: float


def train(
    recipe: Recipe,
    folders: Sequence[Path],
    run: Path,
    *,
    start: Path | None = None,
    max_seconds: float = math.inf,
    report_every: int = 50,
    save_every: int = 250,
    report: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train until the recipe's last step or `max_seconds`, going on from what `run` holds.

    The folder `run` receives `weights.safetensors` (the averaged weights, for `pellucid restore --weights`), `state.pt`
    (to go on from) and `log.jsonl`. Sample k depends only on the seed and k, so on a CPU with the same number of
    threads an interrupted run ends with the same bits as an uninterrupted one.

    Where the time is limited, the phases and the learning rates follow the time as soon as it is ahead of the steps, so
    that the run is a whole one, only shorter. What it then ends with depends on the speed of the machine.
    """
    pictures = PictureFolders(*folders)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{run} cannot be the folder of a run: {error.strerror}") from error
    trainer = _Trainer(recipe, start, say)
    step, samples, seconds = load_state(run / "state.pt", recipe, trainer.parts)
    trim_log(run / "log.jsonl", step)
    watch, losses, saved = _Stopwatch(seconds), list[float](), step

    while (at := max(step, int(recipe.steps * watch.seconds / max_seconds))) < recipe.steps:
        phase = _phase_at(recipe.phases, at)
        pair = degraded_batch(
            pictures,
            range(samples, samples + phase.batch),
            recipe.degradation,
            seed=recipe.seed,
            size=phase.crop,
            vivid_share=recipe.vivid_share,
            grey_share=recipe.grey_share,
        )
        losses.append(trainer.advance(pair, step, at))
        step, samples = step + 1, samples + phase.batch
        watch.lap()
        if not math.isfinite(losses[-1]):
            raise DataError(f"The run in {run} diverged at step {step}; start a new one with lower learning rates")
        done = max(step / recipe.steps, watch.seconds / max_seconds)
        if step % report_every == 0 or done >= 1:
            progress = Progress(step, recipe.steps, sum(losses) / len(losses), watch.seconds, min(done, 1.0))
            _log(run / "log.jsonl", progress)
            report(progress)
            losses.clear()
        if step % save_every == 0:
            trainer.save(run, step, samples, watch.seconds)
            saved = step
    if step > saved:
        trainer.save(run, step, samples, watch.seconds)
    return run / "weights.safetensors"


class _Stopwatch:
    """Seconds of training. A lap far longer than those before was a pause of the machine, and counts as they did."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._usual, self._last = seconds, math.inf, time.monotonic()

    def lap(self) -> None:
        """Count the time since the last lap."""
        now = time.monotonic()
        took = now - self._last
        counted = took if took < 5 + 5 * self._usual else self._usual
        self._usual = counted if self._usual == math.inf else 0.9 * self._usual + 0.1 * counted
        self._last = now
        self.seconds += counted


class _Trainer:
    """The network of a run, its average and its optimizers."""

    def __init__(self, recipe: Recipe, start: Path | None, say: Callable[[str], None]) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.system = next(name for name, s in checkpoints.SYSTEMS.items() if type(recipe.network) is s.config)
        build = checkpoints.SYSTEMS[self.system].network
        self.network, self.average = build(recipe.network), build(recipe.network).requires_grad_(False)
        if start is not None:
            say(_begin_with(self.network, start))
        self.average.load_state_dict(self.network.state_dict())
        self.muon, self.adam = _optimizers(self.network, recipe)

    @property
    def parts(self) -> dict[str, Stateful]:
        """Everything that has a state."""
        return {"network": self.network, "average": self.average, "muon": self.muon, "adam": self.adam}

    def advance(self, pair: Pair, step: int, at: int) -> float:
        """Take the step after `step` steps, with the learning rates that belong to step `at`; return its loss."""
        recipe = self.recipe
        restored = self.network(pair.degraded)
        loss = LOSSES[recipe.loss](restored, pair.clean)
        if recipe.frequency:
            loss = loss + recipe.frequency * frequency_l1(restored, pair.clean)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        _update((self.muon, self.adam), recipe.schedule(at, recipe.steps))
        _move_average(self.average, self.network, recipe.ema, step + 1)
        return loss.item()

    def save(self, run: Path, step: int, samples: int, seconds: float) -> None:
        """Write the averaged weights, then the state: a run killed in between repeats some steps and writes both."""
        checkpoints.save(
            self.average,
            self.system,
            run / "weights.safetensors",
            about={"task": self.recipe.task, "scale": str(self.recipe.scale)},
        )
        save_state(run / "state.pt", self.recipe, self.parts, step, samples, seconds)


def _begin_with(network: nn.Module, start: Path) -> str:
    """Take over the weights whose names and shapes are the network's; say how many those are."""
    ours = network.state_dict()
    theirs = checkpoints.load(start).state_dict()
    taken = {name: tensor for name, tensor in theirs.items() if name in ours and ours[name].shape == tensor.shape}
    if not taken:
        raise CheckpointError(f"{start} holds nothing that fits the network of the recipe")
    fresh = [name for name in ours if name not in taken]
    # What is random is made small, so that the network starts near what it was.
    network.load_state_dict({**taken, **{name: ours[name] * 0.1 for name in fresh}})
    named = f"; fresh: {', '.join(fresh[:4])}{' …' if len(fresh) > 4 else ''}" if fresh else ""
    return f"{len(taken)} of {len(ours)} tensors taken over from {start}{named}"


def _optimizers(network: nn.Module, recipe: Recipe) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for convolutions that mix channels; AdamW for depth-wise ones, norms, temperatures and biases."""
    mixing = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1]
    others = [p for p in network.parameters() if not (p.ndim == 4 and p.shape[1] > 1)]
    adam = torch.optim.AdamW(others, lr=recipe.lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay)
    for optimizer in (muon := Muon(mixing, lr=recipe.matrix_lr), adam):
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return muon, adam


def _update(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["peak_lr"]
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def _move_average(average: nn.Module, network: nn.Module, keep: float, step: int) -> None:
    """Follow the network, faster in the first steps, when the average is still of the random start."""
    keep = min(keep, step / (step + 9))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - keep)


def _phase_at(phases: Sequence[Phase], step: int) -> Phase:
    return next(phase for phase in phases if step < phase.until)


def _log(path: Path, progress: Progress) -> None:
    with path.open("a") as file:
        file.write(json.dumps(progress._asdict()) + "\n")
