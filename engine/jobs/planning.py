"""Makes plans: reads a clip's packets once, and finds out all that can be known before work begins."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..clip import Clip, ReadingSettings
from ..errors import UsageError
from ..face.faces_file import FacesFile
from ..file_state import file_sha256
from ..on_device.drawing import check_match, input_shape
from ..on_device.occlusion import occlusion_network
from ..on_device.place import Place, Shape, engine_name
from ..on_device.watch import networks_of
from ..part_file import keep_sources
from ..provenance.gate import is_covered, looks_by
from ..provenance.rights import rests_on_statement
from ..settings import AnalysisSettings, ConversionSettings
from ..swap.model import ModelFile, check_morph, read_model
from ..swap.steady_match import MEMORY_FRAMES
from ..video.index import UNSPLIT, SourceIndex, scan
from ..video.info import VideoInfo
from ..video.part import needs_whole_film
from ..video.reading.packets import PacketDigest
from ..video.writer import Writer
from ..video.writing.codecs import Encoding
from .choices import faces_hash_of
from .fingerprint import fingerprint
from .plan import Plan, PlannedModel, Segment, StreamSummary
from .watching import detection_settings

# A segment that would be left shorter than this share of the usual length joins the one before.
_LEAST_REST = 0.5
# Bytes a pixel that encoders of ours write at their default quality at most, as far as was seen.
_BYTES_PER_PIXEL = {"ffv1": 2.5, "prores_ks": 1.0, "dnxhd": 1.0, "rawvideo": 6.0}
_USUAL_BYTES_PER_PIXEL = 0.12


def make_plan(
    clip: Path | str,
    models: Mapping[str | None, Path],
    output: Path | str,
    *,
    faces: Path | str | None = None,
    conversion: ConversionSettings | None = None,
    analysis: AnalysisSettings | None = None,
    reading: ReadingSettings | None = None,
    place: Place | None = None,
    rights_stated: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Plan the conversion of a film into a film. Only packets are read, and the first picture.

    Args:
        clip: a video file.
        models: ONNX files of `crossface export`, by whom they are for; see `PlannedModel`.
        output: ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``.
        faces: a faces file of this clip; it will be analysed where None.
        conversion: its settings.
        analysis: of the analysis, where ``faces`` is None.
        reading: how the clip is read, and which frames of it.
        place: where the pictures will be made; None for the CPU. It builds the engines that the plan names,
            which may take minutes the first time.
        rights_stated: see `planned_models`.
        overwrite: the output may be there.

    Raises:
        RefusedError: as `planned_models`, and `looks_by`; the faces file says that the clip is explicit.
        UsageError: settings that make no sense or that the encoder refuses; ``output`` is a source.
        InputMissingError, BadInputError: clip, model or faces file cannot be used, or do not belong together.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
    """
    path, output = Path(clip).absolute(), Path(output).absolute()
    conversion, reading = conversion or ConversionSettings(), reading or ReadingSettings()
    conversion.check()
    if analysis is not None:
        analysis.check()
    check_morph(models.values(), conversion.morph)
    if place is not None:
        check_match(conversion.match)
    faces = None if faces is None else Path(faces).absolute()
    keep_sources(output, path, *models.values(), *([faces] if faces else []))
    read = {whom: read_model(model) for whom, model in models.items()}
    planned = planned_models(read, rights_stated=rights_stated)
    faces_file = None if faces is None else FacesFile(faces)
    scored = None if faces_file is None else faces_file.scores is not None
    looked_at_by, unlooked = looks_by(path, planned, scored=scored, rights_stated=rights_stated)
    digest = PacketDigest()
    index = scan(path, video_stream=reading.video_stream, fps=reading.fps, digest=digest)
    source_hash = digest.hexdigest()
    if faces_file is not None:
        faces_file.check_source(path, source_hash)
        faces_file.gate(path, covered=is_covered(planned)).check(faces_file.scores or [])
    with Clip(path, reading, index=index) as source:
        info = source.source
        encoding = conversion.encoding(info, output)
        losses, keeps_codec = _rehearsed(source, output, conversion, overwrite=overwrite)
        reading, span = source.settings, source.span
        warnings = list(dict.fromkeys([*unlooked, *index.warnings, *source.warnings]))
        engines = {}
        if place is not None:
            shapes = [(model.path, input_shape(model, conversion.batch)) for model in read.values()]
            if conversion.occlusion:
                shapes.append(occlusion_network(conversion.batch))
            if faces is None:
                settings = detection_settings(analysis or AnalysisSettings(), source)
                shapes += networks_of(settings, source.info.width, source.info.height)
            engines = _engines(place, shapes)
    whole = conversion.whole or reading.tolerate_damage
    option = needs_whole_film(encoding)
    if option is not None and not whole:
        raise UsageError(
            f"{output}: {option} spreads bits over the whole film, which is encoded in segments: "
            "use --crf, or --whole for a single segment"
        )
    first, end = (0, index.count) if span is None else (span.first, span.end)
    segments = segments_of(index, first, end, length_s=conversion.segment_s, whole=whole)
    if index.end_pts - int(index.pts[0]) < 2 * conversion.segment_s / index.time_base:
        # As short as this one it would not be split anyway.
        warnings = [warning for warning in warnings if not warning.endswith(UNSPLIT)]
    disk_bytes = _disk_bytes(index, info, encoding, end - first)
    free_bytes = shutil.disk_usage(output.parent).free
    if disk_bytes > free_bytes:
        warnings.append(
            f"{output}: about {disk_bytes / 1e9:.1f} GB may be needed, and {free_bytes / 1e9:.1f} GB are free"
        )
    return Plan(
        source=path,
        source_hash=source_hash,
        source_bytes=path.stat().st_size,
        time_base=index.time_base,
        streams=tuple(
            StreamSummary(each.index, each.type, each.codec, each.packets, each.size_bytes)
            for each in index.streams
        ),
        reading=reading,
        analysis=analysis or AnalysisSettings(),
        conversion=conversion,
        models=planned,
        faces=faces,
        faces_hash=faces_hash_of(faces),
        output=output,
        segments=segments,
        warnings=tuple(warnings),
        losses=tuple(losses),
        disk_bytes=disk_bytes,
        copied_without_face=keeps_codec and _keeps_all_else(path, output, reading),
        fingerprint=fingerprint(place, engines),
        looked_at_by=looked_at_by,
    )


