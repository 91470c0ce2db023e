"""Values that depend on weights alone, computed once and kept until the weights change."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

_KEPT = 8


class WeightCache:
    """The last few values computed from a module's weights; empty again in a copy of the module.

    Nothing is kept where a gradient or a graph is being recorded.
    """

    def __init__(self) -> None:
        self._weights: tuple[tuple[Tensor, int], ...] = ()
        self._values: dict[Hashable, Tensor] = {}

    def __reduce__(self) -> tuple[type["WeightCache"], tuple[()]]:
        return WeightCache, ()

    def get(self, weights: Sequence[Tensor], key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return compute(), or what it returned before for this key and these values of the weights."""
        recording = torch.is_grad_enabled() and any(w.requires_grad for w in weights)
        if recording or torch.compiler.is_compiling() or any(w.is_inference() for w in weights):
            return compute()
        if not self._holds_for(weights):
            self._values = {}
            # Aliases, so that no other weights can come to lie at the same address.
            self._weights = tuple((w.detach(), w._version) for w in weights)
        value = self._values.pop(key, None)
        if value is None:
            with torch.inference_mode(False), torch.no_grad():  # a value that later calls may use in any mode
                value = compute()
        self._values[key] = value
        while len(self._values) > _KEPT:
            self._values.pop(next(iter(self._values)), None)
        return value

    def _holds_for(self, weights: Sequence[Tensor]) -> bool:
        return len(weights) == len(self._weights) and all(
            w.data_ptr() == kept.data_ptr()
            and (w._version, w.dtype, w.device, w.shape) == (version, kept.dtype, kept.device, kept.shape)
            for w, (kept, version) in zip(weights, self._weights, strict=True)
        )
