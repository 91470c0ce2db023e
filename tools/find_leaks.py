"""Look for pictures of the test sets in the training sets, whole or in part, and fail if there are any.

`python tools/find_leaks.py --data ROOT [--measured FOLDER …]` with ROOT laid out as `pellucid.evaluation.SETS` has it.
Writes benchmarks/results/leaks.json: for each test set the pictures that are most like one of the training pictures,
which is what should be looked at by eye. Folders that were not asked for stay in it as they were.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pellucid.data import picture_paths
from pellucid.evaluation.leaks import PART, WHOLE, Likeness, Look, look_at, most_like, most_like_in_part

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results" / "leaks.json"
TRAINING = ("train/photos",)
_CROPS = "real_noise/PolyU_crops/clean"
MEASURED = (
    "eval/Set5/HR",
    "eval/Set12",
    "eval/CBSD68",
    "eval/Kodak24",
    "eval/McMaster",
    "eval/classic5",
    "eval/RealSRSet",
    "rain/Rain100/target",
    "blur/Levin09_real/gt",
    _CROPS,
)
# Pairs that the program takes for copies and a person does not: training picture, measured picture, what is alike.
JUDGED_DIFFERENT = {
    ("train/photos/wallpapers/summer_1am.jpg", "eval/McMaster/12.png"): "a horizon, and the edge of a door",
    ("train/photos/bsd400/344010.jpg", f"{_CROPS}/Canon80D_8_8_12800_printer_14.jpg"): "a road, and a printer's cover",
    ("train/photos/bsd400/179084.jpg", f"{_CROPS}/Sony_4-5_125_1600_toy_10.jpg"): "a hill at dusk, and a grey bar",
    (
        "train/photos/bsd400/10081.jpg",
        f"{_CROPS}/Canon600D_3-5_125_1600_waterhouse_12.jpg",
    ): "an airfield, and a gap in wood",
    (
        "train/photos/wallpapers/summer_1am.jpg",
        f"{_CROPS}/Canon600D_3-5_125_1600_waterhouse_12.jpg",
    ): "a horizon, and a gap in wood",
}
SHOWN = 3  # of each set, the likest pairs that are written down


def likest(found: Iterable[Likeness], root: Path, threshold: float) -> dict[str, Any]:
    """The likest pairs, and how many are copies."""
    rows: list[dict[str, Any]] = []
    for one in sorted(found, key=lambda likeness: -likeness.correlation):
        pair = tuple(path.relative_to(root).as_posix() for path in (one.photograph, one.picture))
        row = {"training": pair[0], "measured": pair[1], "correlation": round(one.correlation, 4)}
        different = JUDGED_DIFFERENT.get(pair) if one.correlation > threshold else None
        if different:
            row["judged different"] = different
        row["copy"] = one.correlation > threshold and not different
        rows.append(row)
    copies = sum(row["copy"] for row in rows)
    return {"copies": copies, "likest": rows[: max(SHOWN, copies)]}


def compare(training: list[Look], measured: list[Look], root: Path) -> dict[str, Any]:
    """Compare a set with the training pictures, in three ways."""
    swapped = [
        Likeness(photograph=one.picture, picture=one.photograph, correlation=one.correlation)
        for one in most_like_in_part(measured, training)
    ]
    return {
        "pictures": len(measured),
        "whole": likest(most_like(training, measured), root, WHOLE),
        "part of a training picture": likest(most_like_in_part(training, measured), root, PART),
        "training picture is a part": likest(swapped, root, PART),
    }


def main() -> int:
    """Return 1 if there is a copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT")
    parser.add_argument("--measured", nargs="+", default=MEASURED, metavar="FOLDER")
    options = parser.parse_args()
    root: Path = options.data
    training = [look_at(path) for folder in TRAINING for path in picture_paths(root / folder)]
    saved: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"sets": {}}
    for folder in options.measured:
        measured = [look_at(path) for path in picture_paths(root / folder)]
        saved["sets"][folder] = compare(training, measured, root)
        content = {
            "training": {"folders": TRAINING, "pictures": len(training)},
            "copies are above": {"whole": WHOLE, "part": PART},
            "sets": {name: saved["sets"][name] for name in MEASURED if name in saved["sets"]},
        }
        RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for way in ("whole", "part of a training picture", "training picture is a part"):
            found = saved["sets"][folder][way]
            print(f"{folder}, {way}: {found['copies']} copies; likest {found['likest'][0]}", flush=True)
    copies = [
        name for name, ways in saved["sets"].items() if any(w["copies"] for w in ways.values() if type(w) is dict)
    ]
    print(f"copies in {', '.join(copies)}" if copies else "no copies")
    return int(bool(copies))


if __name__ == "__main__":
    sys.exit(main())
