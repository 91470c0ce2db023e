"""How a blind-spot network is used on a picture, and what its weight file says of that."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid
from pellucid import checkpoints
from pellucid.errors import CheckpointError
from pellucid.images import Picture
from pellucid.models.tbsn import TBSN, TBSNConfig
from pellucid.ops.lattices import from_lattices, to_lattices
from pellucid.tasks.blind_spot import BlindSpotDenoiser, Procedure, procedure_of
from pellucid.tasks.seen import Seen

TINY = TBSNConfig(width=8, blocks=(1, 1, 1), refinement=1)


class Constant(nn.Module):
    """Predicts one value everywhere."""

    def forward(self, x):
        return torch.full_like(x, 100.0)


def noise(*shape, sigma=20.0, seed=0):
    return sigma * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_lattices_of_any_step(step):
    x = torch.randn(2, 3, 4 * step, 2 * step)
    lattices = to_lattices(x, step)
    assert lattices.shape == (2 * step**2, 3, 4, 2)
    assert torch.equal(lattices[step**2 - 1], x[0, :, step - 1 :: step, step - 1 :: step])
    assert torch.equal(from_lattices(lattices, step), x)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_noise_around_a_right_prediction_goes(factor):
    noisy = 100 + noise(1, 3, 96, 80)
    denoised = BlindSpotDenoiser(Constant(), 8, Procedure(factor, 2))(noisy)
    assert (denoised - 100).std() < 0.15 * 20


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_what_is_not_noise_stays(channels):
    noisy = 100 + noise(1, channels, 96, 96, sigma=2.0)
    noisy[..., 40:56, 40:56] += 60
    denoised = BlindSpotDenoiser(Constant(), 8, Procedure(1, 0))(noisy)
    assert (denoised - noisy).mean(1)[..., 43:53, 43:53].abs().max() < 1.0
    assert (denoised - 100)[..., :32, :].std() < 0.5


def test_colour_noise_goes_where_brightness_was_missed():
    """The prediction misses a texture of brightness; there, and only there, noise of brightness comes back."""
    texture = torch.zeros(1, 1, 128, 128)
    texture[..., 96:, :] = noise(1, 1, 32, 128, sigma=40.0)
    spoilt = noise(1, 3, 128, 128, sigma=10.0, seed=1)
    error = BlindSpotDenoiser(Constant(), 8, Procedure(1, 0))(100 + texture + spoilt) - 100 - texture
    colour = error - error.mean(1, keepdim=True)
    assert error[..., :88, :].std() < 0.25 * 10
    assert colour[..., 104:, :].std() < 0.25 * 10
    assert error[..., 104:, :].mean(1).std() < 1.1 * 10 / 3**0.5


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("white", [0.0, 255.0])
def test_areas_where_noise_is_cut_off_change_nothing_elsewhere(share, white):
    """The prediction has a small error there, the same in all channels."""
    height = int(128 * share)

    class Foreseen(nn.Module):
        def forward(self, x):
            predicted = torch.full_like(x, 100.0)
            predicted[..., :height, :] = white + 0.5
            return predicted

    noisy = 100 + noise(1, 3, 128, 128, sigma=10.0)
    noisy[..., :height, :] = white
    denoised = BlindSpotDenoiser(Foreseen(), 8, Procedure(1, 0, (100.0,) * 9))(noisy)
    assert (denoised - 100)[..., height + 8 :, :].std() < 0.25 * 10


@pytest.mark.parametrize("hole", [torch.nan, torch.inf])
def test_what_is_not_finite_raises_nothing(hole):
    noisy = 100 + noise(1, 3, 64, 64)
    noisy[0, 0, 5, 5] = hole
    assert not BlindSpotDenoiser(Constant(), 8, Procedure(1, 0))(noisy).isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_without_noise_are_left_alone(channels):
    noisy = torch.full((1, channels, 64, 64), 90.0)
    assert torch.equal(BlindSpotDenoiser(nn.Identity(), 8, Procedure(1, 0))(noisy), noisy)
    noisy[:, 0] += noise(1, 64, 64)
    assert BlindSpotDenoiser(Constant(), 8, Procedure(1, 0))(noisy).isfinite().all()


def test_noise_that_the_channels_share_is_known_as_noise():
    """All channels have nearly the same noise, as after a camera's processing, and the prediction misses a colour."""
    shared = noise(1, 1, 128, 128, sigma=10.0) + noise(1, 3, 128, 128, sigma=2.0, seed=1)
    missed = torch.zeros(1, 3, 128, 128)
    missed[:, 0, 96:] = noise(1, 32, 128, sigma=30.0, seed=2)
    error = BlindSpotDenoiser(Constant(), 8, Procedure(1, 0))(100 + missed + shared) - 100 - missed
    assert error[..., :88, :].std() < 0.25 * 10
    assert error[..., 104:, :].std() < 0.8 * 10


def test_a_wrong_prediction_does_no_harm():
    noisy = 180 + noise(1, 3, 96, 96, sigma=5.0)
    denoised = BlindSpotDenoiser(Constant(), 8, Procedure(1, 0, (3 * 5.0**2,)))(noisy)
    assert (denoised - noisy).abs().max() < 3.0


