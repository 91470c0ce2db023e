"""Sample k depends only on the seed, k and the pictures; crops and noise are what the recipe says."""

import numpy as np
import pytest
import torch

from little import smooth_pixels
from pellucid.data import PictureFolders, batched, degraded_pair, gaussian_noise, picture_paths, read_rgb8
from pellucid.data.degradations import Bayer, GaussianNoise, JpegCompression, Reduction
from pellucid.data.samples import random_crop, vivid
from pellucid.errors import DataError, PictureError
from pellucid.images import Picture
from pellucid.images.picture import to_floats

OPTIONS = {"seed": 3, "size": 16, "degradation": GaussianNoise()}


def numbered(height, width):
    """A picture in which every pixel differs from every other."""
    numbers = np.arange(height * width)
    return np.stack([numbers % 256, numbers // 256, 255 - numbers % 256], 1).reshape(height, width, 3).astype(np.uint8)


def save(pixels, path):
    path.parent.mkdir(exist_ok=True, parents=True)
    Picture(pixels=to_floats(pixels)).save(path)


def colours(pixels):
    """The colours in an (H, W, 3) array of values 0..1."""
    return set(map(tuple, np.rint(pixels * 255).reshape(-1, 3).astype(int).tolist()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    save(numbered(20, 30), folder / "b.png")
    save(numbered(40, 24)[::-1], folder / "sub" / "a.png")
    save(smooth_pixels(5, 50), folder / "c.tif")
    return folder


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_sample_depends_only_on_seed_and_number(folder):
    forwards, backwards = PictureFolders(folder), PictureFolders(folder)
    first = [degraded_pair(forwards, k, **OPTIONS) for k in range(12)]
    np.random.seed(1)
    torch.manual_seed(1)
    second = [degraded_pair(backwards, k, **OPTIONS) for k in reversed(range(12))][::-1]
    assert all(equal(one, other) for one, other in zip(first, second, strict=True))
    assert equal(first[7], degraded_pair(PictureFolders(folder), 7, **OPTIONS))


def test_samples_and_seeds_differ(folder):
    pictures = PictureFolders(folder)
    noises = [pair.degraded - pair.clean for pair in (degraded_pair(pictures, k, **OPTIONS) for k in range(6))]
    noises += [pair.degraded - pair.clean for pair in [degraded_pair(pictures, 0, **{**OPTIONS, "seed": 4})]]
    for i, one in enumerate(noises):
        for other in noises[:i]:
            correlation = np.corrcoef(one.flatten(), other.flatten())[0, 1]
            assert abs(correlation) < 0.2


def test_samples_of_a_long_run(folder):
    pictures = PictureFolders(folder)
    late = degraded_pair(pictures, 10**12, **OPTIONS)
    assert not equal(late, degraded_pair(pictures, 10**12 + 1, **OPTIONS))


def test_batch_is_the_samples_in_order(folder):
    pictures = PictureFolders(folder)
    batch = batched([degraded_pair(pictures, k, **OPTIONS) for k in (5, 6, 7)])
    for i, k in enumerate((5, 6, 7)):
        assert equal((batch.clean[i], batch.degraded[i]), degraded_pair(pictures, k, **OPTIONS))
    for part in batch:
        assert part.shape == (3, 3, 16, 16)
        assert part.dtype == torch.float32
        assert part.is_contiguous(memory_format=torch.channels_last)


def test_every_picture_is_as_likely(tmp_path):
    for shade in range(3):
        save(np.full((16, 16, 3), shade, np.uint8), tmp_path / f"{shade}.png")
    pictures = PictureFolders(tmp_path)
    shades = [float(degraded_pair(pictures, k, **OPTIONS).clean.mean()) * 255 for k in range(300)]
    assert np.histogram(shades, bins=3, range=(-0.5, 2.5))[0].min() > 100 - 4 * (300 * 2 / 9) ** 0.5


def test_all_eight_orientations_occur(generator):
    picture = numbered(6, 6)
    turned = [np.rot90(picture, quarter) for quarter in range(4)]
    expected = {view.tobytes() for upright in turned for view in (upright, upright[:, ::-1])}
    crops = [np.rint(random_crop(picture, 6, generator) * 255).astype(np.uint8).tobytes() for _ in range(400)]
    assert len(expected) == 8
    assert set(crops) == expected
    assert min(crops.count(view) for view in expected) > 20  # 50 ± 6.6 each


def test_all_places_occur(generator):
    picture = numbered(5, 7)
    crops = [random_crop(picture, 4, generator) for _ in range(300)]
    assert {round(crop[..., 0].min() * 255) for crop in crops} == {7 * y + x for y in range(2) for x in range(4)}


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (3, 40), (40, 3), (16, 15)])
def test_small_pictures_are_reflected_to_the_size(generator, size):
    picture = numbered(*size)
    crop = random_crop(picture, 16, generator)
    assert crop.shape == (16, 16, 3)
    assert crop.dtype == np.float32
    assert colours(crop) <= colours(to_floats(picture))


def test_clean_values_are_the_bytes_over_255(folder):
    clean = degraded_pair(PictureFolders(folder), 0, **OPTIONS).clean.numpy()
    np.testing.assert_array_equal(clean, np.rint(clean * 255).astype(np.float32) / np.float32(255))
    assert clean.min() >= 0
    assert clean.max() <= 1


@pytest.mark.parametrize("sigma", [1.0, 25.0, 80.0])
def test_noise_is_white_and_gaussian(generator, sigma):
    clean = np.full((200, 200, 3), 0.5, np.float32)
    noise = (gaussian_noise(clean, sigma, generator) - clean).astype(np.float64) * 255 / sigma
    count = noise.size
    assert abs(noise.mean()) < 4 / count**0.5
    assert abs(noise.std() - 1) < 4 / (2 * count) ** 0.5
    assert abs((noise**3).mean()) < 4 * (15 / count) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / count) ** 0.5
    for neighbour in (noise[1:] * noise[:-1], noise[:, 1:] * noise[:, :-1], noise[..., 1:] * noise[..., :-1]):
        assert abs(neighbour.mean()) < 4 / neighbour.size**0.5


def test_noise_is_neither_clipped_nor_written_into_the_original(generator):
    clean = np.array([[[0.0, 0.5, 1.0]]], np.float32).repeat(400, 0)
    before = clean.copy()
    noisy = gaussian_noise(clean, 50.0, generator)
    assert noisy.dtype == np.float32
    assert noisy.min() < 0
    assert noisy.max() > 1
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(gaussian_noise(clean, 0.0, generator), clean)


def test_noise_level_is_uniform_between_the_limits(folder):
    pictures = PictureFolders(folder)
    pairs = [
        degraded_pair(pictures, k, seed=0, size=24, degradation=GaussianNoise(sigma=(10.0, 50.0))) for k in range(200)
    ]
    levels = np.array([float((pair.degraded - pair.clean).std()) * 255 for pair in pairs])
    assert levels.min() > 10 * 0.9
    assert levels.max() < 50 * 1.1
    assert abs(levels.mean() - 30) < 4 * 40 / (12 * 200) ** 0.5
    assert np.histogram(levels, bins=4, range=(10, 50))[0].min() > 25


def test_folders_in_an_order_of_their_own(folder, tmp_path):
    assert [str(path.relative_to(folder)) for path in picture_paths(folder)] == ["b.png", "c.tif", "sub/a.png"]
    save(smooth_pixels(4, 4), tmp_path / "z.png")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    both = PictureFolders(tmp_path, folder)
    assert len(both) == 4
    assert [path.name for path in both.paths] == ["z.png", "b.png", "c.tif", "a.png"]
    assert [picture.shape for picture in both] == [(4, 4, 3), (20, 30, 3), (5, 50, 3), (40, 24, 3)]


def test_pictures_are_decoded_once(folder):
    pictures = PictureFolders(folder)
    assert pictures[0] is pictures[0]


def test_pictures_make_way_where_there_is_no_room(tmp_path):
    for shade in range(4):
        save(np.full((10, 10, 3), shade, np.uint8), tmp_path / f"{shade}.png")
    pictures = PictureFolders(tmp_path, most_bytes=2 * 300)
    for index in (0, 1, 2, 3, 0, 3):
        assert (pictures[index] == index).all()
        assert len(pictures._decoded) <= 2
    assert list(pictures._decoded) == [3, 0]
    assert (PictureFolders(tmp_path, most_bytes=1)[2] == 2).all()


def test_everything_becomes_rgb_of_8_bits(tmp_path):
    pixels = np.array([[[0.0], [0.5], [1.0]]], np.float32)
    grey = Picture(pixels=pixels, alpha=np.zeros((1, 3), np.float32), bit_depth=16)
    grey.save(tmp_path / "grey.png")
    assert read_rgb8(tmp_path / "grey.png").tolist() == [[[0] * 3, [128] * 3, [255] * 3]]


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="is not a folder of pictures"):
        picture_paths(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no picture"):
        PictureFolders(tmp_path)


def test_damaged_picture_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"broken\.png"):
        PictureFolders(tmp_path)[0]


