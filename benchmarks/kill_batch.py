"""Kill a batch at random moments, again and again, and see whether its results are ever wrong.

`python benchmarks/kill_batch.py [--kills 100] [--seed 0] [--pictures 8]` runs `pellucid restore` on a folder of small
pictures and sends it SIGKILL after a random time. Every other time two processes share the batch; most are forked from
this one, but every tenth is a whole program, killed from its start on. After each kill every file in the folder of
results must equal that of an undisturbed run. When a batch gets through, the folder must hold exactly these, and the
next begins with an empty one. Fails with a sentence otherwise.
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pellucid import Picture, checkpoints, cli
from pellucid.models.restormer import Restormer, RestormerConfig
from pellucid.tasks.ledger import LEDGER_NAME

START_UP = 3.0  # seconds, about, that a whole program needs longer than a forked one
TEMPORARY = re.compile(r"\.pellucid-[0-9a-f]{16}\.part")


class Batch:
    """A folder of pictures, a very small network, and the folder of results."""

    def __init__(self, folder: Path, pictures: int) -> None:
        torch.manual_seed(0)
        config = RestormerConfig(
            width=8, blocks=(1, 1), heads=(1, 2), refinement=1, expansion=2.0, norm_bias=False, unshuffle=2
        )
        checkpoints.save(Restormer(config), "restormer", folder / "weights.safetensors")
        (folder / "in" / "below").mkdir(parents=True)
        (folder / "in" / "Thumbs.db").write_bytes(b"no picture")
        generator = np.random.default_rng(0)
        for i in range(pictures):
            place = folder / "in" / ("below" if i % 3 == 2 else "") / f"{i}.png"
            Picture(pixels=generator.random((96, 128, 3), np.float32)).save(place)
        self.output = folder / "out"
        self._command = [
            *("restore", str(folder / "in"), "-o", str(self.output), "--recursive"),
            *("--weights", str(folder / "weights.safetensors"), "--device", "cpu"),
        ]

    def start(self, *, whole: bool = False) -> int:
        """Begin the batch, or go on with it, in a process of its own; returns its id."""
        process = os.fork()
        if process:
            return process
        silence = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(silence, number)
        if whole:
            os.execv(sys.executable, [sys.executable, "-m", "pellucid", *self._command])
        sys.argv = ["pellucid", *self._command]
        code = 70
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)

    def files(self) -> dict[str, bytes]:
        """Everything in the folder of results, temporary files and ledger included."""
        return {
            str(path.relative_to(self.output)): path.read_bytes() for path in self.output.rglob("*") if path.is_file()
        }

    def empty(self) -> None:
        """Remove the folder of results."""
        shutil.rmtree(self.output, ignore_errors=True)


def is_temporary(name: str) -> bool:
    """Whether this is what a killed process leaves of a result that is not whole."""
    return TEMPORARY.fullmatch(Path(name).name) is not None


def run(batch: Batch, delays: list[float], *, whole: bool) -> list[int]:
    """Start a process for each delay and kill it after that many seconds; returns exit codes, −9 of the killed."""
    processes = [batch.start(whole=whole) for _ in delays]
    started = time.perf_counter()
    codes: list[int] = []
    for process, delay in sorted(zip(processes, delays, strict=True), key=lambda pair: pair[1]):
        while not (ended := os.waitpid(process, os.WNOHANG))[0] and time.perf_counter() - started < delay:
            time.sleep(0.001)
        if not ended[0]:
            os.kill(process, signal.SIGKILL)
            ended = os.waitpid(process, 0)
        codes.append(os.waitstatus_to_exitcode(ended[1]))
    return codes


def undisturbed(batch: Batch) -> tuple[dict[str, bytes], float]:
    """The results of a run that nobody kills, and the seconds it takes."""
    started = time.perf_counter()
    (code,) = run(batch, [100.0], whole=False)
    seconds = time.perf_counter() - started
    if code:
        raise SystemExit(f"a run that nobody killed ended with {code}")
    return {name: content for name, content in batch.files().items() if name != LEDGER_NAME}, seconds


def main() -> None:
    """Kill, compare, print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a process with threads cannot be forked
    chance = random.Random(options.seed)
    kills = runs = through = leftovers = torn = 0
    with tempfile.TemporaryDirectory() as folder:
        batch = Batch(Path(folder), options.pictures)
        expected, forked_seconds = undisturbed(batch)
        batch.empty()
        while kills < options.kills:
            whole = runs % 10 == 9
            longest = forked_seconds + whole * START_UP
            codes = run(batch, [chance.uniform(0, longest) for _ in range(1 + runs % 2)], whole=whole)
            runs += 1
            kills += codes.count(-signal.SIGKILL)
            if unexpected := set(codes) - {0, -signal.SIGKILL}:
                raise SystemExit(f"a run ended with {unexpected}")
            found = batch.files()
            ledger = found.pop(LEDGER_NAME, b"").splitlines(keepends=True)
            torn += sum(not line.endswith(b"}\n") for line in ledger)
            leftovers += sum(map(is_temporary, found))
            for name, content in found.items():
                if not is_temporary(name) and content != expected.get(name):
                    raise SystemExit(f"after {kills} kills {name} is not what it should be")
            if 0 in codes:
                through += 1
                if not set(expected) <= set(found):
                    raise SystemExit("a run got through and left results out")
                batch.empty()
        if undisturbed(batch)[0] != expected:
            raise SystemExit("the last run's results are not those of an undisturbed run")
    print(
        f"{kills} kills in {runs} runs, of which {through} got through: no partial file among the results, and in the "
        f"end they equal those of an undisturbed run. {leftovers} temporary files and {torn} torn lines were seen."
    )


if __name__ == "__main__":
    main()
