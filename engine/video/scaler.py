"""Frames in another size or format by libav, and what comes with a frame beside its samples.

PyAV hangs things on a frame that is asked for them: a scaler with a thread for each core, and side data that
refers back to the frame, so that both stay until the garbage collector comes by. Here neither happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, cast

import av
import av.error
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter

_SMALL_PX = 16


def scaled(picture: av.VideoFrame, **to: Any) -> av.VideoFrame:
    """The picture as `VideoFrame.reformat` gives it, whose arguments ``to`` are; itself where it is so."""
    return VideoReformatter().reformat(picture, threads=1, **to)


def side_data_of(picture: av.VideoFrame) -> Mapping[SideDataType, Buffer]:
    """What comes with a frame, by its kind."""
    with contextlib.suppress(av.error.FFmpegError):  # of a format that the scaler does not take
        # It goes with every copy, and a small one may stay for a while.
        picture = scaled(picture, width=_SMALL_PX, height=_SMALL_PX, format="gray")
    # The stubs call it a single SideData; it maps types to them.
    return cast(Mapping[SideDataType, Buffer], picture.side_data)
