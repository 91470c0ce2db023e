import dataclasses
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import catnet_equations as equations
from checklist import randomise
from pellucid.models.catnet import CATNET_PRESETS, CATNet, CATNetConfig
from tolerances import assert_close

TINY: dict[str, Any] = {
    "blocks": (1, 1, 1, 2), "features": 64, "channels": 8, "iterations": 3, "key_channels": 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(encoder: nn.Module | None = None, **fields: Any) -> CATNet:
    """In float64, where rounding moves no pixel across a threshold."""
    network = CATNet(CATNetConfig(**{**TINY, **fields}), encoder).double()
    network.load_state_dict({name: t.double() for name, t in _state(network).items()})
    return network.eval()


def _state(network: CATNet) -> dict[str, Tensor]:
    return equations.random_values(network.state_dict(), torch.Generator().manual_seed(1))


def _episode(batch: int = 2, shots: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    support, query = torch.randn(batch, shots, 3, 45, 38).double(), torch.randn(batch, 3, 33, 50).double()
    masks = torch.zeros(batch, shots, 45, 38).double()
    for b in range(batch):
        for k in range(shots):
            masks[b, k, 4 + 7 * b : 30 + 3 * k, 9 : 20 + 5 * k] = 1
    return support, masks, query


@pytest.mark.parametrize("shots", [1, 2])
@pytest.mark.parametrize(
    "fields",
    [{}, {"head": "softmax", "alpha": 3.0}, {"mask_mode": "keys", "heads": 2}, {"shared_streams": True}],
    ids=str,
)
def test_the_network_is_its_equations(fields: dict[str, Any], shots: int) -> None:
    network, episode = _tiny(**fields), _episode(shots=shots)
    stated = {name: value for name, value in fields.items() if name in ("alpha", "mask_mode", "heads")}
    expected, rhos = equations.catnet(network.state_dict(), *episode, **stated)
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert_close(network(*episode), expected)
    for i, state in enumerate(network.refine(*episode)):
        assert_close(state.foreground[:, 0], torch.stack([of_episode[i] for of_episode in rhos]))


def test_presets_have_the_sizes_they_state() -> None:
    for preset, parameters in (("base", 42_500_160), ("resnet50", 23_508_032)):
        with torch.device("meta"):
            network = CATNet(CATNET_PRESETS[preset])
        assert sum(p.numel() for p in network.encoder.parameters()) == parameters
        assert network.reduce.weight.shape == (256, 2048, 1, 1)
        assert network.cmats[0].across[0].attention.query.weight.shape == (32, 256, 1, 1)
        assert len(network.cmats) == 4


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_fewer_iterations_are_the_first_ones(iterations: int) -> None:
    network, episode = _tiny(), _episode()
    states = network.refine(*episode)
    assert len(states) == 4
    assert len(network.refine(*episode, iterations)) == iterations + 1
    expected = network.probabilities(states[iterations].foreground, (33, 50))
    assert torch.equal(network(*episode, iterations=iterations), expected)


def test_each_iteration_refines_what_the_last_handed_on() -> None:
    """The mask of an iteration is the last ρ above τ̂; at another τ̂ the next differs and ρ_0 does not."""
    low, high = _tiny(dilated_threshold=0.01), _tiny(dilated_threshold=0.49)
    episode = _episode()
    a, b = (network.refine(*episode) for network in (low, high))
    assert torch.equal(a[0].foreground, b[0].foreground)
    assert not torch.allclose(a[-1].foreground, b[-1].foreground)
    seen: list[Tensor] = []
    for cmat in high.cmats:
        cmat.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[3]))
    states = high.refine(*episode)
    for mask, state in zip(seen, states[:-1], strict=True):
        assert torch.equal(mask, state.foreground > 0.49)


def test_probabilities_add_up_to_one_and_are_enlarged_with_corners_aligned() -> None:
    network, episode = _tiny(), _episode()
    found, grid = network(*episode), network.refine(*episode)[-1].foreground
    assert_close(found.sum(1), torch.ones(2, 33, 50).double())
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert_close(found[:, 1, y, x], grid[:, 0, y, x])
    assert torch.equal(network.segment(*episode), found[:, 1] > 0.5)


def test_a_batch_is_its_episodes_one_by_one() -> None:
    network, episode = _tiny(), _episode(batch=3)
    singly = [network(*(t[b : b + 1] for t in episode)) for b in range(3)]
    assert_close(network(*episode), torch.cat(singly))


def test_the_same_shot_twice_is_one_shot() -> None:
    network, (support, masks, query) = _tiny(), _episode(shots=1)
    twice = network(support.repeat(1, 2, 1, 1, 1), masks.repeat(1, 2, 1, 1), query)
    assert_close(twice, network(support, masks, query))


def test_a_support_picture_encoded_once_serves_every_query() -> None:
    network, (support, masks, queries) = _tiny(), _episode(batch=3, shots=1)
    F_s, M_s = network.encode(support[0]), masks[0][:, None]
    for query in queries.split(1):
        expected = network.refine(support[:1], masks[:1], query)[-1].foreground
        assert_close(network.refine_features(F_s, M_s, network.encode(query))[-1].foreground, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 8), (17, 64)])
