"""Training a blind Gaussian denoiser, from first step to last, so that it can be stopped and resumed anywhere."""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pellucid import checkpoints
from pellucid.data import Pair, PictureFolders, denoising_batch
from pellucid.errors import CheckpointError, DataError
from pellucid.models.restormer import Restormer
from pellucid.training.muon import Muon
from pellucid.training.recipes import DenoisingRecipe, Phase
from pellucid.training.state import Stateful, load_state, save_state, trim_log


class Progress(NamedTuple):
    """What a run reports: the step reached of how many, the mean loss since the last report, seconds of training."""

    step: int
    steps: int
    loss: float
    seconds: float


def train_denoiser(
    recipe: DenoisingRecipe,
    folders: Sequence[Path],
    run: Path,
    *,
    start: Path | None = None,
    max_seconds: float = math.inf,
    report_every: int = 50,
    save_every: int = 250,
    report: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Train until the recipe's last step or `max_seconds`, going on from what `run` holds.

    The folder `run` receives `weights.safetensors` (the averaged weights, for `pellucid restore --weights`), `state.pt`
    (to go on from) and `log.jsonl`. Sample k depends only on the seed and k, so on a CPU with the same number of
    threads an interrupted run ends with the same bits as an uninterrupted one.

    Args:
        recipe, folders, run: what to train, on which photographs, and where to keep it.
        start: weights to begin with instead of random ones.
        max_seconds: of training, earlier parts of the run counted in.
        report_every, save_every: steps between calls of `report` and between saves.

    Returns:
        The path of the averaged weights.

    Raises:
        CheckpointError: `start` cannot be loaded or is of another network.
        DataError: the folders hold no pictures, `run` holds a run of another recipe, or the loss became infinite.
    """
    pictures = PictureFolders(*folders)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{run} cannot be the folder of a run: {error.strerror}") from error
    trainer = _Trainer(recipe, start)
    step, seconds = load_state(run / "state.pt", recipe, trainer.parts)
    trim_log(run / "log.jsonl", step)
    started, losses, saved = time.monotonic() - seconds, list[float](), step

    while step < recipe.steps and (seconds := time.monotonic() - started) < max_seconds:
        batch, size, first = _batch_at(recipe.phases, step)
        pair = denoising_batch(
            pictures, first, batch, seed=recipe.seed, size=size, sigma=recipe.sigma, vivid_share=recipe.vivid_share
        )
        losses.append(trainer.advance(pair, step))
        step += 1
        if not math.isfinite(losses[-1]):
            raise DataError(f"The run in {run} diverged at step {step}; start a new one with lower learning rates")
        if step % report_every == 0 or step == recipe.steps:
            progress = Progress(step, recipe.steps, sum(losses) / len(losses), time.monotonic() - started)
            _log(run / "log.jsonl", progress)
            report(progress)
            losses.clear()
        if step % save_every == 0:
            trainer.save(run, step, seconds)
            saved = step
    if step > saved:
        trainer.save(run, step, seconds)
    return run / "weights.safetensors"


class _Trainer:
    """The network of a run, its average and its optimizers."""

    def __init__(self, recipe: DenoisingRecipe, start: Path | None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network, self.average = Restormer(recipe.network), Restormer(recipe.network).requires_grad_(False)
        if start is not None:
            self.network.load_state_dict(_starting_weights(start, recipe))
        self.average.load_state_dict(self.network.state_dict())
        self.muon, self.adam = _optimizers(self.network, recipe)

    @property
    def parts(self) -> dict[str, Stateful]:
        """Everything that has a state."""
        return {"network": self.network, "average": self.average, "muon": self.muon, "adam": self.adam}

    def advance(self, pair: Pair, step: int) -> float:
        """Take the step after `step` steps and return its loss."""
        loss = (self.network(pair.degraded) - pair.clean).abs().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        _update((self.muon, self.adam), _rate(self.recipe, step))
        _move_average(self.average, self.network, self.recipe.ema, step + 1)
        return loss.item()

    def save(self, run: Path, step: int, seconds: float) -> None:
        """Write the averaged weights, then the state: a run killed in between repeats some steps and writes both."""
        checkpoints.save(self.average, "restormer", run / "weights.safetensors")
        save_state(run / "state.pt", self.recipe, self.parts, step, seconds)


def _starting_weights(start: Path, recipe: DenoisingRecipe) -> dict[str, Tensor]:
    network = checkpoints.load(start)
    if not isinstance(network, Restormer) or network.config != recipe.network:
        raise CheckpointError(f"{start} holds another network than the recipe trains")
    return network.state_dict()


def _optimizers(network: nn.Module, recipe: DenoisingRecipe) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for convolutions that mix channels; AdamW for depth-wise ones, norms, temperatures and biases."""
    mixing = [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1]
    others = [p for p in network.parameters() if not (p.ndim == 4 and p.shape[1] > 1)]
    adam = torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.99), weight_decay=0.0)
    for optimizer in (muon := Muon(mixing, lr=recipe.matrix_lr), adam):
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return muon, adam


def _rate(recipe: DenoisingRecipe, step: int) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to zero."""
    return min(1.0, (step + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


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


def _batch_at(phases: Sequence[Phase], step: int) -> tuple[int, int, int]:
    """Return the batch size, the crop size and the number of the first sample at a step."""
    first, start = 0, 0
    for phase in phases:
        if step < phase.until:
            return phase.batch, phase.crop, first + (step - start) * phase.batch
        first, start = first + (phase.until - start) * phase.batch, phase.until
    raise ValueError(f"step {step} is after the last phase")


def _log(path: Path, progress: Progress) -> None:
    with path.open("a") as file:
        file.write(json.dumps(progress._asdict()) + "\n")
