"""Denoising with no clean picture, measured where there is one: `python benchmarks/self_denoising.py ROOT PART …`.

ROOT holds eval/CBSD68, eval/Set12 and real_noise/PolyU_crops. Clean pictures serve to make noise and to measure, never
to learn from. The parts, each saved in results/self_denoising.json as soon as it is done, under its name and that of
the start if that is another than photographs:

- gaussian: ten pictures, every seventh of CBSD68, with white noise of σ 25, each learned from alone;
- poisson: grey pictures of 16 bits with photon noise, each alone;
- stopping: what the rule that chooses the weights costs against one that sees the clean picture;
- student: a small network that has learned from the blind-spot network, beside it: quality and speed;
- real: the noisy halves of PolyU learned from together; beside BM3D with σ estimated, and with the best σ of several,
  which only one who has the clean picture can know, on crops of some of the pictures.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm3d
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import estimate_sigma

from pellucid import checkpoints
from pellucid.cli.process import keep_freed_memory
from pellucid.data import picture_paths, read_rgb8
from pellucid.images import Picture
from pellucid.images.picture import to_floats
from pellucid.metrics import psnr_rgb, ssim_rgb
from pellucid.selfsupervised import LearnOptions, learn
from pellucid.selfsupervised.denoise import TEACHER
from pellucid.selfsupervised.fit import FitOptions, FitProgress, fit
from pellucid.tasks import RestoreOptions, Restorer, find_weights
from pellucid.tasks.blind_spot import Procedure

Values = NDArray[np.float32]

RESULTS = Path(__file__).parent / "results" / "self_denoising.json"
COUNT, STEP = 10, 7  # of CBSD68, every seventh
GREY = ("01", "05", "09")
PHOTONS = 60.0  # where the picture is white
SIGMAS = (2.0, 4.0, 6.0, 8.0, 12.0)  # that BM3D may choose from, on the scale 0..255
CROP, EVERY = 256, 5  # of the pictures that BM3D, which is slow, is given


def quality(clean: Values, result: Values) -> dict[str, float]:
    """PSNR and SSIM of values 0..1, as 8 bits."""
    pair = [np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8) for values in (clean, result)]
    return {"psnr": psnr_rgb(*pair), "ssim": ssim_rgb(*pair)}


def learned(pictures: list[Picture], folder: Path, **options: Any) -> tuple[Restorer, dict[str, Any]]:
    """A restorer that has learned from the pictures, and what it took."""
    began = time.monotonic()
    result = learn(pictures, LearnOptions(**options), folder / "weights.safetensors", overwrite=True)
    restorer = Restorer(RestoreOptions(task="denoise", weights=result.weights))
    took = time.monotonic() - began
    return restorer, {
        "factor": result.noise.factor,
        "level": result.noise.level,
        "seconds": took,
        "steps": result.checks[-1].step,
    }


def restored(restorer: Restorer, picture: Picture) -> tuple[Values, float]:
    """The pixels, and seconds per megapixel."""
    began = time.monotonic()
    pixels = restorer(picture).pixels
    return pixels, (time.monotonic() - began) / (picture.height * picture.width / 1e6)


def every_seventh(root: Path, count: int) -> list[tuple[str, Values]]:
    """The first of the ten clean pictures, by their files' names."""
    paths = picture_paths(root / "eval" / "CBSD68")[::STEP][:count]
    return [(path.stem, to_floats(read_rgb8(path))) for path in paths]


def named(folder: Path, names: tuple[str, ...]) -> list[tuple[str, Values]]:
    """Clean pictures by their files' names."""
    paths = {path.stem: path for path in picture_paths(folder)}
    return [(name, to_floats(read_rgb8(paths[name]))) for name in names]


def gaussian(root: Path, **options: Any) -> dict[str, Any]:
    """Ten pictures, each alone."""
    rows = []
    for name, clean in every_seventh(root, COUNT):
        noise = np.random.default_rng(0).standard_normal(clean.shape, np.float32)
        noisy = clean + np.float32(25 / 255) * noise
        rows.append({"picture": name, **_alone(noisy, clean, 8, options)})
        print(rows[-1])
    return _summary(rows, sigma=25)


