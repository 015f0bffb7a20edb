"""Pictures with some samples replaced: everything else in their files stays."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_pictures import TIMECODE_WORD, read_parts, write_parts, write_picture
from numpy.typing import NDArray

from crossface.engine.errors import BadInputError, CrossfaceError
from crossface.engine.sequence.patch import patch, read_patchable

pytestmark = pytest.mark.needs_vfx

WIDTH, HEIGHT = 61, 83
COMMENT = "faces replaced by Crossface"
EXR_METHODS = ["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"]
EXR_METHODS += ["htj2k256", "htj2k32"]
SIX = {
    "channels": ("R", "G", "B", "A", "Z", "id"),
    "types": ("half", "half", "half", "half", "float", "uint"),
}


def noise(channels: int, dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.random((HEIGHT, WIDTH, channels)).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max + 1, (HEIGHT, WIDTH, channels)).astype(dtype)


def patched(path: Path, layer: str | None = None, comment: str | None = COMMENT, seed: int = 1) -> Path:
    """A copy with a rectangle replaced, checked sample by sample against an independent reading."""
    picture = read_patchable(path, layer)
    random = np.random.default_rng(seed)
    height, width = picture.rgb.shape[:2]
    changed = np.zeros((height, width), bool)
    changed[height // 2 : height // 2 + 5, width // 3 : width // 3 + 6] = True
    rgb = picture.rgb.copy()
    if picture.bits == 32:
        rgb[changed] = random.random((changed.sum(), 3)).astype(rgb.dtype)
    else:
        rgb[changed] = random.integers(0, 1 << picture.bits, (changed.sum(), 3))
    out = io.BytesIO()
    patch(picture, rgb, changed, comment, out)
    target = path.with_name(f"patched_{path.name}")
    target.write_bytes(out.getvalue())
    np.testing.assert_array_equal(read_patchable(target, layer).rgb, rgb)
    for number, (old, new) in enumerate(zip(read_parts(path), read_parts(target), strict=True)):
        assert old.windows == new.windows
        for name, samples in old.channels.items():
            same = as_bytes(samples) == as_bytes(new.channels[name])
            if number == picture.part and name in picture.channels:
                assert same[~changed].all() and not same[changed].all(), name
            else:
                assert same.all(), name
        told = {
            name for name in old.metadata | new.metadata if old.metadata.get(name) != new.metadata.get(name)
        }
        assert told <= {"crossface:disclosure", "Comment", "ImageDescription", "Software"}
        if comment is not None and number == picture.part:
            assert len(told) == 1 and comment in str(new.metadata[told.pop()])
    return target


def as_bytes(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples by their bits: not a number is itself."""
    return np.ascontiguousarray(samples).view(f"u{samples.dtype.itemsize}")


@pytest.mark.parametrize(("method", "tile"), list(itertools.product(EXR_METHODS, (0, 16))))
def test_exr_of_every_compression(tmp_path: Path, method: str, tile: int) -> None:
    attributes = {**SIX, "compression": method, "origin": (-3, 5), "display": (0, 0, 80, 90), "owner": "me"}
    if tile:
        attributes["tile"] = tile
    path = write_picture(tmp_path / "a.exr", noise(6), timecode=TIMECODE_WORD, **attributes)
    data, new = path.read_bytes(), patched(path, comment=None).read_bytes()
    header = data.index(b"\0\0", data.index(b"screenWindowWidth"))
    assert new[:header] == data[:header]


def lines_of(data: bytes) -> list[bytes]:
    """Chunks of an EXR of one line each: the offset table is where its first entry says that it ends."""
    start = next(at for at in range(len(data)) if data[at : at + 8] == struct.pack("<Q", at + 8 * HEIGHT))
    offsets = [*struct.unpack_from(f"<{HEIGHT}Q", data, start), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(offsets)]


