"""Restoring a picture: the function behind `pellucid restore`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import __version__, checkpoints
from pellucid.checkpoints import Described, Restoration
from pellucid.errors import UsageError
from pellucid.images import Picture, PictureHeader, PictureStream, open_picture
from pellucid.images.deconvolution import deconvolved
from pellucid.images.preparing import demosaiced, enlarged, enlarged_metadata, enlarged_rows, refuse_no_mosaic
from pellucid.images.stream import Window, rows_of
from pellucid.images.tiles import plan_tiles, process_tiles
from pellucid.images.view import changed, tile_of
from pellucid.pipelines import ahead
from pellucid.tasks.blind_spot import network_in_use
from pellucid.tasks.grey import as_colour, noise_level
from pellucid.tasks.ledger import sha256_of
from pellucid.tasks.memory import TileShape, default_memory, parse_memory, plan_tile
from pellucid.tasks.provenance import provenance
from pellucid.tasks.runner import Runner
from pellucid.tasks.seen import Seen
from pellucid.tasks.unshaken import left_alone, read_kernel, undoes_shake, with_unshaking
from pellucid.tasks.weights import borne_by, check_task, default_weights, find_weights

Report: TypeAlias = Callable[[float], None]
Watch: TypeAlias = Callable[[Picture, Picture], None]

_STRIPES_AHEAD = 8  # of the source, read while the network is at work
_CONTEXT = 4  # rows that an enlarged one depends on, and more


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What a person may ask for.

    Attributes:
        task: one of `TASKS`; None for what the weights are for, or "denoise".
        scale: by how much super-resolution enlarges; None for what the weights are for, or the task's first.
        weights: the name of bundled weights, or a weight file; None for the task's default.
        strength: how much of the change to apply, 0 (the input) to 1 (the network's output).
        memory: bytes to stay within, or text such as "2GiB"; None for half of what is free.
        device: "cpu", "cuda" or "mps"; "auto" takes CUDA, then MPS, then the CPU.
        dtype: "float32", "bfloat16" or "float16"; "auto" is float32, but on CUDA the first reduced precision that the
            card of bundled weights says they bear: with which they lose nothing that shows.
    """

    task: str | None = None
    scale: int | None = None
    weights: str | Path | None = None
    strength: float = 1.0
    memory: int | str | None = None
    device: str = "auto"
    dtype: str = "auto"


class Settings(TypedDict):
    """What decides a result besides the picture, as plain values."""

    task: str
    scale: int
    weights: str
    strength: float
    dtype: str
    version: str


class ResultSize(NamedTuple):
    """Of a restored picture, in pixels."""

    width: int
    height: int
    channels: int


