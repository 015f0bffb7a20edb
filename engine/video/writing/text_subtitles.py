"""Subtitles that are text, from one container's form of it to another's: times and words stay."""

from __future__ import annotations

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

_TEXT = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}
_FORMS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}


def text_form(stream: Stream, container: str) -> str | None:
    """libav's name of the form that a container has for a text stream; None for pictures."""
    decoder = stream.codec_context
    if not isinstance(stream, SubtitleStream) or decoder is None or decoder.name not in _TEXT:
        return None
    return _FORMS[container]


class TextConverter:
    """Gives packets of a text stream another form.

    Args:
        stream: of the source; its packets are decoded here.
        output: the open target, which gets a stream for them.
        form: from `text_form`.

    Attributes:
        target: the new stream.
    """

    def __init__(self, stream: SubtitleStream, output: OutputContainer, form: str) -> None:
        self._decoder = stream.codec_context
        self._decoder.open(strict=False)
        self.target = output.add_stream(form)
        encoder = self.target.codec_context
        assert isinstance(encoder, SubtitleCodecContext) and stream.time_base is not None
        encoder.subtitle_header = self._decoder.subtitle_header
        encoder.time_base = self.target.time_base = stream.time_base
        self._encoder = encoder

    def convert(self, packet: Packet[Stream]) -> Packet[Stream] | None:
        """The packet in its new form; None for one without text, by which MP4 fills pauses.

        Raises:
            FFmpegError: damaged text.
        """
        text = self._decoder.decode2(packet)
        if not text:
            return None
        new: Packet[Stream] = self._encoder.encode_subtitle(text)
        new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
        new.time_base = packet.time_base
        new.stream = packet.stream
        return new
