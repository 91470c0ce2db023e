"""Our layers and networks against the plain equations: parity first, then speed in turn, then peak memory."""

import functools
import json
import multiprocessing
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from pellucid.cli.process import ask_for_whole_blocks, keep_freed_memory
from plain import PAPERS
from plain.cases import Case, plain_equations
from timing import extra_peak_bytes, time_in_turn

RESULTS = Path(__file__).parent / "results"
TOLERANCE = 1e-5  # of the largest value, in float32


def prepared(paper: str, case: Case, fast: bool) -> Callable[[], torch.Tensor]:
    """Return a call of the case on random input: ours in channels-last memory, or the plain equations.

    What a first call loads is loaded by one on a small input, so that it does not count as the case's memory.
    """
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    module = case.make().eval().requires_grad_(False)
    x = torch.randn(case.shape)
    call = functools.partial(_run_plainly, paper)
    if fast:
        module, x = module.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
        call = torch.nn.Module.__call__
    call(module, torch.randn(case.small_shape))
    return functools.partial(call, module, x)


def _run_plainly(paper: str, module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with plain_equations(PAPERS[paper].PLAIN):
        return module(x)


def prepared_by_name(paper: str, kind: str, name: str, fast: bool) -> Callable[[], object]:
    """Build one case in a fresh process, ready to be called."""
    keep_freed_memory()
    return prepared(paper, _case(paper, kind, name), fast)


def _case(paper: str, kind: str, name: str) -> Case:
    return next(case for case in getattr(PAPERS[paper], kind) if case.name == name)


def compare(paper: str, kind: str, name: str, rounds: int) -> dict[str, float]:
    """Measure one case, in a process of its own, where nothing that another one left is in the way.

    Raises:
        ArithmeticError: ours differs from the plain equations.
    """
    keep_freed_memory()
    case = _case(paper, kind, name)
    calls = {"plain": prepared(paper, case, fast=False), "ours": prepared(paper, case, fast=True)}
    expected, actual = calls["plain"](), calls["ours"]()
    error = float((actual - expected).abs().max() / expected.abs().max())
    if not error <= TOLERANCE:
        raise ArithmeticError(f"{case.name} differs from the plain equations by {error:.1e}; nothing is reported")
    seconds = time_in_turn(calls, rounds)
    memory = {
        which: extra_peak_bytes(functools.partial(prepared_by_name, paper, kind, name, which == "ours"))
        for which in calls
    }
    return {
        "relative_error": error,
        **{f"{which}_ms": 1e3 * value for which, value in seconds.items()},
        **{f"{which}_mib": value / 2**20 for which, value in memory.items()},
        "speedup": seconds["plain"] / seconds["ours"],
        "memory_share": memory["ours"] / memory["plain"],
    }


def processor() -> str:
    """Return the name of the processor, on which ratios depend: libraries use some better than others."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw time and extra peak memory as shares of the plain equations'."""
    import matplotlib as mpl  # not needed by the package itself

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 1 + 0.3 * len(results)), layout="constrained")
    places = range(len(results))
    time_shares = [1 / row["speedup"] for row in results.values()]
    memory_shares = [row["memory_share"] for row in results.values()]
    axes.barh([place - 0.2 for place in places], time_shares, height=0.4, label="time")
    axes.barh([place + 0.2 for place in places], memory_shares, height=0.4, label="extra peak memory")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(places, list(results))
    axes.invert_yaxis()
    axes.set_xlabel("share of the plain equations'")
    axes.legend()
    figure.savefig(path, dpi=100)


def main(kind: str, rounds: int, names: Sequence[str]) -> int:
    """Print, save and return 1 where parity is red. `names` choose cases; without any, all are measured."""
    ask_for_whole_blocks()  # of both alike, or memory differs by half from run to run
    context = multiprocessing.get_context("spawn")
    results: dict[str, Any] = {}
    for paper, module in PAPERS.items():
        for case in getattr(module, kind):
            if names and case.name not in names:
                continue
            try:
                with ProcessPoolExecutor(1, context) as process:
                    row = process.submit(compare, paper, kind, case.name, rounds).result()
            except ArithmeticError as error:
                print(error, file=sys.stderr)
                return 1
            results[case.name] = {"paper": paper, "shape": case.shape, **row}
            print(
                f"{case.name:24} plain {row['plain_ms']:7.1f} ms, {row['plain_mib']:5.0f} MiB;  "
                f"ours {row['ours_ms']:7.1f} ms, {row['ours_mib']:5.0f} MiB;  "
                f"{row['speedup']:.2f}× as fast, {row['memory_share']:.0%} of the memory",
                flush=True,
            )
    if not names:
        content = {"threads": torch.get_num_threads(), "processor": processor(), "torch": torch.__version__, **results}
        (RESULTS / f"{kind.lower()}.json").write_text(json.dumps(content, indent=1) + "\n")
        plot(results, RESULTS / f"{kind.lower()}.png")
    return 0
