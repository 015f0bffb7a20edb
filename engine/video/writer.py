"""Encodes frames with the very times, tags and companions of the file they came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from ..errors import UsageError
from ..lifetime import Output
from ..on_device.frame import Decoded
from ..on_device.nvdec import VideoDevice
from .info import VideoInfo
from .writing.codecs import choose_encoding
from .writing.film_muxer import FilmMuxer
from .writing.output_file import Seal
from .writing.passthrough import Span
from .writing.picture_encoder import PictureEncoder


class Writer(Output):
    """Writes the frames of one source, with everything else that the source holds.

    Frames keep pts and duration; other streams are copied packet for packet and
    interleaved as the picture advances; colour tags, siting, sample aspect, display
    matrix, metadata, timecode and chapters are kept. The file appears when ``close``
    succeeds.

    Args:
        path: the output; ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``.
        source: ``Reader.info`` of the file that the frames come from. Where its ``stream_index``
            is negative they come from no file, and nothing is copied.
        codec: ``libx264``, ``libx265``, ``libsvtav1``, ``prores``, ``dnxhr``, ``ffv1``, ``libvpx-vp9``,
            ``h264_nvenc``, ``hevc_nvenc``, ``av1_nvenc``,
            ``source`` for the source's own codec and profile, or libav's name of another encoder.
        options: of the encoder, beside defaults that are visually lossless; see `choose_encoding`.
        pix_fmt: convert to this pixel format; None keeps every sample, or refuses.
        span: write only this part, from time 0 of the output on. Frames outside are left out,
            the first and last one cut to it.
        overwrite: replace an output that is there.
        comment: added to the container's ``comment`` metadata.
        threads: of the encoder; 0 lets it choose.
        device: where frames lie that come as a decoder on the device gave them, for an NVENC encoder; None
            for frames in the host's memory, which any encoder takes.
        seal: signs the film before it appears.

    Attributes:
        losses: one line for each thing that the output cannot hold; known before the
            first frame but for what shows only while packets are copied.

    Raises:
        UsageError: an extension, codec, option, pixel format or audio codec that cannot be used here.
        DeviceUnavailableError: an NVENC encoder on a machine without it.
        OutputExistsError: the output exists and ``overwrite`` is False.
        OutputError: the folder is missing, not writable, or the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        source: VideoInfo,
        *,
        codec: str = "libx264",
        options: Mapping[str, str] | None = None,
        pix_fmt: str | None = None,
        span: Span | None = None,
        overwrite: bool = False,
        comment: str | None = None,
        threads: int = 0,
        device: VideoDevice | None = None,
        seal: Seal | None = None,
    ) -> None:
        self.path = Path(path)
        self._info = source
        self._closed = False
        self._encoding = choose_encoding(codec, source, self.path, options=options, pix_fmt=pix_fmt)
        self._film = FilmMuxer(
            self.path,
            source,
            self._encoding,
            span=span,
            comment=comment,
            overwrite=overwrite,
            threads=threads,
            device=device,
            seal=seal,
        )
        self.losses = self._film.losses
        try:
            self._film.start()
        except BaseException:
            self.abandon()
            raise
        self._encoder = PictureEncoder(self._film.video, self._encoding, source, self.path, self._film.lose)

    @property
    def keeps_codec(self) -> bool:
        """True where the output is encoded as the source is, but for the quality."""
        if not self._film.copies:
            return False
        encoder, decoder = av.Codec(self._encoding.encoder, "w"), av.Codec(self._info.codec, "r")
        return encoder.canonical_name == decoder.canonical_name and not self._encoding.converts

    def write(self, frame: Decoded) -> None:
        """Encode the next frame in presentation order; its planes are handed over.

        Raises:
            OutputError: the disk is full, or another I/O error.
        """
        place = self._film.placed(frame.pts, frame.duration)
        if place is None:
            return
        with self._film.typed_errors():
            packets = self._encoder.encode(frame, *place)
        self._mux(packets)

    def close(self) -> None:
        """Finish the file and give it its name; does nothing the second time.

        Raises:
            OutputError: as ``write``; the part is removed then.
        """
        if self._closed:
            return
        try:
            if not self._encoder.frames:
                raise UsageError(
                    f"{self.path}: no frame lies in the part that was asked for: widen the range"
                )
            with self._film.typed_errors():
                packets = self._encoder.finish()
            self._mux(packets)
            self._film.close()
        except BaseException:
            self.abandon()
            raise
        self._closed = True

    def abandon(self) -> None:
        """Give the output up: nothing of it stays."""
        self._closed = True
        self._film.abandon()

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            self._film.mux(packet)
