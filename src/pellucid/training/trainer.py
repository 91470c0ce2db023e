"""The network of a run, its average and its optimizers: one step at a time, on one or several processes."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pellucid import checkpoints
from pellucid.data import Pair
from pellucid.errors import CheckpointError, UsageError
from pellucid.training.losses import LOSSES, frequency_l1
from pellucid.training.muon import Muon
from pellucid.training.recipes import Recipe
from pellucid.training.state import Stateful

if TYPE_CHECKING:
    from accelerate import Accelerator


class Trainer:
    """Takes the steps of a run.

    Args:
        recipe: what to train.
        start: weights to begin with instead of random ones.
        say: is told in a sentence what was taken over from `start`.

    Attributes:
        white: the value of white in the network's input and output; in those of `advance` it is 1.

    Raises:
        CheckpointError, UsageError: see `train`.
    """

    def __init__(self, recipe: Recipe, start: Path | None, say: Callable[[str], None]) -> None:
        self._accelerator = _accelerator()
        torch.manual_seed(recipe.seed)
        self._recipe = recipe
        self._system = next(name for name, s in checkpoints.SYSTEMS.items() if type(recipe.network) is s.config)
        system = checkpoints.SYSTEMS[self._system]
        in_use = system.restoration(recipe.network)
        self.white, build = in_use.white if in_use is not None else 1.0, system.network
        self.network, self.average = build(recipe.network), build(recipe.network).requires_grad_(False)
        for name, parameter in self.network.named_parameters():
            if name.startswith("unused."):  # as in FFTformer; several processes would wait for its gradient
                parameter.requires_grad_(False)
        if start is not None:
            sentence = _begin_with(self.network, start)
            if self.rank == 0:
                say(sentence)
        self.average.load_state_dict(self.network.state_dict())
        self.network.to(self.device)
        self.average.to(self.device)
        self._optimizers = _optimizers(self.network, recipe)
        if self.processes > 1:
            # Of depth-wise kernels, which have one input channel: their two layouts are one in memory.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        self._prepared: nn.Module = self._accelerator.prepare(self.network)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._accelerator.device

    @property
    def rank(self) -> int:
        """Number of this process among `processes`."""
        return self._accelerator.process_index

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self._accelerator.num_processes

    @property
    def parts(self) -> dict[str, Stateful]:
        """Everything that has a state."""
        return {"network": self.network, "average": self.average, **self._optimizers}

    def advance(self, pair: Pair, step: int, at: int) -> float:
        """Take the step after `step` steps, with the learning rates that belong to step `at`; return its loss."""
        recipe = self._recipe
        degraded, clean = pair.degraded.to(self.device), pair.clean.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            restored: Tensor = self._prepared(degraded * self.white)
        restored = restored.float() / self.white
        loss = LOSSES[recipe.loss](restored, clean)
        if recipe.frequency:
            loss = loss + recipe.frequency * frequency_l1(restored, clean)
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self.network.parameters(), recipe.clip)
        _update(self._optimizers.values(), recipe.schedule(at, recipe.steps))
        _move_average(self.average, self.network, recipe.ema, step + 1)
        return loss.item()

    def agreed(self, loss: float, seconds: float) -> tuple[float, float]:
        """The mean of these over all processes, so that all of them go on alike."""
        if self.processes == 1:
            return loss, seconds
        mine = torch.tensor([loss, seconds], device=self.device)
        mean = cast(Tensor, self._accelerator.reduce(mine, "mean"))
        return float(mean[0]), float(mean[1])

    def wait(self) -> None:
        """Wait for the other processes."""
        self._accelerator.wait_for_everyone()

    def save_weights(self, path: Path) -> None:
        """Write the averaged weights with the task they are for."""
        recipe = self._recipe
        about = {"task": recipe.task, "scale": str(recipe.scale)}
        if recipe.prepare:
            about["prepare"] = recipe.prepare
        checkpoints.save(self.average, self._system, path, about=about)


def _accelerator() -> "Accelerator":
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise UsageError("training needs the package accelerate; run pip install 'pellucid[train]'") from error
    # Without being told so, accelerate would take several processes that have no GPU for as many runs of their own.
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    if accelerator.mixed_precision not in ("no", "bf16"):
        raise UsageError(f"training has no precision {accelerator.mixed_precision}; launch it with bf16 or none")
    return accelerator


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
    named = f"; the others start at random: {', '.join(fresh[:4])}{' …' if len(fresh) > 4 else ''}" if fresh else ""
    return f"{len(taken)} of {len(ours)} tensors taken over from {start}{named}"


def _optimizers(network: nn.Module, recipe: Recipe) -> dict[str, torch.optim.Optimizer]:
    """Muon for convolutions that mix channels, if it is wanted; AdamW for all others."""
    matrices = [p for p in network.parameters() if recipe.matrix_lr and p.ndim == 4 and p.shape[1] > 1]
    known = set(map(id, matrices))
    others = [p for p in network.parameters() if id(p) not in known]
    adam = torch.optim.AdamW(others, lr=recipe.lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay)
    optimizers: dict[str, Any] = {"adam": adam, **({"muon": Muon(matrices, lr=recipe.matrix_lr)} if matrices else {})}
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


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
    for mean, current in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(current)
