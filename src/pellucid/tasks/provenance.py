"""What was done to a picture, for whoever opens the result: in the file, on the page that compares, in JSON."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pellucid import __version__
from pellucid.images import FORMATS, Metadata
from pellucid.images.provenance import with_event
from pellucid.images.writing import most_xmp


def provenance(
    *, task: str, weights: Path, sha256: str, strength: float, dtype: str, scale: int = 1, tiles: str = "whole"
) -> dict[str, str]:
    """A restoration in words: the tool, its version, the weights and every setting that changes the result.

    Args:
        task, strength, dtype, scale: what was asked for.
        weights: the weight file; only its name is told, not where it lay.
        sha256: of that file.
        tiles: how the picture was cut, such as "512 × 512, overlap 64".
    """
    name = weights.stem if weights.suffix == ".safetensors" else weights.name
    if weights.name == "weights.safetensors":  # of a run, which its folder names
        name = weights.parent.name
    told = {"tool": "pellucid", "version": __version__, "task": task, "weights": name, "sha256": sha256}
    told |= {"strength": f"{strength:g}", "scale": str(scale), "precision": dtype, "tiles": tiles}
    return told


def recorded(metadata: Metadata, event: Mapping[str, str], suffix: str) -> tuple[Metadata, tuple[str, ...]]:
    """Metadata with a restoration in its XMP data, for a file with this suffix, and what there is to say.

    Without a word the same where such a file has no place for XMP data; the same with a sentence where there is no room
    for more or what is there is damaged, because nothing of the user's is changed.
    """
    most = most_xmp(suffix)
    if not most:
        return metadata, ()
    xmp = with_event(metadata.xmp, event)
    if xmp is None:
        return metadata, ("its XMP data is damaged; it stays as it is and does not tell of the restoration",)
    if len(xmp) > most:
        name = FORMATS[suffix.lower()]
        return metadata, (
            f"its XMP data fills what {name} can hold; it stays as it is and does not tell of the restoration",
        )
    return replace(metadata, xmp=xmp), ()
