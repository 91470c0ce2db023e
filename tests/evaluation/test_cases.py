"""What is measured: pictures, or pairs that belong together."""

import numpy as np
import pytest

from evaluation_pictures import save
from little import smooth_pixels
from pellucid.errors import DataError, UsageError
from pellucid.evaluation import find_cases, measure, protocol_for, read_case
from pellucid.images.picture import to_integers
from pellucid.metrics import psnr_grey

SIZE = (24, 30)


def pairs(folder, clean="target", **degraded):
    """Clean pictures by name, and folders of degraded ones by name."""
    for name in ("1", "2"):
        save(smooth_pixels(*SIZE), folder / clean / f"{name}.png")
    for level, names in degraded.items():
        for name in names:
            save(255 - smooth_pixels(*SIZE), folder / level / f"{name}.png")
    return folder


def found(task, folder, levels=(), **options):
    protocol, cases = find_cases(protocol_for(task), folder, levels, **options)
    return protocol, [(case.level, case.clean.name, case.degraded and case.degraded.name) for case in cases]


def test_a_plain_folder_is_degraded_here(photographs):
    protocol, cases = found("denoise", photographs, ["7.5", 15, "25"])
    assert cases == [(level, f"{name}.png", None) for level in (7.5, 15, 25) for name in "abc"]
    assert not protocol.grey
    assert {level for level, *_ in found("denoise", photographs)[1]} == {15, 25, 50}


@pytest.mark.parametrize("clean", ["target", "clean", "gt"])
def test_pairs_are_found_by_their_folders(tmp_path, clean):
    folder = pairs(tmp_path, clean, light_input=["1", "2"], heavy_input=["2"])
    protocol, cases = found("derain", folder)
    assert cases == [
        ("heavy", "2.png", "2.png"),
        ("light", "1.png", "1.png"),
        ("light", "2.png", "2.png"),
    ]
    assert (protocol.compared, protocol.border) == ("y", 0)
    assert found("derain", folder, ["heavy"])[1] == cases[:1]


def test_pairs_of_names_that_go_on(tmp_path):
    folder = pairs(tmp_path, "gt", blurred=["1_kernel3_img", "2x4", "1"])
    save(smooth_pixels(*SIZE), folder / "gt" / "12.png")
    save(smooth_pixels(*SIZE), folder / "blurred" / "12_a.png")
    assert [case[1] for case in found("deblur", folder)[1]] == ["1.png", "12.png", "1.png", "2.png"]


@pytest.mark.parametrize("name", ["3", "13", "a1"])
def test_a_degraded_picture_without_a_clean_one_is_named(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name}\.png has no clean picture"):
        found("denoise", pairs(tmp_path, noisy=["1", name]))


def test_pairs_are_read_as_they_lie(tmp_path):
    protocol, cases = find_cases(protocol_for("denoise"), pairs(tmp_path, noisy=["1"]))
    degraded, clean = read_case(protocol, cases[0])
    np.testing.assert_array_equal(clean, smooth_pixels(*SIZE))
    np.testing.assert_array_equal(to_integers(degraded.pixels, 8), 255 - smooth_pixels(*SIZE))


def test_pairs_of_different_sizes_are_a_sentence(tmp_path):
    folder = pairs(tmp_path, noisy=["1"])
    save(smooth_pixels(24, 29), folder / "noisy" / "2.png")
    with pytest.raises(DataError, match=r"2\.png.* do not fit together"):
        list(measure(lambda picture: picture, *find_cases(protocol_for("denoise"), folder)))


def test_low_resolution_is_taken_where_it_is_supplied(tmp_path):
    save(smooth_pixels(25, 30), tmp_path / "HR" / "bird.png")
    for scale in (2, 4):
        small = np.full((25 // scale, 30 // scale, 3), scale, np.uint8)
        save(small, tmp_path / "LR_bicubic" / f"X{scale}" / f"birdx{scale}.png")
    protocol, (case,) = find_cases(protocol_for("sr", scale=4), tmp_path)
    assert (case.level, case.name, case.clean.name) == (4, "birdx4.png", "bird.png")
    assert "as supplied" in str(protocol)
    degraded, clean = read_case(protocol, case)
    assert (to_integers(degraded.pixels, 8) == 4).all()
    np.testing.assert_array_equal(clean, smooth_pixels(25, 30)[:24, :28])
    with pytest.raises(DataError, match="no folder X3"):
        find_cases(protocol_for("sr", scale=3), tmp_path)


def test_shifted_pairs_are_aligned_before_they_are_compared(tmp_path):
    scene = np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)
    save(scene[8:-8, 8:-8], tmp_path / "gt" / "im1.png")
    save(scene[12:-4, 3:-13], tmp_path / "blurred" / "im1_kernel1.png")
    protocol, cases = find_cases(protocol_for("deblur"), tmp_path)
    (found,) = measure(lambda picture: picture, protocol, cases)
    assert found.restored["psnr_rgb"] == np.inf
    assert "best whole shift of at most 8 pixels" in str(protocol)


def test_grey_pictures_are_measured_as_grey(tmp_path):
    pixels = smooth_pixels(*SIZE)
    save(pixels[..., :1], tmp_path / "grey" / "1.png")
    protocol, cases = find_cases(protocol_for("dejpeg"), tmp_path / "grey", [10])
    assert protocol.compared == "grey"
    shown = []
    (found,) = measure(lambda picture: picture, protocol, cases, show=shown.append)
    assert shown[0].clean.shape == (*SIZE, 1)
    assert found.input["psnr_grey"] == psnr_grey(shown[0].input, shown[0].clean)
    save(pixels, tmp_path / "grey" / "2.png")
    assert find_cases(protocol_for("dejpeg"), tmp_path / "grey")[0].compared == "rgb"


def test_colour_is_made_grey_where_that_is_asked_for(photographs):
    """As the field makes the grey BSD68 of the colour one."""
    protocol, cases = find_cases(protocol_for("denoise"), photographs, [0], grey=True)
    _, clean = read_case(protocol, cases[0])
    expected = np.rint(smooth_pixels(20, 31) @ [0.2989, 0.5870, 0.1140])
    np.testing.assert_array_equal(clean[..., 0], expected)


@pytest.mark.parametrize(
    ("task", "levels", "about"),
    [
        ("denoise", [-5], "-5 is no σ"),
        ("denoise", ["much"], "much is no σ"),
        ("denoise", ["nan"], "nan is no σ"),
        ("dejpeg", [0], "from 1 to 100"),
        ("deblur", [9], "from 1 to 8"),
        ("sr", [4], "from 2 to 2"),
        ("demosaic", ["GRBG"], "there is RGGB"),
    ],
)
def test_levels_there_are_not_are_a_sentence(photographs, task, levels, about):
    with pytest.raises(UsageError, match=about):
        found(task, photographs, levels)


def test_a_folder_of_pairs_there_is_not_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="'heavy'; there is light"):
        found("derain", pairs(tmp_path, light=["1"]), ["heavy"])
    with pytest.raises(DataError, match="no folder input"):
        found("derain", pairs(tmp_path / "alone"))


def test_rain_is_measured_on_pairs(photographs):
    with pytest.raises(DataError, match="holds no pairs"):
        found("derain", photographs)


def test_a_mosaic_needs_colours(photographs, tmp_path):
    with pytest.raises(UsageError, match="colours"):
        found("demosaic", photographs, grey=True)
    save(smooth_pixels(*SIZE)[..., :1], tmp_path / "1.png")
    with pytest.raises(UsageError, match="colours"):
        found("demosaic", tmp_path)