class Restorer:
    """A network ready to restore pictures, one after another, within a memory budget.

    Raises:
        UsageError: an option has no meaning, or its device is not there.
        CheckpointError: the weights cannot be loaded.
    """

    def __init__(self, options: RestoreOptions) -> None:
        if not 0 <= options.strength <= 1:
            raise UsageError(f"the strength must be between 0 and 1, not {options.strength}")
        if options.scale is not None and options.scale < 1:
            raise UsageError(f"the scale must be 1 or more, not {options.scale}")
        self.options = options
        check_task(options.task or "denoise")
        self.weights = find_weights(options.weights or default_weights(options.task, options.scale))
        memory = options.memory if options.memory is not None else default_memory()
        self.memory = parse_memory(memory) if isinstance(memory, str) else memory
        device = _choose_device(options.device)
        self.dtype = _choose_dtype(options.dtype, device, self.weights)
        described = checkpoints.describe(self.weights)
        kind = checkpoints.SYSTEMS[described.system].restoration(described.config)
        if kind is None:
            title = checkpoints.SYSTEMS[described.system].title
            raise UsageError(f"{self.weights} holds {title}, which does not restore pictures")
        self._undoes_shake = undoes_shake(described.about)
        self.task, self.scale = _purpose(options, described, kind)
        self._before = self.scale // kind.scale  # by how much the network is given larger pictures than there are
        self._seen = Seen.by(described.about)
        kind, build = network_in_use(described, kind)
        self._kind = with_unshaking(kind) if self._undoes_shake else kind
        self._run = Runner(build, kind, device, self.dtype, self.weights.name, self._seen.levels)

    @property
    def settings(self) -> Settings:
        """What decides a result besides the picture; of the weights their hash."""
        return {
            "task": self.task,
            "scale": self.scale,
            "weights": self._sha256,
            "strength": self.options.strength,
            "dtype": str(self.dtype).removeprefix("torch."),
            "version": __version__,
        }

    @cached_property
    def _sha256(self) -> str:
        return sha256_of(self.weights)

    def check(self, header: PictureHeader, *, held: int = 0) -> None:
        """Raise a PellucidError if the picture cannot be restored.

        BudgetError if that takes more memory than the budget, of which `held` is needed besides; PictureError if it is
        to be demosaiced and no mosaic.
        """
        if self.task == "demosaic":
            refuse_no_mosaic(header)
        self._plan(header, held)

    def provenance(self, picture: PictureStream, *, held: int = 0) -> dict[str, str]:
        """What is done to this picture, in words: see `pellucid.tasks.provenance`."""
        tile = self._plan(picture, held)
        is_whole = tile.height >= self._before * picture.height and tile.width >= self._before * picture.width
        return provenance(
            task=self.task,
            weights=self.weights,
            sha256=self._sha256,
            strength=self.options.strength,
            dtype=self.settings["dtype"],
            scale=self.scale,
            tiles="whole" if is_whole else f"{tile.width} × {tile.height}, overlap {tile.overlap}",
        )

    def __call__(self, picture: Picture, report: Report = lambda _: None) -> Picture:
        """Restore a picture; alpha, metadata, bit depth and all that shows nothing stay as they are.

        Args:
            picture: of any size.
            report: called with the share of the work done, 0..1.

        Raises:
            BudgetError: the picture does not fit the budget.
            PellucidError: the network gave values that are not finite numbers even in float32.
        """
        return self.restored(PictureStream.of(picture), report, held=self.bytes_whole(picture)).whole()

    def result_size(self, picture: Picture | PictureStream | PictureHeader) -> ResultSize:
        """What becomes of the size of a picture."""
        channels = 3 if self.task == "demosaic" else picture.channels
        return ResultSize(self.scale * picture.width, self.scale * picture.height, channels)

    def bytes_whole(self, picture: Picture | PictureStream | PictureHeader) -> int:
        """Memory of the whole result as floats."""
        size = self.result_size(picture)
        return 4 * size.width * size.height * (size.channels + picture.has_alpha)

    def restored(
        self,
        stream: PictureStream,
        report: Report = lambda _: None,
        *,
        held: int = 0,
        watch: Watch = lambda _, __: None,
    ) -> PictureStream:
        """Restore a picture row by row, as the result's rows are asked for; otherwise like a call.

        Args:
            stream: of any size.
            report: called with the share of the work done, 0..1.
            held: memory that is needed besides, to write the result.
            watch: called with rows of the result before, interpolated where that is another picture, and after.
        """
        shape = self._plan(stream, held)
        stream = source = self._seen.spanning(stream)
        shake = read_kernel(stream) if self._undoes_shake else None
        if self._undoes_shake and shake is None:
            return left_alone(stream, report, watch)
        if self.task == "demosaic":
            source = demosaiced(stream)
        elif self._before > 1:
            source = enlarged(stream, self._before)
        scale = self._kind.scale
        return replace(
            source,
            height=scale * source.height,
            width=scale * source.width,
            not_numbers=scale**2 * source.not_numbers,
            metadata=enlarged_metadata(source.metadata, scale),
            bytes_held=0,
            stripes=lambda: self._stripes(source, shape, report, watch, looked_at=stream, shake=shake),
        )

    def _plan(self, picture: PictureStream | PictureHeader, held: int) -> TileShape:
        """Tiles of what the network sees, that fit beside the bands of rows before and after it."""
        height, width = self._before * picture.height, self._before * picture.width
        channels = 3 if self.task == "demosaic" else picture.channels
        row = 4 * width * (channels + picture.has_alpha)
        row_of_result = 4 * width * self._kind.scale**2 * channels
        return plan_tile(
            width,
            height,
            self._kind,
            self.memory,
            per_row=row + row_of_result,
            fixed=held + picture.bytes_held + self._run.parameter_bytes + self._kind.overlap * row_of_result,
        )

    def _stripes(
        self,
        source: PictureStream,
        shape: TileShape,
        report: Report,
        watch: Watch,
        *,
        looked_at: PictureStream,
        shake: NDArray[np.float32] | None,
    ) -> Iterator[Picture]:
        """The rows of the result, computed tile by tile."""
        kind, tile_size = self._kind, (shape.height, shape.width)
        plan = plan_tiles(source.height, source.width, tile=tile_size, overlap=shape.overlap, multiple=kind.multiple)
        is_noisy_grey = self.task == "denoise" and source.channels < kind.channels
        level = noise_level(looked_at) if is_noisy_grey else 0.0
        window = Window(replace(source, stripes=lambda: ahead(source.stripes(), _STRIPES_AHEAD)))
        context = _CONTEXT if kind.scale > 1 else 0  # rows above a band, to enlarge its first
        done, total = 0, len(plan.rows) * len(plan.columns)

        def band_at(rows: slice) -> tuple[Picture, int]:
            top = max(rows.start - context, 0)
            return window.rows(slice(top, rows.stop)), top

        def process(rows: slice, columns: slice) -> NDArray[np.float32]:
            nonlocal done, band, top
            band, top = band_at(rows)
            tile = tile_of(band, slice(rows.start - top, rows.stop - top), columns)
            if shake is not None:
                tile = deconvolved(tile, shake)
            if source.channels < kind.channels:
                colour = as_colour(tile, level, rows, columns)
                change = self._run(colour) - colour if kind.scale == 1 else self._run(colour)
                answer = change.mean(2, keepdims=True) + (tile if kind.scale == 1 else 0)
            else:
                answer = self._run(tile)
            done += 1
            report(done / total)
            return answer

        band, top = band_at(plan.rows[0])
        for rows, answer in process_tiles(plan, process, scale=kind.scale):
            if kind.scale == 1:
                before = rows_of(band, slice(rows.start - top, rows.stop - top))
            else:
                before = enlarged_rows(band, top, source.height, kind.scale, rows)
            pixels = changed(before, answer, self.options.strength)
            if source.numbers == "unsigned" and (self.scale > 1 or source is not looked_at):
                np.clip(pixels, 0, 1, out=pixels)  # interpolation overshoots
            alpha = before.alpha.copy() if before.alpha is not None else None
            after = replace(before, pixels=pixels, alpha=alpha)
            watch(before, after)
            yield after


