"""House rules that no other tool checks, read off the source's syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pellucid

ROOT = Path(pellucid.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
OPS = sorted(folder for folder in (ROOT / "ops").iterdir() if folder.is_dir() and folder.name != "__pycache__")

BUILT_IN_CALLS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
FORBIDDEN_NAMES = {
    "pickle.load": "runs code from the file",
    "pickle.loads": "runs code from the file",
    "pickle.Unpickler": "runs code from the file",
    "marshal.load": "runs code from the file",
    "marshal.loads": "runs code from the file",
    "shelve.open": "runs code from the file",
    "joblib.load": "runs code from the file",
    "dill.load": "runs code from the file",
    "cloudpickle.load": "runs code from the file",
    "torch.jit.load": "runs code from the file",
    "torch.hub.load": "runs code from the network",
    "torch.package.PackageImporter": "runs code from the file",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "subprocess.getoutput": "runs a shell",
    "subprocess.getstatusoutput": "runs a shell",
}
FORBIDDEN_ARGUMENTS = {
    ("weights_only", False): "runs code from the file",
    ("allow_pickle", True): "runs code from the file",
    ("shell", True): "runs a shell",
    ("strict", False): "loads weights that do not fit",
}
COMPLEX = {"complex", "complex32", "complex64", "complex128", "cfloat", "cdouble", "chalf", "view_as_complex", "fft"}


def _origins(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: `from os import system as s` makes s stand for os.system."""
    origins = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            origins.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            origins.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return origins


def _dotted(node: ast.AST, origins: dict[str, str]) -> str:
    """`torch.jit.load` of the expression that means it, whatever the names it was imported under."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, origins)}.{node.attr}"
    return origins.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def breaches(source: str) -> Iterator[str]:
    """Each breach of the rules for all files, with its line."""
    tree = ast.parse(source)
    origins = _origins(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield f"{node.lineno}: star import"
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (f"{node.lineno}: {name} {FORBIDDEN_NAMES[name]}" for name in names if name in FORBIDDEN_NAMES)
        if isinstance(node, ast.Attribute) and (name := _dotted(node, origins)) in FORBIDDEN_NAMES:
            yield f"{node.lineno}: {name} {FORBIDDEN_NAMES[name]}"
        if isinstance(node, ast.Call):
            yield from _breaches_of_call(node, origins)


def _breaches_of_call(call: ast.Call, origins: dict[str, str]) -> Iterator[str]:
    name = _dotted(call.func, origins)
    if name.removeprefix("builtins.") in BUILT_IN_CALLS:
        yield f"{call.lineno}: {name}()"
    for keyword in call.keywords:
        if isinstance(keyword.value, ast.Constant):
            # `strict` of zip and map is about lengths, not about weights
            pair = (keyword.arg or "", keyword.value.value)
            if pair in FORBIDDEN_ARGUMENTS and not (pair[0] == "strict" and name in {"zip", "map"}):
                yield f"{call.lineno}: {pair[0]}={pair[1]} {FORBIDDEN_ARGUMENTS[pair]}"
    if name == "torch.load" and not any(k.arg == "weights_only" for k in call.keywords):
        yield f"{call.lineno}: torch.load without weights_only=True"
    if name.endswith("load_state_dict") and len(call.args) > 1:
        yield f"{call.lineno}: load_state_dict with a positional `strict`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_runs_foreign_code_or_loads_loosely(path: Path) -> None:
    assert list(breaches(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)",
        "import pickle as p\np.loads(b)",
        "from pickle import loads",
        "from pickle import load as innocent",
        "import pickle\nclass U(pickle.Unpickler): pass",
        "import torch\ntorch.jit.load(f)",
        "from torch import jit\njit.load(f)",
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=False)",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "eval('1')",
        "import builtins\nbuiltins.exec('1')",
        "import os\nos.system('ls')",
        "from os import system",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from os.path import *",
        "net.load_state_dict(d, strict=False)",
        "net.load_state_dict(d, False)",
    ],
)
def test_the_rules_have_teeth(source: str) -> None:
    assert list(breaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(f, weights_only=True)",
        "net.eval()",
        "re.compile('a')",
        "net.load_state_dict(d, strict=True)",
    ],
)
def test_the_rules_let_ordinary_code_pass(source: str) -> None:
    assert list(breaches(source)) == []


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 20
    assert OPS


@pytest.mark.parametrize("folder", OPS, ids=lambda folder: folder.name)
def test_every_op_has_a_reference_and_a_fast_path(folder: Path) -> None:
    assert {"__init__.py", "reference.py", "fast.py"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("folder", OPS, ids=lambda folder: folder.name)
def test_no_fast_path_uses_complex_numbers(folder: Path) -> None:
    """They can be neither exported nor compiled everywhere."""
    tree = ast.parse((folder / "fast.py").read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {part for origin in _origins(tree).values() for part in origin.split(".")}
    assert not names & COMPLEX
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert not any(isinstance(value, complex) for value in constants)


@pytest.mark.parametrize("folder", OPS, ids=lambda folder: folder.name)
def test_no_op_owns_parameters(folder: Path) -> None:
    """Mathematics has no `nn`: functions of torch.nn.functional at most."""
    for path in folder.glob("*.py"):
        imported = _origins(ast.parse(path.read_text(encoding="utf-8"))).values()
        assert not {"torch.nn", "torch.nn.Module", "torch.nn.Parameter"} & set(imported)
