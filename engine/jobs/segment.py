"""The second pass over a segment: its frames with new faces, encoded into a part of the film."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ..clip import Clip
from ..errors import BadInputError
from ..events import Event, Progress
from ..face.faces_file import FrameFaces
from ..frame import Frame
from ..on_device.frame import Decoded
from ..pipeline import FRAMES_BETWEEN_STAGES, Drain, Prefetch
from ..review.measure import Recorder, read_records
from ..swap.model import SMALL_BATCH
from ..swap.steady_match import MEMORY_FRAMES, Measured
from ..video.fields import is_last_of_its_frame
from ..video.part import PartWriter, part_suffix
from .drawers import Drawers
from .faces import FaceLines
from .fingerprint import engines_of, fingerprint
from .folder import JobFolder, Sidecar
from .plan import Plan, Segment
from .route import decoder_of, encoding_device, route
from .watching import check_count, frames_of

# Frames without a face wait with those around them that have one: only so many.
_FRAMES_PER_FACE = 2

Matched = tuple[Decoded, FrameFaces]


class SegmentConverter:
    """Converts segments of one plan; keeps its networks loaded.

    Args:
        plan: of the job.
        folder: of the job.
        faces: of the clip's frames; nobody else takes from it.
        drawers: the plan's networks; see `planned_drawers`.
    """

    def __init__(
        self,
        plan: Plan,
        folder: JobFolder,
        faces: FaceLines,
        drawers: Drawers,
    ) -> None:
        self._plan, self._folder, self._faces, self._drawers = plan, folder, faces, drawers

    def convert(self, segment: Segment) -> Generator[Event]:
        """Makes the segment's part and its sidecar.

        Raises:
            BadInputError: the clip is damaged, or faces and frames do not belong together.
            OutputError: the part cannot be written.
            BusyError: another process writes it.
        """
        plan, settings, place = self._plan, self._plan.conversion, self._drawers.place
        reading = replace(plan.reading, start=None, end=None)
        per_frame = reading.pictures_a_frame
        warnings: dict[str, None] = {}
        colours = self._colours_before(segment)
        lead = colours is None
        with ExitStack() as stack:
            clip = stack.enter_context(Clip(plan.source, reading, hardware=decoder_of(place)))
            encoding = settings.encoding(clip.source, plan.output)
            encoding_there = encoding_device(clip, encoding)
            work = route(clip, place, encoding)
            yield work
            lead_frames = min(MEMORY_FRAMES, per_frame * segment.lead_frames) if lead else 0
            first = per_frame * segment.first_frame
            recorder = stack.enter_context(Recorder(self._folder.records(segment.number), clip.info))
            writer = stack.enter_context(
                PartWriter(
                    self._folder.part(segment.number, part_suffix(encoding)),
                    clip.source,
                    encoding,
                    threads=settings.encoder_threads,
                    overwrite=True,
                    device=encoding_there,
                )
            )
            swapper = self._drawers.swapper(
                clip.info.display,
                settings,
                recorder,
                colours or (),
                encodes_there=encoding_there is not None,
                payload=plan.payload,
            )
            frames = frames_of(clip, segment, lead=lead)
            if lead:
                frames = islice(frames, per_frame * segment.lead_frames - lead_frames, None)
            decoded = stack.enter_context(Prefetch(frames, depth=FRAMES_BETWEEN_STAGES))
            encoder = stack.enter_context(Drain(writer.write, depth=frames_before_encoder(settings.batch)))
            lines = stack.enter_context(closing(self._faces.frames_from(first - lead_frames)))
            matched = match(decoded, lines, plan.source)
            for _ in swapper.swapped(batches(islice(matched, lead_frames), settings.batch), blend=False):
                pass
            done = 0
            swapped = swapper.swapped(batches(matched, settings.batch))
            stack.callback(swapped.close)
            for finished in swapped:
                warnings.update(dict.fromkeys(finished.warnings))
                for frame, line in finished.frames:
                    recorder.frame(frame.pts, line.shot, swapper.tracks_of(line))
                    if not isinstance(frame, Frame):
                        encoder.put(frame)
                    elif is_last_of_its_frame(frame):
                        encoder.put(frame.whole or frame)
                    done += 1
                    yield Progress("convert", done, segment.frames * per_frame, segment.number)
                # Else they would stay decoded while the next batch is drawn.
                finished.frames.clear()
            warnings.update(dict.fromkeys(check_count(plan.source, segment, done, plan.reading)))
            if segment.end_pts is None:
                check_end(lines, plan.faces or plan.source)
            stack.pop_all().close()
        warnings.update(dict.fromkeys([*clip.warnings, *writer.losses]))
        self._folder.write_sidecar(
            segment.number,
            Sidecar(
                plan.id,
                writer.part,
                swapper.faces,
                self._frames_changed(segment),
                tuple(warnings),
                tuple(swapper.colours),
                fingerprint(place, engines_of(plan.fingerprint)),
                work,
            ),
        )

    def _frames_changed(self, segment: Segment) -> int:
        """In how many frames a face was swapped."""
        records = enumerate(read_records([self._folder.records(segment.number)]))
        per_frame = self._plan.reading.pictures_a_frame
        return len({n // per_frame for n, record in records if any(face.is_swapped for face in record.faces)})

    def _colours_before(self, segment: Segment) -> tuple[Measured, ...] | None:
        """What was measured in the frames before; None where it must be measured anew.

        Both give the same numbers, for a face's statistics depend on its frame alone.
        """
        if not segment.lead_frames:
            return ()
        before = self._folder.sidecar(segment.number - 1, self._plan)
        if before is None or self._plan.segments[segment.number - 1].frames < segment.lead_frames:
            return None
        first = segment.first_frame * self._plan.reading.pictures_a_frame
        return tuple(each for each in before.colours if each.frame >= first - MEMORY_FRAMES)


def frames_before_encoder(batch: int) -> int:
    """How many finished frames may wait: the encoder has them to do while the next batch is drawn."""
    return max(FRAMES_BETWEEN_STAGES, batch)


def match(
    frames: Iterable[Decoded], lines: Iterator[FrameFaces], path: Path, *, skip: bool = False
) -> Iterator[Matched]:
    """Frames with their faces.

    Args:
        frames: in order.
        lines: of their faces.
        path: that an error names.
        skip: there may be lines of other frames before and between.

    Raises:
        BadInputError: a frame without a line of its time.
    """
    for frame in frames:
        line = next(lines, None)
        while skip and line is not None and line.pts < frame.pts:
            line = next(lines, None)
        if line is None or line.pts != frame.pts:
            raise BadInputError(
                f"{path}: frame {frame.index} (pts {frame.pts}) is not what was analysed: "
                "run crossface analyze again, or begin anew with --overwrite"
            )
        yield frame, line


def check_end(lines: Iterator[FrameFaces], path: Path) -> None:
    """Raises BadInputError where all frames have theirs, and lines are left."""
    if next(lines, None) is not None:
        raise BadInputError(f"{path}: has more frames than the clip: run crossface analyze again")


def batches(work: Iterable[Matched], faces_per_batch: int) -> Iterator[list[Matched]]:
    """Consecutive frames, until their faces fill a batch or too many frames wait for that.

    The first batch is a small one, so that the encoder gets something to do.
    """
    batch: list[Matched] = []
    faces, wanted = 0, min(SMALL_BATCH, faces_per_batch)
    for frame, line in work:
        batch.append((frame, line))
        faces += len(line.faces)
        if not faces or faces >= wanted or len(batch) >= _FRAMES_PER_FACE * wanted:
            yield batch
            batch, faces, wanted = [], 0, faces_per_batch
    if batch:
        yield batch