def restore(
    source: str | Path | Picture,
    *,
    task: str | None = None,
    scale: int | None = None,
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
        task, scale, weights, strength, memory, device, dtype: see `RestoreOptions`.
        report: called with the share of the work done, 0..1.

    Returns:
        The restored picture, with the alpha, metadata and bit depth of the source.

    Raises:
        PellucidError: with one sentence that says what is wrong and what to do.
    """
    restorer = Restorer(
        RestoreOptions(
            task=task, scale=scale, weights=weights, strength=strength, memory=memory, device=device, dtype=dtype
        )
    )
    if isinstance(source, Picture):
        return restorer(source, report)
    with open_picture(source) as stream:
        return restorer.restored(stream, report, held=restorer.bytes_whole(stream)).whole()


def _purpose(options: RestoreOptions, described: Described, kind: Restoration) -> tuple[str, int]:
    """The task, and by how much the picture grows, from what is asked for and what the weights say of themselves."""
    stated_task, stated = described.about.get("task"), described.about.get("scale", str(kind.scale))
    stated_scale = int(stated) if re.fullmatch(r"[1-9][0-9]?", stated) else 0
    if stated_scale == 0 or stated_scale % kind.scale:
        raise UsageError(
            f"these weights say that they enlarge {stated} times, which their network does not; use others"
        )
    if options.task and stated_task and options.task != stated_task:
        raise UsageError(f"these weights are for the task {stated_task}, not {options.task}; leave out --task")
    task = options.task or stated_task or ("sr" if stated_scale > 1 else "denoise")
    if options.scale and stated_scale > 1 and options.scale != stated_scale:
        raise UsageError(f"these weights enlarge {stated_scale} times, not {options.scale}; leave out --scale")
    scale = options.scale or stated_scale
    if (task == "sr") != (scale > 1):
        raise UsageError(
            "super-resolution needs --scale 2 or more" if task == "sr" else f"{task} keeps the size; leave out --scale"
        )
    return task, scale


def _choose_device(name: str) -> torch.device:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if name not in available:
        raise UsageError(f"{name!r} is no device; choose auto, cpu, cuda or mps")
    if not available[name]:
        raise UsageError(f"this machine has no usable {name} device; choose --device cpu")
    return torch.device(name)


def _choose_dtype(name: str, device: torch.device, weights: Path) -> torch.dtype:
    if name == "auto":
        name = next(iter(borne_by(weights)), "float32") if device.type == "cuda" else "float32"
    if name not in ("float32", "bfloat16", "float16"):
        raise UsageError(f"{name!r} is no precision; choose auto, float32, bfloat16 or float16")
    return getattr(torch, name)
