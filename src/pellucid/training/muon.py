"""Muon: momentum whose update is orthogonalised, for the matrices inside a network.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; update scaled as in J. Liu et al.,
"Muon is scalable for LLM training", 2025, equation 4, so that learning rates are those of Adam.

`torch.optim.Muon` takes matrices only and orthogonalises in bfloat16, which processors without it emulate; this one
takes convolutions (as out × rest matrices) and orthogonalises all matrices of one shape together, in float32.
"""

from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Move the singular values of each of (N, R, C) matrices close to one, by a quintic Newton–Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / x.square().sum((-2, -1), keepdim=True).sqrt().add(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum.

    Args:
        parameters: tensors of two or more axes, each seen as a (first, rest) matrix.
        lr: learning rate; the update of every matrix has the size an Adam update would have.
        momentum: share of the old momentum kept at each step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; the closure, if any, computes the loss and the gradients."""
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.flatten(1).shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = torch.stack([self._nesterov(p, group["momentum"]).flatten(1) for p in parameters])
                scale = -0.2 * group["lr"] * max(shape) ** 0.5
                for parameter, update in zip(parameters, orthogonalised(updates), strict=True):
                    parameter.add_(update.view_as(parameter), alpha=scale)
        return loss

    def _nesterov(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average: Tensor = state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)
