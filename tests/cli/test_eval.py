"""`pellucid eval` measures every task, and `pellucid models` shows what was measured."""

import json
import os
import shutil

import numpy as np
import pytest

from little import smooth_pixels
from pellucid.cli import display
from pellucid.images import Picture
from pellucid.images.picture import to_floats


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
