"""Pass 2: packets and faces to packets.

Frames are never turned into RGB as a whole: crops leave the decoder's planes,
blended boxes come back into them, and the same frame goes to the encoder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .analyze import AnalysisSettings, analyze, packet_hash
from .errors import BadInputError, UsageError
from .events import Event, Finished, Progress, Warned
from .face.align import Affine, apply, crop_to_frame, invert
from .face.faces_file import Face, FacesFile, FrameFaces
from .frame import Frame
from .part_file import PartFile, keep_sources
from .pipeline import Drain, Prefetch
from .swap.colour_match import METHODS, Method, Statistics, SteadyMatch
from .swap.mask import MaskSettings, hull, soften
from .swap.model import Swapper
from .video.reader import Reader, VideoInfo
from .video.writer import Writer

_READ_AHEAD_FRAMES = 8
_WRITE_BEHIND_FRAMES = 8
# Frames without a face wait with those around them that have one: only so many.
_FRAMES_PER_FACE = 2
_FULL_PRESENCE = 0.8
_LEAST_PRESENCE = 0.5
# Colours are measured well inside the outline, clear of hair and background.
_SKIN = MaskSettings(feather=0.2)


@dataclass(frozen=True)
class ConversionSettings:
    """What changes the pictures of a conversion.

    Attributes:
        colour: how the new face takes the shot's colours; see `colour_match`.
        mask: the edge of what is blended.
        batch: faces a run of the network.
        codec: libav's name of an encoder.
        encoder_options: of that encoder; its defaults in `Writer` where None.
        encoder_threads: 0 for one a core.
    """

    colour: Method = "reinhard"
    mask: MaskSettings = field(default_factory=MaskSettings)
    batch: int = 8
    codec: str = "libx264"
    encoder_options: Mapping[str, str] | None = None
    encoder_threads: int = 0


def convert(
    clip: Path | str,
    model: Path | str,
    output: Path | str,
    *,
    faces: Path | str | None = None,
    settings: ConversionSettings | None = None,
    analysis: AnalysisSettings | None = None,
    tolerate_damage: bool = False,
    overwrite: bool = False,
) -> Generator[Event]:
    """Gives the faces of a clip to the person of a model: a generator of events that writes a video.

    It can be closed at any point; the output then does not appear. A clip
    without a face comes back as it was, with a warning.

    Args:
        clip: a video file.
        model: an ONNX file of `crossface export`.
        output: ``.mp4``, ``.mov`` or ``.mkv``.
        faces: a faces file of this clip; it is analysed first where None.
        settings: of the conversion.
        analysis: of the analysis, where ``faces`` is None.
        tolerate_damage: read on over damage; it is reported as warnings.
        overwrite: replace ``output``.

    Raises:
        UsageError: settings that make no sense, or that the encoder refuses; ``output`` is a source.
        InputMissingError, BadInputError: clip, model or faces file cannot be used, or do not belong together.
        ConfigurationError: face models are missing.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
    """
    settings = settings or ConversionSettings()
    clip, output = Path(clip), Path(output)
    if settings.colour not in METHODS or settings.batch < 1:
        raise UsageError(f"colour must be one of {', '.join(METHODS)}, and batch at least 1")
    keep_sources(output, clip, Path(model), *([] if faces is None else [Path(faces)]))
    swapper = Swapper(Path(model), batch=settings.batch)
    losses = _rehearsed(clip, output, settings, tolerate_damage, overwrite)
    yield from map(Warned, losses)
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        given = faces
        if faces is None:
            faces = Path(scratch) / "shot.faces"
            for event in analyze(clip, faces, settings=analysis, tolerate_damage=tolerate_damage):
                if not isinstance(event, Finished):
                    yield event
        faces_file = FacesFile(Path(faces))
        if given is not None and faces_file.header.source_hash != packet_hash(clip):
            raise BadInputError(
                f"{given}: was made from another clip than {clip}: run crossface analyze on this one"
            )
        unknown = set(swapper.metadata.template) - set(faces_file.header.points)
        if unknown:
            raise BadInputError(
                f"{model}: is aligned by landmarks that faces files do not keep ({min(unknown)}): "
                "update Crossface, or export the model again"
            )
        work = partial(_converted, clip, swapper, output, faces_file, settings, tolerate_damage, overwrite)
        if faces_file.swaps:
            try:
                yield from _untold(work(_disclosure(swapper)), losses)
                return
            except _NothingSwappedError:
                yield Warned(
                    f"{clip}: no face was swapped: the model draws no mask yet, or the faces file leaves "
                    "no face: train longer, or look there"
                )
        if clip.suffix.lower() == output.suffix.lower():
            yield from _copied(clip, output, sum(1 for _ in faces_file), overwrite)
        else:
            yield Warned(f"{clip}: no face to swap: {output} shows the clip as it is, encoded anew")
            yield from _untold(work(None), losses)


def _untold(events: Iterator[Event], told: list[str]) -> Iterator[Event]:
    """Events without the warnings that were given before."""
    return (event for event in events if not (isinstance(event, Warned) and event.message in told))


class _NothingSwappedError(Exception):
    """The output says that faces were replaced, and none was."""


def _rehearsed(
    clip: Path, output: Path, settings: ConversionSettings, tolerate_damage: bool, overwrite: bool
) -> list[str]:
    """What the output will not hold, or an error: found out before the analysis costs somebody an hour."""
    with Reader(clip, tolerate_damage=tolerate_damage) as reader:
        writer = _writer(output, reader.info, settings, overwrite)
        writer.abandon()
    return writer.losses


def _writer(
    output: Path, info: VideoInfo, settings: ConversionSettings, overwrite: bool, comment: str | None = None
) -> Writer:
    options = settings.encoder_options
    return Writer(
        output,
        info,
        codec=settings.codec,
        options=None if options is None else dict(options),
        overwrite=overwrite,
        comment=comment,
        threads=settings.encoder_threads,
    )


def _copied(clip: Path, output: Path, frames: int, overwrite: bool) -> Iterator[Event]:
    yield Warned(f"{clip}: no face to swap: {output} is a copy of the clip")
    with PartFile(output, overwrite=overwrite) as part:
        shutil.copyfile(clip, part)
    yield Finished(output, frames, 0)


def _converted(
    clip: Path,
    swapper: Swapper,
    output: Path,
    faces_file: FacesFile,
    settings: ConversionSettings,
    tolerate_damage: bool,
    overwrite: bool,
    comment: str | None,
) -> Iterator[Event]:
    frames = 0
    with Reader(clip, tolerate_damage=tolerate_damage) as reader:
        info = reader.info
        converter = _Converter(swapper, settings, info.display)
        with (
            _writer(output, info, settings, overwrite, comment) as writer,
            Prefetch(reader, depth=_READ_AHEAD_FRAMES) as decoded,
            Drain(writer.write, depth=_WRITE_BEHIND_FRAMES) as encoder,
        ):
            for batch in _batches(_matched(decoded, faces_file), settings.batch):
                yield from map(Warned, converter.process(batch))
                for frame, _ in batch:
                    encoder.put(frame)
                    frames += 1
                    yield Progress("convert", frames, info.frame_count_declared)
            if comment is not None and not converter.faces:
                raise _NothingSwappedError
        for message in [*reader.warnings, *writer.losses]:
            yield Warned(message)
    yield Finished(output, frames, converter.faces)


def _disclosure(swapper: Swapper) -> str:
    """What every output says of itself, in words."""
    consent = f", consent {swapper.metadata.consent}" if swapper.metadata.consent else ""
    return (
        f"Contains AI-generated imagery: faces replaced by Crossface {version('crossface')}, "
        f"identity {swapper.metadata.identity}, model {swapper.sha256[:16]}{consent}"
    )


def _matched(frames: Iterable[Frame], faces_file: FacesFile) -> Iterator[tuple[Frame, FrameFaces]]:
    """Frames with their lines of the faces file.

    Raises:
        BadInputError: a frame without a line, or a line without a frame.
    """
    lines = iter(faces_file)
    for frame in frames:
        line = next(lines, None)
        if line is None or line.pts != frame.pts:
            raise BadInputError(
                f"{faces_file.path}: frame {frame.index} (pts {frame.pts}) has no line: "
                "run crossface analyze again"
            )
        yield frame, line
    if next(lines, None) is not None:
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


class _Converter:
    """Swaps the faces of batches of frames, in place."""

    def __init__(self, swapper: Swapper, settings: ConversionSettings, display: NDArray[np.float64]) -> None:
        self.faces = 0
        self._display = display
        self._swapper = swapper
        self._mask = settings.mask
        self._colours = SteadyMatch(settings.colour)

    def process(self, batch: list[tuple[Frame, FrameFaces]]) -> list[str]:
        """Changes the frames' planes; gives warnings."""
        work = [
            (frame, line.shot, face, self._placed(frame, face))
            for frame, line in batch
            for face in line.faces
        ]
        if not work:
            return []
        size_px, output_px = self._swapper.metadata.size_px, self._swapper.metadata.output_px
        crops = np.empty((len(work), 3, size_px, size_px), np.float32)
        for crop, (frame, _, _, placed) in zip(crops, work, strict=True):
            kernels.crop(frame, placed[None], size_px, crop[None])
        drawn, masks = self._swapper.swap(crops)
        warnings = []
        for n, (frame, shot, face, placed) in enumerate(work):
            if not (np.isfinite(drawn[n]).all() and np.isfinite(masks[n]).all()):
                warnings.append(f"frame {frame.index}: the network gave no number; the face stays as it was")
                continue
            placed = placed * [size_px / output_px, size_px / output_px, 1.0]
            source = crops[n] if size_px == output_px else kernels.crop(frame, placed[None], output_px)[0]
            # Drawn where both people have a face: the new one must not spill over the old one's outline.
            outline = hull(apply(invert(placed), face.landmarks), output_px)
            self._blend(frame, shot, face, placed, source, drawn[n], masks[n] * outline)
        return warnings

    def _blend(
        self,
        frame: Frame,
        shot: int,
        face: Face,
        placed: Affine,
        source: NDArray[np.float32],
        drawn: NDArray[np.float32],
        mask: NDArray[np.float32],
    ) -> None:
        weight = soften(mask, self._mask)
        skin = soften(mask, _SKIN)
        mean, covariance, area = kernels.stats(drawn, skin)
        if area <= 0:
            return
        colour = self._colours.update(
            shot, face.track, Statistics(mean, covariance), Statistics(*kernels.stats(source, skin)[:2])
        )
        fade = np.clip((face.presence - _LEAST_PRESENCE) / (_FULL_PRESENCE - _LEAST_PRESENCE), 0.0, 1.0)
        if kernels.blend(frame, placed, drawn, weight * np.float32(fade), colour) is not None:
            self.faces += 1

    def _placed(self, frame: Frame, face: Face) -> Affine:
        """The network's input px to luma px."""
        metadata = self._swapper.metadata
        try:
            return crop_to_frame(
                face.landmarks,
                size_px=metadata.size_px,
                coverage=metadata.coverage,
                template=metadata.template,
                display=self._display,
            )
        except ValueError as error:
            raise BadInputError(
                f"frame {frame.index}: no landmarks that the model can be aligned by ({error}): "
                "run crossface analyze again"
            ) from error
