"""Every default of ours against its classical alternative, in turn on the same degraded pictures.

`python benchmarks/quality.py --data ROOT [--task TASK …] [--pictures N] [--weights FILE]` with ROOT holding the sets of
`pellucid.evaluation.SETS`; the first set of each task is measured. The classical methods are told the noise level, the
kernel or the kind of rain, and their parameters are those that served them best in trials on these sets; ours are told
nothing. Writes results/quality.json, where tasks that were not asked for stay as they were, and a contact sheet
results/quality-TASK.png with the worst places of the first pictures.
"""

import argparse
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import classical
from pellucid.cli.process import keep_freed_memory
from pellucid.data.degradations import disc_kernel
from pellucid.errors import UsageError
from pellucid.evaluation import (
    SETS,
    Case,
    Measurement,
    Protocol,
    Restore,
    Shown,
    measure,
    overall,
    plain_values,
    summarise,
    tool_for,
)
from pellucid.evaluation.protocols import read_kernels
from pellucid.evaluation.strips import worst_square

RESULTS = Path(__file__).parent / "results"
OURS = "pellucid"
Method = Callable[[Any], Restore]  # of a level
SIDE, ROWS, MARGIN = 160, 2, 22  # of the contact sheets: crops, rows, the line of words above each crop


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A task, and what else does it; `sheet` is the level of the contact sheet."""

    task: str
    methods: Mapping[str, Method]
    sheet: Any
    scale: int | None = None

    @property
    def name(self) -> str:
        """The task, with the scale where there are several."""
        return self.task if self.scale is None else f"{self.task}-x{self.scale}"


def comparisons(root: Path) -> list[Comparison]:
    """Every task with its alternatives; `root` holds the kernels that deconvolution is told."""
    kernels = read_kernels(root / "kernels" / "kernels.npz")
    rain = {"Rain100L": 0.01, "Rain100H": 0.2}  # total variation that serves each best

    def enlarging(scale: int) -> Comparison:
        methods: dict[str, Method] = {
            "Pillow bicubic": lambda _: classical.with_pillow(scale, Image.Resampling.BICUBIC),
            "Pillow Lanczos": lambda _: classical.with_pillow(scale, Image.Resampling.LANCZOS),
        }
        return Comparison(task="sr", scale=scale, sheet=scale, methods=methods)

    return [
        Comparison(task="denoise", sheet=25, methods={"BM3D": classical.with_bm3d}),
        Comparison(task="dejpeg", sheet=10, methods={"the JPEG itself": lambda _: classical.unchanged}),
        enlarging(2),
        enlarging(4),
        Comparison(task="demosaic", sheet="RGGB", methods={"Menon 2007": lambda _: classical.with_menon()}),
        Comparison(
            task="deblur",
            sheet=1,
            methods={
                "Richardson-Lucy": lambda number: classical.with_richardson_lucy(kernels[number - 1], 20),
                "Wiener": lambda number: classical.with_wiener(kernels[number - 1], 0.01),
            },
        ),
        Comparison(
            task="defocus",
            sheet=4,
            methods={
                "total variation": lambda _: classical.with_total_variation(0.01),
                "Richardson-Lucy": lambda radius: classical.with_richardson_lucy(disc_kernel(radius), 20),
            },
        ),
        Comparison(
            task="derain",
            sheet="Rain100L",
            methods={"total variation": lambda name: classical.with_total_variation(rain[name])},
        ),
    ]


@dataclass
class Seen:
    """What a contact sheet shows of a picture: the crops by method, with their PSNR."""

    shown: Shown
    before: float
    restored: dict[str, tuple[NDArray[np.uint8], float]] = field(default_factory=dict)


def measure_in_turn(
    comparison: Comparison, protocol: Protocol, cases: Sequence[Case], ours: Restore | None
) -> tuple[dict[str, list[Measurement]], list[Seen]]:
    """Measure every method on one case after another, so that all see the same machine."""
    measurements: dict[str, list[Measurement]] = {}
    sheet: list[Seen] = []
    for case in cases:
        methods = {name: make(case.level) for name, make in comparison.methods.items()}
        if ours is not None:
            methods[OURS] = ours
        seen: Seen | None = None
        for name, restore in methods.items():
            shown: list[Shown] = []
            (found,) = measure(restore, protocol, [case], show=shown.append)
            measurements.setdefault(name, []).append(found)
            psnr_before, psnr = (next(iter(values.values())) for values in (found.input, found.restored))
            seen = seen or Seen(shown[0], psnr_before)
            seen.restored[name] = (shown[0].restored, psnr)
        if seen is not None and case.level == comparison.sheet and len(sheet) < ROWS:
            sheet.append(seen)
    return measurements, sheet


def contact_sheet(sheet: Sequence[Seen]) -> Image.Image:
    """Crops of the input, of each method and of the clean picture, a row for each picture, labelled with the PSNR."""
    rows: list[list[tuple[str, NDArray[np.uint8]]]] = []
    for seen in sheet:
        place = worst_square(seen.shown.input, seen.shown.clean, side=SIDE)
        row = [(f"input {seen.before:.2f} dB", seen.shown.input[place])]
        row += [(f"{name} {psnr:.2f}", pixels[place]) for name, (pixels, psnr) in seen.restored.items()]
        rows.append([*row, ("clean", seen.shown.clean[place])])
    width, height = SIDE + 6, SIDE + MARGIN
    canvas = Image.new("RGB", (width * len(rows[0]) - 6, height * len(rows)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for y, row in enumerate(rows):
        for x, (words, pixels) in enumerate(row):
            draw.text((x * width + 2, y * height + 4), words, fill="black", font=font)
            colour = pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)
            canvas.paste(Image.fromarray(colour), (x * width, y * height + MARGIN))
    return canvas


def our_default(protocol: Protocol, weights: Path | None) -> tuple[Restore | None, str | None]:
    """The tool and the name of its weights; nothing where the task has no default weights yet."""
    try:
        return tool_for(protocol, weights=weights, device="cpu")
    except UsageError as error:
        print(f"{protocol.task}: {error}; the alternatives are measured alone")
        return None, None


def compare(comparison: Comparison, root: Path, pictures: int | None, weights: Path | None) -> dict[str, Any]:
    """Measure, print and draw one task; return what is saved."""
    standard = SETS[comparison.task][0]
    protocol, cases = standard.cases(comparison.task, root, scale=comparison.scale)
    names = list(dict.fromkeys(case.clean for case in cases))[:pictures]
    cases = [case for case in cases if case.clean in names and case.level != 0]
    ours, used = our_default(protocol, weights)
    measurements, sheet = measure_in_turn(comparison, protocol, cases, ours)
    for name, of_method in measurements.items():
        rows = summarise(of_method)
        for row in [overall(of_method)] if protocol.averaged else rows:
            (before, ssim_before), (psnr, ssim) = row.input.values(), row.restored.values()
            print(
                f"{comparison.name:8} {protocol.unit} {row.level!s:8} {name:15}",
                f"{before:.2f} → {psnr:.2f} dB, SSIM {ssim_before:.4f} → {ssim:.4f},",
                f"{row.seconds_per_megapixel:.2f} s/MP",
                flush=True,
            )
    contact_sheet(sheet).save(RESULTS / f"quality-{comparison.name}.png", optimize=True)
    return {
        "set": standard.label,
        "pictures": [path.name for path in names],
        "protocol": str(protocol),
        "unit": protocol.unit,
        "weights": used,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "methods": {
            name: {
                "rows": [plain_values(row) for row in summarise(of_method)],
                "mean": plain_values(overall(of_method)) if protocol.averaged else None,
            }
            for name, of_method in measurements.items()
        },
    }


def main() -> None:
    """Compare the tasks that are asked for, and save each when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT")
    parser.add_argument("--task", nargs="+", help="such as denoise or sr-x4; all unless given")
    parser.add_argument("--pictures", type=int, help="use the first N of each set")
    parser.add_argument("--weights", type=Path, help="measure these instead of the default of a single task")
    options = parser.parse_args()
    known = {comparison.name: comparison for comparison in comparisons(options.data)}
    wanted = options.task or list(known)
    if unknown := set(wanted) - known.keys():
        parser.error(f"there is no task {', '.join(unknown)}; there is {', '.join(known)}")
    if options.weights and len(wanted) != 1:
        parser.error("--weights are those of one task: name it with --task")
    keep_freed_memory()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "quality.json"
    saved = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in wanted:
        saved[name] = compare(known[name], options.data, options.pictures, options.weights)
        ordered = {task: saved[task] for task in known if task in saved}
        path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
