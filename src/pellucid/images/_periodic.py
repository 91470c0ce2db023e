"""Pictures as discrete Fourier transforms see them: continued without a seam, differences that go round the border."""

import numpy as np
from numpy.typing import NDArray


def fast_length(length: int) -> int:
    """Return the least number from `length` on that has no prime factor above 5: its transform is quick."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def continued(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Continue a picture (H, W) below and to the right so that it repeats without a seam.

    What is added, at least `reach` rows and columns, fades from the reflection of one border to that of the opposite.
    """
    for _ in range(2):  # rows, then, of the transposed, columns
        length = values.shape[0]
        added = fast_length(length + reach) - length
        fade = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, added + 1, dtype=np.float32) / (added + 1))[:, None]
        inwards = np.minimum(np.arange(added), length - 1)
        bridge = fade * values[length - 1 - inwards] + (1 - fade) * values[inwards[::-1]]
        values = np.concatenate([values, bridge]).T
    return np.ascontiguousarray(values, np.float32)


def transfer(kernel: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.complexfloating]:
    """Return the half spectrum of a kernel (2r + 1, 2r + 1) whose middle lies at the origin of a picture of `shape`."""
    whole = np.zeros(shape, np.float32)
    whole[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.fft.rfft2(np.roll(whole, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), (0, 1)))


def inverse(spectrum: NDArray[np.complexfloating], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the picture of `shape` that has a half spectrum."""
    return np.fft.irfft2(spectrum, s=shape).astype(np.float32, copy=False)


def power(spectrum: NDArray[np.complexfloating]) -> NDArray[np.float32]:
    """Return |F|²."""
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)


def differences(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ∂ₓ and ∂ᵧ of a picture (H, W): each pixel's right and lower neighbour less itself."""
    return np.roll(values, -1, 1) - values, np.roll(values, -1, 0) - values


def transposed_differences(right: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ∂ₓᵀ right + ∂ᵧᵀ down."""
    return np.roll(right, 1, 1) - right + np.roll(down, 1, 0) - down


def difference_power(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return |F∂ₓ|² + |F∂ᵧ|² = 4 − 2 cos 2πu/W − 2 cos 2πv/H, as a half spectrum."""
    height, width = shape
    across = 2 - 2 * np.cos(2 * np.pi * np.arange(width // 2 + 1, dtype=np.float32) / width)
    return across + (2 - 2 * np.cos(2 * np.pi * np.arange(height, dtype=np.float32) / height))[:, None]
