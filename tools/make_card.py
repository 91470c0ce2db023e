"""Turn a finished training run into bundled weights with a model card.

`python tools/make_card.py RUN NAME --training notes.json --data CBSD68=DIR Kodak24=DIR …` writes
src/pellucid/weights/NAME.safetensors (float16) and NAME.json. Everything measured is measured here, with the file that
ships; `notes.json` says what no program can find out: the training pictures and their licences, the hardware.
"""

import argparse
import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import checkpoints
from pellucid.cli.process import keep_freed_memory
from pellucid.data import picture_paths, read_rgb8
from pellucid.evaluation import measure_denoising, plain_values, summarise, with_restorer
from pellucid.images.picture import to_floats
from pellucid.images.tiles import plan_tiles, process_tiles
from pellucid.tasks import RestoreOptions, Restorer
from pellucid.tasks.memory import OVERLAP

WEIGHTS = Path(__file__).parent.parent / "src" / "pellucid" / "weights"
SIGMAS = (0.0, 15.0, 25.0, 50.0)
TILES = (256, 512, 1024)


def mosaic(paths: list[Path], height: int = 1000, width: int = 2000) -> NDArray[np.float32]:
    """Lay pictures side by side until two megapixels are full, and add noise of σ = 25."""
    canvas = np.zeros((height, width, 3), np.float32)
    pictures = iter(paths * 20)
    top = 0
    while top < height:
        left, tallest = 0, height
        while left < width:
            part = to_floats(read_rgb8(next(pictures)))[: height - top, : width - left]
            canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
            left, tallest = left + part.shape[1], min(tallest, part.shape[0])
        top += tallest
    return canvas + np.random.RandomState(0).normal(0, 25 / 255, canvas.shape).astype(np.float32)


def tiled_difference(network: torch.nn.Module, picture: NDArray[np.float32], tile: int) -> dict[str, float]:
    """Compare the tiled result with that of the whole picture at once."""

    def run(rows: slice, columns: slice) -> NDArray[np.float32]:
        with torch.inference_mode():
            x = torch.from_numpy(picture[rows, columns]).permute(2, 0, 1).unsqueeze(0)
            return np.ascontiguousarray(network(x)[0].permute(1, 2, 0).numpy())

    whole = run(slice(None), slice(None))
    plan = plan_tiles(*picture.shape[:2], tile=tile, overlap=OVERLAP, multiple=8)
    tiled = np.concatenate([values for _, values in process_tiles(plan, run)])
    difference = np.abs(np.clip(tiled, 0, 1) - np.clip(whole, 0, 1))
    return {"tile": tile, "overlap": OVERLAP, "max": float(difference.max()), "mean": float(difference.mean())}


def make_card(name: str, run: Path, training: dict[str, Any], data: dict[str, Path]) -> dict[str, Any]:
    """Measure the weights and describe them."""
    path = WEIGHTS / f"{name}.safetensors"
    described = checkpoints.describe(path)
    network = checkpoints.load(path)
    restorer = Restorer(RestoreOptions(weights=path, device="cpu"))
    measured = {
        label: summarise(list(measure_denoising(with_restorer(restorer), picture_paths(folder), SIGMAS)))
        for label, folder in data.items()
    }
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    rows = [row for of_set in measured.values() for row in of_set]
    picture = mosaic(picture_paths(next(iter(data.values()))))
    return {
        "name": name,
        "task": "denoise",
        "system": described.system,
        "config": asdict(described.config),
        "parameters": sum(tensor.numel() for tensor in described.tensors.values()),
        "dtype": "float16",
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "training": {**training, "last_run": {"steps": log[-1]["step"], "seconds": round(log[-1]["seconds"])}},
        "protocol": "white Gaussian noise, RandomState(0) for each picture, not clipped; 8-bit RGB; no border cut",
        "measured": {label: [plain_values(row) for row in of_set] for label, of_set in measured.items()},
        "seconds_per_megapixel": float(np.median([row.seconds_per_megapixel for row in rows])),
        "measured_on": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "tiled_versus_whole": [tiled_difference(network, picture, tile) for tile in TILES],
    }


def main() -> None:
    """Write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--data", nargs="+", required=True, metavar="LABEL=DIR")
    options = parser.parse_args()
    keep_freed_memory()
    network = checkpoints.load(options.run / "weights.safetensors")
    checkpoints.save(network, "restormer", WEIGHTS / f"{options.name}.safetensors", dtype=torch.float16)
    data = {label: Path(folder) for label, folder in (item.split("=", 1) for item in options.data)}
    card = make_card(options.name, options.run, json.loads(options.training.read_text()), data)
    (WEIGHTS / f"{options.name}.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    for label, rows in card["measured"].items():
        print(label, ", ".join(f"σ {row['sigma']:g}: {row['psnr_rgb']:.2f} dB / {row['ssim_rgb']:.4f}" for row in rows))
    print(card["tiled_versus_whole"])


if __name__ == "__main__":
    main()
