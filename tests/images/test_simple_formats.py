"""BMP and the PNM family: read exactly, written so that others read them, and what becomes of few bits is said."""

import io

import numpy as np
import pytest
from PIL import Image

from pellucid.errors import PictureError
from pellucid.images import Metadata, Picture, read_header, read_picture, unsupported
from pellucid.images.picture import to_floats

RNG = np.random.default_rng(0)
GREY, COLOUR = (RNG.integers(0, 256, (6, 9, *end), dtype=np.uint8) for end in ((), (3,)))


@pytest.fixture
def read(tmp_path):
    def read(data):
        (tmp_path / "picture.bin").write_bytes(data)
        header, picture = read_header(tmp_path / "picture.bin"), read_picture(tmp_path / "picture.bin")
        assert (header.height, header.width, header.channels) == picture.pixels.shape
        assert (header.bit_depth, header.has_alpha) == (picture.bit_depth, picture.has_alpha)
        return picture

    return read


def bmp(mode, **options):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).convert(mode).save(buffer, "BMP", **options)
    return buffer.getvalue()


def as_bytes(picture):
    return np.rint(picture.pixels * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "note"),
    [
        ("L", ()),
        ("RGB", ()),
        ("RGBA", ()),  # without masks, its fourth byte has no meaning
        ("P", ("converted from a palette to RGB",)),
        ("1", ("widened from 1 to 8 bits per channel",)),
    ],
)
def test_bmp(read, mode, note):
    picture = read(bmp(mode, dpi=(0, 0)))
    expected = np.asarray(Image.fromarray(COLOUR).convert(mode).convert("L" if mode in "L1" else "RGB"))
    np.testing.assert_array_equal(as_bytes(picture), expected.reshape(6, 9, -1))
    assert picture.notes == note
    assert picture.metadata.resolution is None


def test_bmp_with_alpha_and_with_16_bits(read):
    head = bmp("RGBA")
    masks = np.array([0xFF0000, 0xFF00, 0xFF, 0xFF000000], "<u4").tobytes()
    alpha = RNG.integers(0, 256, (6, 9, 4), dtype=np.uint8)
    info = head[14:18].replace(b"\x28", b"\x38") + head[18:30] + b"\3\0\0\0" + head[34:54] + masks
    start = head[:10] + (14 + 56).to_bytes(4, "little")
    picture = read(start + info + alpha[::-1, :, [2, 1, 0, 3]].tobytes())
    np.testing.assert_array_equal(as_bytes(picture), alpha[..., :3])
    np.testing.assert_array_equal(np.rint(picture.alpha * 255), alpha[..., 3])
    narrow = head[:28] + b"\x10\0" + head[30:54] + bytes(20 * 6)
    assert read(narrow).notes == ("widened from 5 to 8 bits per channel",)


@pytest.mark.parametrize("samples", [GREY, COLOUR])
def test_bmp_is_read_by_others_and_keeps_its_resolution(tmp_path, samples):
    floats = to_floats(samples.reshape(6, 9, -1))
    path = tmp_path / "a.bmp"
    assert Picture(pixels=floats, metadata=Metadata(resolution=(300.0, 150.0))).save(path) == ()
    np.testing.assert_array_equal(np.asarray(Image.open(path)), samples)
    assert read_picture(path).metadata.resolution == pytest.approx((300, 150), rel=1e-3)


