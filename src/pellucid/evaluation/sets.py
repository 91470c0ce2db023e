"""The sets that our own weights are measured on, by the folders of the collection that they lie in.

The collection is not part of this repository; anyone who lays the usual sets out in these folders can repeat what the
model cards say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pellucid.evaluation.cases import Case, find_cases
from pellucid.evaluation.protocols import Level, Protocol, protocol_for


@dataclass(frozen=True, kw_only=True)
class StandardSet:
    """Pictures that a task is measured on.

    Attributes:
        label: what it is called in tables.
        folder: below the collection.
        levels: those that are measured; empty for the protocol's.
        kernels: the file of blur kernels below the collection.
    """

    label: str
    folder: str
    levels: tuple[Level, ...] = ()
    kernels: str | None = None

    def cases(self, task: str, root: Path, *, scale: int | None = None) -> tuple[Protocol, list[Case]]:
        """List what is to be measured, as `find_cases` does."""
        kernels = None if self.kernels is None else root / self.kernels
        return find_cases(protocol_for(task, scale=scale, kernels=kernels), root / self.folder, self.levels)


_LEVIN = "kernels/kernels.npz"

SETS: Mapping[str, tuple[StandardSet, ...]] = MappingProxyType(
    {
        "denoise": (
            StandardSet(label="CBSD68", folder="eval/CBSD68", levels=(0, 15, 25, 50)),
            StandardSet(label="Kodak24", folder="eval/Kodak24", levels=(0, 15, 25, 50)),
            StandardSet(label="McMaster", folder="eval/McMaster", levels=(0, 15, 25, 50)),
            StandardSet(label="Set12", folder="eval/Set12"),
            StandardSet(label="PolyU", folder="real_noise/PolyU_crops"),
        ),
        "dejpeg": (
            StandardSet(label="classic5", folder="eval/classic5"),
            StandardSet(label="Kodak24", folder="eval/Kodak24", levels=(10, 20, 30, 40, 60, 80)),
        ),
        "sr": (
            StandardSet(label="Set5", folder="eval/Set5"),
            StandardSet(label="Kodak24", folder="eval/Kodak24"),
        ),
        "demosaic": (
            StandardSet(label="McMaster", folder="eval/McMaster"),
            StandardSet(label="Kodak24", folder="eval/Kodak24"),
        ),
        "deblur": (
            StandardSet(label="Kodak24", folder="eval/Kodak24", kernels=_LEVIN),
            StandardSet(label="Levin09", folder="blur/Levin09_real"),
        ),
        "defocus": (StandardSet(label="Kodak24", folder="eval/Kodak24"),),
        "derain": (StandardSet(label="Rain100", folder="rain/Rain100"),),
    }
)
