"""The command line is frozen: a new command or flag needs an edit here."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer

import pellucid
from contracts import GOLDEN
from little import LITTLE, little_picture, smooth_pixels
from pellucid import training
from pellucid.cli import app, display
from pellucid.cli.options import parse_duration, parse_settings
from pellucid.errors import UsageError
from pellucid.images import Metadata, Picture
from pellucid.images.picture import to_floats
from pellucid.models.restormer import RestormerConfig
from pellucid.training import DenoisingRecipe, Phase

COMMANDS = {
    "": ["--version"],
    "restore": [
        "IN...",
        "-o --output",
        "--task",
        "--weights",
        "--strength",
        "--memory",
        "--device",
        "--dtype",
        "--overwrite",
        "--json",
    ],
    "models": ["--json"],
    "info": ["FILE", "--set", "--json"],
    "convert": ["OFFICIAL", "OUT", "--set", "--overwrite"],
    "train": ["RECIPE", "--data", "--out", "--start", "--max-time"],
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
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i, size in enumerate([(20, 30), (16, 16)]):
        Picture(pixels=to_floats(smooth_pixels(*size))).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def recipe(monkeypatch):
    """A recipe of four steps under the name "toy"."""
    toy = DenoisingRecipe(network=RestormerConfig(**LITTLE), phases=(Phase(4, 1, 8),))
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
        ["train", "toy"],
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
    assert [json.loads(line)["error"] is None for line in done.stdout.splitlines()] == [True, False]
    assert done.stderr == ""
    assert sorted(os.listdir(tmp_path)) == ["a-restored.png", "a.png"]


@pytest.mark.parametrize(
    "given",
    ["--sigma 15 25", "--sigma 15 --sigma 25", "--sigma 15 25 --memory 4GiB", "--level 15 25", "--level 15 --sigma 25"],
)
def test_several_values(run, weights, photographs, given):
    result = run("eval", "denoise", "--data", photographs, *given.split(), "--weights", weights, "--json")
    assert result.code == 0, result.err
    (rows,) = result.rows
    assert [(row["level"], row["pictures"]) for row in rows] == [(15, 2), (25, 2)]
    assert set(rows[0]) == {"level", "pictures", "input", "restored", "seconds_per_megapixel"}
    assert set(rows[0]["input"]) == set(rows[0]["restored"]) == {"psnr_rgb", "ssim_rgb"}


def test_several_values_before_the_argument_that_follows(run, weights, photographs):
    result = run("eval", "--sigma", "25", "--data", photographs, "--weights", weights, "denoise", "--json")
    assert result.code == 0, result.err


def test_eval_prints_a_table_and_saves_every_measurement(run, weights, photographs, tmp_path):
    options = ["--data", photographs, "--weights", weights, "--sigma", "15", "50"]
    result = run("eval", "denoise", *options, "--out", tmp_path / "rows.json")
    assert result.code == 0, result.err
    assert "photographs" in result.out
    assert "PSNR (RGB)" in result.out
    saved = json.loads((tmp_path / "rows.json").read_text())
    assert (saved["data"], saved["weights"]) == ("photographs", "little")
    assert saved["method"] == "one pass"
    assert [row["level"] for row in saved["rows"]] == [15, 50]
    before, after = (saved["rows"][1][which]["psnr_rgb"] for which in ("input", "restored"))
    assert f"{before:.2f} → {after:.2f}" in result.out
    assert f"{after - before:+.2f}" in result.out


@pytest.mark.parametrize(
    ("task", "options", "measure"),
    [
        ("dejpeg", ["--level", "10"], "psnr_rgb"),
        ("dejpeg", ["--level", "10", "--grey"], "psnr_grey"),
        ("sr", ["--scale", "2"], "psnr_y"),
        ("demosaic", [], "psnr_rgb"),
    ],
)
def test_eval_of_other_tasks(run, weights, tmp_path, task, options, measure):
    Picture(pixels=to_floats(smooth_pixels(30, 32))).save(tmp_path / "a.png")
    result = run("eval", task, "--data", tmp_path, "--weights", weights, *options, "--json")
    assert result.code == 0, result.err
    ((row,),) = result.rows
    assert set(row["restored"]) == {measure, measure.replace("psnr", "ssim")}


def test_eval_of_kernels_gives_their_mean(run, weights, tmp_path):
    np.savez(tmp_path / "kernels.npz", a=np.ones((3, 3)), b=np.eye(5))
    Picture(pixels=to_floats(smooth_pixels(50, 52))).save(tmp_path / "a.png")
    options = ["--data", tmp_path, "--weights", weights, "--kernels", tmp_path / "kernels.npz"]
    (rows,) = run("eval", "deblur", *options, "--json").rows
    assert [row["level"] for row in rows] == [1, 2, "mean"]
    psnr = [row["restored"]["psnr_rgb"] for row in rows]
    assert psnr[2] == pytest.approx((psnr[0] + psnr[1]) / 2)
    (row,) = run("eval", "deblur", *options, "--level", "2", "--json").rows[0]
    assert row == {**rows[1], "seconds_per_megapixel": row["seconds_per_megapixel"]}


def test_eval_of_pairs_shows_them_and_their_folder(run, identity, photographs, tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("target", "heavy"):
        shutil.copytree(photographs, tmp_path / "set" / name)
    options = ["--data", tmp_path / "set", "--weights", identity, "--strips", tmp_path / "strips"]
    result = run("eval", "derain", *options)
    assert result.code == 0, result.err
    assert "heavy" in result.out
    assert "PSNR (Y)" in result.out
    assert sorted(os.listdir(tmp_path / "strips")) == ["0-heavy-strip.png", "1-heavy-strip.png"]


def test_eval_with_the_self_ensemble(run, weights, photographs, tmp_path):
    options = ["--data", photographs, "--weights", weights, "--sigma", "25", "--json", "--out", tmp_path / "a.json"]
    (once,), (eight,) = (
        run("eval", "denoise", *options).rows[0],
        run("eval", "denoise", *options, "--self-ensemble").rows[0],
    )
    assert once["input"] == eight["input"]
    assert once["restored"]["psnr_rgb"] != eight["restored"]["psnr_rgb"]
    assert json.loads((tmp_path / "a.json").read_text())["method"] == "self-ensemble of eight orientations"


def test_eval_of_perfect_results_is_json(run, identity, photographs):
    result = run("eval", "denoise", "--data", photographs, "--weights", identity, "--sigma", "0", "--json")
    assert result.code == 0
    json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"--data": "nowhere"}, 1),
        ({"--sigma": "-5"}, 2),
        ({"task": "beautify"}, 2),
        ({"task": "dejpeg"}, 2),
        ({"--scale": "2"}, 2),
        ({"--kernels": "nowhere.npz"}, 2),
        ({"--level": "loud"}, 2),
        ({"--weights": "nowhere"}, 2),
        ({"--out": "nowhere/rows.json"}, 1),
    ],
    ids=str,
)
def test_eval_refuses_in_a_sentence(run, weights, photographs, tmp_path, monkeypatch, changed, code):
    monkeypatch.chdir(tmp_path)
    options = {"task": "denoise", "--data": photographs, "--sigma": "15", "--weights": weights, **changed}
    task = options.pop("task")
    result = run("eval", task, *(part for option in options.items() for part in option))
    assert (result.code, result.out) == (code, "")
    assert result.sentence


def test_eval_of_a_picture_too_small_is_a_sentence(run, weights, photographs):
    Picture(pixels=to_floats(smooth_pixels(5, 5))).save(photographs / "small.png")
    result = run("eval", "denoise", "--data", photographs, "--sigma", "15", "--weights", weights)
    assert result.code == 1
    assert "small.png" in result.sentence


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
        "notes": [],
    }
    lines = run("info", tmp_path / "a.png").out.splitlines()
    assert lines[-2:] == ["carries: XMP data, resolution", "notes: none"]
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


def card(name, task, unit, levels, *, scale=1, mean=None):
    """A card with as much on it as the table shows."""

    def row(level, psnr):
        return {"level": level, "input": {"psnr_y": psnr - 1}, "restored": {"psnr_y": psnr}}

    rows = [row(level, 30 + i) for i, level in enumerate(levels)]
    measured = {"Set": {"unit": unit, "rows": rows, "mean": mean and row("mean", mean)}, "Other": {}}
    parameters, seconds = 1_234_567, 12.34
    return {
        "name": name,
        "task": task,
        "scale": scale,
        "parameters": parameters,
        "seconds_per_megapixel": seconds,
        "measured": measured,
    }


def test_models_shows_what_each_task_is_measured_by(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    cards = [
        card("a-dejpeg", "dejpeg", "quality", [10, 20, 30, 40]),
        card("restormer-denoise-s", "denoise", "σ", [0, 15]),
        card("c-sr", "sr", "scale", [4], scale=4),
        card("d-deblur", "deblur", "kernel", [1, 2], mean=25.5),
    ]
    display.show_cards(cards, defaults={"c-sr"})
    text = capsys.readouterr().out
    assert "…" not in text
    for words in (
        "10/20/30/40",
        "30.00/31.00/32.00/33.00",
        "from 29.0/30.0/31.0/32.0",
        "│ 31.00 ",  # what is clean before is no achievement
        "c-sr *",
        "sr ×4, 1.23 M",
        "Set, kernel",
        "25.50",
        "12.3",
    ):
        assert words in text


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
