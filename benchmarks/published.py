"""Our protocols against what others have for the degraded pictures themselves, without any restoration.

`python benchmarks/published.py --data ROOT` with ROOT holding the sets of `pellucid.evaluation.SETS`. If what we do to
pictures, or how we compare them, were not what the field does, these figures would be off. Fails where one is, and
writes results/published.json.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

from pellucid.evaluation import find_cases, measure, protocol_for, summarise

RESULTS = Path(__file__).parent / "results"
TOLERANCE = 0.02  # dB; tables round to 0.01, and bicubic of the luma before rounding differs from that of the colours


class Figure(NamedTuple):
    """A PSNR in dB of what restoration starts from, and who says so."""

    task: str
    folder: str
    level: float | str
    psnr: float
    source: str
    scale: int | None = None


_BICUBIC = "bicubic in the tables of super-resolution papers"
_COLLECTION = "measured with other programs by those who put the collection together"

FIGURES = (
    Figure("sr", "eval/Set5", 2, 33.66, _BICUBIC, scale=2),
    Figure("sr", "eval/Set5", 3, 30.39, _BICUBIC, scale=3),
    Figure("sr", "eval/Set5", 4, 28.42, _BICUBIC, scale=4),
    Figure("dejpeg", "eval/classic5", 10, 27.82, _COLLECTION),
    Figure("dejpeg", "eval/classic5", 20, 30.12, _COLLECTION),
    Figure("dejpeg", "eval/classic5", 30, 31.48, _COLLECTION),
    Figure("dejpeg", "eval/classic5", 40, 32.43, _COLLECTION),
    Figure("derain", "rain/Rain100", "Rain100L", 26.77, _COLLECTION),
    Figure("derain", "rain/Rain100", "Rain100H", 13.33, _COLLECTION),
    Figure("denoise", "real_noise/PolyU_crops", "noisy", 35.67, _COLLECTION),
)


def main() -> int:
    """Return 1 if a figure is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for figure in FIGURES:
        protocol = protocol_for(figure.task, scale=figure.scale)
        protocol, cases = find_cases(protocol, options.data / figure.folder, [figure.level])
        (row,) = summarise(list(measure(protocol.prepare, protocol, cases)))
        psnr = next(iter(row.input.values()))
        agrees = abs(psnr - figure.psnr) <= TOLERANCE
        rows.append({**figure._asdict(), "measured": psnr, "agrees": agrees, "protocol": str(protocol)})
        words = "agrees" if agrees else "IS OFF"
        print(f"{figure.folder} {protocol.unit} {figure.level}: {psnr:.3f} dB, elsewhere {figure.psnr:.2f}: {words}")
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / "published.json").write_text(text, encoding="utf-8")
    return int(not all(row["agrees"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
