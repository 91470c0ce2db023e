"""A seeded corpus of damaged files, and the process that reads it: run by test_fuzzing.py, with no torch in it.

`python fuzzing.py COUNT SEED` prints a line of JSON: what became of the files, the slowest, and the memory taken.
"""

import importlib.util
import io
import json
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import picture_files as files
from pellucid.errors import PictureError
from pellucid.images import _bmp, _png, _pnm, _sheet, read_header, read_pages

MOST_PIXELS = 2**22  # what a budget would allow; honest files of the corpus have a thousand
MOST_ADDRESSES = 6 * 2**30  # a limit of the system's, so that a bomb kills this process and not the machine
SIGNATURES = {_png: _png.SIGNATURE, _bmp: _bmp.SIGNATURE, _pnm: _pnm.SIGNATURES}

RNG = np.random.default_rng(0)
RGBA = RNG.integers(0, 256, (24, 32, 4), dtype=np.uint8)
RGB, GREY = np.ascontiguousarray(RGBA[..., :3]), np.ascontiguousarray(RGBA[..., 0])
DEEP = RNG.integers(0, 65536, (24, 32, 3), dtype=np.uint16)
ICC = bytes(36) + b"acsp" + bytes(200)


def written(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def originals() -> dict[str, bytes]:
    """One small honest file of every kind that is read."""
    stack = DEEP.transpose(2, 0, 1).copy()
    found = {
        "png": files.png(RGBA, ICC, 6),
        "png16": files.png(DEEP),
        "png palette": files.saved(np.asarray(Image.fromarray(RGB).convert("P")), "PNG"),
        "jpeg": files.saved(RGB, "JPEG", ICC, 6),
        "jpeg progressive": files.saved(RGB, "JPEG", progressive=True),
        "webp": files.webp(RGBA, ICC, 6),
        "webp lossy": files.saved(RGB, "WEBP"),
        "bmp": files.bmp(RGB),
        "ppm": files.pnm(DEEP),
        "pgm": files.pnm(GREY),
        "pgm text": b"P2 16 2 255\n" + b"7 200 " * 16,
        "tiff": files.tiff(RGB, ICC, 6),
        "tiff tiles": files.tiff(DEEP, tile=(16, 16), compression="zlib", predictor=True),
        "tiff lzw": files.tiff(RGBA, compression="lzw", rowsperstrip=5),
        "tiff big": files.tiff(GREY, bigtiff=True, byteorder=">"),
        "tiff float": files.tiff(RNG.normal(0, 9, (24, 32)).astype(np.float32), compression="zlib", predictor=True),
        "tiff pages": written(stack, photometric="minisblack"),
        "tiff imagej": written(stack, imagej=True),
        "tiff one directory": written(stack, photometric="minisblack", truncate=True),
        "tiff ome": written(stack, ome=True, photometric="minisblack", compression="zlib"),
        "tiff jpeg": files.tiff(RGB, compression="jpeg"),
    }
    buffer = io.BytesIO()
    Image.fromarray(RGBA, "CMYK").save(buffer, "JPEG")
    found["jpeg cmyk"] = buffer.getvalue()
    if imagecodecs.AVIF.available:
        found["avif"] = files.saved(RGB, "AVIF", ICC, 6)
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        buffer = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(RGB)).save(
            buffer, format="HEIF", exif=files.exif_of(6), icc_profile=ICC
        )
        found["heic"] = buffer.getvalue()
    return found


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One of the ways in which files go bad, or are made bad."""
    changed = bytearray(data)
    way = rng.integers(0, 8)
    if way == 0:  # a cut
        return bytes(changed[: rng.integers(0, len(data))])
    if way == 1:  # a hole, or bytes from elsewhere
        at, size = rng.integers(0, len(data)), rng.integers(1, 64)
        changed[at : at + size] = bytes(size) if rng.random() < 0.5 else changed[:size]
    elif way == 2:  # a part twice, or not at all
        at, size = rng.integers(0, len(data)), rng.integers(1, 256)
        part = changed[at : at + size]
        changed[at : at + size] = part * 2 if rng.random() < 0.5 else b""
    elif way in (3, 4):  # a number of 2, 4 or 8 bytes that lies, mostly near the start
        size = int(rng.choice([2, 4, 8]))
        value = int(rng.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**62, 65535 * 65535]))
        at = int(rng.integers(0, min(len(data) - 8, rng.choice([64, 512, len(data)]))))
        changed[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little" if rng.random() < 0.5 else "big")
    else:  # single bytes and bits
        for at in rng.integers(0, min(len(data), rng.choice([32, 256, len(data)])), rng.integers(1, 6)):
            changed[at] = rng.integers(0, 256) if way < 7 else changed[at] ^ (1 << rng.integers(0, 8))
    if data.startswith(b"\x89PNG") and rng.random() < 0.7:
        return mended(bytes(changed))
    return bytes(changed)


def mended(data: bytes) -> bytes:
    """A PNG with its checksums put right, so that damage reaches further than the first check."""
    try:
        return files.png_of(files.png_chunks(data))
    except struct.error:
        return data


def bombs() -> Iterator[tuple[str, bytes]]:
    """Files made to take far more than they are: sizes that lie, data that expand, structures that turn in circles."""
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    for size in (100, 2**20):
        data = zlib.compress(bytes(size))
        yield "png", files.png_of([(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")])
    yield "png", files.png_of([(b"IHDR", head), (b"iCCP", b"x\0\0" + zlib.compress(bytes(2**28), 9)), (b"IEND", b"")])
    jpeg = files.saved(RGB, "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    yield "jpeg", jpeg[:at] + b"\xff\xdc\xff\xdc" + jpeg[at + 4 :]
    many = files.saved(np.zeros((2000, 2000), np.uint8), "JPEG", progressive=True)
    last = many[many.rindex(b"\xff\xda") : -2]
    yield "jpeg", many[:-2] + last * 5000 + b"\xff\xd9"
    yield "webp", files.webp(RGB)[:21] + b"\xff" * 4 + files.webp(RGB)[25:]
    yield "pgm", b"P5 2000000000 2000000000 255\n" + bytes(99)
    yield "pgm", b"P2 60000 60000 255\n" + b"1 " * 99
    yield "pgm", b"P5 " + b"#" * 2**20
    bmp = bytearray(files.bmp(RGB))
    bmp[18:26] = struct.pack("<ii", 60000, -60000)
    yield "bmp", bytes(bmp)
    tags = {256: 65000, 257: 65000, 258: 8, 259: 8, 262: 1, 277: 1, 278: 65000, 279: 100, 273: 200}
    yield "tiff", tiff_by_hand(tags)
    small = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1}
    yield "tiff", tiff_by_hand({**small, 322: 65520, 323: 65520, 324: 200, 325: 100})
    yield "tiff", tiff_by_hand({**small, 278: 8, 273: 200, 279: 2**31})
    yield "tiff", tiff_by_hand({**small, 278: 8, 273: 200, 279: 64}, following=8)
    yield "tiff", tiff_by_hand({**small, 278: 8, 273: 200, 279: 64}, counts={34675: 2**31, 700: 2**30, 330: 2**29})
    pages = written(np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    yield "tiff", pages.replace(b"[3, 8, 8]", b"[9000000, 8, 8]"[:9])
    stack = written(np.zeros((3, 8, 8), np.uint8), imagej=True)
    yield "tiff", stack.replace(b"images=3", b"images=9").replace(b"slices=3", b"slices=9")


def tiff_by_hand(tags: dict[int, int], following: int = 0, counts: dict[int, int] | None = None) -> bytes:
    """A little-endian TIFF of one directory with these numbers, and zlib data of zeros at 200."""
    rows = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    rows += [struct.pack("<HHII", tag, 7, count, 8) for tag, count in (counts or {}).items()]
    directory = struct.pack("<H", len(rows)) + b"".join(sorted(rows, key=lambda row: row[:2][::-1]))
    return (b"II*\0\x08\0\0\0" + directory + struct.pack("<I", following)).ljust(200, b"\0") + zlib.compress(
        bytes(2**24)
    )


def corpus(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files of all kinds in turn, then the bombs."""
    rng = np.random.default_rng(seed)
    kinds = list(originals().items())
    for index in range(count):
        kind, data = kinds[index % len(kinds)]
        yield kind, mutated(data, rng)
    yield from bombs()


