"""What a run leaves to look at: a log, sheets of samples, and curves for TensorBoard."""

import json
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pellucid.data import PictureFolders, batched, degraded_pair
from pellucid.images import Picture
from pellucid.training.recipes import Recipe

_SHEET_ROWS, _SHEET_CROP = 4, 128
_FIRST_OF_SHEET = 2**62  # numbers of samples that no run reaches


class Records:
    """Writes into the folder of a run; does nothing unless `active`, as in all processes but the first.

    What was logged after the step that a run goes on from is dropped, as is a last line cut off by a kill.

    Attributes:
        last_sheet: the newest sheet of samples.
    """

    def __init__(self, run: Path, step: int, *, active: bool) -> None:
        self._run, self._active = run, active
        self._curves: Any = None
        sheets = sorted((run / "samples").glob("[0-9]*.png"))
        self.last_sheet: Path | None = sheets[-1] if sheets else None
        if active:
            _trim(run / "log.jsonl", step)
            self._curves = _curves(run / "tensorboard", step)

    @property
    def step_of_last_sheet(self) -> int:
        """0 where there is none."""
        return 0 if self.last_sheet is None else int(self.last_sheet.stem)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._curves is not None:
            self._curves.close()

    def log(self, step: int, **values: float) -> None:
        """Add a line of JSON, and a point to each curve."""
        if not self._active:
            return
        with (self._run / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._curves is not None:
            for name, value in values.items():
                self._curves.add_scalar(name, value, step)

    def sheet(self, pixels: NDArray[np.float32], step: int) -> None:
        """Write a sheet of samples (H, W, 3), values outside of 0..1 clipped."""
        self.last_sheet = self._run / "samples" / f"{step:07d}.png"
        self.last_sheet.parent.mkdir(exist_ok=True)
        Picture(pixels=pixels).save(self.last_sheet, overwrite=True)


@torch.inference_mode()
def sample_sheet(
    network: nn.Module, white: float, device: torch.device, recipe: Recipe, pictures: PictureFolders
) -> NDArray[np.float32]:
    """Restore the same few crops every time: rows of degraded | restored | clean, as one picture (H, W, 3)."""
    size = max(_SHEET_CROP // recipe.degradation.multiple, 1) * recipe.degradation.multiple
    numbers = range(_FIRST_OF_SHEET, _FIRST_OF_SHEET + _SHEET_ROWS)
    pair = batched([degraded_pair(pictures, k, recipe.degradation, seed=recipe.seed, size=size) for k in numbers])
    restored = torch.cat([network(white * one[None].to(device)).cpu() / white for one in pair.degraded])
    columns = torch.cat([pair.degraded, restored, pair.clean], dim=3)
    return torch.cat(list(columns), dim=1).permute(1, 2, 0).float().contiguous().numpy()


def _trim(path: Path, step: int) -> None:
    if path.exists():
        whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        path.write_text("".join(line for line in whole if json.loads(line)["step"] <= step))


def _curves(folder: Path, step: int) -> Any:
    """A TensorBoard writer, or None where TensorBoard is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # where TensorFlow is installed, its loading is not news
    try:
        with warnings.catch_warnings(action="ignore"):
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step or None)