def test_any_size_is_segmented_and_the_support_may_have_another(size: tuple[int, int]) -> None:
    network = _tiny()
    support, masks, query = torch.randn(1, 1, 3, *size).double(), torch.ones(1, 1, *size), torch.randn(1, 3, 12, 20)
    assert network(support, masks, query.double()).shape == (1, 2, 12, 20)
    assert network(query.double()[:, None], torch.ones(1, 1, 12, 20), support[:, 0]).shape == (1, 2, *size)


@pytest.mark.parametrize("pixels", [[], [(20, 17)]], ids=["empty", "one-pixel"])
def test_masks_of_few_pixels_are_taken(pixels: list[tuple[int, int]]) -> None:
    network, (support, masks, query) = _tiny(), _episode()
    masks.zero_()
    for y, x in pixels:
        masks[:, :, y, x] = 1
    found = network(support, masks, query)
    assert bool(torch.isfinite(found).all())
    if not pixels:  # no prototype, so the cosine is 0 and only t speaks
        assert_close(found[:, 1], torch.sigmoid(0.5 * network.head.t).expand(2, 33, 50))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_masks_may_be_of_any_type(dtype: torch.dtype) -> None:
    network, (support, masks, query) = _tiny(), _episode()
    assert torch.equal(network(support, masks.to(dtype), query), network(support, masks, query))


def test_every_parameter_learns_from_the_losses_of_all_iterations() -> None:
    network, episode = _tiny(), _episode()
    network.train()
    torch.stack([state.foreground.square().mean() for state in network.refine(*episode)]).sum().backward()
    # Those of key biases are rounding: they add the same to every score of a row, which a softmax does not see.
    silent = [name for name, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert silent == []
    assert network.head.t is not None


def test_no_gradient_goes_through_masks() -> None:
    network, (support, masks, query) = _tiny(), _episode()
    masks.requires_grad_()
    assert torch.autograd.grad(network(support, masks, query).sum(), masks, allow_unused=True) == (None,)
    # Of the classifier only the thresholded mask goes on, so the later losses do not train it.
    network.zero_grad()
    network(support, masks, query)[:, 1].sum().backward()
    assert all(p.grad is None for p in network.mife.classifier.parameters())


def test_the_cross_attention_matters() -> None:
    """In the published code, random values in its place change the output by exactly 0."""
    network, episode = _tiny(), _episode()
    before = network(*episode)
    for stream in (0, 1):
        attention = network.cmats[0].across[stream].attention
        kept = {name: t.clone() for name, t in attention.state_dict().items()}
        randomise(attention)
        assert float((network(*episode) - before).abs().max().detach()) > 1e-4
        attention.load_state_dict(kept)
    assert torch.equal(network(*episode), before)


def test_an_encoder_of_ones_own() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 7, 4, stride=4), nn.ReLU())
    network, (support, masks, query) = _tiny(encoder, blocks=(), features=7), _episode()
    assert network.encoder is encoder
    states = network.refine(support, masks, query)
    assert states[-1].support.shape == (4, 8, 11, 9)
    assert states[-1].query.shape == (2, 8, 8, 12)
    assert network(support, masks, query).shape == (2, 2, 33, 50)
    with pytest.raises(ValueError, match="needs an encoder"):
        CATNet(network.config)


@pytest.mark.parametrize(
    ("support", "masks", "query"),
    [
        ((1, 3, 16, 16), (1, 16, 16), (1, 3, 16, 16)),
        ((1, 1, 3, 16, 16), (1, 1, 8, 8), (1, 3, 16, 16)),
        ((1, 2, 3, 16, 16), (1, 1, 16, 16), (1, 3, 16, 16)),
        ((2, 1, 3, 16, 16), (2, 1, 16, 16), (1, 3, 16, 16)),
        ((1, 1, 3, 16, 16), (1, 1, 16, 16), (3, 16, 16)),
    ],
)
def test_shapes_that_disagree_are_refused(
    support: tuple[int, ...], masks: tuple[int, ...], query: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="support, masks and query must be"):
        _tiny()(torch.ones(support).double(), torch.ones(masks), torch.ones(query).double())


@pytest.mark.parametrize("iterations", [0, -1, 4])
def test_iterations_that_are_not_there_are_refused(iterations: int) -> None:
    with pytest.raises(ValueError, match="1 to 3 iterations"):
        _tiny()(*_episode(), iterations=iterations)


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": (1, 1, 1)},
        {"blocks": (1, 1, 0, 1)},
        {"blocks": (1, 1, 1, 1, 1)},
        {"blocks": (600, 1, 1, 1)},
        {"features": 65},
        {"features": 0},
        {"features": 2**20},
        {"channels": 2.0},
        {"iterations": 0},
        {"iterations": True},
        {"heads": 3},
        {"heads": 8},
        {"heads": 0},
        {"shared_streams": 1},
        {"mask_mode": "columns"},
        {"head": "max"},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"alpha": float("inf")},
        {"threshold": 1.0},
        {"threshold": 0.3},
        {"dilated_threshold": 0.0},
        {"dilated_threshold": 0.6},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        CATNetConfig(**{**TINY, **fields})


def test_a_configuration_is_frozen_keyword_only_and_small() -> None:
    config = CATNetConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.channels = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        CATNetConfig(3)  # type: ignore[misc]
    assert len(dataclasses.fields(config)) <= 15
    assert all(a.channels >= b.channels for a, b in pairwise(CATNET_PRESETS.values()))
