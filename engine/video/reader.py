"""Frames of a video file in presentation order, with exact times, and every damage told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import BadInputError, CrossfaceError, DeviceUnavailableError, UsageError
from ..frame import Frame
from ..lifetime import Closeable
from ..on_device.frame import Decoded, LaneFrame
from ..on_device.nvdec import HardwareDecoder, device_planes
from .info import FieldOrder, VideoInfo, info_of
from .planes import planes_of
from .reading.boxes import Mp4Shape
from .reading.byte_order import little_endian
from .reading.damage import Damage
from .reading.decode import Decoding, is_ranked, starts_whole
from .reading.ebml import MatroskaShape, matroska_shape
from .reading.ending import is_whole
from .reading.graph import aligned, copied
from .reading.hardware import NOT_DECODED, difference, on_device, on_host, why_not
from .reading.interlace import Interlaced, deinterlaced, field_order
from .reading.limits import MAX_PIXELS, PATIENCE_S, Impatient
from .reading.picture_header import picture_header, tell_of
from .reading.times import Placed, Timeline, declared_end
from .source import TIMELESS, choose_film, films, open_source, try_source

__all__ = ["Interlaced", "Reader", "VideoInfo"]

_INTERLACED_ADVICE = (
    "give --deinterlace to make whole frames of its fields, or --as-progressive where both fields "
    "show one moment"
)
# How far a seek steps back when it landed too late, in seconds; then it starts at the beginning.
_STEPS_BACK_S = (0, 1, 3, 10, 30)


class Reader(Closeable):
    """Decodes one video stream of a file; iterate over it once.

    A frame's duration is the time to the next frame's pts; the last frame's is
    what the container says. Writing into a frame's planes changes that frame only.

    A picture that cannot be decoded is an error; where damage is tolerated, its
    predecessor is shown again in its place, so that no time shifts.

    Args:
        path: a regular file.
        threads: of the decoder; 0 for one a core.
        tolerate_damage: put damage into ``warnings`` instead of raising.
        fps: frames a second for a file whose frames have no times.
        video_stream: which of the video streams that are no cover art; the default one if None.
        interlaced: "refuse", or "deinterlace" every interlaced picture, or give it "as_progressive",
            or as two "fields" in one; the last two differ only in what they mean to others.
        max_pixels: of the largest picture that may be decoded.
        trusted: do without the trial of the file in a process of its own, which costs about 0.2 s.
        patience_s: how long to wait for a picture.
        hardware: decodes on a device where it gives the very samples that the CPU gives.

    Attributes:
        info: the stream and its first frame.
        decoded_on: such as ``cuda:0 (nvdec)``, or ``cpu: `` and why; the first frame decides it.
        hardware: what decodes there; None where the CPU does.
        warnings: one line a kind of damage; complete when the iteration has ended.

    Raises:
        UsageError: no video stream of that number, or a frame rate that is none.
        InputMissingError: no such file, not a regular file, or not readable.
        BadInputError: empty, not a media file, no video, no decodable frame, encrypted, too large, a
            format that is not supported; while iterating: damaged, truncated, interlaced,
            frames without a time, a picture size that changes.
        BusyError: no picture came for too long.
        DeviceUnavailableError: while iterating: the device's decoder gave up.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        threads: int = 0,
        tolerate_damage: bool = False,
        fps: Fraction | None = None,
        video_stream: int | None = None,
        interlaced: Interlaced = "refuse",
        max_pixels: int = MAX_PIXELS,
        trusted: bool = False,
        patience_s: float = PATIENCE_S,
        hardware: HardwareDecoder | None = None,
    ) -> None:
        if fps is not None and fps <= 0:
            raise UsageError(f"{fps} frames a second are no frame rate: give one above 0")
        self.path = Path(path)
        self._damage = Damage(self.path, tolerate=tolerate_damage)
        self._threads = threads
        self._fps = fps
        self._video_stream = video_stream
        self._interlaced = interlaced
        self._max_pixels = max_pixels
        self._patience_s = patience_s
        self._mp4: Mp4Shape | None = None
        self._matroska = MatroskaShape()
        self._shape: tuple[int, int, str] | None = None
        self._decoding: Decoding | None = None
        self._pictures: Impatient[Placed] | None = None
        self._iterated = False
        self.hardware: HardwareDecoder | None = None
        self._interlaced_frames = self._checked_frames = 0
        if not trusted and (untried := try_source(self.path, max_pixels=max_pixels, patience_s=patience_s)):
            self._damage.warn("untried", untried)
        try:
            self._first = self._open()
            self.info = self._describe()
            self.decoded_on = "cpu" if hardware is None else self._decided(hardware)
        except BaseException:
            self.close()
            raise

    @property
    def warnings(self) -> list[str]:
        return self._damage.warnings

    def close(self) -> None:
        """Free the decoder and the file; safe to call twice."""
        # A decoder that hangs keeps what it uses: freeing that would crash.
        stopped = self._pictures is None or self._pictures.close()
        if stopped and self._decoding is not None:
            self._decoding.close()
        self._pictures = self._decoding = None

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start_pts: int | None = None, end_pts: int | None = None) -> Iterator[Frame]:
        """Frames whose pts lies in ``[start_pts, end_pts)``; their samples are those of a full decode.

        Args:
            start_pts: in ``info.time_base``; None for the first frame.
            end_pts: as ``start_pts``; None for the end.

        Returns:
            Frames in the host's memory, whose ``index`` counts from 0 at the first of them.

        Raises:
            UsageError: the reader was iterated over before.
        """
        return (on_host(frame, self.hardware) for frame in self.decoded(start_pts, end_pts))

    def decoded(self, start_pts: int | None = None, end_pts: int | None = None) -> Iterator[Decoded]:
        """As `frames`, but where they were decoded: all on the device, or all in the host's memory."""
        if self._iterated:
            raise UsageError(f"{self.path}: was read already: open a Reader of its own for each pass")
        self._iterated = True
        return self._frames(start_pts, end_pts)

    def _frames(self, start_pts: int | None, end_pts: int | None) -> Iterator[Decoded]:
        first = self._first
        if start_pts is not None and start_pts > self.info.start_pts:
            first = self._seek(start_pts)
        assert self._pictures is not None
        index, previous = 0, None
        for placed in chain([first], self._pictures):
            if start_pts is not None and placed.pts < start_pts:
                continue
            if placed.repeated:
                # Its predecessor is about to be given away and written to.
                placed = Placed(copied((previous or placed).picture), placed.pts)
            if previous is not None:
                yield self._frame(previous, index, placed.pts - previous.pts)
                index += 1
            previous = placed
            if end_pts is not None and placed.pts >= end_pts:
                break
        else:
            if self._decoding is None:
                raise UsageError(f"{self.path}: was closed while it was read: open it again")
            whole = is_whole(self.path, self._decoding, self._mp4, self._matroska, self._damage)
            if previous is not None:
                yield self._frame(previous, index, self._last_duration(previous, whole=whole))
        if 0 < self._interlaced_frames < self._checked_frames:
            counts = f"{self._interlaced_frames} of {self._checked_frames}"
            self._damage.warn("mixtures", f"{counts} frames are interlaced, the others are not")
        self._damage.summarise()

    def _frame(self, placed: Placed, index: int, duration: int) -> Decoded:
        # The decoder may still predict later frames from this buffer; this copies it where it does.
        placed.picture.make_writable()
        place = index, placed.pts, duration, self.info.time_base
        if self.hardware is None:
            return Frame(*place, planes_of(placed.picture), self.info.colour, placed.picture)
        frame = LaneFrame(*place, device_planes(placed.picture, self.info.colour), placed.picture)
        if self._decoding is not None and self._decoding.captioned:
            frame.copied = partial(self.hardware.downloaded, placed.picture)
        return frame

    def _decided(self, hardware: HardwareDecoder) -> str:
        """Goes over to a device's decoder, if that will do; tells where frames are decoded from now on."""
        reason = why_not(self.info, self._interlaced, tolerant=self._damage.tolerate)
        if reason := reason or hardware.refused.get(self.path):
            return f"cpu: {reason}"
        # The thread that decodes uses all this.
        self.close()
        host, damage = self._first, deepcopy(self._damage)
        self.hardware, self._shape = hardware, None
        try:
            self._first = self._open()
            reason = difference(host, self._first, hardware)
            if self._decoding is not None and self._decoding.captioned:
                reason = reason or "captions inside its pictures go with them there"
        except DeviceUnavailableError as error:
            reason = str(error)
        except (CrossfaceError, av.error.FFmpegError):
            # The CPU has decoded it: whatever is said of the film is not so.
            reason = NOT_DECODED.format(hardware.name)
        if reason is None:
            self.info = on_device(self.info)
            return hardware.name
        self.close()
        self.hardware, self._shape, self._damage = None, None, damage
        hardware.refused[self.path] = reason
        self._first = self._open()
        return f"cpu: {reason}"

    def _open(self) -> Placed:
        """Start at the beginning; gives the first picture."""
        for from_keyframe in (True, False):
            decoding = self._decode(from_keyframe=from_keyframe)
            first = next(self._pictures, None) if self._pictures is not None else None
            if first is not None:
                return first
            if not decoding.skipped:
                break
        expected = max(len(decoding.stream.index_entries), decoding.stream.frames, decoding.packets)
        raise BadInputError(
            f"{self.path}: 0 of {expected} frames could be decoded: "
            "the file is damaged or encrypted; export it again"
        )

    def _seek(self, start_pts: int) -> Placed:
        """Start where everything from ``start_pts`` on comes as it would from the beginning."""
        assert self._decoding is not None
        if not self.info.times_are_exact or self._decoding.timeline.ranked:
            return self._restart()
        for step_s in _STEPS_BACK_S:
            target = start_pts - round(step_s / self.info.time_base)
            if target <= self.info.start_pts:
                break
            decoding = self._decode(seek_pts=target)
            assert self._pictures is not None
            first = next(self._pictures, None)
            # The deinterlacer looks at the picture before.
            before = self._interlaced == "deinterlace"
            if first is not None and starts_whole(first, decoding, start_pts, before=before):
                return first
        return self._restart()

    def _restart(self) -> Placed:
        self._decode()
        assert self._pictures is not None
        return next(self._pictures)

    def _decode(self, *, seek_pts: int | None = None, from_keyframe: bool = True) -> Decoding:
        """Open the file anew and start a pass over it."""
        self.close()
        with nullcontext() if self.hardware is None else self.hardware.attached():
            return self._start(seek_pts, from_keyframe)

    def _start(self, seek_pts: int | None, from_keyframe: bool) -> Decoding:
        hardware = self.hardware
        self._mp4, container = open_source(
            self.path,
            max_pixels=self._max_pixels,
            patience_s=self._patience_s,
            hwaccel=None if hardware is None else hardware.hwaccel,
        )
        try:
            if self._mp4 and not self._mp4.has_index and not self._damage.count("indexes"):
                missing_bytes = self._mp4.missing_bytes
                self._damage.meet("indexes", f"its index (moov) is cut short by {missing_bytes} bytes")
            stream = choose_film(self.path, container, self._video_stream)
            self._tell_streams(len(films(container)))
            sought = False
            if seek_pts is not None:
                try:
                    container.seek(seek_pts, stream=stream, backward=True)
                    sought = True
                except (av.error.FFmpegError, OSError):
                    pass  # it starts at its beginning then, and `starts_whole` looks
            if "matroska" in container.format.name:
                self._matroska = matroska_shape(self.path)
            self._decoding = Decoding(
                container,
                stream,
                self._damage,
                threads=self._threads,
                max_pixels=self._max_pixels,
                timeline=self._timeline(container, stream),
                sought=sought,
                from_keyframe=from_keyframe,
                clusters=self._matroska.clusters,
                hardware=hardware,
            )
        except BaseException:
            container.close()
            raise
        self._pictures = Impatient(self._filtered(self._decoding), self._patience_s, self.path)
        return self._decoding

    def _tell_streams(self, count: int) -> None:
        if count > 1 and self._video_stream is None and not self._damage.count("video streams"):
            self._damage.warn(
                "video streams", f"has {count} video streams, of which one is read: choose by --video-stream"
            )

    def _timeline(self, container: InputContainer, stream: VideoStream) -> Timeline:
        assert stream.time_base is not None
        timeless = container.format.name in TIMELESS
        rate = self._fps or (None if timeless else stream.average_rate or None)
        ranked = is_ranked(stream, container)
        return Timeline(self._damage, stream.time_base, rate, timeless=timeless, ranked=ranked)

    def _filtered(self, decoding: Decoding) -> Iterator[Placed]:
        timeline = decoding.timeline
        pictures: Iterable[Placed] = (self._checked(placed, timeline) for placed in decoding.pictures())
        if self._interlaced == "deinterlace":
            pictures = deinterlaced(pictures, timeline.time_base)
        yield from pictures

    def _checked(self, placed: Placed, timeline: Timeline) -> Placed:
        """The picture, in an order of bytes that we read, if it is of the size and kind of the first."""
        picture = placed.picture
        number = timeline.shown - 1
        shape = picture.width, picture.height, (picture.sw_format or picture.format).name
        if self.hardware is not None and self._shape is not None and picture.sw_format is None:
            raise DeviceUnavailableError(
                f"{self.path}: {self.hardware.name} gives up at frame {number}: give --device cpu"
            )
        self._shape = self._shape or shape
        if shape != self._shape:
            before, now = ("{}x{} {}".format(*each) for each in (self._shape, shape))
            time_s = float(placed.pts * timeline.time_base)
            raise BadInputError(
                f"{self.path}: the picture changes from {before} to {now} at frame {number} "
                f"({time_s:.3f} s): split the clip there"
            )
        if picture.interlaced_frame and self._interlaced == "refuse":
            raise BadInputError(f"{self.path}: frame {number} is interlaced: {_INTERLACED_ADVICE}")
        self._checked_frames += 1
        self._interlaced_frames += picture.interlaced_frame
        if picture.sw_format is None:
            picture = little_endian(aligned(picture))
        return Placed(picture, placed.pts, placed.repeated)

    def _describe(self) -> VideoInfo:
        decoding, first = self._decoding, self._first
        assert decoding is not None and self._shape is not None
        timeline = decoding.timeline
        if self._fps is not None and not timeline.made_times:
            self._damage.warn(
                "unused rate", "has times of its own: the frame rate that was given is not used"
            )
        header = picture_header(self.path, decoding.container, decoding.stream)
        size = first.picture.width, first.picture.height
        tell_of(header, size, self._damage)
        order: FieldOrder = "progressive"
        if self._interlaced in ("as_progressive", "fields"):
            order = field_order(first.picture)
        return info_of(
            self.path,
            decoding.container,
            decoding.stream,
            first.picture,
            decoded_pix_fmt=self._shape[2],
            start_pts=first.pts,
            time_base=timeline.time_base,
            rate=timeline.rate if timeline.made_times else decoding.stream.average_rate or None,
            field_order=order,
            cropping=header.cropping,
            times_are_exact=not timeline.made_times,
        )

    def _last_duration(self, last: Placed, *, whole: bool) -> int:
        """Time from the last frame's pts to the end that the container declares, if it does.

        The duration libav gives with the last frame shown is that of its packet, which
        MP4 derives from decode times: with B-frames it belongs to another frame.
        """
        assert self._decoding is not None
        if self._decoding.timeline.made_times:
            return self._decoding.timeline.step
        end_pts = declared_end(self._decoding.stream, self._decoding.container) if whole else None
        return end_pts - last.pts if end_pts and end_pts > last.pts else int(last.picture.duration)