def planned_models(
    models: Mapping[str | None, ModelFile], *, rights_stated: bool
) -> tuple[PlannedModel, ...]:
    """What a plan says of models.

    Args:
        models: by whom they are for; see `PlannedModel`.
        rights_stated: the user says now that they may draw those whose models hold no consent.

    Raises:
        RefusedError: a consent has ended; or there is none, and the user has never said so of this model.
        InputMissingError: a file is not there any more.
        BadInputError: it was changed since it was read.
    """
    planned = []
    for whom, model in models.items():
        path, metadata = model.path.absolute(), model.metadata
        sha256 = file_sha256(path, model.state)
        identity, consent = metadata.identity, metadata.consent
        stated = rests_on_statement(path, identity, sha256, consent, stated=rights_stated)
        planned.append(PlannedModel(path, sha256, identity, consent, whom, stated))
    return tuple(planned)


def _engines(place: Place, networks: Iterable[tuple[Path, Shape]]) -> dict[str, str]:
    """What is built for networks at a place, by `engine_name`.

    Raises:
        CrossfaceError: they cannot run there.
    """
    found = {engine_name(model, shape): place.engine(model, shape) for model, shape in networks}
    return {name: sha256 for name, sha256 in found.items() if sha256 is not None}


def segments_of(
    index: SourceIndex, first: int, end: int, *, length_s: float, whole: bool = False
) -> tuple[Segment, ...]:
    """Cuts frames ``first`` to ``end`` of a film at keyframes, at least ``length_s`` apart.

    A segment is longer where keyframes are farther apart. What decides about a cut lies before it, but for
    the last one, so that frames at the end change nothing at the beginning.
    """
    pts = index.pts
    starts = [first]
    if not whole and index.exact_times:
        length = length_s / float(index.time_base)
        for key_pts, frame in zip(index.key_pts, np.searchsorted(pts, index.key_pts).tolist(), strict=True):
            if not (first < frame < end and pts[frame] == key_pts):
                continue
            if pts[frame] - pts[starts[-1]] >= length:
                starts.append(frame)
        if len(starts) > 1 and index.end_pts - pts[starts[-1]] < _LEAST_REST * length and end == index.count:
            starts.pop()
    segments = []
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True)):
        lead = min(MEMORY_FRAMES, start - first)
        segments.append(
            Segment(
                number,
                start - first,
                stop - start,
                None if start == 0 else int(pts[start]),
                None if stop == index.count else int(pts[stop]),
                lead,
                int(pts[start - lead]) if lead else None,
            )
        )
    return tuple(segments)


def _rehearsed(
    source: Clip, output: Path, conversion: ConversionSettings, *, overwrite: bool
) -> tuple[list[str], bool]:
    """What the output will not hold, and whether it has the clip's codec; or an error."""
    writer = Writer(
        output,
        source.source,
        codec=conversion.codec,
        options=conversion.encoder_options,
        pix_fmt=conversion.pix_fmt,
        overwrite=overwrite,
        threads=conversion.encoder_threads,
        span=source.span_s,
    )
    writer.abandon()
    return writer.losses, writer.keeps_codec


def _keeps_all_else(path: Path, output: Path, reading: ReadingSettings) -> bool:
    """True where nothing but the codec keeps a clip without a swapped face from being its own output."""
    return (
        path.suffix.lower() == output.suffix.lower()
        and all(limit is None for limit in (reading.start, reading.end, reading.fps))
        and reading.interlaced != "deinterlace"
    )


def _disk_bytes(index: SourceIndex, info: VideoInfo, encoding: Encoding, frames: int) -> int:
    """Of parts and film together, roughly: all depends on the pictures."""
    per_pixel = _BYTES_PER_PIXEL.get(encoding.encoder, _USUAL_BYTES_PER_PIXEL)
    if encoding.options.get("qp") == "0" or encoding.options.get("crf") == "0":
        per_pixel = _BYTES_PER_PIXEL["ffv1"]
    video = int(frames * info.width * info.height * per_pixel)
    others = sum(each.size_bytes for each in index.streams if each.index != index.stream_index)
    # Parts, the film joined from them, and that once more while it is signed.
    return 3 * video + 2 * others
