"""Which pictures are measured: clean ones that are degraded here, or pairs from folders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data import picture_paths, read_rgb8
from pellucid.errors import DataError, UsageError
from pellucid.evaluation.protocols import Level, Problem, Protocol
from pellucid.images import Picture, read_header
from pellucid.images.picture import to_floats

CLEAN_FOLDERS = ("target", "clean", "gt", "HR")
_ALIGNED = {"deblur": 8}  # where real pairs lie beside each other: shift to undo, and as much border to cut
_GREY = np.array([0.2989, 0.5870, 0.1140])  # MATLAB's rgb2gray


@dataclass(frozen=True, kw_only=True)
class Case:
    """A picture at a level: the clean file, and the degraded one where it is not made here."""

    level: Level
    clean: Path
    degraded: Path | None = None

    @property
    def name(self) -> str:
        """The file that tells this case from others of its level."""
        return (self.degraded or self.clean).name


def find_cases(
    protocol: Protocol, folder: Path, levels: Sequence[str | float] = (), *, grey: bool = False
) -> tuple[Protocol, list[Case]]:
    """List what is to be measured in a folder, level by level.

    A folder with a folder "target", "clean", "gt" or "HR" in it holds pairs: the others in it hold the degraded
    pictures, and their names, less "_input", are the levels. In any other folder all pictures are clean. If they are
    all grey they are measured as grey.

    Args:
        protocol: of the task.
        folder: of pictures.
        levels: to measure; those of the protocol, or all folders of degraded pictures, where it is empty.
        grey: make colour pictures grey first.

    Returns:
        The protocol as it is for these pictures, and the cases.

    Raises:
        DataError: the folder holds no pictures, or a degraded picture has no clean one.
        UsageError: there is no such level.
    """
    clean_folder = next((folder / name for name in CLEAN_FOLDERS if (folder / name).is_dir()), None)
    if clean_folder is None:
        if protocol.degrade is None:
            raise DataError(f"{folder} holds no pairs: put the clean pictures in 'target', the others in 'input'")
        paths = picture_paths(folder)
        chosen = [_checked_level(protocol, level) for level in levels] or list(protocol.levels)
        cases = [Case(level=level, clean=path) for level in chosen for path in paths]
    else:
        protocol = _of_pairs(protocol)
        cases = _pairs(protocol, folder, clean_folder, levels)
    all_grey = all(read_header(path).channels == 1 for path in {case.clean for case in cases})
    if (grey or all_grey) and protocol.task == "demosaic":
        raise UsageError("a mosaic is of colours: grey pictures cannot be used to measure demosaic")
    return replace(protocol, grey=grey or all_grey), cases


def read_case(protocol: Protocol, case: Case) -> Problem:
    """Read the pictures of a case, and degrade the clean one where that is not done.

    Raises:
        DataError: the pictures of a pair do not fit together, or one is too small.
    """
    clean = _read(case.clean, grey=protocol.grey)
    if case.degraded is None:
        if protocol.degrade is None:
            raise DataError(f"{case.clean} is not one of a pair, and {protocol.task} is measured on pairs")
        try:
            return protocol.degrade(clean, 0.0 if isinstance(case.level, str) else case.level)
        except DataError as error:
            raise DataError(f"{case.clean}: {error}") from error
    degraded = _read(case.degraded, grey=protocol.grey)
    height, width = (length * protocol.scale for length in degraded.shape[:2])
    spare = (clean.shape[0] - height, clean.shape[1] - width)
    if not all(0 <= more < protocol.scale for more in spare):
        raise DataError(f"{case.degraded} and {case.clean} do not fit together: their sizes differ")
    return Problem(Picture(pixels=to_floats(degraded)), clean[:height, :width])


def _read(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    pixels = read_rgb8(path)
    return np.rint(pixels @ _GREY).astype(np.uint8)[..., np.newaxis] if grey else pixels


def _checked_level(protocol: Protocol, level: str | float) -> Level:
    """A level as the protocol has it, of what a person wrote."""
    if protocol.limits is None:
        if level not in protocol.levels:
            raise UsageError(f"there is no {protocol.unit} {level!r}; there is {', '.join(map(str, protocol.levels))}")
        return level
    low, high = protocol.limits
    try:
        value = float(level)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise UsageError(f"{level} is no {protocol.unit}: that is a number from {low:g} to {high:g}")
    return int(value) if value.is_integer() else value


def _of_pairs(protocol: Protocol) -> Protocol:
    if protocol.task == "sr":
        return replace(protocol, text="low resolution as supplied; the input is enlarged by MATLAB's bicubic")
    shift = _ALIGNED.get(protocol.task, 0)
    return replace(protocol, text="pairs as supplied", unit="input", degrade=None, border=shift, reach=shift)


def _pairs(protocol: Protocol, folder: Path, clean_folder: Path, levels: Sequence[str | float]) -> list[Case]:
    clean = {path.stem: path for path in picture_paths(clean_folder)}
    degraded: dict[str, list[Path]] = {}
    for path in picture_paths(folder):
        name = path.parent.relative_to(folder).as_posix().removesuffix("_input")
        if clean_folder not in path.parents and (protocol.scale == 1 or name.lower().endswith(f"x{protocol.scale}")):
            degraded.setdefault(name, []).append(path)
    if not degraded:
        wanted = f"X{protocol.scale}" if protocol.scale > 1 else "input"
        raise DataError(f"{folder} has clean pictures in {clean_folder.name}, but no folder {wanted} of degraded ones")
    if protocol.scale > 1:
        return [
            Case(level=_checked_level(protocol, level), clean=_partner(path, clean, clean_folder), degraded=path)
            for level in levels or protocol.levels
            for paths in degraded.values()
            for path in paths
        ]
    named = replace(protocol, levels=tuple(degraded), limits=None)
    return [
        Case(level=level, clean=_partner(path, clean, clean_folder), degraded=path)
        for level in [_checked_level(named, level) for level in levels] or degraded
        for path in degraded[str(level)]
    ]


def _partner(path: Path, clean: dict[str, Path], clean_folder: Path) -> Path:
    """The clean picture of the same name, or of the longest name that this one begins with: im1 of im1_kernel2."""
    for end in range(len(path.stem), 0, -1):
        stem = path.stem[:end]
        inside_a_number = stem[-1].isdigit() and path.stem[end : end + 1].isdigit()
        if stem in clean and not inside_a_number:
            return clean[stem]
    raise DataError(f"{path} has no clean picture of its name in {clean_folder}")
