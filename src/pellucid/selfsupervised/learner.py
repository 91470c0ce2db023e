"""A network that is trained within a time: its average, its optimizers, the run's length, and its state on disk."""

import copy
import math
import pickle
import time
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from pellucid.errors import DataError
from pellucid.files import atomic_path
from pellucid.training.muon import Muon

_TIMED = 10  # the first steps, from which the length of the run is found
_FEWEST_STEPS = 60
_WARMUP, _CLIP, _KEEP = 20, 0.5, 0.99
_LR, _MATRIX_LR = 2e-3, 2e-2
_GENTLE = 0.1  # of these rates, for a network that has learned before
_CHECKS = 20  # of a run

Network = TypeVar("Network", bound=nn.Module)


class Learner(Generic[Network]):
    """A network and the course of its training.

    Where the number of steps is not given it is found from the first ones, and kept with the state: so a run that was
    stopped ends as one that was not.

    Args:
        network: to train.
        gentle: whether it has learned before, which is not to be undone by large steps.
        seconds: to train for, about.
        steps: to take, more than ten; None to find their number from the seconds.
        about: what makes this run another than others, in words.
        state: a file to keep the run in, and to go on from.

    Attributes:
        average: of the network's weights over the last steps.
        step, steps: taken, of how many, None until that is known.
        spent: seconds.

    Raises:
        DataError: the state is damaged or of another run.
    """

    def __init__(
        self, network: Network, *, gentle: bool, seconds: float, steps: int | None, about: str, state: Path | None
    ) -> None:
        self.network, self.average = network, copy.deepcopy(network).requires_grad_(False)
        self.step, self.steps, self.spent = 0, steps, 0.0
        self._seconds, self._about, self._state = seconds, about, state
        share = _GENTLE if gentle else 1.0
        matrices = [parameter for parameter in network.parameters() if parameter.ndim == 4 and parameter.shape[1] > 1]
        known = set(map(id, matrices))
        others = [parameter for parameter in network.parameters() if id(parameter) not in known]
        adam = torch.optim.AdamW(others, lr=share * _LR, betas=(0.9, 0.99), weight_decay=0.0)
        self._optimizers: dict[str, tuple[torch.optim.Optimizer, float]] = {
            "adam": (adam, share * _LR),
            "muon": (Muon(matrices, lr=share * _MATRIX_LR), share * _MATRIX_LR),
        }
        self.kept: dict[str, Any] = self._read()

    @property
    def done(self) -> bool:
        """Whether the last step is taken."""
        return self.steps is not None and self.step >= self.steps

    @property
    def to_check(self) -> bool:
        """Whether it is time to see how far the run has come."""
        return self.steps is not None and (self.done or self.step % max(_TIMED, self.steps // _CHECKS) == 0)

    def learn(self, loss: Tensor, began: float) -> None:
        """Take a step that makes the loss smaller; its making began at this time of `time.monotonic`.

        Raises:
            DataError: the loss is not a number.
        """
        loss.backward()
        if not math.isfinite(loss.item()):
            raise DataError("learning from these pictures diverged; leave out what is damaged in them")
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        rate = self._rate()
        for optimizer, peak in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self._follow()
        self.spent += time.monotonic() - began
        if self.step == _TIMED and self.steps is None:
            left = (self._seconds - self.spent) / (self.spent / _TIMED)
            self.steps = max(_FEWEST_STEPS, _TIMED + int(left))

    def keep(self, **more: Any) -> None:
        """Write the state, if there is a file for it, with what else is to be found in `kept` when the run goes on."""
        if self._state is None:
            return
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        scalars = {"about": self._about, "step": self.step, "steps": self.steps, "spent": self.spent}
        with atomic_path(self._state, overwrite=True) as temporary:
            torch.save({**scalars, **parts, "more": more}, temporary)

    def _read(self) -> dict[str, Any]:
        if self._state is None or not self._state.exists():
            return {}
        try:
            state = torch.load(self._state, map_location="cpu", weights_only=True)
            if state["about"] != self._about:
                raise DataError(f"{self._state} is of another run; remove it to begin anew")
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.step, self.steps, self.spent = state["step"], state["steps"], state["spent"]
            return state["more"]
        except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self._state} is damaged; remove it to begin anew") from error

    def _parts(self) -> dict[str, Any]:
        optimizers = {name: optimizer for name, (optimizer, _) in self._optimizers.items()}
        return {"network": self.network, "average": self.average, **optimizers}

    def _rate(self) -> float:
        """Linear warm-up and half a cosine; that of the first steps does not depend on the length of the run."""
        share = max(self.step - _TIMED, 0) / max((self.steps or math.inf) - _TIMED, 1)
        return min(1.0, (self.step + 1) / _WARMUP) * 0.5 * (1 + math.cos(math.pi * share))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average, faster in the first steps, when it is still of the beginning."""
        keep = min(_KEEP, self.step / (self.step + 9))
        for mean, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(current, 1 - keep)
