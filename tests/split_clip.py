"""Clips that can be split: real pictures and their sound, with a keyframe every few frames."""

from __future__ import annotations

from pathlib import Path

import av


def split_clip(
    source: Path,
    target: Path,
    *,
    every: int = 12,
    frames: int | None = None,
    width: int = 320,
    height: int = 180,
) -> Path:
    """Encode ``source`` anew, small, with a keyframe every so many frames; its sound is copied.

    Of ``frames`` only the first so many are taken.
    """
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        film, sounds = before.streams.video[0], list(before.streams.audio)
        options = {"preset": "veryfast", "crf": "20", "x264-params": f"keyint={every}:scenecut=0:bframes=2"}
        video = after.add_stream("libx264", rate=film.average_rate, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = video.codec_context.time_base = film.time_base
        copies = {sound.index: after.add_stream_from_template(sound) for sound in sounds}
        taken = 0
        for packet in before.demux(film, *sounds):
            if taken == frames:
                break
            if packet.stream.index in copies:
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    after.mux(packet)
                continue
            for frame in packet.decode()[: None if frames is None else frames - taken]:
                taken += 1
                picture = frame.reformat(width, height, "yuv420p")
                picture.pts, picture.time_base, picture.pict_type = frame.pts, frame.time_base, 0
                after.mux(video.encode(picture))
        after.mux(video.encode(None))
    return target
