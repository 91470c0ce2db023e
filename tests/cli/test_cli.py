"""The command line is frozen: a new command or flag needs an edit here."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer

import pellucid
from contracts import GOLDEN
from little import LITTLE, little_picture
from pellucid import training
from pellucid.cli import display
from pellucid.cli.app import app
from pellucid.cli.options import parse_duration, parse_settings
from pellucid.data.degradations import GaussianNoise
from pellucid.errors import UsageError
from pellucid.images import Metadata, Picture
from pellucid.models.restormer import RestormerConfig
from pellucid.training import Phase, Recipe

COMMANDS = {
    "": ["--version"],
    "restore": [
        "IN...",
        "-o --output",
        "--task",
        "--scale",
        "--weights",
        "--strength",
        "--memory",
        "--device",
        "--dtype",
        "--recursive",
        "--overwrite",
        "--compare",
        "--no-provenance",
        "--json",
    ],
    "denoise-self": [
        "IN...",
        "-o --output",
        "--budget",
        "--quality",
        "--factor",
        "--start",
        "--save-weights",
        "--weights",
        "--report",
        "--memory",
        "--device",
        "--recursive",
        "--overwrite",
        "--compare",
        "--no-provenance",
        "--json",
    ],
    "models": ["--json"],
    "info": ["FILE", "--set", "--json"],
    "convert": ["OFFICIAL", "OUT", "--set", "--overwrite"],
    "train": ["[RECIPE]", "--data", "--out", "--set", "--start", "--max-time"],
    "eval": [
        "TASK",
        "--data",
        "--level",
        "--sigma",
        "--scale",
        "--kernels",
        "--grey",
        "--weights",
        "--memory",
        "--device",
        "--self-ensemble",
        "--out",
        "--strips",
        "--json",
    ],
}
PROGRAM = [sys.executable, "-m", "pellucid"]


def signature(command):
    return [" ".join(p.opts) if p.param_type_name == "option" else p.metavar for p in command.params]


@pytest.fixture
def recipe(monkeypatch):
    """A recipe of four steps under the name "toy"."""
    toy = Recipe(
        task="denoise", network=RestormerConfig(**LITTLE), degradation=GaussianNoise(), phases=(Phase(4, 1, 8),)
    )
    monkeypatch.setattr(training, "RECIPES", {"toy": toy})
    return toy


def test_commands_and_flags():
    group = typer.main.get_command(app)
    found = {"": signature(group)} | {name: signature(command) for name, command in group.commands.items()}
    assert found == COMMANDS


def test_help_names_every_flag_and_keeps_its_brackets(run):
    for name, flags in COMMANDS.items():
        result = run(*([name] if name else []), "--help")
        assert result.code == 0
        assert all(flag.split()[-1] in result.out for flag in flags)
    words = " ".join(run("restore", "--help").out.split())
    assert "beside the original" in words
    assert "half of free memory" in words


def test_help_does_not_import_torch():
    code = "import sys, pellucid.cli as c\ntry: c.main()\nexcept SystemExit: print('modules:', *sys.modules)"
    for arguments in ([], ["--help"], ["restore", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        modules = done.stdout.split("modules: ")[1].split()
        assert "typer" in modules
        assert not {"torch", "numpy", "PIL"} & set(modules)


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([*PROGRAM, "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5


def test_version(run):
    assert run("--version") == (0, f"{pellucid.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["restore"],
        ["restore", "a.png", "--nonsense"],
        ["restore", "a.png", "--strength", "strong"],
        ["beautify", "a.png"],
        ["info"],
        ["train", "toy", "--nonsense"],
        ["eval", "denoise", "--sigma", "15"],
        ["eval", "denoise", "--data", ".", "--sigma", "much"],
    ],
    ids=" ".join,
)
def test_wrong_usage(run, arguments):
    result = run(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert "Usage: " in result.err
    assert "Traceback" not in result.err


def test_as_a_program(weights, tmp_path):
    """The real thing, with its real exit codes; and a reader that goes away is no defect."""
    little_picture().save(tmp_path / "a.png")
    options = ["--weights", str(weights), "--device", "cpu", "--json"]
    done = subprocess.run(
        [*PROGRAM, "restore", "a.png", "gone.png", *options], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["source"], row["status"]) for row in rows] == [("gone.png", "failed"), ("a.png", "restored")]
    assert done.stderr == ""
    assert sorted(os.listdir(tmp_path)) == [".pellucid-ledger.jsonl", "a-restored.png", "a.png"]


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1.5H", 5400), (" 10 m ", 600), ("0s", 0)]
)
def test_durations(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "90", "2d", "-1h", "1h30m", "soon", "1e3s", "inf"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="is not a time"):
        parse_duration(text)


def test_train_and_use(run, recipe, photographs, tmp_path):
    """Trained, restored with, and gone on with by the same command."""
    command = ["train", "toy", "--data", photographs, "--out", tmp_path / "run", "--data", photographs]
    result = run(*command)
    assert result.code == 0, result.err
    assert str(tmp_path / "run" / "weights.safetensors") in result.out
    assert f"step {recipe.steps} of {recipe.steps}" in result.err
    again = run(*command, "--max-time", "1h")
    assert again.code == 0
    assert run("restore", photographs / "0.png", "--weights", tmp_path / "run").code == 0


def test_train_refuses_in_a_sentence(run, recipe, photographs, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    common = ["--out", tmp_path / "run", "--data"]
    for arguments, code, about in (
        (["unknown", *common, photographs], 2, "toy"),
        (["toy", "--data", photographs], 2, "--out"),
        (["toy", "--out", tmp_path / "run"], 2, "--data"),
        (["toy", *common, photographs, "--set", "lr=fast"], 2, "lr takes a number"),
        (["toy", *common, photographs, "--start", "nothing"], 2, "nothing"),
        (["toy", *common, photographs, "--max-time", "0s"], 2, "takes time"),
        (["toy", *common, photographs, "--max-time", "soon"], 2, "soon"),
        (["toy", *common, tmp_path / "empty"], 1, "empty"),
        (["toy", *common, tmp_path / "nowhere"], 1, "nowhere"),
    ):
        result = run("train", *arguments)
        assert (result.code, result.out) == (code, "")
        assert about in result.sentence
    assert run("train", "toy", *common, photographs).code == 0
    monkeypatch.setattr(training, "RECIPES", {"toy": replace(recipe, seed=5)})
    assert "another recipe" in run("train", "toy", *common, photographs).sentence


def test_train_lists_the_recipes(run):
    result = run("train")
    assert result.code == 0
    assert all(name in result.out for name in training.RECIPES)


@pytest.mark.usefixtures("recipe")
def test_train_changes_the_recipe_and_begins_with_weights(run, photographs, tmp_path):
    command = ["train", "toy", "--data", photographs, "--out"]
    assert run(*command, tmp_path / "one").code == 0
    weights = tmp_path / "one" / "weights.safetensors"
    result = run(*command, tmp_path / "two", "--start", weights, "--set", "lr=0", "--set", "matrix_lr=0")
    assert result.code == 0
    assert "tensors taken over" in result.err
    first, second = (pellucid.load(tmp_path / name / "weights.safetensors").state_dict() for name in ("one", "two"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_progress_of_training_in_words(monkeypatch, capsys):
    """Where there is no terminal: a line at once, then every half minute, and at the end."""
    now = iter([0.0, 0.0, 10.0, 31.0, 31.0, 40.0, 40.0])
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with display.training_progress() as report:
        for step, share in ((1, 0.01), (10, 0.1), (31, 0.31), (100, 1.0)):
            report(training.Progress(step, 100, 0.5, 2.0 * step, share, Path("run/samples/7.png")))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "step 1 of 100: loss 0.5000; samples in run/samples/7.png",
        "step 31 of 100: loss 0.5000, 0.50 steps/s, 2 min left; samples in run/samples/7.png",
        "step 100 of 100: loss 0.5000, 0.50 steps/s, 0 s left; samples in run/samples/7.png",
    ]


def test_train_into_a_file_is_a_sentence(run, recipe, photographs, tmp_path):
    (tmp_path / "file").write_text(recipe.network.__class__.__name__)
    result = run("train", "toy", "--data", photographs, "--out", tmp_path / "file")
    assert result.code == 1
    assert "file" in result.sentence


def test_info_on_a_picture(run, tmp_path):
    metadata = Metadata(xmp=b"<x/>", resolution=(72.0, 72.0))
    alpha = np.ones((6, 8), np.float32)
    picture = Picture(pixels=little_picture(6, 8, 1, 16).pixels, alpha=alpha, bit_depth=16, metadata=metadata)
    picture.save(tmp_path / "a.png")
    facts = run("info", tmp_path / "a.png", "--json").rows[0]
    assert facts == {
        "format": "PNG",
        "width": 8,
        "height": 6,
        "channels": 1,
        "bit_depth": 16,
        "has_alpha": True,
        "numbers": "unsigned",
        "pages": 1,
        "carries": ["XMP data", "resolution"],
        "restored_with": [],
        "notes": [],
    }
    lines = run("info", tmp_path / "a.png").out.splitlines()
    assert lines[-3:] == ["carries: XMP data, resolution", "restored with: none", "notes: none"]
    lines = run("info", tmp_path / "a.png").out.splitlines()
    assert "bit depth: 16" in lines
    assert "width: 8" in lines


def test_info_on_weights(run, weights):
    facts = run("info", weights, "--json").rows[0]
    assert facts["system"] == "Restormer"
    assert facts["origin"] == "pellucid"
    assert facts["parameters"] == sum(p.numel() for p in pellucid.load(weights).parameters())
    assert facts["configuration"]["width"] == LITTLE["width"]
    lines = run("info", weights).out.splitlines()
    assert "  width: 8" in lines
    assert "system: Restormer" in lines


@pytest.mark.parametrize("name", ["a.png", "a.safetensors", "a.pth", "a.txt", "missing.png", "missing.pth", "."])
@pytest.mark.parametrize("content", [b"", b"garbage" * 30])
def test_info_on_garbage(run, tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    if name.startswith("a"):
        (tmp_path / name).write_bytes(content)
    result = run("info", name)
    assert (result.code, result.out) == (1, "")
    assert name in result.sentence


def test_models(run):
    result = run("models", "--json")
    assert result.code == 0
    assert isinstance(json.loads(result.out), list)
    text = run("models")
    assert text.code == 0
    assert "restormer: base, " in text.out


def test_convert_stores_the_configuration(run, tmp_path):
    official, own = GOLDEN / "restormer_gray_withbias.pth", tmp_path / "own.safetensors"
    result = run("convert", official, own)
    assert result.code == 0
    assert result.out == f"{own}: Restormer, {len(pellucid.load(own).state_dict())} tensors used, 0 left out\n"
    for name, tensor in pellucid.load(official).state_dict().items():
        assert torch.equal(tensor, pellucid.load(own).state_dict()[name])
    content = own.read_bytes()
    result = run("convert", official, own)
    assert (result.code, own.read_bytes()) == (1, content)
    assert "own.safetensors" in result.sentence
    assert run("convert", official, own, "--overwrite").code == 0


@pytest.mark.parametrize("setting", ["width", "width=", "=3", "width=print(1)", "1a=3", "width=(", "a b=3"])
def test_a_setting_that_is_none_is_a_sentence(run, tmp_path, setting):
    official = GOLDEN / "restormer_gray_withbias.pth"
    for command in (["info", official], ["convert", official, tmp_path / "own.safetensors"]):
        result = run(*command, "--set", setting)
        assert result.code == 2
        assert repr(setting) in result.sentence
    assert list(tmp_path.iterdir()) == []


def test_settings_are_read_as_python_writes_them():
    texts = ["num_heads=2,4", "stripe_size=(8, None)", "window_size=16", "stripe_shift=True"]
    assert parse_settings(texts) == {
        "num_heads": (2, 4),
        "stripe_size": (8, None),
        "window_size": 16,
        "stripe_shift": True,
    }


def test_a_setting_that_the_system_does_not_take_is_a_sentence(run, weights):
    result = run("info", GOLDEN / "restormer_gray_withbias.pth", "--set", "heads=2")
    assert (result.code, result.out) == (2, "")
    assert "takes no settings, not heads" in result.sentence
    result = run("info", weights, "--set", "heads=2")
    assert (result.code, result.out) == (2, "")
    assert "holds its own configuration" in result.sentence


def test_the_commands_need_no_module_that_only_unix_has():
    code = "import sys; sys.modules['resource'] = sys.modules['fcntl'] = None; import pellucid.cli.app"
    subprocess.run([sys.executable, "-c", code], check=True)