def test_vivid_changes_colours_and_stays_in_range():
    crop = np.random.default_rng(0).random((8, 8, 3), np.float32)
    changed = [vivid(crop, np.random.default_rng(seed)) for seed in range(50)]
    assert all(c.dtype == np.float32 and c.min() >= 0 and c.max() <= 1 for c in changed)
    assert all(np.abs(c - crop).max() > 0.05 for c in changed)
    assert any(c.min(axis=2).mean() < 0.1 for c in changed), "no crop came near pure colours"
    assert np.array_equal(vivid(crop, np.random.default_rng(7)), changed[7])


def test_vivid_share(folder):
    pictures = PictureFolders(folder)
    plain, mixed, changed = (
        [degraded_pair(pictures, k, GaussianNoise(), seed=0, size=8, vivid_share=share).clean for k in range(60)]
        for share in (0.0, 0.5, 1.0)
    )
    same = [torch.equal(a, b) for a, b in zip(plain, mixed, strict=True)]
    assert 15 < sum(same) < 45
    assert not any(torch.equal(a, b) for a, b in zip(plain, changed, strict=True))


def test_grey_share(folder):
    pictures, degradation = PictureFolders(folder), JpegCompression(quality=(20, 20))
    pairs = [degraded_pair(pictures, k, degradation, seed=0, size=16, grey_share=0.5) for k in range(60)]
    grey = [torch.equal(pair.clean[0], pair.clean[1]) and torch.equal(pair.clean[1], pair.clean[2]) for pair in pairs]
    assert 15 < sum(grey) < 45
    for pair, is_grey in zip(pairs, grey, strict=True):
        assert pair.degraded.shape == pair.clean.shape == (3, 16, 16)
        if is_grey:
            assert torch.equal(pair.degraded[0], pair.degraded[2])
            assert torch.equal(pair.clean, (pair.clean * 255).round() / 255)


def test_crops_are_cut_out_of_larger_ones_that_were_degraded(folder):
    """The clean part is the picture's own pixels, whatever the margin; the size must suit the degradation."""
    pictures = PictureFolders(folder)
    for k in range(10):
        pair = degraded_pair(pictures, k, Bayer(), seed=1, size=8)
        seen = torch.zeros(8, 8, dtype=torch.bool)
        seen[0::2, 0::2] = True
        assert torch.equal(pair.degraded[0][seen], pair.clean[0][seen])
    with pytest.raises(ValueError, match="not a multiple of 4"):
        degraded_pair(pictures, 0, Reduction(scale=4), seed=0, size=10)
