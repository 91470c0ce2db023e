"""A network on a device: tiles in, tiles out, whatever its precision and the machine's memory do."""

import gc
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.checkpoints import Restoration
from pellucid.errors import BudgetError, PellucidError
from pellucid.images.tiles import plan_tiles, process_tiles

_PLAUSIBLE = 4.0  # further from black and white lies no restored value; half precision has overflowed


class Runner:
    """Runs a network on tiles `(H, W, C)` of values around 0..1, and answers with `(scale · H, scale · W, C)`.

    A result of reduced precision that is not finite, or far beyond any picture, is computed again in float32. Where
    memory runs out, a tile is tried once more, then in halves that overlap, and so are all tiles as large after it.

    Args:
        build: makes the network, in float32.
        kind: how the network restores.
        device: where it runs.
        dtype: the precision to run in.
        name: of the weights, for sentences.
        levels: the values of a tile that the network is to see as 0 and as its white.
    """

    def __init__(
        self,
        build: Callable[[], torch.nn.Module],
        kind: Restoration,
        device: torch.device,
        dtype: torch.dtype,
        name: str,
        levels: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self._kind, self._device, self._name = kind, device, name
        self._low, self._gain = levels[0], kind.white / (levels[1] - levels[0])
        network = build().to(device)
        reduced = network if dtype == torch.float32 else build().to(device, dtype)
        self._networks = (reduced, network)
        self._too_many: float = float("inf")  # pixels of a tile for which memory ran out

    @property
    def parameter_bytes(self) -> int:
        """Memory of the networks."""
        networks = {id(network): network for network in self._networks}.values()
        return sum(tensor.nbytes for network in networks for tensor in (*network.parameters(), *network.buffers()))

    def __call__(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore a tile of any size, with the network's channels, or more where that has one.

        Raises:
            BudgetError: there is not even memory for the smallest tile.
            PellucidError: the network gave values that are not finite numbers even in float32.
        """
        pixels = tile.shape[0] * tile.shape[1]
        for _ in range(2):
            if pixels >= self._too_many:
                break
            try:
                return self._trusted(tile)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
            _release_memory()  # now that the error no longer holds what was computed
        self._too_many = min(self._too_many, pixels)
        return self._in_halves(tile)

    def _trusted(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        reduced, network = self._networks
        result = self._run(reduced, tile)
        if np.isfinite(result).all() and (reduced is network or np.abs(result).max(initial=0) <= _PLAUSIBLE):
            return result
        result = self._run(network, tile)
        if not np.isfinite(result).all():
            raise PellucidError(f"the network of {self._name} gave values that are not numbers; nothing is saved")
        return result

    def _in_halves(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width, _ = tile.shape
        multiple, overlap = self._kind.multiple, self._kind.overlap
        halves = [-(-side // (2 * multiple)) * multiple + overlap for side in (height, width)]
        tile_size = max(halves[0], 4 * overlap), max(halves[1], 4 * overlap)
        plan = plan_tiles(height, width, tile=tile_size, overlap=overlap, multiple=multiple)
        if len(plan.rows) * len(plan.columns) == 1:
            raise BudgetError(f"there is not even memory for {width} × {height} pixels at a time; close other programs")
        parts = process_tiles(plan, lambda rows, columns: self(tile[rows, columns]), scale=self._kind.scale)
        return np.concatenate([values for _, values in parts])

    @torch.inference_mode()
    def _run(self, network: torch.nn.Module, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network on (H, W, C); one for grey takes colour plane by plane.

        Sides that would just fill one block of what the network pads to are drawn out to two, so that it sees more of
        the picture than of its own padding.
        """
        dtype, (height, width, _) = next(network.parameters()).dtype, tile.shape
        more = [2 * self._kind.multiple - side if side <= self._kind.multiple else 0 for side in (height, width)]
        if any(more):
            tile = np.pad(tile, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")
        seen = (torch.from_numpy(tile).to(self._device) - self._low) * self._gain
        image_BCHW = seen.permute(2, 0, 1).unsqueeze(0).to(dtype)
        if tile.shape[2] == self._kind.channels:
            restored = network(image_BCHW)
        else:
            restored = network(image_BCHW.transpose(0, 1)).transpose(0, 1)
        restored = restored[0, :, : self._kind.scale * height, : self._kind.scale * width]
        return (restored.permute(1, 2, 0).float() / self._gain + self._low).cpu().numpy()


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether it was that; torch tells of the CPU's memory in words alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def _release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
