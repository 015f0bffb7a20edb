"""What a conversion is done with is gone at once: memory and threads do not grow with the film."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from split_clip import split_clip
from test_convert import QUICK

from crossface.engine import ReadingSettings, convert
from crossface.engine.settings import ConversionSettings

# The rest of a frame that only its side data was asked of; whole ones are larger.
_REMNANT_PX = 32


def frames() -> list[av.VideoFrame]:
    # By its type alone: some objects of libraries answer to everything, with a warning.
    return [each for each in gc.get_objects() if issubclass(type(each), av.VideoFrame)]


@pytest.fixture
def others() -> Iterator[list[av.VideoFrame]]:
    """Frames that other tests keep; the garbage collector does not come by meanwhile."""
    gc.collect()
    gc.disable()
    yield frames()
    gc.enable()


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_nothing_of_a_segment_waits_for_the_garbage_collector(
    clips: Path, swapper: Path, tmp_path: Path, codec: str, others: list[av.VideoFrame]
) -> None:
    clip = split_clip(clips / "single_face.mp4", tmp_path / "clip.mp4")
    options = dict(QUICK.encoder_options or {}) if codec == "libx264" else None
    settings = ConversionSettings(codec=codec, encoder_options=options, segment_s=0.4)
    threads = []
    for event in convert(
        clip, swapper, tmp_path / "out.mkv", settings=settings, reading=ReadingSettings(end="00:00:02.4")
    ):
        if getattr(event, "stage", None) == "convert":
            threads.append((event.segment, len(os.listdir("/proc/self/task"))))
    segments = {segment for segment, _ in threads}
    assert len(segments) > 3
    # Those of decoders and encoders come and go.
    most = [max(count for each, count in threads if each == segment) for segment in sorted(segments)]
    assert max(most[2:]) <= max(most[:2]), most
    known = set(map(id, others))
    left = [frame for frame in frames() if id(frame) not in known]
    assert [frame for frame in left if max(frame.width, frame.height) > _REMNANT_PX] == []
