"""Which network for which task, when each has the same time to learn on the same machine.

`python benchmarks/contenders.py PHOTOGRAPHS --data ROOT [--recipe RECIPE …] [--time 4m] [--pictures N]`: small networks
of several papers are trained from random weights by a task's own recipe, but in small batches, on PHOTOGRAPHS, and
measured on the first pictures of the task's first set in `pellucid.evaluation.SETS`. For super-resolution all of them
refine a picture that was enlarged before. A few minutes tell what is learned soon, not what a network could reach in
days. Writes results/contenders.json; recipes that were not asked for stay as they were.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pellucid import checkpoints
from pellucid.cli.options import parse_duration
from pellucid.cli.process import keep_freed_memory
from pellucid.evaluation import SETS, measure, overall, tool_for
from pellucid.models.fftformer import FFTFORMER_PRESETS
from pellucid.models.grl import GRL_PRESETS
from pellucid.training import RECIPES, Phase, train

RESULTS = Path(__file__).parent / "results" / "contenders.json"
GRL, FFTFORMER = GRL_PRESETS["tiny-denoise"], FFTFORMER_PRESETS["small"]
# Whole stripes of GRL tiny, which pads smaller crops to them; more of them would need 10 GB for each crop's scores.
BATCH, CROP = 2, 128
# Of each recipe, which is for a small Restormer, the level that is measured and what is trained beside it.
CONTENDERS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "restormer-dejpeg-s": (10, {"GRL tiny": GRL}),
    "restormer-sr-x2-s": (2, {"GRL tiny": GRL}),
    "restormer-demosaic-s": ("RGGB", {"GRL tiny": GRL}),
    "restormer-deblur-s": (1, {"FFTformer small": FFTFORMER}),
}


def contend(name: str, photographs: Path, root: Path, seconds: float, pictures: int) -> list[dict[str, Any]]:
    """Train and measure each network by one recipe."""
    level, others = CONTENDERS[name]
    recipe = replace(RECIPES[name], phases=(Phase(RECIPES[name].steps, BATCH, CROP),))
    scale = recipe.scale if recipe.scale > 1 else None
    protocol, cases = SETS[recipe.task][0].cases(recipe.task, root, scale=scale)
    cases = [case for case in cases if case.level == level][:pictures]
    rows: list[dict[str, Any]] = []
    for network, config in {"Restormer small": recipe.network, **others}.items():
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            weights = train(replace(recipe, network=config), [photographs], run, max_seconds=seconds)
            steps = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"]
            restore, _ = tool_for(protocol, weights=weights, device="cpu")
            found = overall(list(measure(restore, protocol, cases)))
            parameters = checkpoints.count_parameters(checkpoints.describe(weights))
        row = {"network": network, "parameters": parameters, "steps": steps, "input": dict(found.input)}
        rows.append({**row, "restored": dict(found.restored), "seconds_per_megapixel": found.seconds_per_megapixel})
        print(name, rows[-1], flush=True)
    return rows


def main() -> None:
    """Train and measure by the recipes that are asked for, and save each when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT")
    parser.add_argument("--recipe", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--time", type=parse_duration, default=240.0, help="to learn, for each network")
    parser.add_argument("--pictures", type=int, default=5, help="use the first N of each set")
    options = parser.parse_args()
    keep_freed_memory()
    for name in options.recipe:
        rows = contend(name, options.photographs, options.data, options.time, options.pictures)
        saved = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        saved[name] = {
            "seconds": options.time,
            "threads": torch.get_num_threads(),
            "pictures": options.pictures,
            "level": CONTENDERS[name][0],
            "networks": rows,
        }
        RESULTS.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
