"""Classical methods for every restoration task, from the packages that people would otherwise use.

Each is told what only a measurement knows: the noise level, the blur kernel. None of these packages is needed by
pellucid itself; the extra `bench` installs them.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.evaluation import Restore
from pellucid.images import Picture
from pellucid.images.picture import to_floats, to_integers


def with_bm3d(sigma: float) -> Restore:
    """BM3D (Dabov et al., 2007) by the authors' package, with the true noise level on the scale 0..255."""
    import bm3d

    def restore(picture: Picture) -> Picture:
        run = bm3d.bm3d_rgb if picture.channels == 3 else bm3d.bm3d
        found = np.asarray(run(picture.pixels, sigma / 255), np.float32)
        return replace(picture, pixels=found.reshape(picture.pixels.shape))

    return restore


def with_pillow(scale: int, resampling: Image.Resampling) -> Restore:
    """Enlargement by Pillow, on 8 bits."""

    def restore(picture: Picture) -> Picture:
        pixels = to_integers(picture.pixels, 8)
        image = Image.fromarray(pixels if picture.channels == 3 else pixels[..., 0])
        large = np.asarray(image.resize((picture.width * scale, picture.height * scale), resampling))
        return replace(picture, pixels=to_floats(large.reshape(*large.shape[:2], picture.channels)))

    return restore


def with_menon() -> Restore:
    """Demosaicing with directional filtering (Menon, Andriani, Calvagno, 2007) by colour-demosaicing."""
    from colour_demosaicing import demosaicing_CFA_Bayer_Menon2007

    def restore(picture: Picture) -> Picture:
        return replace(picture, pixels=demosaicing_CFA_Bayer_Menon2007(picture.pixels[..., 0]).astype(np.float32))

    return restore


def with_richardson_lucy(kernel: NDArray[np.float32], iterations: int) -> Restore:
    """Richardson–Lucy deconvolution with the true kernel by scikit-image."""
    from skimage.restoration import richardson_lucy

    return _plane_by_plane(lambda plane: richardson_lucy(plane, kernel, num_iter=iterations), kernel.shape[0])


def with_wiener(kernel: NDArray[np.float32], balance: float) -> Restore:
    """Wiener deconvolution with the true kernel by scikit-image, regularised by a Laplacian."""
    from skimage.restoration import wiener

    return _plane_by_plane(lambda plane: wiener(plane, kernel, balance, clip=False), kernel.shape[0])


def with_total_variation(weight: float) -> Restore:
    """Total-variation denoising (Chambolle, 2004) by scikit-image."""
    from skimage.restoration import denoise_tv_chambolle

    def restore(picture: Picture) -> Picture:
        return replace(picture, pixels=denoise_tv_chambolle(picture.pixels, weight, channel_axis=2))

    return restore


def unchanged(picture: Picture) -> Picture:
    """The picture as it is: of a JPEG file, what any viewer shows."""
    return picture


def _plane_by_plane(deconvolve: Callable[[NDArray[np.float64]], NDArray[np.float64]], margin: int) -> Restore:
    """Deconvolve each channel, reflected at the border, because these methods suppose that pictures are periodic."""

    def restore(picture: Picture) -> Picture:
        padded = np.pad(picture.pixels.astype(np.float64), ((margin,) * 2, (margin,) * 2, (0, 0)), mode="symmetric")
        planes = [deconvolve(np.ascontiguousarray(padded[..., channel])) for channel in range(picture.channels)]
        result = np.stack(planes, axis=2)[margin:-margin, margin:-margin]
        return replace(picture, pixels=result.astype(np.float32))

    return restore
