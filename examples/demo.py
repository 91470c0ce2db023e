"""Add noise to a photograph, remove it again with the default weights, and put both side by side."""

from pathlib import Path

import numpy as np

import pellucid
from pellucid.cli.process import keep_freed_memory
from pellucid.images import read_picture
from pellucid.images.picture import to_integers
from pellucid.metrics import psnr_rgb

CLEAN = Path(__file__).with_name("cat.png")
OUT = Path("demo")
SIGMA = 25


def main() -> None:
    """Write noisy.png, restored.png and before-after.png to the folder `demo`."""
    keep_freed_memory()
    OUT.mkdir(exist_ok=True)
    clean = read_picture(CLEAN)
    noise = np.random.RandomState(0).normal(0, SIGMA / 255, clean.pixels.shape).astype(np.float32)
    noisy = pellucid.Picture(pixels=np.clip(clean.pixels + noise, 0, 1))
    noisy.save(OUT / "noisy.png", overwrite=True)

    restored = pellucid.restore(OUT / "noisy.png", task="denoise")
    restored.save(OUT / "restored.png", overwrite=True)
    line = np.ones((clean.height, 4, 3), np.float32)
    both = pellucid.Picture(pixels=np.hstack([noisy.pixels, line, restored.pixels]))
    both.save(OUT / "before-after.png", overwrite=True)

    before, after = (psnr_rgb(to_integers(p.pixels, 8), to_integers(clean.pixels, 8)) for p in (noisy, restored))
    print(f"{CLEAN.name} with noise of σ = {SIGMA} added: {before:.2f} dB; restored: {after:.2f} dB")
    print(f"Look at {OUT / 'before-after.png'}. The same from the command line:")
    print(f"  pellucid restore {OUT / 'noisy.png'} -o clean.png")


if __name__ == "__main__":
    main()