def poisson(root: Path, **options: Any) -> dict[str, Any]:
    """Grey pictures of which each photon is counted."""
    rows = []
    for name, colour in named(root / "eval" / "Set12", GREY):
        clean = 0.5 * colour[..., :1]  # white is half of what 16 bits count, so that nothing is cut off
        photons = np.random.default_rng(0).poisson(clean / 0.5 * PHOTONS)
        counts = np.rint(photons / PHOTONS * 0.5 * 65535)
        noisy = to_floats(counts.clip(0, 65535).astype(np.uint16))
        rows.append({"picture": name, **_alone(noisy, clean, 16, options)})
        print(rows[-1])
    return _summary(rows, photons=PHOTONS)


def _alone(noisy: Values, clean: Values, bit_depth: int, options: dict[str, Any]) -> dict[str, Any]:
    picture = Picture(pixels=noisy, bit_depth=bit_depth)
    with tempfile.TemporaryDirectory() as folder:
        restorer, took = learned([picture], Path(folder), **options)
        result, rate = restored(restorer, picture)
    peak = 1.0 if bit_depth == 8 else 0.5
    before, after = (10 * np.log10(peak**2 / np.mean((values - clean) ** 2)) for values in (noisy, result))
    return {
        **took,
        "before": float(before),
        "after": float(after),
        "gain": float(after - before),
        "seconds_per_megapixel": rate,
    }


def _summary(rows: list[dict[str, Any]], **about: Any) -> dict[str, Any]:
    gains = [row["gain"] for row in rows]
    return {**about, "mean_gain": float(np.mean(gains)), "least_gain": min(gains), "rows": rows}


def stopping(root: Path, **options: Any) -> dict[str, Any]:
    """Restoring with the average of every check against the clean picture: at the chosen check, and at the best."""
    rows: list[dict[str, Any]] = []
    for name, clean in every_seventh(root, 3):
        noisy = clean + np.float32(25 / 255) * np.random.default_rng(0).standard_normal(clean.shape, np.float32)
        course, chosen = _course(noisy, clean, options["budget"])
        rows.append({"picture": name, "course": course, "chosen": chosen, "cost": max(course) - course[chosen]})
        print(rows[-1])
    return {"most_cost": max(row["cost"] for row in rows), "rows": rows}


def _course(noisy: Values, clean: Values, budget: float) -> tuple[list[float], int]:
    """The PSNR at every check, the first being before the first step, and the number of the check that is chosen."""
    template: Any = checkpoints.load(find_weights(TEACHER))
    with tempfile.TemporaryDirectory() as folder:
        state, weights = Path(folder) / "state", Path(folder) / "weights.safetensors"

        def measured() -> float:
            about = {"task": "denoise", **Procedure(1, 1).about()}
            checkpoints.save(template, "tbsn", weights, about=about)
            pixels = Restorer(RestoreOptions(weights=weights))(Picture(pixels=noisy)).pixels
            return float(-10 * np.log10(np.mean((pixels - clean) ** 2)))

        course = [measured()]

        def watch(progress: FitProgress) -> None:
            if progress.checks[-1].step == progress.step:
                template.load_state_dict(torch.load(state, weights_only=True)["average"])
                course.append(measured())

        options = FitOptions(factor=1, level=25 / 255, seconds=budget, start=TEACHER)
        fitted = fit([noisy], options, state=state, report=watch)
    return course, int(np.argmin([check.error for check in fitted.checks]))


