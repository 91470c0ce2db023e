"""Everything a checkout can do, with nothing but Python: `python3 bootstrap.py demo|test|check|bench`.

The first call makes a virtual environment in .venv and installs pellucid and its tools into it.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
EXTRAS = {"demo": "", "test": "[dev]", "check": "[dev]", "bench": "[dev,bench]"}
COMMANDS = {
    "demo": [["python", "examples/demo.py"]],
    "test": [["python", "-m", "pytest"]],
    "check": [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["pyright"],
        ["lint-imports"],
        ["python", "tools/check_budgets.py"],
        ["python", "-m", "pytest", "-q", "tests/test_public_api.py"],
    ],
    "bench": [
        ["python", "benchmarks/layers.py"],
        ["python", "benchmarks/networks.py"],
        ["python", "benchmarks/denoise.py"],
    ],
}


def install(extras: str) -> None:
    """Make the environment if it is missing, and install what has not been installed from this pyproject.toml."""
    stamp = ENVIRONMENT / f"installed{extras or '[]'}.txt"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not (BIN / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run([str(BIN / "python"), "-m", "pip", "install", "-q", "-e", f".{extras}"], cwd=ROOT, check=True)
    stamp.write_text(wanted)


def main() -> int:
    """Install what the command needs and run it; return its exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        install(EXTRAS[sys.argv[1]])
    except subprocess.CalledProcessError as error:
        print(f"setting up failed ({error}); the lines above say why", file=sys.stderr)
        return 1
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    for program, *arguments in COMMANDS[sys.argv[1]]:
        code = subprocess.run([str(BIN / program), *arguments], cwd=ROOT, env=environment).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
