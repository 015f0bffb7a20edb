"""Parts: consecutive frames of a film as a video-only file, to be joined later; see `join`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..lifetime import Output
from ..on_device.frame import Decoded
from ..on_device.nvdec import VideoDevice
from ..part_file import keep_sources
from .info import VideoInfo
from .writing.codecs import Encoding
from .writing.encoder import add_video
from .writing.muxer import encoder_fits, muxer_options
from .writing.output_file import OutputFile
from .writing.picture_encoder import PictureEncoder
from .writing.rate_control import needs_whole_film

__all__ = ["Part", "PartWriter", "needs_whole_film", "part_suffix"]

# Tried with every encoder of libav 8.1: times, keyframes and payloads come back as they were written. MP4 and
# MOV can be played by themselves; NUT takes VP8 and Snow, which neither holds. Matroska would round times.
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".nut": "nut"}


@dataclass(frozen=True)
class Part:
    """A finished part; all but the path goes into its sidecar.

    Attributes:
        path: the file.
        frames: how many it holds.
        first_pts: when its first frame is shown, in units of the source's time base.
        end_pts: when its last frame ends.
        delay: how long a picture is shown before its turn in decode order, at most, in the same units.
        size_bytes: of the file.
        sha256: of the file.
    """

    path: Path
    frames: int
    first_pts: int
    end_pts: int
    delay: int
    size_bytes: int
    sha256: str


def part_suffix(encoding: Encoding) -> str:
    """The extension of parts: ``.mp4``, ``.mov`` or ``.nut``, the first that takes what the encoder writes.

    Raises:
        UsageError: none does.
    """
    for suffix, container in _CONTAINERS.items():
        if encoder_fits(encoding.encoder, container):
            return suffix
    raise UsageError(
        f"{encoding.encoder} cannot be written in parts, for no container of exact times holds it: "
        "use another --codec such as libx264 or ffv1"
    )


class PartWriter(Output):
    """Encodes consecutive frames into a file of their own, which appears when ``close`` succeeds.

    The encoder starts anew, so that nothing refers to pictures outside. The same frames, encoding and
    threads give the same bytes. In the file, times begin at 0.

    Args:
        path: the part; its extension is `part_suffix`.
        source: ``Reader.info`` of the file that the frames come from.
        encoding: from `choose_encoding`, for the joined film.
        threads: of the encoder; the same for all parts of a film.
        overwrite: replace a part that is there.
        device: as of `Writer`.

    Attributes:
        losses: one line for each thing that the film will not hold, where only frames show it.

    Raises:
        UsageError: another extension, or the encoder refuses the size or an option.
        DeviceUnavailableError: an NVENC encoder on a machine without it.
        OutputExistsError: the part exists and ``overwrite`` is False.
        BusyError: another process writes it.
        OutputError: the folder is missing, not writable, or the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        source: VideoInfo,
        encoding: Encoding,
        *,
        threads: int,
        overwrite: bool = False,
        device: VideoDevice | None = None,
    ) -> None:
        self.path = Path(path)
        self.losses: list[str] = []
        self._first_pts: int | None = None
        self._part: Part | None = None
        self._closed = False
        container = _CONTAINERS.get(self.path.suffix)
        if container is None or not encoder_fits(encoding.encoder, container):
            raise UsageError(
                f"{self.path}: give parts of {encoding.encoder} the extension {part_suffix(encoding)}"
            )
        keep_sources(self.path, source.path)
        self._file = OutputFile(self.path, overwrite=overwrite)
        try:
            options, _ = muxer_options(container, self.path, source.time_base, None)
            self._output = self._file.open(container, options)
            video = add_video(self._output, encoding, source, self.path, threads=threads, device=device)
            self._file.start(video, encoding, source)
        except BaseException:
            self.abandon()
            raise
        self._encoder = PictureEncoder(video, encoding, source, self.path, self.losses.append)

    @property
    def part(self) -> Part:
        """What was written; only after ``close``."""
        assert self._part is not None, "the part is not closed"
        return self._part

    def write(self, frame: Decoded) -> None:
        """Encode the next frame in presentation order; its planes are handed over.

        Raises:
            UsageError: the frame has another size or pixel format than the film.
            OutputError: the disk is full, or another I/O error.
        """
        if self._first_pts is None:
            self._first_pts = frame.pts
        begin = frame.pts - self._first_pts
        with self._file.typed_errors():
            self._output.mux(self._encoder.encode(frame, begin, begin + frame.duration))

    def close(self) -> None:
        """Finish the part and give it its name; does nothing the second time.

        Raises:
            UsageError: no frame was written.
            OutputError: as ``write``; nothing stays then.
        """
        if self._closed:
            return
        try:
            if self._first_pts is None:
                raise UsageError(f"{self.path}: a part without frames: plan again")
            with self._file.typed_errors():
                self._output.mux(self._encoder.finish())
            complete = self._file.finish()
            with self._file.typed_errors(), complete.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size_bytes = file.tell()
            self._file.commit()
        except BaseException:
            self.abandon()
            raise
        self._closed = True
        self._part = Part(
            self.path,
            self._encoder.frames,
            self._first_pts,
            self._first_pts + self._encoder.end_pts,
            self._encoder.delay,
            size_bytes,
            sha256,
        )

    def abandon(self) -> None:
        """Give the part up: nothing of it stays."""
        self._closed = True
        self._file.abandon()