def test_a_palette_of_greys_is_grey(read):
    for form in ("PNG", "BMP"):
        image = Image.fromarray(GREY // 4, "L").convert("P")
        image.putpalette([value for level in range(64) for value in [level * 3] * 3])
        buffer = io.BytesIO()
        image.save(buffer, form)
        picture = read(buffer.getvalue())
        assert picture.channels == 1
        np.testing.assert_array_equal(as_bytes(picture)[..., 0], GREY // 4 * 3)
        assert picture.notes == ("converted from a palette to grey",)


def test_a_palette_of_greys_with_transparency_is_grey(read):
    image = Image.fromarray(GREY // 4, "L").convert("P")
    image.putpalette([value for level in range(64) for value in [level * 3] * 3])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes(range(0, 128, 2)))
    picture = read(buffer.getvalue())
    np.testing.assert_array_equal(as_bytes(picture)[..., 0], GREY // 4 * 3)
    np.testing.assert_array_equal(np.rint(picture.alpha * 255), GREY // 4 * 2)


@pytest.mark.parametrize("top", [255, 1023, 4095, 65535])
@pytest.mark.parametrize(("kind", "suffix"), [(5, ".pgm"), (6, ".ppm"), (5, ".pnm"), (6, ".pnm")])
def test_pnm_round_trip(read, tmp_path, top, kind, suffix):
    shape = (6, 9) if kind == 5 else (6, 9, 3)
    samples = RNG.integers(0, top + 1, shape).astype(np.uint8 if top == 255 else ">u2")
    data = b"P%d\n9 6\n%d\n" % (kind, top) + samples.tobytes()
    picture = read(data)
    np.testing.assert_array_equal(picture.pixels.reshape(shape), samples / np.float32(top))
    assert picture.bit_depth == {255: 8, 1023: 10, 4095: 12, 65535: 16}[top]
    assert picture.save(tmp_path / f"a{suffix}") == ()
    assert (tmp_path / f"a{suffix}").read_bytes() == data
    picture.save(tmp_path / "b.png")
    np.testing.assert_allclose(read_picture(tmp_path / "b.png").pixels, picture.pixels, atol=0.51 / 65535)


def test_pnm_of_other_kinds(read):
    text = " ".join(map(str, COLOUR.ravel()))
    np.testing.assert_array_equal(as_bytes(read(f"P3 # by hand\n9 6 # size\n255\n{text}\n".encode())), COLOUR)
    text = "\n".join(map(str, GREY.ravel()))
    np.testing.assert_array_equal(as_bytes(read(f"P2\n9\n6\n255\n{text}".encode()))[..., 0], GREY)
    bits = GREY > 99
    packed = np.packbits(bits, axis=1).tobytes()
    for data in (b"P4 9 6\n" + packed, b"P1 9 6\n" + "".join("01"[int(bit)] for bit in bits.ravel()).encode()):
        picture = read(data)
        np.testing.assert_array_equal(picture.pixels[..., 0], 1 - bits.astype(np.float32))
        assert picture.notes == ("widened from 1 to 8 bits per channel",)
    odd = read(b"P5 9 6 100\n" + (GREY % 101).tobytes())
    np.testing.assert_allclose(odd.pixels[..., 0], (GREY % 101) / 100, atol=0.51 / 255)
    assert odd.notes == ("its values up to 100 are widened to 255",)
    assert "first is kept" in read((b"P5 9 6 255\n" + GREY.tobytes()) * 2).notes[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5 9 6 255\n" + bytes(53), "truncated"),
        (b"P2 2 2 255\n1 2 3", "truncated"),
        (b"P2 2 2 255\n1 2 a 4", "damaged"),
        (b"P1 9 9\n0101", "truncated"),
        (b"P5 9 6 100\n" + b"\xff" * 54, "announces values up to 100 and has 255"),
        (b"P1 2 1\n12", "announces values up to 1"),
        (b"P5 9 6 70000\n" + bytes(99), "values up to 70000"),
        (b"P5 9 6 0\n" + bytes(99), "values up to 0"),
        (b"P5 0 6 255\n" + bytes(99), "no pixels"),
        (b"P5 99999999999 6 255\n", "not the numbers"),
        (b"P5 9 # no more", "not the numbers"),
        (b"P5 -9 6 255\n" + bytes(99), "not the numbers"),
        (b"P6 99999999 99999999 255\n" + bytes(99), "truncated"),
    ],
)
def test_damaged_pnm(read, data, reason):
    with pytest.raises(PictureError, match=reason):
        read(data)


def test_what_they_cannot_hold_is_said_before(icc, tmp_path):
    grey = Picture(pixels=to_floats(GREY[..., None]), metadata=Metadata(icc=icc, resolution=(72.0, 72.0)))
    colour = Picture(pixels=to_floats(COLOUR), alpha=np.ones((6, 9), np.float32), bit_depth=16)
    assert unsupported(grey, ".bmp") == ("BMP has no place for the colour profile; it is not kept",)
    assert len(unsupported(grey, ".pgm")) == 2
    grey.save(tmp_path / "a.png")
    assert (
        unsupported(read_header(tmp_path / "a.png"), ".pgm")
        == unsupported(grey, ".pgm")
        == grey.save(tmp_path / "a.pgm")
    )
    assert unsupported(colour, ".ppm") == ("PPM holds no transparency; this picture has it",)
    assert "BMP holds 8 bits" in unsupported(colour, ".bmp")[0]
    with pytest.raises(PictureError, match="PGM holds no colour"):
        unsupported(colour, ".pgm")
    grey.save(tmp_path / "a.ppm")
    assert (tmp_path / "a.ppm").read_bytes() == b"P6\n9 6\n255\n" + GREY[..., None].repeat(3, 2).tobytes()
