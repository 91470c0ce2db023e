"""Turn a finished training run into bundled weights with a model card, or measure bundled weights anew.

`python tools/make_card.py NAME --run RUN --data ROOT [--training notes.json]` writes NAME.safetensors (float16) and
NAME.json to src/pellucid/weights; without --run the weights that are there are measured, and what their card says of
training is kept. ROOT holds the sets of `pellucid.evaluation.SETS`. Everything measured is measured here, with the file
that ships. What a program can find out about training comes from the run; `notes.json` says the rest: the training
pictures and their licences, the hardware.
"""

import argparse
import hashlib
import itertools
import json
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import checkpoints
from pellucid.cli.process import keep_freed_memory
from pellucid.evaluation import (
    SETS,
    Case,
    Measurement,
    Protocol,
    measure,
    overall,
    plain_values,
    read_case,
    summarise,
    tool_for,
)
from pellucid.images.tiles import plan_tiles, process_tiles
from pellucid.tasks import read_card

WEIGHTS = Path(__file__).parent.parent / "src" / "pellucid" / "weights"
TILES = (256, 512, 1024)
TILED_LEVEL = {"denoise": 25, "dejpeg": 20, "deblur": 1, "defocus": 4}  # of several, the one that tiles are compared at


def prepared_pictures(protocol: Protocol, cases: Iterable[Case]) -> Iterator[NDArray[np.float32]]:
    """Give what a network gets of each case, (H, W, 3)."""
    for case in cases:
        pixels = protocol.prepare(read_case(protocol, case).degraded).pixels
        yield pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def patchwork(pictures: Iterator[NDArray[np.float32]], height: int = 1000, width: int = 2000) -> NDArray[np.float32]:
    """Lay pictures side by side until two megapixels are full."""
    canvas = np.zeros((height, width, 3), np.float32)
    top = 0
    while top < height:
        left, tallest = 0, height
        while left < width:
            part = next(pictures)[: height - top, : width - left]
            canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
            left, tallest = left + part.shape[1], min(tallest, part.shape[0])
        top += tallest
    return canvas


def tiled_differences(weights: Path, picture: NDArray[np.float32]) -> list[dict[str, float]]:
    """Compare results by tiles of several sizes with that of the whole picture (H, W, 3) at once."""
    described = checkpoints.describe(weights)
    kind = checkpoints.SYSTEMS[described.system].restoration(described.config)
    if kind is None or kind.channels != 3:
        raise SystemExit(f"{weights} does not restore colour pictures")
    network = checkpoints.build(described)

    def run(rows: slice, columns: slice) -> NDArray[np.float32]:
        with torch.inference_mode():
            x = torch.from_numpy(picture[rows, columns]).permute(2, 0, 1).unsqueeze(0) * kind.white
            return np.ascontiguousarray(network(x)[0].permute(1, 2, 0).numpy() / kind.white)

    whole = run(slice(None), slice(None))
    differences: list[dict[str, float]] = []
    for tile in [tile for tile in TILES if tile >= 4 * kind.overlap]:  # smaller ones would be little but overlap
        plan = plan_tiles(*picture.shape[:2], tile=(tile, tile), overlap=kind.overlap, multiple=kind.multiple)
        tiled = np.concatenate([values for _, values in process_tiles(plan, run)])
        difference = np.abs(np.clip(tiled, 0, 1) - np.clip(whole, 0, 1))
        worst, mean = float(difference.max()), float(difference.mean())
        differences.append({"tile": tile, "overlap": kind.overlap, "max": worst, "mean": mean})
    return differences


def measured_on(protocol: Protocol, cases: list[Case], weights: Path) -> tuple[dict[str, Any], list[Measurement]]:
    """Measure the weights on a set: the protocol and the rows for the card."""
    restore, _ = tool_for(protocol, weights=weights, device="cpu")
    measurements = list(measure(restore, protocol, cases))
    entry = {
        "protocol": str(protocol),
        "unit": protocol.unit,
        "rows": [plain_values(row) for row in summarise(measurements)],
        "mean": plain_values(overall(measurements)) if protocol.averaged else None,
    }
    return entry, measurements


def about_training(run: Path) -> dict[str, Any]:
    """What the files of a run say: its recipe, the steps and the seconds."""
    state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
    return {"recipe": state["recipe"], "steps": state["step"], "seconds": round(state["seconds"])}


def make_card(
    path: Path, task: str, scale: int, training: dict[str, Any], root: Path, pictures: int | None
) -> dict[str, Any]:
    """Measure the weights and describe them."""
    described = checkpoints.describe(path)
    measured: dict[str, dict[str, Any]] = {}
    rates: list[float] = []
    tiled: list[dict[str, float]] = []
    for standard in SETS[task]:
        protocol, cases = standard.cases(task, root, scale=scale if task == "sr" else None)
        kept = {case.clean for case in cases[:pictures]}
        cases = [case for case in cases if case.clean in kept]
        measured[standard.label], measurements = measured_on(protocol, cases, path)
        rates += [row.seconds_per_megapixel for row in summarise(measurements)]
        if not tiled:
            level = TILED_LEVEL.get(task, cases[0].level)
            of_level = itertools.cycle([case for case in cases if case.level == level])
            tiled = tiled_differences(path, patchwork(prepared_pictures(protocol, of_level)))
        print(label_and_rows(standard.label, measured[standard.label]), flush=True)
    return {
        "name": path.stem,
        "task": task,
        "scale": scale,
        "system": described.system,
        "config": asdict(described.config),
        "parameters": checkpoints.count_parameters(described),
        "dtype": "float16",
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "training": training,
        "measured": measured,
        "seconds_per_megapixel": float(np.median(rates)),
        "measured_on": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "tiled_versus_whole": tiled,
    }


def label_and_rows(label: str, entry: dict[str, Any]) -> str:
    """A line for each level: the measures before and after."""
    rows = [*entry["rows"], *([entry["mean"]] if entry["mean"] else [])]
    return "\n".join(f"{label} {entry['unit']} {r['level']}: {r['input']} → {r['restored']}" for r in rows)


def main() -> None:
    """Write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--training", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, help="measure on the first N of each set only, to try")
    options = parser.parse_args()
    keep_freed_memory()
    notes = json.loads(options.training.read_text(encoding="utf-8")) if options.training else {}
    with tempfile.TemporaryDirectory() as folder:  # what is interrupted leaves no weights without a card
        path = Path(folder) / f"{options.name}.safetensors"
        if options.run:
            trained = checkpoints.describe(options.run / "weights.safetensors")
            about = dict(trained.about)
            checkpoints.save(checkpoints.build(trained), trained.system, path, dtype=torch.float16, about=about)
            training = {**notes, "last_run": about_training(options.run)}
        else:
            old = read_card(options.name)
            shutil.copy(WEIGHTS / path.name, path)
            about = {"task": old["task"], "scale": str(old["scale"])}
            training = {**old["training"], **notes}
        card = make_card(path, about["task"], int(about["scale"]), training, options.data, options.pictures)
        shutil.copy(path, WEIGHTS / path.name)
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (WEIGHTS / f"{options.name}.json").write_text(text, encoding="utf-8")
    print(card["tiled_versus_whole"])


if __name__ == "__main__":
    main()