def resident() -> int:
    """Most bytes that this process has had resident."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def read_all(path: Path) -> str:
    """Read as the tool does; anything but pictures or a sentence escapes and ends the process."""
    try:
        header = read_header(path)
        for picture in read_pages(path, max_pixels=MOST_PIXELS):
            assert picture.width * picture.height <= MOST_PIXELS
        return "read" if header.pages else "empty"
    except PictureError as error:
        if not str(error).startswith(f"{path}: ") or "\n" in str(error):
            raise AssertionError(f"{error!r} is no sentence") from error
        return "memory" if "more memory" in str(error) else "refused"


def read_by_stripes(path: Path) -> str:
    """What becomes of the file stripe by stripe beside what becomes of it as a whole; raises where they differ."""
    data = path.read_bytes()
    form = next((form for form in (_png, _bmp, _pnm) if data.startswith(SIGNATURES[form])), None)
    if form is None:
        return "not read by stripes"
    with path.open("rb") as file, warnings.catch_warnings(action="ignore"):
        try:
            survey = form.survey(file)
            stripes = form.stripes_of(file, survey)
        except Exception:  # as the reader does
            return "not recognised"
        if stripes is None or survey.width * survey.height > MOST_PIXELS:
            return "not read by stripes"
        shape = (survey.height, survey.width, survey.channels + survey.has_alpha)
        whole, joined = (
            outcome(lambda: form.decode(file, survey), shape),
            outcome(lambda: np.concatenate(list(stripes())), shape),
        )
    if whole is None or joined is None:
        return "refused" if whole is joined else "refused by stripes" if joined is None else "refused as a whole"
    np.testing.assert_array_equal(joined, whole)
    return "read"


def outcome(read: Callable[[], np.ndarray], shape: tuple[int, int, int]) -> np.ndarray | None:
    """The samples; None where they are refused, as those of another shape than announced are."""
    try:
        samples = read()
    except Exception:  # as the reader does
        return None
    return samples if samples.shape == shape else None


def main(count: int, seed: int) -> None:
    """Read the corpus; die of a hang, a crash, or anything that is no sentence."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    _sheet._STRIPE_BYTES = 512  # so that these small pictures have several
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for kind, data in originals().items():
            path.write_bytes(data)
            assert read_all(path) == "read", kind
        before, became, slowest = resident(), Counter[str](), (0.0, "")
        by_stripes = Counter[str]()
        for kind, data in corpus(count, seed):
            path.write_bytes(data)
            started = time.perf_counter()
            became[read_all(path)] += 1
            by_stripes[read_by_stripes(path)] += 1
            slowest = max(slowest, (time.perf_counter() - started, kind))
    found = {"became": became, "by stripes": by_stripes, "seconds": slowest[0], "slowest": slowest[1]}
    found["bytes"] = resident() - before
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
