import dataclasses
from typing import Any

import pytest
import torch

from checklist import randomise
from pellucid.models.cloformer import CLOFORMER_PRESETS, CloFormer, CloFormerConfig
from tolerances import assert_close

TINY: dict[str, Any] = {
    "classes": 5,
    "widths": (4, 6, 8, 10),
    "blocks": (1, 1, 2, 1),
    "heads": (2, 3, 2, 5),
    "splits": ((1, 1), (2, 1), (1, 1), (2, 3)),
    "expansions": (2, 2, 2, 2),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(**fields: Any) -> CloFormer:
    network = randomise(CloFormer(CloFormerConfig(**{**TINY, **fields})))
    assert isinstance(network, CloFormer)
    return network


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("xxs", 4_166_728), ("xs", 7_172_216), ("s", 12_345_576), ("global", 3_998_024), ("no-global", 4_733_256)],
)
def test_presets_have_the_published_parameters(preset: str, parameters: int) -> None:
    with torch.device("meta"):
        network = CloFormer(CLOFORMER_PRESETS[preset])
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(29, 29), (32, 64), (37, 61), (64, 30)])
def test_features_halve_with_ceilings_and_give_the_logits(size: tuple[int, int]) -> None:
    network, image = _tiny(), torch.randn(2, 3, *size)
    with torch.no_grad():
        maps, logits = network.features(image), network(image)
    H, W = size
    for features, width in zip(maps, (4, 6, 8, 10), strict=True):
        stride = network.config.strides[len([m for m in maps if m.shape[1] < width])]
        assert features.shape == (2, width, -(-H // stride), -(-W // stride))
    assert network.config.strides == (4, 8, 16, 32)
    assert_close(logits, network.head(network.norm(maps[-1]).mean((2, 3))))


def test_an_earlier_map_is_what_the_last_block_hands_over() -> None:
    network, image = _tiny(), torch.randn(1, 3, 40, 33)
    with torch.no_grad():
        first, second, *_ = network.features(image)
        stem = network.stem(image)
        assert_close(first, network.stages[0].blocks[0].mixed(stem))
        assert_close(second, network.stages[1].blocks[0].mixed(network.stages[0].blocks[0](stem)))


@pytest.mark.parametrize("size", [(28, 40), (40, 28), (1, 1)])
def test_a_picture_that_cannot_be_pooled_is_refused_in_a_sentence(size: tuple[int, int]) -> None:
    network = _tiny()
    assert network.config.smallest_side == 29
    with pytest.raises(ValueError, match=rf"{size[0]}×{size[1]} is too small: .* at least 29"):
        network(torch.ones(1, 3, *size))


def test_without_a_global_branch_any_size_will_do() -> None:
    network = _tiny(splits=((2, 0), (3, 0), (2, 0), (5, 0)))
    assert network.config.smallest_side == 1
    assert network(torch.ones(1, 3, 1, 2)).shape == (1, 5)


def test_batch_normalisation_is_folded_exactly() -> None:
    network, image = _tiny().double(), torch.randn(2, 3, 32, 35, dtype=torch.float64)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    x = image
    *convolutions, project, norm = network.stem
    for layer in convolutions:
        x = torch.relu(layer.norm(layer.convolution(x)))
    assert_close(network.stem(image), norm(project(x)))


def test_it_trains() -> None:
    network, image = _tiny(drop_path=0.2).train(), torch.randn(4, 3, 32, 32)
    network(image).square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())
    assert [block.drop_path for stage in network.stages for block in stage.blocks] == pytest.approx(
        [0, 0.05, 0.1, 0.15, 0.2]
    )


def test_a_frozen_stem_does_not_stop_training() -> None:
    """The first norm is then trained on a map without a gradient."""
    network, image = _tiny(), torch.randn(1, 3, 32, 32)
    network.stem.requires_grad_(False)
    network(image).sum().backward()
    assert network.stages[0].blocks[0].norm1.weight.grad is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": (1, 1)},
        {"kernels": ((3,), (5,), (7,))},
        {"widths": (), "blocks": (), "heads": (), "splits": (), "kernels": (), "pools": (), "expansions": ()},
        {"heads": (3, 3, 2, 5)},
        {"widths": (5, 6, 8, 10)},
        {"splits": ((1, 2), (2, 1), (1, 1), (2, 3))},
        {"splits": ((1, 1, 0), (2, 1), (1, 1), (2, 3))},
        {"splits": ((3, -1), (2, 1), (1, 1), (2, 3))},
        {"kernels": ((4,), (5,), (7,), (9,))},
        {"feedforward_kernels": (5, 5, 4, 5)},
        {"pools": (0, 4, 2, 1)},
        {"expansions": (0.0, 2, 2, 2)},
        {"expansions": (float("nan"), 2, 2, 2)},
        {"expansions": (float("inf"), 2, 2, 2)},
        {"blocks": (1, 0, 1, 1)},
        {"blocks": (400, 400, 1, 1)},
        {"classes": 0},
        {"in_channels": -1},
        {"drop_path": 1.0},
        {"drop_path": -0.1},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        CloFormerConfig(**{**TINY, **fields})


def test_a_configuration_is_frozen_and_keyword_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CloFormerConfig().classes = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        CloFormerConfig(3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        CLOFORMER_PRESETS["mine"] = CloFormerConfig()  # type: ignore[index]
