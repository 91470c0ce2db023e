"""AVIF through Pillow and imagecodecs, HEIC through pillow-heif where that is installed: one container, two codecs."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import Image, features

from pellucid.errors import PictureError
from pellucid.images._metadata import grey_profile_lost, normalise, resolution_lost
from pellucid.images._sheet import Sheet, as_image, gathered
from pellucid.images._survey import Survey
from pellucid.images.picture import BitDepth, Metadata, Samples

_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
MOST_PIXELS_PER_SIDE = 16384  # what encoders and decoders commonly agree on

_MOST_BOXES = 2**18  # bytes looked at for boxes that say how the pixels are coded; real ones stand at the start
_USUAL_PRIMARIES, _USUAL_TRANSFERS = (1, 2), (1, 2, 6, 13)  # sRGB and what is shown like it; 2 is "not stated"


def is_avif(start: bytes) -> bool:
    """Whether the file's type box names AVIF."""
    return start[4:8] == b"ftyp" and any(brand in start[8:] for brand in _AVIF_BRANDS)


def is_heic(start: bytes) -> bool:
    """Whether the file's type box names HEIC or HEIF."""
    return start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS


def why_no_avif() -> str | None:
    """What is missing for AVIF."""
    if features.check("avif") and imagecodecs.AVIF.available:
        return None
    return "AVIF needs Pillow 11.3 or later and imagecodecs with AVIF in them"


def why_no_heic() -> str | None:
    """What is missing for HEIC."""
    try:
        _pillow_heif()
    except ImportError:
        return "HEIC needs an extra that is not installed: pip install 'pellucid[heif]'"
    return None


def survey_avif(file: BinaryIO) -> Survey:
    """What the boxes say; raises PictureError for animations and where AVIF is missing."""
    _require(why_no_avif())
    image = _open_avif(file)
    if getattr(image, "n_frames", 1) > 1:
        raise PictureError("animated AVIF is not supported; extract one frame first")
    file.seek(0)
    boxes = file.read(_MOST_BOXES)
    at = boxes.find(b"av1C")
    coding = boxes[at + 6] if at >= 0 and at + 6 < len(boxes) else 0
    depth: BitDepth = (12 if coding & 0x20 else 10) if coding & 0x40 else 8
    icc: bytes | None = image.info.get("icc_profile")
    metadata, orientation, notes = normalise(icc=icc, exif=image.info.get("exif"), xmp=image.info.get("xmp"))
    return Survey(
        format="AVIF",
        width=image.width,
        height=image.height,
        channels=1 if coding & 0x10 else 3,
        bit_depth=depth,
        has_alpha=image.mode.endswith("A"),
        orientation=orientation,
        metadata=metadata,
        notes=(*notes, *_about_colours(boxes, icc)),
    )


