"""Conversions that no plan of segments is made for: image sequences, and what compositors want beside a film.

Pictures appear one by one, and a film when it is whole; a conversion that was stopped begins anew.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from ..analyze import analyze
from ..clip import Clip, ReadingSettings
from ..compositing import CompositorOutputs
from ..errors import UsageError
from ..events import Event, Finished, Noted, Progress, Warned
from ..face.faces_file import FacesFile
from ..on_device.frame import in_host
from ..pipeline import FRAMES_BETWEEN_STAGES, Drain, Prefetch
from ..provenance.claim import Claim
from ..provenance.credentials import Signer
from ..provenance.gate import is_covered, looks_by
from ..provenance.mark.payload import Payload
from ..provenance.words import disclosure
from ..sequence.name import find_sequence
from ..sequence.picture import FLOAT_BITS
from ..sequence.writer import SequenceWriter
from ..settings import AnalysisSettings, CompositorPaths, ConversionSettings
from ..swap.model import Swappers
from ..video.fields import is_last_of_its_frame
from ..video.writer import Writer
from .choices import choices, faces_hash_of, payload_of
from .drawers import CpuDrawers
from .finish import nothing_swapped
from .plan import PlannedModel
from .segment import batches, check_end, frames_before_encoder, match


def convert_in_one_pass(
    clip: Path,
    swappers: Swappers,
    output: Path,
    models: Sequence[PlannedModel],
    signer: Signer,
    *,
    faces: Path | None,
    settings: ConversionSettings,
    analysis: AnalysisSettings,
    reading: ReadingSettings,
    compositing: CompositorPaths,
    rights_stated: bool,
    overwrite: bool,
) -> Generator[Event]:
    """As `convert`, which says what the arguments are."""
    job = _Job(clip, output, models, signer, settings, analysis, faces, reading, compositing, overwrite)
    words = disclosure(models, unsigned_because=signer.unsigned_because)
    scored = None if faces is None else FacesFile(faces).scores is not None
    _, unlooked = looks_by(clip, models, scored=scored, rights_stated=rights_stated)
    losses = [*unlooked, *job.rehearse()]
    yield from map(Warned, losses)
    yield from (Noted(str(model)) for model in models)
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        given = faces is not None
        if faces is None:
            faces = Path(scratch) / "shot.faces"
            for event in analyze(job.clip, faces, settings=analysis, reading=job.reading, device="cpu"):
                if not isinstance(event, Finished):
                    yield event
                if isinstance(event, Warned):
                    losses.append(event.message)
        faces_file = FacesFile(faces, named={whom for whom in swappers if whom is not None})
        if given:
            _check(faces_file, job)
        gate = faces_file.gate(clip, covered=is_covered(models))
        scores = faces_file.scores or []
        gate.check(scores)
        if found := gate.finding(scores):
            yield Noted(f"{found}: the consent covers that")
        if faces_file.swaps:
            with contextlib.suppress(_NothingSwappedError):
                yield from _untold(_converted(job, swappers, faces_file, words), losses)
                return
        yield Warned(nothing_swapped(clip, output, copied=False, tried=faces_file.swaps))
        yield from _untold(_converted(job, swappers, faces_file, None), losses)


class _NothingSwappedError(Exception):
    """The output says that faces were replaced, and none was."""


@dataclass(frozen=True)
class _Job:
    """What is converted into what; see `convert`."""

    clip: Path
    output: Path
    models: Sequence[PlannedModel]
    signer: Signer
    settings: ConversionSettings
    analysis: AnalysisSettings
    faces: Path | None
    reading: ReadingSettings
    compositing: CompositorPaths
    overwrite: bool

    def open(self) -> Clip:
        return Clip(self.clip, self.reading)

    def sink(
        self, clip: Clip, comment: str | None, claim: Callable[[], Claim] | None = None
    ) -> SequenceWriter | Writer:
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
        writer = Writer(
            self.output,
            clip.source,
            codec=self.settings.codec,
            options=self.settings.encoder_options,
            pix_fmt=self.settings.pix_fmt,
            overwrite=self.overwrite,
            comment=comment,
            threads=self.settings.encoder_threads,
            span=clip.span_s,
            seal=None if claim is None else self.signer.seal(self.output, claim),
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

    def payload(self, source_hash: str) -> Payload | None:
        """Of the mark that the faces carry; None where none is wanted."""
        return payload_of(
            choices(
                source_hash,
                self.models,
                reading=self.reading,
                analysis=self.analysis,
                faces_hash=faces_hash_of(self.faces),
                conversion=self.settings,
            )
        )

    def rehearse(self) -> list[str]:
        """What the output will not hold; or an error.

        All of it is found before the analysis costs somebody an hour.
        """
        with self.open() as clip:
            sinks: list[SequenceWriter | Writer | CompositorOutputs] = [self.sink(clip, None)]
            try:
                if compositor := self.compositor(clip, None):
                    sinks.append(compositor)
            finally:
                for each in sinks:
                    each.abandon()
        return list(dict.fromkeys(loss for each in sinks for loss in each.losses))


def _check(faces_file: FacesFile, job: _Job) -> None:
    """Raises BadInputError where clip and faces file do not belong together."""
    with job.open() as clip:
        faces_file.check_source(job.clip, clip.content_hash())


def _untold(events: Iterator[Event], told: list[str]) -> Iterator[Event]:
    """Events without the warnings that were given before."""
    return (event for event in events if not (isinstance(event, Warned) and event.message in told))


def _converted(job: _Job, swappers: Swappers, faces_file: FacesFile, comment: str | None) -> Iterator[Event]:
    settings, frames = job.settings, 0
    with ExitStack() as stack:
        clip = stack.enter_context(job.open())
        compositor = job.compositor(clip, comment)
        if compositor is not None:
            stack.enter_context(compositor)
        batch_swapper = CpuDrawers.of(swappers, settings, batch=settings.batch, threads=1).swapper(
            clip.info.display,
            settings,
            None,
            (),
            encodes_there=False,
            outputs=compositor,
            payload=job.payload(faces_file.header.source_hash),
        )

        def claim() -> Claim:
            return Claim(
                job.clip,
                faces_file.header.source_hash,
                job.models,
                frames,
                batch_swapper.frames_changed,
                batch_swapper.faces,
            )

        sink = job.sink(clip, comment, claim)
        stack.enter_context(sink)
        decoded = stack.enter_context(Prefetch(clip, depth=FRAMES_BETWEEN_STAGES))
        encoder = stack.enter_context(Drain(sink.write, depth=frames_before_encoder(settings.batch)))
        lines, partly = iter(faces_file), clip.span is not None
        matched = match(decoded, lines, faces_file.path, skip=partly)
        for swapped in batch_swapper.swapped(batches(matched, settings.batch)):
            yield from map(Warned, swapped.warnings)
            for decoded_frame, _ in swapped.frames:
                frame = in_host(decoded_frame)
                if compositor is not None:
                    compositor.write(frame)
                if is_last_of_its_frame(frame):
                    encoder.put(frame.whole or frame)
                frames += 1
                yield Progress("convert", frames, clip.frame_count)
            swapped.frames.clear()
        if not partly:
            check_end(lines, faces_file.path)
        if comment is not None and not batch_swapper.faces:
            raise _NothingSwappedError
        stack.pop_all().close()
    if isinstance(sink, SequenceWriter):
        job.signer.sign_sequence(sink.name, sink.written, claim())
    told = [*clip.warnings, *sink.losses, *(compositor.losses if compositor else [])]
    yield from map(Warned, dict.fromkeys(told))
    yield Finished(job.output, frames, batch_swapper.faces)