def test_noise_that_grows_with_brightness_is_told_from_detail():
    """Half of the picture is ten times as noisy as the other, and as much brighter: both halves are denoised."""

    class Halves(nn.Module):
        def forward(self, x):
            return torch.cat([torch.full_like(x[..., :48], 50.0), torch.full_like(x[..., 48:], 200.0)], dim=-1)

    noisy = Halves()(torch.zeros(1, 1, 96, 96))
    clean = noisy.clone()
    noisy[..., :48] += noise(1, 1, 96, 48, sigma=2.0)
    noisy[..., 48:] += noise(1, 1, 96, 48, sigma=20.0, seed=1)
    error = BlindSpotDenoiser(Halves(), 8, Procedure(1, 0))(noisy) - clean
    assert error[..., :42].std() < 0.3 * 2
    assert error[..., 54:].std() < 0.3 * 20


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 65)])
@pytest.mark.parametrize("factor", [1, 2])
def test_any_size(size, factor):
    torch.manual_seed(0)
    network = BlindSpotDenoiser(TBSN(TINY), TINY.multiple, Procedure(factor, 1)).eval()
    with torch.inference_mode():
        answer = network(255 * torch.rand(2, 3, *size))
    assert answer.shape == (2, 3, *size)
    assert answer.isfinite().all()


def test_refinement_is_the_same_in_a_tile():
    """Replaced pixels lie alike in a tile that begins at a multiple; here they are all that the network sees."""
    network = BlindSpotDenoiser(nn.Identity(), 16, Procedure(1, 3))
    y, first = noise(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    whole = network.refined(y, first)
    assert torch.equal(network.refined(y[..., 16:48, 32:], first[..., 16:48, 32:]), whole[..., 16:48, 32:])
    assert 0.1 < (whole != 0).float().mean() / 3 < 0.2


def test_every_pass_replaces_other_pixels():
    network = BlindSpotDenoiser(nn.Identity(), 64, Procedure(1, 2))
    seen = 2 * network.refined(torch.ones(1, 1, 64, 64), torch.zeros(1, 1, 64, 64))
    assert 0.01 < (seen == 2).float().mean() < 0.05  # about 0.16 squared


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "self.safetensors"
    about = {"task": "denoise", **Procedure(2, 1).about(), **Seen(levels=(0.1, 0.9)).about()}
    checkpoints.save(TBSN(TINY), "tbsn", path, about=about)
    return path


def test_weights_are_used_as_they_say(weights):
    values = np.random.default_rng(0).random((72, 80, 3)).astype(np.float32)  # more than two blocks of 32
    restored = pellucid.restore(Picture(pixels=values), weights=weights)
    network = BlindSpotDenoiser(pellucid.load(weights), TINY.multiple, Procedure(2, 1))
    seen = torch.from_numpy((values - 0.1) / 0.8 * 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = network(seen)[0].permute(1, 2, 0).numpy() / 255 * 0.8 + 0.1
    np.testing.assert_allclose(restored.pixels, expected.clip(0, 1), atol=1e-5)


def test_scientific_pictures_are_seen_in_the_span_of_the_weights(tmp_path):
    path = tmp_path / "self.safetensors"
    torch.manual_seed(0)
    about = {"task": "denoise", **Procedure(1, 0).about(), **Seen(span=(-1000.0, 3000.0)).about()}
    checkpoints.save(TBSN(TINY), "tbsn", path, about=about)
    values = np.random.default_rng(0).uniform(0, 100, (40, 40, 3)).astype(np.float32)
    picture = Picture(pixels=values, numbers="float", bit_depth=32, span=(0.0, 100.0))
    wider = Picture(pixels=values, numbers="float", bit_depth=32, span=(-1000.0, 3000.0))
    # A page that has less range than those that were learned from is not stretched.
    restored = [pellucid.restore(one, weights=path).pixels for one in (picture, wider)]
    np.testing.assert_array_equal(restored[0], restored[1])


@pytest.mark.parametrize(
    "about",
    [
        {"factor": "0", "passes": "1", "most": ""},
        {"factor": "2"},
        {"factor": "two", "passes": "1", "most": "1.0"},
        {"factor": "2", "passes": "1", "most": "nan"},
        {"factor": "2", "passes": "1", "most": "-1.0"},
        {"factor": "2", "passes": "1", "most": "1.0 2.0.0"},
        {"factor": "2", "passes": "1", "most": "1e99"},
        {"factor": "2", "passes": "1", "most": "1.0 " * 99},
        {"passes": "999"},
    ],
)
def test_nonsense_is_refused(about):
    with pytest.raises(CheckpointError, match="makes no sense"):
        procedure_of(about)


@pytest.mark.parametrize("words", ["", "1", "1 0", "nan 1", "0 inf", "a b"])
def test_nonsensical_levels_are_refused(words):
    with pytest.raises(CheckpointError, match="makes no sense"):
        Seen.by({"levels": words})


def test_what_is_said_is_read_again():
    for procedure in (Procedure(3, 8), Procedure(1, 0, (1e-7,)), Procedure(2, 4, (0.0, 1.5, 123.456e5))):
        assert procedure_of(procedure.about()) == procedure
    seen = Seen(span=(-0.1, 7e9), levels=(0.25, 0.3))
    assert Seen.by(seen.about()) == seen
    assert procedure_of({}) is None