def student(root: Path, **options: Any) -> dict[str, Any]:
    """The same noise, once restored by the blind-spot network and once by what has learned from it."""
    rows = []
    for name, clean in every_seventh(root, 2):
        noisy = clean + np.float32(25 / 255) * np.random.default_rng(0).standard_normal(clean.shape, np.float32)
        picture, row = Picture(pixels=noisy), dict[str, Any](picture=name)
        for kind in ("best", "fast"):
            with tempfile.TemporaryDirectory() as folder:
                # The teacher within "fast" has 60 % of the budget.
                asked = {**options, "quality": kind, "budget": (0.6 if kind == "best" else 1.0) * options["budget"]}
                restorer, _ = learned([picture], Path(folder), **asked)
            pixels, rate = restored(restorer, picture)
            row[kind] = {"psnr": float(-10 * np.log10(np.mean((pixels - clean) ** 2))), "seconds_per_megapixel": rate}
        row["cost"] = row["best"]["psnr"] - row["fast"]["psnr"]
        row["speed"] = row["best"]["seconds_per_megapixel"] / row["fast"]["seconds_per_megapixel"]
        rows.append(row)
        print(row)
    return {
        "most_cost": max(row["cost"] for row in rows),
        "least_speed": min(row["speed"] for row in rows),
        "rows": rows,
    }


def real(root: Path, **options: Any) -> dict[str, Any]:
    """PolyU: learned from the noisy halves alone."""
    pairs = root / "real_noise" / "PolyU_crops"
    noisy_paths, clean_paths = picture_paths(pairs / "noisy"), picture_paths(pairs / "clean")
    noisy = [to_floats(read_rgb8(path)) for path in noisy_paths]
    clean = [to_floats(read_rgb8(path)) for path in clean_paths]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        restorer, took = learned([Picture(pixels=values) for values in noisy], Path(folder), **options)
    print(took)
    for index, (path, before, target) in enumerate(zip(noisy_paths, noisy, clean, strict=True)):
        pixels, rate = restored(restorer, Picture(pixels=before))
        row: dict[str, Any] = {
            "picture": path.name,
            "before": quality(target, before),
            "after": quality(target, pixels),
        }
        row["seconds_per_megapixel"] = rate
        if index % EVERY == 0:
            row["crop"] = _beside_bm3d(before[:CROP, :CROP], target[:CROP, :CROP], pixels[:CROP, :CROP])
        rows.append(row)
        print(row)
    gains = [row["after"]["psnr"] - row["before"]["psnr"] for row in rows]
    crops = [row["crop"] for row in rows if "crop" in row]
    return {
        **took,
        "mean_gain": float(np.mean(gains)),
        "least_gain": min(gains),
        "mean_ssim": {when: float(np.mean([row[when]["ssim"] for row in rows])) for when in ("before", "after")},
        "crops": {
            name: {part: float(np.mean([crop[name][part] for crop in crops])) for part in ("psnr", "ssim")}
            for name in crops[0]
        },
        "rows": rows,
    }


def _beside_bm3d(noisy: Values, clean: Values, ours: Values) -> dict[str, dict[str, float]]:
    estimated = float(np.mean(estimate_sigma(noisy, channel_axis=2)))
    by_oracle = max((quality(clean, bm3d.bm3d_rgb(noisy, sigma / 255)) for sigma in SIGMAS), key=lambda q: q["psnr"])
    return {
        "input": quality(clean, noisy),
        "pellucid": quality(clean, ours),
        "bm3d, σ estimated": quality(clean, bm3d.bm3d_rgb(noisy, max(estimated, 1e-4))),
        "bm3d, best σ": by_oracle,
    }


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "gaussian": gaussian,
    "poisson": poisson,
    "stopping": stopping,
    "student": student,
    "real": real,
}


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--budget", type=float, default=300.0, help="seconds to learn, for each run")
    parser.add_argument("--start", choices=["photographs", "nothing"], default="photographs")
    arguments = parser.parse_args()
    if arguments.start == "nothing" and "stopping" in arguments.parts:
        parser.error("stopping is measured from photographs only")
    keep_freed_memory()
    for part in arguments.parts:
        options = {"budget": arguments.budget, "start": arguments.start}
        result = {**options, "threads": torch.get_num_threads(), **PARTS[part](arguments.root, **options)}
        name = part if arguments.start == "photographs" else f"{part}, start {arguments.start}"
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**known, name: result}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
