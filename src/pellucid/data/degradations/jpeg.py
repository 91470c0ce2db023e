"""JPEG compression, by a real encoder and decoder."""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.images.picture import to_integers

Subsampling = Literal["4:4:4", "4:2:0"]


def jpeg(clean: NDArray[np.float32], quality: int, subsampling: Subsampling = "4:2:0") -> NDArray[np.float32]:
    """Compress a picture and decode it again: the values that reading such a JPEG file gives.

    Args:
        clean: (H, W, 1) or (H, W, 3), values 0..1; rounded to 8 bits, as a file holds them.
        quality: 1..100, as libjpeg counts.
        subsampling: of the colour; grey has none.
    """
    pixels = to_integers(clean, 8).astype(np.uint8, copy=False)
    file = io.BytesIO()
    options = {} if clean.shape[2] == 1 else {"subsampling": subsampling}
    Image.fromarray(pixels[..., 0] if clean.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality, **options)
    decoded = np.asarray(Image.open(file)).reshape(clean.shape)
    return decoded.astype(np.float32) / np.float32(255)
