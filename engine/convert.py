"""Pass 2: packets and faces to packets.

Frames are never turned into RGB as a whole: crops leave the decoder's planes,
blended boxes come back into them, and the same frame goes to the encoder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from .analyze import AnalysisSettings, analyze
from .clip import Clip, ReadingSettings
from .compositing import CompositorOutputs
from .errors import BadInputError, UsageError
from .events import Event, Finished, Progress, Warned
from .face.faces_file import FacesFile, FrameFaces
from .frame import Frame
from .part_file import PartFile, keep_sources
from .pipeline import Drain, Prefetch
from .sequence.name import find_sequence
from .sequence.picture import FLOAT_BITS
from .sequence.writer import SequenceWriter
from .swap.batch import BatchSwapper
from .swap.colour_match import METHODS, Method
from .swap.mask import MaskSettings
from .swap.model import Swapper
from .video.fields import is_last_of_its_frame
from .video.writer import Writer

_READ_AHEAD_FRAMES = 8
_WRITE_BEHIND_FRAMES = 8
# Frames without a face wait with those around them that have one: only so many.
_FRAMES_PER_FACE = 2


@dataclass(frozen=True)
class ConversionSettings:
    """What changes the pictures of a conversion.

    Attributes:
        colour: how the new face takes the shot's colours; see `colour_match`.
        mask: the edge of what is blended.
        batch: faces a run of the network.
        codec: how a film is encoded; see `codecs`. "source" takes the clip's own codec.
        encoder_options: of that encoder, beside its defaults in `codecs`.
        pix_fmt: pixel format to convert to; None keeps every sample, or refuses.
        encoder_threads: 0 for one a core.
    """

    colour: Method = "reinhard"
    mask: MaskSettings = field(default_factory=MaskSettings)
    batch: int = 8
    codec: str = "libx264"
    encoder_options: Mapping[str, str] | None = None
    pix_fmt: str | None = None
    encoder_threads: int = 0


@dataclass(frozen=True)
class CompositorPaths:
    """Image sequences beside the film, for a compositor; see `compositing`.

    Attributes:
        matte: to write: the share of each pixel that was replaced.
        layer: to write: the swapped faces alone.
        stmap: to write: from each pixel to its place in the aligned face.
        holdout: to read: where it is white the clip stays.
    """

    matte: Path | str | None = None
    layer: Path | str | None = None
    stmap: Path | str | None = None
    holdout: Path | str | None = None


def convert(
    clip: Path | str,
    model: Path | str,
    output: Path | str,
    *,
    faces: Path | str | None = None,
    settings: ConversionSettings | None = None,
    analysis: AnalysisSettings | None = None,
    reading: ReadingSettings | None = None,
    compositing: CompositorPaths | None = None,
    overwrite: bool = False,
) -> Generator[Event]:
    """Gives the faces of a clip to the person of a model: a generator of events that writes a clip.

    It can be closed at any point; the output then does not appear. A clip
    without a face comes back as it was, with a warning.

    Args:
        clip: a video file or an image sequence.
        model: an ONNX file of `crossface export`.
        output: ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``, or an image sequence.
        faces: a faces file of this clip; it is analysed first where None.
        settings: of the conversion.
        analysis: of the analysis, where ``faces`` is None.
        reading: how the clip is read, and which frames of it.
        compositing: what else is written, or read, for a compositor.
        overwrite: replace ``output``.

    Raises:
        UsageError: settings that make no sense, or that the encoder refuses; ``output`` is a source.
        InputMissingError, BadInputError: clip, model or faces file cannot be used, or do not belong together.
        ConfigurationError: face models are missing, or what image sequences need.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
    """
    settings = settings or ConversionSettings()
    if settings.colour not in METHODS or settings.batch < 1:
        raise UsageError(f"colour must be one of {', '.join(METHODS)}, and batch at least 1")
    job = _Job(
        Path(clip),
        Path(output),
        settings,
        reading or ReadingSettings(),
        compositing or CompositorPaths(),
        overwrite,
    )
    keep_sources(job.output, job.clip, Path(model), *([] if faces is None else [Path(faces)]))
    swapper = Swapper(Path(model), batch=settings.batch)
    losses, keeps_codec = job.rehearse()
    yield from map(Warned, losses)
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        given = faces
        if faces is None:
            faces = Path(scratch) / "shot.faces"
            for event in analyze(job.clip, faces, settings=analysis, reading=job.reading):
                if not isinstance(event, Finished):
                    yield event
                if isinstance(event, Warned):
                    losses.append(event.message)
        faces_file = FacesFile(Path(faces))
        _check(faces_file, swapper, job, given is not None)
        if faces_file.swaps:
            try:
                yield from _untold(_converted(job, swapper, faces_file, _disclosure(swapper)), losses)
                return
            except _NothingSwappedError:
                yield Warned(
                    f"{clip}: no face was swapped: the model draws no mask yet, or the faces file leaves "
                    "no face: train longer, or look there"
                )
        if keeps_codec and job.keeps_all_else:
            yield from _copied(job, sum(1 for _ in faces_file))
        else:
            yield Warned(f"{clip}: no face to swap: {output} shows the clip as it is, encoded anew")
            yield from _untold(_converted(job, swapper, faces_file, None), losses)


class _NothingSwappedError(Exception):
    """The output says that faces were replaced, and none was."""


class _Sink(Protocol):
    """Where frames go."""

    losses: list[str]

    def write(self, frame: Frame) -> None: ...
    def abandon(self) -> None: ...


@dataclass(frozen=True)
class _Job:
    """What is converted into what; see `convert`."""

    clip: Path
    output: Path
    settings: ConversionSettings
    reading: ReadingSettings
    compositing: CompositorPaths
    overwrite: bool

    def open(self) -> Clip:
        return Clip(self.clip, self.reading)

    def sink(self, clip: Clip, comment: str | None) -> SequenceWriter | Writer:
        name = find_sequence(self.output)
        if name is not None:
            return SequenceWriter(
                name,
                clip.source,
                overwrite=self.overwrite,
                comment=comment,
                first_number=clip.first_number,
                numbers=clip.output_numbers,
            )
        if clip.numbers is not None and self.settings.codec == "source":
            raise UsageError(
                f"{self.output}: pictures have no codec of a film: choose --codec prores or ffv1"
            )
        options = self.settings.encoder_options
        writer = Writer(
            self.output,
            clip.source,
            codec=self.settings.codec,
            options=None if options is None else dict(options),
            pix_fmt=self.settings.pix_fmt,
            overwrite=self.overwrite,
            comment=comment,
            threads=self.settings.encoder_threads,
            span=clip.span_s,
        )
        if clip.numbers is not None and clip.source.colour.bits == FLOAT_BITS:
            writer.losses.append(
                f"{self.output}: shows light as sRGB up to 0.9, and highlights above that compressed"
            )
        return writer

    def compositor(self, clip: Clip, comment: str | None) -> CompositorOutputs | None:
        """Raises UsageError for fields, which have no full pictures of their own."""
        if not any(astuple(self.compositing)):
            return None
        if clip.info is not clip.source:
            raise UsageError(f"{self.clip}: mattes and layers are of whole frames: use --deinterlace")
        return CompositorOutputs(
            clip.source,
            **asdict(self.compositing),
            overwrite=self.overwrite,
            comment=comment,
            first_number=clip.first_number,
            numbers=clip.output_numbers,
            beside=find_sequence(self.output),
        )

    def rehearse(self) -> tuple[list[str], bool]:
        """What the output will not hold, and whether it has the clip's codec; or an error.

        All of it is found before the analysis costs somebody an hour.
        """
        with self.open() as clip:
            sink = self.sink(clip, None)
            sinks: list[_Sink] = [sink]
            try:
                if compositor := self.compositor(clip, None):
                    sinks.append(compositor)
            finally:
                for each in sinks:
                    each.abandon()
        losses = dict.fromkeys(loss for each in sinks for loss in each.losses)
        return list(losses), isinstance(sink, Writer) and sink.keeps_codec

    @property
    def keeps_all_else(self) -> bool:
        """True where nothing but the codec keeps a clip without a swapped face from being its own output."""
        reading = self.reading
        return (
            self.clip.is_file()
            and self.clip.suffix.lower() == self.output.suffix.lower()
            and all(limit is None for limit in (reading.start, reading.end, reading.fps))
            and reading.interlaced != "deinterlace"
            and not any(astuple(self.compositing))
        )


def _check(faces_file: FacesFile, swapper: Swapper, job: _Job, given: bool) -> None:
    """Raises BadInputError where clip, faces file and model do not belong together."""
    if given:
        with job.open() as clip:
            source_hash = clip.content_hash()
        if faces_file.header.source_hash != source_hash:
            raise BadInputError(
                f"{faces_file.path}: was made from another clip than {job.clip}: "
                "run crossface analyze on this one"
            )
    unknown = set(swapper.metadata.template) - set(faces_file.header.points)
    if unknown:
        raise BadInputError(
            f"{swapper.path}: is aligned by landmarks that faces files do not keep ({min(unknown)}): "
            "update Crossface, or export the model again"
        )


def _untold(events: Iterator[Event], told: list[str]) -> Iterator[Event]:
    """Events without the warnings that were given before."""
    return (event for event in events if not (isinstance(event, Warned) and event.message in told))


def _copied(job: _Job, frames: int) -> Iterator[Event]:
    yield Warned(f"{job.clip}: no face to swap: {job.output} is a copy of the clip")
    with PartFile(job.output, overwrite=job.overwrite) as part:
        shutil.copyfile(job.clip, part)
    yield Finished(job.output, frames, 0)


def _converted(job: _Job, swapper: Swapper, faces_file: FacesFile, comment: str | None) -> Iterator[Event]:
    settings, frames = job.settings, 0
    with ExitStack() as stack:
        clip = stack.enter_context(job.open())
        compositor = job.compositor(clip, comment)
        if compositor is not None:
            stack.enter_context(compositor)
        batch_swapper = BatchSwapper(
            swapper, clip.info.display, colour=settings.colour, mask=settings.mask, outputs=compositor
        )
        sink = job.sink(clip, comment)
        stack.enter_context(sink)
        decoded = stack.enter_context(Prefetch(clip, depth=_READ_AHEAD_FRAMES))
        encoder = stack.enter_context(Drain(sink.write, depth=_WRITE_BEHIND_FRAMES))
        lines = _matched(decoded, faces_file, partly=clip.span is not None)
        for batch in _batches(lines, settings.batch):
            yield from map(Warned, batch_swapper.process(batch))
            for frame, _ in batch:
                if compositor is not None:
                    compositor.write(frame)
                if is_last_of_its_frame(frame):
                    encoder.put(frame.whole or frame)
                frames += 1
                yield Progress("convert", frames, clip.frame_count)
        if comment is not None and not batch_swapper.faces:
            raise _NothingSwappedError
        stack.pop_all().close()
    told = [*clip.warnings, *sink.losses, *(compositor.losses if compositor else [])]
    yield from map(Warned, dict.fromkeys(told))
    yield Finished(job.output, frames, batch_swapper.faces)


def _disclosure(swapper: Swapper) -> str:
    """What every output says of itself, in words."""
    consent = f", consent {swapper.metadata.consent}" if swapper.metadata.consent else ""
    return (
        f"Contains AI-generated imagery: faces replaced by Crossface {version('crossface')}, "
        f"identity {swapper.metadata.identity}, model {swapper.sha256[:16]}{consent}"
    )


def _matched(
    frames: Iterable[Frame], faces_file: FacesFile, *, partly: bool
) -> Iterator[tuple[Frame, FrameFaces]]:
    """Frames with their lines of the faces file, which may hold more frames where ``partly``.

    Raises:
        BadInputError: a frame without a line, or a line without a frame.
    """
    lines = iter(faces_file)
    for frame in frames:
        line = next(lines, None)
        while partly and line is not None and line.pts < frame.pts:
            line = next(lines, None)
        if line is None or line.pts != frame.pts:
            raise BadInputError(
                f"{faces_file.path}: frame {frame.index} (pts {frame.pts}) has no line: "
                "run crossface analyze again"
            )
        yield frame, line
    if not partly and next(lines, None) is not None:
        raise BadInputError(f"{faces_file.path}: has more frames than the clip: run crossface analyze again")


def _batches(
    work: Iterable[tuple[Frame, FrameFaces]], faces_per_batch: int
) -> Iterator[list[tuple[Frame, FrameFaces]]]:
    """Consecutive frames, until their faces fill a batch or too many frames wait for that."""
    batch: list[tuple[Frame, FrameFaces]] = []
    faces = 0
    for frame, line in work:
        batch.append((frame, line))
        faces += len(line.faces)
        if not faces or faces >= faces_per_batch or len(batch) >= _FRAMES_PER_FACE * faces_per_batch:
            yield batch
            batch, faces = [], 0
    if batch:
        yield batch
