"""A container on the disk that appears whole or not at all; libav's errors about it come out typed."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...errors import CrossfaceError, OutputError, UsageError
from ...part_file import PartFile
from ..info import VideoInfo
from .codecs import Encoding
from .nvenc import refusal

# Signs a complete file into a copy of it; False where what it signed stays outside, and the file as it is.
Seal = Callable[[Path, Path], bool]

_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT}


class OutputFile:
    """A part of a file and the container that is written into it.

    Args:
        path: the file to appear.
        overwrite: replace a file that is there.
        seal: signs the file before it appears.

    Raises:
        OutputExistsError, OutputError, BusyError: as `PartFile`.
    """

    def __init__(self, path: Path, *, overwrite: bool, seal: Seal | None = None) -> None:
        self.path = path
        self._seal = seal
        self._part = PartFile(path, overwrite=overwrite)
        self._output: OutputContainer | None = None

    def open(self, container: str, muxer_options: Mapping[str, str]) -> OutputContainer:
        """Begin a container of libav's name; streams are added to it before `start`."""
        with self.typed_errors():
            self._output = av.open(
                f"file:{self._part.path}",
                "w",
                format=container,
                container_options=dict(muxer_options),
                metadata_errors="surrogateescape",
            )
        return self._output

    def start(
        self, video: VideoStream, encoding: Encoding, info: VideoInfo, extradata: bytes | None = None
    ) -> None:
        """Open the encoder of ``video`` and write the header.

        Args:
            video: from `add_video`.
            encoding: that it was added with.
            info: of the source.
            extradata: takes the place of the encoder's, where that has one: containers keep H.264 and HEVC
                in another form than encoders write them, and ``extradata`` says in which.

        Raises:
            UsageError: the encoder refuses the size, the format or an option.
            DeviceUnavailableError: this machine does not have it.
            OutputError: the disk is full, or another I/O error.
        """
        assert self._output is not None
        encoder = video.codec_context
        asked = set(encoder.options)
        try:
            encoder.open(strict=False)
            if extradata is not None and encoder.extradata is not None:
                encoder.extradata = extradata
            self._output.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, av.error.FFmpegError) and error.errno in _DISK_ERRORS:
                raise self._part.error(error.strerror) from error
            raise refusal(encoding.encoder, encoding.pix_fmt, info, self.path) from error
        unknown = asked & set(encoder.options)
        if unknown:
            raise UsageError(f"{self.path}: {encoding.encoder} has no option {', '.join(sorted(unknown))}")

    @contextlib.contextmanager
    def typed_errors(self) -> Iterator[None]:
        """Turns libav's and the system's errors into OutputError, with their reason."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise self._part.error(error.strerror) from error

    def finish(self) -> Path:
        """Write the trailer; gives the complete file, still under its hidden name.

        Raises:
            OutputError: the disk is full, which Matroska finds out here only.
        """
        assert self._output is not None
        with self.typed_errors():
            self._output.close()
        return self._part.path

    def commit(self) -> None:
        """Sign the file, bring it to the disk and give it its name.

        Raises:
            OutputError: it cannot be written; or not be signed: then it stays as ``.NAME.unsigned``.
        """
        if self._seal is not None:
            self._sign(self._seal)
        self._part.commit()

    def abandon(self) -> None:
        """Give the file up: nothing of it stays; safe to call twice."""
        # Closing writes a trailer, which fails again where the disk is full.
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            if self._output is not None:
                self._output.close()
        self._part.discard()

    def _sign(self, seal: Seal) -> None:
        signed, unsigned = (self._part.path.with_suffix(suffix) for suffix in (".signed", ".unsigned"))
        try:
            if seal(self._part.path, signed):
                self._part.take(signed)
            unsigned.unlink(missing_ok=True)  # of a run that failed here
        except CrossfaceError as error:
            self._part.leave(unsigned)
            raise OutputError(
                f"{self.path}: cannot be signed ({error}): it lies unsigned in {unsigned.name}; "
                "mend what is wrong and run the same command again"
            ) from error
        finally:
            signed.unlink(missing_ok=True)
