"""From inks to sRGB: the one conversion of colours that reading does, because no network works on inks."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from pellucid.images.picture import Samples


def about_inks(profile: bytes | None) -> tuple[str, str]:
    """What will be said of the conversion."""
    if not profile:
        how = "it has no CMYK profile; colours are approximate"
    elif _to_srgb(profile) is None:
        how = "its CMYK profile is damaged; colours are approximate"
    else:
        how = "its CMYK profile is used for the conversion and is not kept"
    return "converted from CMYK to sRGB", how


def to_rgb(inks: Image.Image, profile: bytes | None) -> Samples:
    """Samples `(H, W, 3)` through the picture's own profile where it has a usable one, else by the plain formula."""
    transform = _to_srgb(profile)
    return np.asarray(transform.apply(inks) if transform else inks.convert("RGB"))


def _to_srgb(profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """From the inks of a profile to sRGB; None where there is no profile, or none that can be used."""
    if not profile:
        return None
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),  # pyright: ignore  # Pillow does not annotate what it returns
            "CMYK",
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
