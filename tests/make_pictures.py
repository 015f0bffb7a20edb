"""Pictures of every kind that a sequence may hold, written and read by OpenImageIO alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"float16": "half", "float32": "float", "uint32": "uint"}
SIZE = 48, 64
TIMECODE_WORD = 0x01000312  # 01:00:03:12


def write_picture(path: Path, samples: NDArray[Any], **attributes: Any) -> Path:
    """Write ``[height, width, channels]``; see `write_parts`."""
    return write_parts(path, [(samples, attributes)])


def pictures(folder: Path, extension: str, numbers: range, dtype: str, **attributes: Any) -> Path:
    """Noise under a pattern in its own folder; floats reach 8."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        random = np.random.default_rng(number)
        if dtype.startswith("float"):
            samples = (8 * random.random((*SIZE, 3)) ** 3).astype(dtype)
        else:
            samples = random.integers(0, np.iinfo(dtype).max + 1, (*SIZE, 3)).astype(dtype)
        write_picture(folder / f"s.{number:04}{extension}", samples, **attributes)
    return folder / f"s.####{extension}"


def write_parts(path: Path, parts: Sequence[tuple[NDArray[Any], dict[str, Any]]]) -> Path:
    """Write one or several parts.

    Attributes are those of OpenImageIO; ``channels`` are names, ``types`` a type a channel, ``tile`` the
    side of a tile, ``origin`` the data window's corner, ``display`` the display window.
    """
    import OpenImageIO as oiio  # noqa: N813

    specs = []
    for samples, attributes in parts:
        kind = _TYPES.get(samples.dtype.name, samples.dtype.name)
        spec = oiio.ImageSpec(samples.shape[1], samples.shape[0], samples.shape[2], kind)
        for name, value in attributes.items():
            if name == "channels":
                spec.channelnames = tuple(value)
            elif name == "types":
                spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in value)
            elif name == "tile":
                spec.tile_width = spec.tile_height = value
            elif name == "origin":
                spec.x, spec.y = value
            elif name == "display":
                spec.full_x, spec.full_y, spec.full_width, spec.full_height = value
            elif name == "timecode":
                spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (value, 0))
            else:
                spec.attribute(name, value)
        specs.append(spec)
    out = oiio.ImageOutput.create(path.suffix[1:])
    assert out.open(str(path), tuple(specs) if len(specs) > 1 else specs[0]), out.geterror()
    for number, (samples, _) in enumerate(parts):
        assert not number or out.open(str(path), specs[number], "AppendSubimage"), out.geterror()
        assert out.write_image(samples), out.geterror()
    assert out.close(), out.geterror()
    return path


@dataclass
class Part:
    """What is in a part: samples by channel, in their own types, and everything else that it says."""

    channels: dict[str, NDArray[Any]]
    metadata: dict[str, Any]
    windows: tuple[int, ...]


def read_parts(path: Path) -> list[Part]:
    """Everything in a file, alpha unassociated, samples as they are stored."""
    import OpenImageIO as oiio  # noqa: N813

    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(str(path), config)
    assert source is not None, oiio.geterror()
    parts: list[Part] = []
    while source.seek_subimage(len(parts), 0):
        spec = source.spec()
        channels = {}
        for n, name in enumerate(spec.channelnames):
            kind = spec.channelformats[n] if spec.channelformats else spec.format
            samples = source.read_image(len(parts), 0, n, n + 1, kind)
            assert samples is not None, source.geterror()
            channels[name] = samples[..., 0]
        windows = spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height
        parts.append(Part(channels, {a.name: a.value for a in spec.extra_attribs}, windows))
    source.close()
    return parts


def read_rgb(path: Path) -> NDArray[np.float32]:
    """The first part's channels as floats, integers scaled to 0..1, colours as alpha has them."""
    import OpenImageIO as oiio  # noqa: N813

    source = oiio.ImageInput.open(str(path))
    assert source is not None, oiio.geterror()
    samples: NDArray[np.float32] | None = source.read_image("float")
    assert samples is not None, source.geterror()
    return samples
