"""What benchmarks of a swap have in common: their arguments, the conversion, their table, and their end."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import write_result
from numpy.typing import NDArray

from crossface.engine import ConversionSettings, ReadingSettings, Signing, convert
from crossface.engine.clip import Clip
from crossface.engine.errors import CrossfaceError, UsageError
from crossface.engine.swap.model import read_model
from crossface.engine.swap.refine import REFINES, Refine

from .watch import Pair, embeddings, watch

ROOT = Path(__file__).parents[2]
# Model and clip, and where the model's person is seen with her eyes open and nothing before her face.
DEMO = (
    [ROOT / "samples/demo.onnx", ROOT / "build/clips/single_face.mp4"],
    ROOT / "build/clips/WolfgangLanger_Pexels.mp4",
    "9.5-18.4",
)
# The network's work is measured, not the encoder's. Of 8 bits this is exact.
LOSSLESS = {"preset": "ultrafast", "qp": "0"}
_TARGET_EVERY = 10

Figures = Mapping[str, float | int | None]


@dataclass(frozen=True)
class Watched:
    """What was looked at.

    Attributes:
        pairs: of the clip's frames, in order.
        target: embeddings ``[M, 128]`` of the model's person; None where nobody said who it is.
        about: names of clip and model, for the record.
    """

    pairs: list[Pair]
    target: NDArray[np.float64] | None
    about: dict[str, object]


def answer(
    question: str,
    description: str | None,
    figures: Callable[[list[Pair], NDArray[np.float64] | None], Figures],
) -> None:
    """Looks at what the command line names, and prints the figures; writes them too where it says so.

    Args:
        question: that they answer, for the record.
        description: of the script.
        figures: of the frames' pairs, and of the target's embeddings ``[M, 128]``; None where nobody said
            who it is.

    Raises:
        SystemExit: an input cannot be used; a line on stderr has told why.
    """
    options = _arguments(description)
    try:
        watched = _gather(options)
        _tell(question, figures(watched.pairs, watched.target), watched, options.json)
    except CrossfaceError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _arguments(description: str | None) -> argparse.Namespace:
    """Parses the command line; without any, the demo's model and clip."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", type=Path, nargs="*", metavar="MODEL CLIP", help="the demo's without any")
    parser.add_argument(
        "--converted", type=Path, metavar="FILE", help="the result, where it is there already"
    )
    parser.add_argument("--faces", type=Path, metavar="FILE", help="of an analysis that was edited")
    parser.add_argument("--range", metavar="START-END", help="of the clip, in seconds")
    parser.add_argument("--target", type=Path, metavar="CLIP", help="that shows the model's person")
    parser.add_argument("--target-range", metavar="START-END", help="of it, in seconds")
    parser.add_argument("--refine", choices=REFINES, default="off", help="as of crossface convert")
    parser.add_argument("--i-have-the-rights", action="store_true", help="as of crossface convert")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if not options.paths and not options.converted:
        options.paths, options.target, options.target_range = DEMO
    if len(options.paths) != (1 if options.converted else 2):
        parser.error("give MODEL and CLIP, or --converted FILE and CLIP")
    return options


def reading(span: str | None) -> ReadingSettings:
    """A range such as ``9.5-18.4``, in seconds; either end may be left out."""
    if span is None:
        return ReadingSettings()
    start, dash, end = span.partition("-")
    if not dash:
        raise UsageError(f'{span}: no range; write it as "9.5-18.4", in seconds')
    return ReadingSettings(start=f"{start}s" if start else None, end=f"{end}s" if end else None)


def watch_files(source: Path, result: Path, span: str | None) -> list[Pair]:
    """Every frame of a clip, or of a range of it, beside its result."""
    with Clip(source, reading(span)) as clip, Clip(result) as made:
        return list(watch(clip, made))


def _gather(options: argparse.Namespace) -> Watched:
    """Converts where that is wanted, and looks at everything."""
    *models, source = options.paths
    return look_at(
        Shown(source, options.range),
        model=models[0] if models else None,
        made=options.converted,
        target=Shown(options.target, options.target_range) if options.target else None,
        faces=options.faces,
        rights_stated=options.i_have_the_rights,
        refine=options.refine,
    )


class Shown(NamedTuple):
    """A clip, or a range of it as of `reading`."""

    path: Path
    span: str | None = None


def look_at(
    source: Shown,
    *,
    model: Path | None,
    made: Path | None = None,
    target: Shown | None = None,
    faces: Path | None = None,
    rights_stated: bool = False,
    refine: Refine = "off",
) -> Watched:
    """Converts a clip without loss, if it is not there, and looks at both.

    Args:
        source: the clip.
        model: that draws.
        made: what came of it, where it is there already.
        target: that shows the model's person.
        faces: of an analysis that was edited.
        rights_stated: as of `convert`.
        refine: as of `ConversionSettings`.

    Raises:
        CrossfaceError: something cannot be read or converted.
    """
    known = None
    if target:
        with Clip(target.path, reading(target.span)) as clip:
            known = embeddings(clip, every=_TARGET_EVERY)
    about: dict[str, object] = {
        "clip": source.path.name,
        "range_s": source.span,
        "target": target and target.path.name,
    }
    if model:
        metadata = read_model(model).metadata
        about |= {"model": model.name, "architecture": metadata.architecture, "steps": metadata.steps}
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        if made is None:
            assert model is not None, "a model, or what it made"
            made = Path(scratch) / "converted.mov"
            for _ in convert(
                source.path,
                model,
                made,
                faces=faces,
                settings=ConversionSettings(encoder_options=LOSSLESS, refine=refine),
                reading=reading(source.span),
                signing=Signing(unsigned_because="looked at by programs, and thrown away"),
                rights_stated=rights_stated,
            ):
                pass
        return Watched(watch_files(source.path, made, source.span), known, about)


def _tell(question: str, figures: Figures, watched: Watched, path: Path | None) -> None:
    """Prints a table, and writes it to a file where one is named."""
    for name, value in figures.items():
        shown = "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
        print(f"{name:24}{shown:>10}")
    if path:
        write_result(path, question, ("av", "onnxruntime"), {**watched.about, "figures": figures})
