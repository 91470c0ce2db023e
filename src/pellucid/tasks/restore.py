"""Restoring a picture: the function behind `pellucid restore`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import checkpoints
from pellucid.errors import PellucidError, UsageError
from pellucid.images import Picture, PictureHeader, read_header, read_picture
from pellucid.images.tiles import plan_tiles, process_tiles
from pellucid.images.view import change_rows, tile_of
from pellucid.tasks.grey import as_colour, noise_level
from pellucid.tasks.memory import default_memory, parse_memory, plan_tile
from pellucid.tasks.provenance import provenance, sha256_of
from pellucid.tasks.weights import default_weights, find_weights

Report: TypeAlias = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What a person may ask for.

    Attributes:
        task: "denoise".
        weights: the name of bundled weights, or a weight file; None for the task's default.
        strength: how much of the change to apply, 0 (the input) to 1 (the network's output).
        memory: bytes to stay within, or text such as "2GiB"; None for half of what is free.
        device: "cpu", "cuda" or "mps"; "auto" takes CUDA, then MPS, then the CPU.
        dtype: "float32", "bfloat16" or "float16"; "auto" is bfloat16 on CUDA and float32 elsewhere.
    """

    task: str = "denoise"
    weights: str | Path | None = None
    strength: float = 1.0
    memory: int | str | None = None
    device: str = "auto"
    dtype: str = "auto"


class Restorer:
    """A network ready to restore pictures, one after another, within a memory budget.

    Raises:
        UsageError: an option has no meaning, or its device is not there.
        CheckpointError: the weights cannot be loaded.
    """

    def __init__(self, options: RestoreOptions) -> None:
        if not 0 <= options.strength <= 1:
            raise UsageError(f"the strength must be between 0 and 1, not {options.strength}")
        self.options = options
        default = default_weights(options.task)
        self.weights = find_weights(options.weights or default)
        memory = options.memory if options.memory is not None else default_memory()
        self.memory = parse_memory(memory) if isinstance(memory, str) else memory
        self._device = _choose_device(options.device)
        self._dtype = _choose_dtype(options.dtype, self._device)
        described = checkpoints.describe(self.weights)
        kind = checkpoints.SYSTEMS[described.system].restoration(described.config)
        if kind is None:
            title = checkpoints.SYSTEMS[described.system].title
            raise UsageError(f"{self.weights} holds {title}, which does not restore a picture at its own size")
        self._kind = kind
        self._network = checkpoints.build(described).to(self._device)
        self._reduced = checkpoints.build(described).to(self._device, self._dtype) if self._is_reduced else None

    @property
    def _is_reduced(self) -> bool:
        return self._dtype != torch.float32

    def check(self, picture: Picture | PictureHeader) -> None:
        """Raise BudgetError if the picture cannot be restored within the budget."""
        plan_tile(picture, self._kind, self.memory)

    def provenance(self, picture: Picture | PictureHeader) -> dict[str, str]:
        """What is done to this picture, in words: see `pellucid.tasks.provenance`."""
        tile = plan_tile(picture, self._kind, self.memory)
        whole = max(picture.height, picture.width) <= tile.side
        return provenance(
            task=self.options.task,
            weights=self.weights,
            sha256=self._sha256,
            strength=self.options.strength,
            dtype=str(self._dtype).removeprefix("torch."),
            tiles="whole" if whole else f"{tile.side} × {tile.side}, overlap {tile.overlap}",
        )

    @cached_property
    def _sha256(self) -> str:
        return sha256_of(self.weights)

    def __call__(self, picture: Picture, report: Report = lambda _: None) -> Picture:
        """Restore a picture; alpha, metadata, bit depth and all that shows nothing stay as they are.

        Args:
            picture: of any size.
            report: called with the share of the work done, 0..1.

        Raises:
            BudgetError: the picture does not fit the budget.
            PellucidError: the network gave values that are not finite numbers even in float32.
        """
        tile = plan_tile(picture, self._kind, self.memory)
        multiple = self._kind.multiple
        plan = plan_tiles(picture.height, picture.width, tile=tile.side, overlap=tile.overlap, multiple=multiple)
        restored = np.empty_like(picture.pixels)
        done, total = 0, len(plan.rows) * len(plan.columns)
        grey_in_colour = picture.channels < self._kind.channels
        level = noise_level(picture) if grey_in_colour else 0.0

        def process(rows: slice, columns: slice) -> NDArray[np.float32]:
            nonlocal done
            tile = tile_of(picture, rows, columns)
            if grey_in_colour:
                colour = as_colour(tile, level, rows, columns)
                result = tile + (self._restore_tile(colour) - colour).mean(2, keepdims=True)
            else:
                result = self._restore_tile(tile)
            done += 1
            report(done / total)
            return result

        for rows, answer in process_tiles(plan, process):
            change_rows(picture, rows, answer, self.options.strength, out=restored[rows])
        return replace(picture, pixels=restored)

    def _restore_tile(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the network on (H, W, C); where reduced precision overflows, again in float32."""
        if self._reduced is not None:
            result = self._run(self._reduced, tile)
            if np.isfinite(result).all():
                return result
        result = self._run(self._network, tile)
        if not np.isfinite(result).all():
            raise PellucidError(
                f"the network of {self.weights.name} gave values that are not numbers; nothing is saved"
            )
        return result

    @torch.inference_mode()
    def _run(self, network: torch.nn.Module, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network on (H, W, C); one for grey takes colour plane by plane."""
        dtype = next(network.parameters()).dtype
        white = self._kind.white
        image_BCHW = torch.from_numpy(tile).permute(2, 0, 1).unsqueeze(0).to(self._device, dtype) * white
        if tile.shape[2] == self._kind.channels:
            restored = network(image_BCHW)
        else:
            restored = network(image_BCHW.transpose(0, 1)).transpose(0, 1)
        return (restored[0].permute(1, 2, 0).float() / white).cpu().numpy()


def restore(
    source: str | Path | Picture,
    *,
    task: str = "denoise",
    weights: str | Path | None = None,
    strength: float = 1.0,
    memory: int | str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    report: Report = lambda _: None,
) -> Picture:
    """Restore one picture: `pellucid.restore("photo.jpg").save("clean.png")`.

    Args:
        source: a file or a picture in memory, which is not changed.
        task, weights, strength, memory, device, dtype: see `RestoreOptions`.
        report: called with the share of the work done, 0..1.

    Returns:
        The restored picture, with the alpha, metadata and bit depth of the source.

    Raises:
        PellucidError: with one sentence that says what is wrong and what to do.
    """
    restorer = Restorer(
        RestoreOptions(task=task, weights=weights, strength=strength, memory=memory, device=device, dtype=dtype)
    )
    if not isinstance(source, Picture):
        restorer.check(read_header(Path(source)))
        source = read_picture(Path(source))
    return restorer(source, report)


def _choose_device(name: str) -> torch.device:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if name not in available:
        raise UsageError(f"{name!r} is no device; choose auto, cpu, cuda or mps")
    if not available[name]:
        raise UsageError(f"this machine has no usable {name} device; choose --device cpu")
    return torch.device(name)


def _choose_dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in ("float32", "bfloat16", "float16"):
        raise UsageError(f"{name!r} is no precision; choose auto, float32, bfloat16 or float16")
    return getattr(torch, name)
