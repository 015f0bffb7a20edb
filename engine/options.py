"""Options that several commands share, gathered into the settings that they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from .clip import OnMissing, ReadingSettings
from .errors import UsageError
from .face.choose import names_faces
from .face.portrait import find_person
from .progress import FORMATS
from .provenance.consent import Consent, read_consent
from .provenance.credentials import Signing
from .settings import AnalysisSettings, ConversionSettings
from .swap.colour_match import METHODS
from .swap.dfm import DEFAULT_MORPH
from .swap.mask import COVERS, MASK_KINDS, Cover, MaskKind, MaskSettings
from .swap.refine import REFINES

PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


class _Rate(click.ParamType[Fraction]):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 100000:
            self.fail(f"{value} is no frame rate: write 25 or 24000/1001", param, ctx)
        return rate


class _ConsentText(click.ParamType[Consent]):
    name = "file.toml|reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Consent:
        return read_consent(value)


CONSENT = _ConsentText()
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
device_option = click.option(
    "--device",
    default="auto",
    help="auto (a GPU, or the CPU where none will do), cpu, cuda (all GPUs), or cuda:N.",
)
progress_option = click.option(
    "--progress", type=click.Choice(FORMATS), default="auto", help="auto: a bar where stderr is a terminal."
)

_RANGE = (
    click.option("--in", "start", metavar="FRAME", help="First frame: 100, 12.5s or 01:00:10:12."),
    click.option("--out", "end", metavar="FRAME", help="Last frame (or, in seconds, where to stop)."),
)
_READING = (
    click.option("--tolerate-damage", is_flag=True, help="Go on over damage; it is reported as warnings."),
    click.option("--deinterlace", is_flag=True, help="Interlaced: make whole pictures of it (bwdif)."),
    click.option("--as-progressive", is_flag=True, help="Interlaced only by its flags: take it as it is."),
    click.option("--fields", is_flag=True, help="Interlaced: swap in each field, keep it interlaced."),
    click.option("--fps", type=_Rate(), help="Rate of a sequence (24), or of a film without times."),
    click.option("--video-stream", type=click.IntRange(0), help="Which video, where there are several."),
    click.option("--frames", metavar="1001-1100", help="Pictures of a sequence; all without it."),
    click.option(
        "--on-missing",
        type=click.Choice(get_args(OnMissing)),
        default="error",
        help="Where a sequence lacks a picture: stop, repeat the last one, or black.",
    ),
    click.option(
        "--colorspace",
        help="Of a sequence: display, scene-linear, cineon, or a name in the OpenColorIO configuration.",
    ),
    click.option("--ocio-config", help="A file, or ocio://default."),
    click.option("--channels", metavar="LAYER", help="The layer of an EXR sequence that is the picture."),
)
_ANALYSIS = (
    click.option(
        "--faces-of",
        "faces_of",
        default="largest",
        metavar="WHOM",
        help="Whose faces are swapped: largest, smallest, left, right, or nearest to a place in px "
        '(at:640,360), one of each shot; all; numbers of tracks as "crossface faces" shows them (0,3); '
        "or a picture of the person.",
    ),
    click.option("--detect-every", type=click.IntRange(1, 60), default=5, help="Frames per search."),
    click.option(
        "--detector-px", type=click.IntRange(64, 4096), default=640, help="Long side the detector sees."
    ),
)


_DEFAULTS = ConversionSettings()
_MASK = _DEFAULTS.mask
_CONVERSION = (
    click.option(
        "--mask",
        "kind",
        type=click.Choice(MASK_KINDS),
        default=_MASK.kind,
        help="What is blended: where the network's mask, the outline of the landmarks, or both say so.",
    ),
    click.option(
        "--cover",
        type=click.Choice(COVERS),
        default=_MASK.cover,
        help="How much of the face: eyes to mouth, to the jaw, or with forehead and beard.",
    ),
    click.option(
        "--erode",
        default="0",
        metavar="PERCENT",
        help="Of the face's height, that the outline is drawn in by: one number, or TOP,RIGHT,BOTTOM,LEFT.",
    ),
    click.option(
        "--feather",
        type=click.FloatRange(0, 100),
        default=100 * _MASK.feather,
        metavar="PERCENT",
        help="Of the face's height: width of the mask's soft edge.",
    ),
    click.option(
        "--most-yaw",
        "most_yaw_deg",
        type=click.FloatRange(1, 110),
        default=_MASK.most_yaw_deg,
        metavar="DEGREES",
        help="A face turned as far away stays as it is; before that it fades.",
    ),
    click.option(
        "--occlusion",
        type=click.Choice(("on", "off")),
        default="on" if _DEFAULTS.occlusion else "off",
        help="Leave hands, microphones and hair before a face where they are.",
    ),
    click.option(
        "--refine",
        type=click.Choice(REFINES),
        default=_DEFAULTS.refine,
        help="Shut the new face's eyes, or close its lips, as far as the old one's are; on CPUs.",
    ),
    click.option(
        "--motion-blur",
        type=click.Choice(("on", "off")),
        default="on" if _DEFAULTS.motion_blur else "off",
        help="Blur a new face that moves fast as the old one is; on CPUs.",
    ),
    click.option("--colour", type=click.Choice(METHODS), default=_DEFAULTS.colour, help="Colour match."),
    click.option(
        "--sharpness",
        type=click.FloatRange(0, 1),
        default=_DEFAULTS.sharpness,
        help="Share of its difference in sharpness to the plate that is made good, 0..1; 0 for none.",
    ),
    click.option(
        "--grain",
        type=click.FloatRange(0, 4),
        default=_DEFAULTS.grain,
        help="Strength of the face's noise over the plate's; 0 for none.",
    ),
    click.option(
        "--codec",
        default=_DEFAULTS.codec,
        help="libx264, libx265, libsvtav1, libvpx-vp9, prores, dnxhr, ffv1, source (the clip's), or another.",
    ),
    click.option("--crf", help="Quality of x264, x265, AV1 and VP9; lower is better."),
    click.option("--preset", help="Speed of x264, x265 and AV1."),
    click.option(
        "--encoder-option", "encoder_options", multiple=True, metavar="KEY=VALUE", help="Any other."
    ),
    click.option(
        "--encoder-threads",
        type=click.IntRange(1, 64),
        default=_DEFAULTS.encoder_threads,
        help="Of each encoder; another number may give other bytes.",
    ),
    click.option("--pix-fmt", help="Convert to this pixel format, as yuv422p10le; else none is changed."),
    click.option(
        "--batch", type=click.IntRange(1, 1024), default=_DEFAULTS.batch, help="Faces a run of the network."
    ),
    click.option(
        "--segment-seconds",
        "segment_s",
        type=click.FloatRange(0.1, 3600),
        default=_DEFAULTS.segment_s,
        help="Least length of a segment of the work.",
    ),
    click.option("--whole", is_flag=True, help="One segment, as a bit rate or two passes want."),
    click.option(
        "--morph",
        type=click.FloatRange(0, 1),
        help=f"Of DFMs that take it: the share of the person drawn; {DEFAULT_MORPH} without it.",
    ),
)


_SIGNING = (
    click.option(
        "--sign-cert",
        "certificate",
        type=PATH,
        envvar="CROSSFACE_SIGN_CERT",
        help="Who signs: certificate as PEM, then those that vouch for it; this machine's own without it.",
    ),
    click.option("--sign-key", "key", type=PATH, envvar="CROSSFACE_SIGN_KEY", help="Its key, as PEM."),
    click.option(
        "--no-credentials",
        "unsigned_because",
        metavar="REASON",
        help="Leave the marks out: the signed credentials, and the imperceptible mark of faces that this "
        "command draws; the reason goes into film and report.",
    ),
)


def _gathered(
    options: tuple[Callable[..., Any], ...], name: str, make: Callable[..., object]
) -> Callable[[Command], Command]:
    """A decorator that gives a command ``options`` and passes on one argument made of them."""

    def decorate(command: Command) -> Command:
        names: list[str] = []

        @functools.wraps(command)
        def with_settings(*args: Any, **values: Any) -> Any:
            own = {key: values.pop(key) for key in names}
            return command(*args, **values, **{name: make(**own)})

        decorated: Any = with_settings
        for option in reversed(options):
            decorated = option(decorated)
            names.append(decorated.__click_params__[-1].name)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _reading_settings(
    *, deinterlace: bool, as_progressive: bool, fields: bool, **others: Any
) -> ReadingSettings:
    chosen = {"deinterlace": deinterlace, "as_progressive": as_progressive, "fields": fields}
    modes = [mode for mode, wanted in chosen.items() if wanted]
    if len(modes) > 1:
        raise UsageError("--deinterlace, --as-progressive and --fields exclude each other")
    return ReadingSettings(interlaced=modes[0] if modes else "refuse", **others)  # type: ignore[arg-type]


def _analysis_settings(*, faces_of: str, **others: Any) -> AnalysisSettings:
    if not names_faces(faces_of) and Path(faces_of).is_file():
        return AnalysisSettings(select="person", person=find_person(Path(faces_of)).text, **others)
    settings = AnalysisSettings(select=faces_of, **others)
    settings.check()
    return settings


def _conversion_settings(
    *,
    crf: str | None,
    preset: str | None,
    encoder_options: tuple[str, ...],
    kind: MaskKind,
    cover: Cover,
    erode: str,
    feather: float,
    most_yaw_deg: float,
    occlusion: str,
    motion_blur: str,
    **others: Any,
) -> ConversionSettings:
    options = {key: value for key, value in (("crf", crf), ("preset", preset)) if value is not None}
    for option in encoder_options:
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise UsageError(f"--encoder-option {option}: give it as KEY=VALUE")
        options[key] = value
    top, right, bottom, left = _sides(erode)
    mask = MaskSettings(
        kind=kind,
        cover=cover,
        erode_top=top,
        erode_right=right,
        erode_bottom=bottom,
        erode_left=left,
        feather=feather / 100,
        most_yaw_deg=most_yaw_deg,
    )
    return ConversionSettings(
        encoder_options=options or None,
        mask=mask,
        occlusion=occlusion == "on",
        motion_blur=motion_blur == "on",
        **others,
    )


def _sides(erode: str) -> list[float]:
    """Four lengths in face heights, of one percentage or four."""
    try:
        sides = [float(part) / 100 for part in erode.split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 4):
        raise UsageError(f"--erode {erode}: give one number, or TOP,RIGHT,BOTTOM,LEFT")
    return sides * (4 // len(sides))


def models_of(model: Path | None, swaps: tuple[str, ...]) -> dict[str | None, Path]:
    """The models of a command line, by whom they are for.

    Raises:
        UsageError: none, or a ``--swap`` that is not WHOM=MODEL, or twice the same one.
    """
    models: dict[str | None, Path] = {} if model is None else {None: model}
    for swap in swaps:
        whom, equals, path = swap.partition("=")
        if not (whom and equals and path):
            raise UsageError(f"--swap {swap}: give it as TRACK=MODEL or PERSON=MODEL")
        if whom in models:
            raise UsageError(f"--swap {swap}: {whom} has a model already")
        models[whom] = Path(path)
    if not models:
        raise UsageError("no model given: name an ONNX file of crossface export or a DFM, or use --swap")
    return models


def targets_of(clips: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Clips and their outputs: ``output`` itself for one, films of the clips' names in it for several.

    Raises:
        UsageError: several clips and no folder, or two of one name.
    """
    if len(clips) == 1 and not output.is_dir():
        return [(clips[0], output)]
    if not output.is_dir():
        raise UsageError(f"{output}: is no folder: several clips need one that is there")
    names = [clip.name for clip in clips]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{output / twice}: two clips have this name: convert them one by one")
    return [(clip, output / clip.name) for clip in clips]


swap_option = click.option(
    "--swap",
    "swaps",
    multiple=True,
    metavar="WHOM=MODEL",
    help="A track's number or a person's name in the faces file, and the model for them; more than once.",
)
rights_option = click.option(
    "--i-have-the-rights",
    "rights_stated",
    is_flag=True,
    help="You may draw whoever's consent is not in their model, asked for once a model; or make this film, "
    "where nobody looks for explicit content. Recorded.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    help="Processes side by side; the bytes stay the same.",
)
reading_options = _gathered(_READING, "reading", _reading_settings)
ranged_reading_options = _gathered(_RANGE + _READING, "reading", _reading_settings)
unmarked_option = click.option(
    "--no-credentials",
    "unmarked_because",
    metavar="REASON",
    help='Draw faces without the imperceptible mark; the reason goes into the report. "join" has the like.',
)
signing_options = _gathered(_SIGNING, "signing", Signing)
analysis_options = _gathered(_ANALYSIS, "analysis", _analysis_settings)
conversion_options = _gathered(_CONVERSION, "settings", _conversion_settings)
