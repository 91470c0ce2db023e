"""What half precision loses against float32, for bundled weights and for presets with random weights.

`python benchmarks/precision.py [NAME …] [--presets SYSTEM/PRESET …] [--data DIR] [--pictures 5] [--sigmas 0 25]` gives
the difference of the networks' answers on a noisy picture, as the largest and the mean in shares of the mean change;
and for bundled weights the loss of PSNR on clean pictures with added noise, by the protocol of `pellucid.evaluation`,
with the network wholly in half precision. Without --data the example picture is used. Weights bear a precision in which
they lose at most 0.02 dB at every noise level. Updates results/precision.json.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid import checkpoints
from pellucid.checkpoints import SYSTEMS, Restoration
from pellucid.cli.process import keep_freed_memory
from pellucid.data import picture_paths
from pellucid.evaluation import measure_denoising, summarise, with_restorer
from pellucid.tasks import RestoreOptions, Restorer, bundled_weights, find_weights
from tiles import noisy_picture

EXAMPLES = Path(__file__).parent.parent / "examples"
RESULTS = Path(__file__).parent / "results" / "precision.json"
DTYPES = ("bfloat16", "float16")
SIGMAS = (0.0, 15.0, 50.0)
SIDE = 128
MOST_LOSS = 0.02  # dB; what the eye cannot see and tables of results round away


def answer(network: torch.nn.Module, kind: Restoration, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network on (H, W, C) in the precision of its parameters."""
    dtype = next(network.parameters()).dtype
    with torch.inference_mode():
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].to(dtype) * kind.white
        return network(image)[0].permute(1, 2, 0).float().numpy() / kind.white


def differences(network: torch.nn.Module, kind: Restoration) -> dict[str, Any]:
    """Compare each precision with float32 on the example picture; a reason instead where the network cannot run."""
    picture = noisy_picture(SIDE, SIDE, kind.channels)
    exact = answer(network, kind, picture)
    change = float(np.abs(exact - picture.repeat(kind.scale, 0).repeat(kind.scale, 1)).mean())
    found: dict[str, Any] = {"change": change}
    for dtype in DTYPES:
        try:
            difference = np.abs(answer(network.to(getattr(torch, dtype)), kind, picture) - exact) / change
        except (RuntimeError, NotImplementedError) as error:
            found[dtype] = {"why_not": str(error).splitlines()[0]}
        else:
            found[dtype] = {"max": float(difference.max()), "mean": float(difference.mean())}
        network = network.float()  # rounded, but that is what the next one rounds again at most
    return found


def losses(name: str, paths: Sequence[Path], sigmas: Sequence[float]) -> dict[str, dict[str, float]]:
    """The loss in dB for each precision and noise level."""
    found: dict[str, dict[str, float]] = {}
    exact: dict[float, float] = {}
    for dtype in ("float32", *DTYPES):
        restorer = Restorer(RestoreOptions(weights=name, device="cpu", dtype=dtype))
        rows = summarise(list(measure_denoising(with_restorer(restorer), paths, sigmas)))
        if dtype == "float32":
            exact = {row.sigma: row.psnr_rgb for row in rows}
        else:
            found[dtype] = {f"{row.sigma:g}": exact[row.sigma] - row.psnr_rgb for row in rows}
    return found


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=bundled_weights(), help="bundled weights; all of them by default")
    parser.add_argument("--presets", nargs="*", default=[], metavar="SYSTEM/PRESET")
    parser.add_argument("--data", type=Path, default=EXAMPLES)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--sigmas", nargs="+", type=float, default=SIGMAS)
    options = parser.parse_args()
    keep_freed_memory()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.presets:
        system, preset = name.split("/")
        torch.manual_seed(0)
        network = SYSTEMS[system].network(SYSTEMS[system].presets[preset]).eval()
        results[name] = differences(network, SYSTEMS[system].restoration(network.config))
        print(name, results[name], flush=True)
    for name in () if options.presets else options.names:
        described = checkpoints.describe(find_weights(name))
        kind = SYSTEMS[described.system].restoration(described.config)
        paths = picture_paths(options.data)[: options.pictures]
        pictures, before = f"{options.data.name}, the first {len(paths)}", results.get(name, {})
        loss = losses(name, paths, options.sigmas)
        if before.get("pictures") == pictures:  # other noise levels of the same pictures
            loss = {dtype: {**before["psnr_loss_db"][dtype], **of_dtype} for dtype, of_dtype in loss.items()}
        results[name] = {**differences(checkpoints.build(described), kind), "psnr_loss_db": loss, "pictures": pictures}
        results[name]["bears"] = [dtype for dtype in DTYPES if max(loss[dtype].values()) <= MOST_LOSS]
        print(name, json.dumps(results[name], indent=1), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