def decode_avif(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises imagecodecs.AvifError for damaged data."""
    file.seek(0)
    samples = imagecodecs.avif_decode(file.read())
    samples = samples.reshape(survey.height, survey.width, -1)
    if survey.channels == 1 and samples.shape[2] >= 3:
        samples = samples[..., [0, -1] if survey.has_alpha else [0]]
    return samples


def encode_avif(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write 8 bits as a whole, with the least loss that Pillow offers; returns what was not kept."""
    metadata = sheet.metadata
    icc, lost = _fitting(metadata, "AVIF")
    as_image(gathered(sheet, rows)).save(
        path,
        format="AVIF",
        quality=100,
        subsampling="4:4:4",
        icc_profile=icc,
        exif=metadata.exif or b"",
        xmp=metadata.xmp or b"",
    )
    return lost


def survey_heic(file: BinaryIO) -> Survey:
    """What the boxes say; raises PictureError where the extra is not installed."""
    _require(why_no_heic())
    container = _open_heic(file)
    image = container[container.primary_index]
    notes: list[str] = []
    if len(container) > 1:
        notes.append(f"the file holds {len(container)} pictures; only the main one is kept")
    if image.info.get("depth_images") or image.info.get("aux"):
        notes.append("its depth map and other planes are not kept")
    file.seek(0)
    icc = image.info.get("icc_profile")
    notes += _about_colours(file.read(_MOST_BOXES), icc)
    # The container's own turning is applied in decoding; what EXIF says of it beside does not count.
    metadata, _, more = normalise(icc=icc, exif=image.info.get("exif"), xmp=image.info.get("xmp"), orientation=1)
    depths: dict[int, BitDepth] = {8: 8, 10: 10, 12: 12}
    return Survey(
        format="HEIC",
        width=image.size[0],
        height=image.size[1],
        channels=1 if image.mode.startswith("L") else 3,
        bit_depth=depths[image.info["bit_depth"]],
        has_alpha="A" in image.mode.partition(";")[0].upper(),
        premultiplied="a" in image.mode,
        orientation=1,
        metadata=metadata,
        notes=(*notes, *more),
    )


def decode_heic(file: BinaryIO, survey: Survey) -> Samples:
    """The samples; raises what pillow-heif raises for damaged data."""
    container = _open_heic(file)
    samples = np.asarray(container[container.primary_index])
    if samples.dtype == np.uint16:
        samples = samples >> (16 - survey.bit_depth)  # they come shifted up
    return samples.reshape(survey.height, survey.width, -1)


def encode_heic(path: Path, sheet: Sheet, rows: Iterator[Samples]) -> list[str]:
    """Write 8 or 10 bits as a whole, losslessly; returns what could not be kept."""
    pillow_heif, metadata, samples = _pillow_heif(), sheet.metadata, gathered(sheet, rows)
    icc, lost = _fitting(metadata, "HEIC")
    # It stores no grey with alpha, and no grey without loss: three equal channels, as in WebP.
    if sheet.channels < 3:
        samples = samples[..., [0, 0, 0, 1][: sheet.channels + 2]]
    mode = "RGBA" if samples.shape[2] == 4 else "RGB"
    if sheet.bit_depth > 8:
        mode, samples = f"{mode};16", samples * np.uint16(2 ** (16 - sheet.bit_depth))
    image = pillow_heif.from_bytes(mode, (sheet.width, sheet.height), np.ascontiguousarray(samples).tobytes())
    image.save(
        path,
        format="HEIF",
        quality=-1,
        chroma=444,
        matrix_coefficients=0,
        icc_profile=icc or None,
        exif=metadata.exif,
        xmp=metadata.xmp,
    )
    return lost


def _pillow_heif() -> ModuleType:
    return importlib.import_module("pillow_heif")


def _require(missing: str | None) -> None:
    if missing:
        raise PictureError(missing)


def _open_avif(file: BinaryIO) -> Image.Image:
    file.seek(0)
    return importlib.import_module("PIL.AvifImagePlugin").AvifImageFile(file)  # see _jpeg


def _open_heic(file: BinaryIO) -> Any:
    file.seek(0)
    return _pillow_heif().open_heif(file, convert_hdr_to_8bit=False)


def _fitting(metadata: Metadata, name: str) -> tuple[bytes, list[str]]:
    """The colour profile where it describes what is stored, and what cannot be kept."""
    lost = resolution_lost(metadata, name)
    if metadata.icc and metadata.icc[16:20] == b"GRAY":
        lost.append(grey_profile_lost(name))
        return b"", lost
    return metadata.icc or b"", lost


def _about_colours(boxes: bytes, icc: bytes | None) -> list[str]:
    """Colour meanings that stand outside a profile and would be lost: each changes how a picture looks."""
    at = boxes.find(b"colrnclx")
    if icc or at < 0:
        return []
    primaries, transfer = (int.from_bytes(boxes[at + start : at + start + 2], "big") for start in (8, 10))
    if primaries in _USUAL_PRIMARIES and transfer in _USUAL_TRANSFERS:
        return []
    return ["its video colour description (nclx) is not kept; colours may look different"]
