"""The public names: adding, renaming or removing one needs an edit here and a line in the changelog."""

import pkgutil
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

import pellucid
from contracts import PUBLIC

NAMES = {
    "pellucid": ["PellucidError", "Picture", "__version__", "create", "denoise_self", "load", "restore"],
    "pellucid.checkpoints": [
        "SYSTEMS",
        "Described",
        "Restoration",
        "System",
        "build",
        "convert",
        "count_parameters",
        "create",
        "describe",
        "load",
        "read_weight_file",
        "save",
    ],
    "pellucid.data": [
        "Degradation",
        "Pair",
        "PictureFolders",
        "batched",
        "degraded_pair",
        "gaussian_noise",
        "picture_paths",
        "read_rgb8",
    ],
    "pellucid.evaluation": [
        "PROTOCOLS",
        "SETS",
        "Case",
        "Measurement",
        "Problem",
        "Protocol",
        "Restore",
        "Row",
        "Shown",
        "StandardSet",
        "find_cases",
        "measure",
        "overall",
        "plain_values",
        "protocol_for",
        "read_case",
        "save_measurements",
        "strip_writer",
        "summarise",
        "tool_for",
        "with_self_ensemble",
    ],
    "pellucid.images": [
        "FORMATS",
        "Metadata",
        "Picture",
        "PictureHeader",
        "PictureStream",
        "bytes_to_write",
        "is_picture",
        "open_pages",
        "open_picture",
        "read_header",
        "read_pages",
        "read_picture",
        "unsupported",
        "write_pages",
        "write_picture",
    ],
    "pellucid.metrics": [
        "SSIM_WINDOW",
        "best_aligned",
        "luma",
        "psnr_grey",
        "psnr_rgb",
        "psnr_y",
        "ssim_grey",
        "ssim_rgb",
        "ssim_y",
    ],
    "pellucid.tasks": [
        "DEFAULT_WEIGHTS",
        "FileProgress",
        "Job",
        "Outcome",
        "RestoreOptions",
        "Restorer",
        "Skipped",
        "bundled_weights",
        "default_weights",
        "find_weights",
        "plan_jobs",
        "read_card",
        "restore",
        "restore_files",
    ],
    "pellucid.data.degradations": [
        "Bayer",
        "CameraShake",
        "Defocus",
        "Degradation",
        "GaussianNoise",
        "JpegCompression",
        "Rain",
        "RealWorld",
        "Reduction",
        "UndoneShake",
        "blurred",
        "disc_kernel",
        "gaussian_kernel",
        "gaussian_noise",
        "jpeg",
        "motion_kernel",
        "poisson_gaussian_noise",
        "rain_layer",
    ],
    "pellucid.selfsupervised": [
        "Beginning",
        "LearnOptions",
        "Learned",
        "Learning",
        "Noise",
        "Quality",
        "denoise_self",
        "describe",
        "learn",
        "measure_noise",
        "write_page",
    ],
    "pellucid.training": [
        "RECIPES",
        "Cosine",
        "Phase",
        "Progress",
        "Recipe",
        "Staircase",
        "changed",
        "train",
    ],
    **PUBLIC,  # the layers and ops of each paper
}
WITHOUT_NAMES = {"pellucid.cli", "pellucid.models", "pellucid.ops"}  # the command line, and folders of modules
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def in_a_fresh_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def public_names(module):
    """`__all__`; without one, the classes that the package imports, as `pellucid.layers` does."""
    return getattr(module, "__all__", [name for name, value in vars(module).items() if isinstance(value, type)])


@pytest.mark.parametrize("package", NAMES)
def test_names_are_exactly_these_and_resolve(package):
    module = import_module(package)
    assert sorted(public_names(module)) == sorted(NAMES[package])
    for name in NAMES[package]:
        assert getattr(module, name) is not None


def test_every_package_is_listed():
    packages = {info.name for info in pkgutil.walk_packages(pellucid.__path__, "pellucid.") if info.ispkg}
    assert packages | {"pellucid"} == NAMES.keys() | WITHOUT_NAMES


def test_errors_share_one_root():
    errors = import_module("pellucid.errors")
    found = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(found) == {
        "BudgetError",
        "CheckpointError",
        "DataError",
        "PellucidError",
        "PictureError",
        "UsageError",
    }
    assert all(issubclass(value, pellucid.PellucidError) for value in found.values())


def test_names_at_the_top_are_those_below():
    for name, home in {"create": "checkpoints", "load": "checkpoints", "Picture": "images", "restore": "tasks"}.items():
        assert getattr(pellucid, name) is getattr(import_module(f"pellucid.{home}"), name)
    assert sorted(dir(pellucid)) == sorted(pellucid.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'destroy'"):
        _ = pellucid.destroy


def test_importing_costs_nothing():
    imported = in_a_fresh_process("import sys, pellucid; print(*sys.modules)").split()
    assert not {"torch", "numpy", "PIL", "tifffile", "typer", "rich"} & set(imported)


def test_pictures_and_metrics_need_no_torch():
    imported = in_a_fresh_process("import sys, pellucid.images, pellucid.metrics; print(*sys.modules)").split()
    assert "numpy" in imported
    assert "torch" not in imported


def test_version_is_the_one_of_the_project():
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    assert pellucid.__version__ == project["version"] == metadata.version("pellucid")
