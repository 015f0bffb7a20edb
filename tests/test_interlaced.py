"""Interlaced films: deinterlaced, as they are, and with progressive pictures among the others."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_bad_input import remuxed, with_payload
from make_clips import make_clip, make_interlaced, sliding_bar
from test_reader import digest, extract_plane

from crossface.engine.errors import BadInputError
from crossface.engine.video.reader import Reader

INTERLACED = [
    ("libx264", ".mp4", "yuv420p", {"qp": "0", "preset": "ultrafast"}),
    ("libx264", ".mp4", "yuv422p10le", {"qp": "0", "preset": "ultrafast"}),
    ("mpeg2video", ".ts", "yuv420p", {"q": "2"}),
    ("prores_ks", ".mov", "yuv422p10le", {}),
    ("ffv1", ".mkv", "yuv420p12le", {}),
]


@pytest.mark.parametrize("bottom_first", [False, True])
@pytest.mark.parametrize(("codec", "suffix", "pix_fmt", "options"), INTERLACED)
def test_deinterlacing_shows_the_moment_of_the_first_field(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, options: dict[str, str], bottom_first: bool
) -> None:
    path = make_interlaced(
        tmp_path / f"fields{suffix}", codec=codec, pix_fmt=pix_fmt, bottom_first=bottom_first, options=options
    )
    with av.open(str(path)) as container:
        expected = [picture.pts for picture in container.decode(video=0)]
    with Reader(path, interlaced="deinterlace", trusted=True) as reader:
        frames = list(reader)
        assert reader.info.field_order == "progressive"
        scale = 1 << (reader.info.colour.bits - 8)
    assert [frame.pts for frame in frames] == expected and reader.warnings == []
    assert frames[0].duration == frames[-1].duration == expected[1] - expected[0]
    for frame in frames[1:-1]:
        luma = frame.planes[0] / scale
        # Grey of 0..255 became luma of 16..235.
        early, late = (16 + 219 / 255 * sliding_bar(2 * frame.index + n, 96, 64) for n in (0, 1))
        assert np.abs(luma - early).mean() < 1 < np.abs(luma - late).mean()


def test_fields_as_they_are(tmp_path: Path) -> None:
    for bottom_first, order in ((False, "top_first"), (True, "bottom_first")):
        path = make_interlaced(tmp_path / f"{order}.mp4", bottom_first=bottom_first)
        for choice in ("as_progressive", "fields"):
            with Reader(path, interlaced=choice, trusted=True) as reader, av.open(str(path)) as container:
                assert reader.info.field_order == order
                for frame, picture in zip(reader, container.decode(video=0), strict=True):
                    np.testing.assert_array_equal(frame.planes[0], extract_plane(picture, "y"))
                    assert frame.source is not None and frame.source.interlaced_frame


def test_deinterlacing_keeps_tags_and_what_is_progressive(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "plain.mp4", tags=(9, 16, 9, 2), sample_aspect_ratio=Fraction(4, 3))
    with (
        Reader(path, trusted=True) as plain,
        Reader(path, interlaced="deinterlace", trusted=True) as filtered,
    ):
        assert plain.info == filtered.info
        for before, after in zip(plain, filtered, strict=True):
            assert digest(before) == digest(after)
    path = make_clip(tmp_path / "fields.mp4", interlaced=True, tags=(9, 16, 9, 2))
    with Reader(path, interlaced="deinterlace", trusted=True) as reader:
        tags = reader.info.tags
        assert (tags.primaries, tags.transfer, tags.matrix, tags.range) == (9, 16, 9, 2)


def test_progressive_pictures_among_interlaced_ones(tmp_path: Path) -> None:
    plain, woven = (
        make_interlaced(tmp_path / f"{name}.mov", codec="prores_ks", pix_fmt="yuv422p10le", options=options)
        for name, options in (("plain", {"flags": "-ildct"}), ("woven", {}))
    )
    with av.open(str(plain)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    path = remuxed(
        woven, tmp_path / "mixed.mov",
        lambda packets: (with_payload(p, payloads[n]) if n < 4 else p for n, p in enumerate(packets)),
    )  # fmt: skip
    with Reader(path, interlaced="deinterlace", trusted=True) as mixed, Reader(plain, trusted=True) as whole:
        frames = list(mixed)
        for frame, untouched in zip(frames[:4], whole, strict=False):
            assert digest(frame) == digest(untouched)
    assert len(frames) == 10
    assert any("6 of 10 frames are interlaced" in warning for warning in mixed.warnings)
    with pytest.raises(BadInputError, match="frame 4 is interlaced"), Reader(path, trusted=True) as reader:
        list(reader)