@pytest.mark.parametrize("method", ["zips", "none"])
def test_exr_chunks_without_a_change_are_the_very_bytes(tmp_path: Path, method: str) -> None:
    path = write_picture(tmp_path / "a.exr", noise(6), compression=method, **SIX)
    old, new = lines_of(path.read_bytes()), lines_of(patched(path).read_bytes())
    differ = [y for y, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    assert differ == list(range(HEIGHT // 2, HEIGHT // 2 + 5))


def test_exr_parts_and_layers(tmp_path: Path) -> None:
    depth = noise(1), {"channels": ("Z",), "oiio:subimagename": "depth", "compression": "zip"}
    colours = noise(3, seed=2), {"oiio:subimagename": "rgb", "compression": "piz"}
    named = ("R", "G", "B", "beauty.R", "beauty.G", "beauty.B", "beauty.A")
    layers = (
        noise(7, seed=5),
        {"oiio:subimagename": "all", "channels": named, "compression": "zip", "tile": 32},
    )
    path = write_parts(tmp_path / "parts.exr", [depth, colours])
    assert read_patchable(path).part == 1
    patched(path)
    patched(path, layer="rgb")
    path = write_parts(tmp_path / "layers.exr", [layers])
    assert read_patchable(path, "beauty").channels == ("beauty.R", "beauty.G", "beauty.B")
    patched(path, layer="beauty")
    patched(path)


def test_exr_that_says_something_already_says_it_still(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.exr", noise(3), compression="zip")
    twice = patched(patched(path, comment="first"), comment="second", seed=2)
    assert read_parts(twice)[0].metadata["crossface:disclosure"] == "first\nsecond"


def test_not_a_number_keeps_its_bits(tmp_path: Path) -> None:
    samples = noise(4, "float16")
    samples[:, ::7] = np.array([0x7C01, 0xFE00, 0x7C00, 0xFC00], np.uint16).view(np.float16)
    for method in ("zip", "piz"):
        patched(write_picture(tmp_path / f"{method}.exr", samples, compression=method))


@pytest.mark.parametrize(
    ("dtype", "channels", "method", "tile", "planes"),
    [
        *itertools.product(
            ("uint8", "uint16"), (3, 4), ("none", "lzw", "zip", "packbits"), (0, 16), ("contig", "separate")
        ),
        *itertools.product(("float16", "float32"), (3,), ("none", "lzw", "zip"), (0, 16), ("contig",)),
    ],
)
def test_tiff(tmp_path: Path, dtype: str, channels: int, method: str, tile: int, planes: str) -> None:
    attributes: dict[str, Any] = {"compression": method, "planarconfig": planes, "Artist": "somebody"}
    if channels == 4:
        attributes["oiio:UnassociatedAlpha"] = 1
    if dtype.startswith("float") and method != "none":
        attributes["tiff:Predictor"] = 3
    if tile:
        attributes["tile"] = tile
    path = write_picture(tmp_path / "a.tif", noise(channels, dtype), **attributes)
    data = path.read_bytes()
    new = patched(path).read_bytes()
    # Only the pointer to the directory has changed; the rest is appended.
    assert new[8 : len(data)] == data[8:]


def test_tiff_pages_big_and_described(tmp_path: Path) -> None:
    pages = [(noise(3, "uint8", seed), {"ImageDescription": f"page {seed}"}) for seed in (1, 2, 3)]
    target = patched(write_parts(tmp_path / "pages.tif", pages))
    assert read_parts(target)[0].metadata["ImageDescription"] == f"page 1\n{COMMENT}"
    patched(write_picture(tmp_path / "big.tif", noise(3, "uint16"), **{"tiff:bigtiff": 1}))


@pytest.mark.parametrize(("dtype", "channels"), list(itertools.product(("uint8", "uint16"), (3, 4))))
def test_png(tmp_path: Path, dtype: str, channels: int) -> None:
    path = write_picture(
        tmp_path / "a.png", noise(channels, dtype), **{"oiio:UnassociatedAlpha": 1, "Author": "somebody"}
    )
    data = path.read_bytes()
    extra = [b"gAMA" + struct.pack(">I", 45455), b"prVt" + bytes(range(200)), b"tIME" + bytes(7)]
    chunks = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in extra
    )
    path.write_bytes(data[:33] + chunks + data[33:])
    new = patched(path, comment=None).read_bytes()
    image = (data[:33] + chunks + data[33:]).index(b"IDAT")
    assert new[: image - 4] == (data[:33] + chunks + data[33:])[: image - 4]
    patched(path)


@pytest.mark.parametrize(
    ("bits", "channels", "endian"), list(itertools.product((8, 10, 12, 16), (3, 4), ("big", "little")))
)
def test_dpx(tmp_path: Path, bits: int, channels: int, endian: str) -> None:
    attributes = {"oiio:BitsPerSample": bits, "oiio:Endian": endian, "dpx:Packing": "Filled, method A"}
    samples = noise(channels, "uint8" if bits == 8 else "uint16")
    path = write_picture(
        tmp_path / "a.dpx", samples, timecode=TIMECODE_WORD, **attributes, **{"dpx:Transfer": "Linear"}
    )
    data = path.read_bytes()
    new = patched(path, comment=None).read_bytes()
    assert len(new) == len(data) and new[:2048] == data[:2048]
    creator = patched(path).read_bytes()
    assert creator[:160] == data[:160] and creator[260:2048] == data[260:2048]


def test_dpx_12_bits_filled(tmp_path: Path) -> None:
    """Built by hand: OpenImageIO writes 12 bits packed only."""
    attributes = {"oiio:BitsPerSample": 16, "oiio:Endian": "big"}
    path = write_picture(tmp_path / "a.dpx", noise(3, "uint16"), **attributes)
    data = bytearray(path.read_bytes())
    words = np.frombuffer(data, ">u2", offset=2048)
    words &= 0xFFF0
    data[803] = 12
    data[804:806] = b"\0\1"
    path.write_bytes(data)
    new = np.frombuffer(patched(path, comment=None).read_bytes(), ">u2", offset=2048)
    assert not (new & 15).any() and 0 < (new != words).mean() < 0.05


def kinds(folder: Path) -> list[Path]:
    return [
        write_picture(folder / "a.exr", noise(6), compression="zip", **SIX),
        write_picture(folder / "t.exr", noise(3), compression="piz", tile=16),
        write_picture(folder / "a.tif", noise(3, "uint16"), compression="lzw"),
        write_picture(folder / "a.png", noise(3, "uint8")),
        write_picture(folder / "a.dpx", noise(3, "uint16"), **{"oiio:BitsPerSample": 10}),
    ]


def test_truncated_pictures(tmp_path: Path) -> None:
    for path in kinds(tmp_path):
        data = path.read_bytes()
        for length in (0, 3, 100, 700, len(data) // 2, len(data) - 12):
            path.write_bytes(data[:length])
            with pytest.raises(BadInputError, match=path.name):
                read_patchable(path)


@settings(max_examples=60)
@given(kind=st.integers(0, 4), seed=st.integers(0, 10**6), where=st.sampled_from(["start", "all"]))
def test_damaged_pictures_end_in_typed_errors(
    tmp_path_factory: pytest.TempPathFactory, kind: int, seed: int, where: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        folder.mkdir()
        kinds(folder)
    whole = sorted(folder.glob("[at].*"))[kind]
    data, random = bytearray(whole.read_bytes()), np.random.default_rng(seed)
    for at in random.integers(0, 1000 if where == "start" else len(data), 8):
        data[at] = random.integers(0, 256)
    path = folder / f"flipped{whole.suffix}"
    path.write_bytes(data)
    try:
        picture = read_patchable(path)
        patch(picture, picture.rgb, np.ones(picture.rgb.shape[:2], bool), COMMENT, io.BytesIO())
    except CrossfaceError as error:
        assert "\n" not in str(error) and "flipped" in str(error)


def test_kinds_that_are_refused(tmp_path: Path) -> None:
    ten = {"oiio:BitsPerSample": 10, "oiio:Endian": "big"}
    cases = [
        (write_picture(tmp_path / "grey.png", noise(1, "uint8")), "grey"),
        (write_picture(tmp_path / "grey.exr", noise(1)), "no channels R, G, B"),
        (write_picture(tmp_path / "uint32.tif", noise(3, "uint32")), "bits"),
        (write_picture(tmp_path / "mirror.tif", noise(3, "uint8"), Orientation=2), "mirrored"),
        (write_picture(tmp_path / "b.dpx", noise(3, "uint16"), **ten), "packing 2"),
    ]
    data = bytearray(cases[-1][0].read_bytes())
    data[804:806] = b"\0\2"
    cases[-1][0].write_bytes(data)
    (tmp_path / "other.png").write_bytes(cases[-1][0].read_bytes())
    (tmp_path / "other.exr").write_bytes(write_picture(tmp_path / "x.tif", noise(3)).read_bytes())
    for path, reason in [*cases, (tmp_path / "other.png", "not a PNG"), (tmp_path / "other.exr", "")]:
        with pytest.raises(BadInputError, match=f"{path.name}.*{reason}"):
            read_patchable(path)
