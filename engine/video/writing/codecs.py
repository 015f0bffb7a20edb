"""Which encoder writes a film, in which pixel format and how well: quality and depth are kept.

What an encoder cannot hold is refused, naming those that can, unless the user asks for a conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from ...errors import UsageError
from ...processor import instructions
from ..colour import ColourTags
from ..info import VideoInfo
from ..planes import FLOAT_BITS, PIXEL_LAYOUTS
from .conversion import output_tags
from .hdr import hdr_parameters, with_parameters
from .muxer import CONTAINERS, container_of, encoder_fits
from .nvenc import NVENC
from .repack import alpha_component, exact_format, raises_depth

SOURCE = "source"

# The names of --codec, and libav's names of what stands behind them.
_OF_THE_CPU = {
    "libx264": "libx264",
    "libx265": "libx265",
    "libsvtav1": "libsvtav1",
    "prores": "prores_ks",
    "dnxhr": "dnxhd",
    "ffv1": "ffv1",
    "libvpx-vp9": "libvpx-vp9",
}
_ENCODERS = {**_OF_THE_CPU, **{name: name for name in NVENC}}
# Visually lossless: no difference at normal viewing, at a cost in size that finishing can bear.
DEFAULT_QUALITY = {
    "libx264": {"crf": "16", "preset": "medium"},
    "libx264rgb": {"crf": "16", "preset": "medium"},
    "libx265": {"crf": "15", "preset": "medium"},
    "libsvtav1": {"crf": "18", "preset": "6"},
    "libvpx-vp9": {"crf": "16", "b": "0", "deadline": "good", "cpu-used": "2", "row-mt": "1"},
    "libvpx": {"crf": "4", "b": "200M", "deadline": "good", "cpu-used": "2"},
    "jpeg2000": {"pred": "dwt53"},
    "cfhd": {"quality": "film3+"},
    # Of one quantiser: NVENC's other modes weigh a picture by those before it, which parts of a film lack.
    "h264_nvenc": {"rc": "constqp", "qp": "17", "preset": "p5"},
    "hevc_nvenc": {"rc": "constqp", "qp": "17", "preset": "p5"},
    "av1_nvenc": {"rc": "constqp", "qp": "68", "preset": "p5"},
}
_SPEED = {"preset", "deadline", "cpu-used", "row-mt"}
_RATE_CONTROL = {
    "b", "bitrate", "tbr", "crf", "qp", "q", "qscale", "cqp", "cq", "global_quality", "quality", "lossless",
    "rc",
}  # fmt: skip
# A fixed quantiser of 2 (libav's scale: 118 a step), the finest that these write without trouble.
_FIXED_QUANTISER = {"flags": "+qscale", "global_quality": "236"}
_QUANTISED = {
    "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "mjpeg", "amv", "wmv1", "wmv2", "flv",
    "h261", "h263", "h263p", "rv10", "rv20", "speedhq", "svq1", "snow",
}  # fmt: skip
# These write the frame rate into each picture's time: they count frames, the container keeps the times.
_COUNT_FRAMES = {
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "msmpeg4",
    "msmpeg4v2",
    "dvvideo",
    "h261",
    "h263",
    "h263p",
}
_BROADCAST_RATES = tuple(
    Fraction(*rate)
    for rate in [(24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1)]
)
# libav takes alpha here, and no player or decoder of the file gives it back.
_NO_ALPHA = {"libvpx-vp9", "libvpx", "libx265"}
_FORMATS_OF_VP9 = ("yuv420p", "yuv422p", "yuv440p", "yuv444p", "gbrp")

_ENCODERS_OF_CODECS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "vp8": "libvpx",
    "prores": "prores_ks",
}
_H264_PROFILES = {
    "Constrained Baseline": "baseline",
    "Baseline": "baseline",
    "Main": "main",
    "High": "high",
    "High 10": "high10",
    "High 4:2:2": "high422",
    "High 4:4:4 Predictive": "high444",
}
_PRORES_PROFILES = {"Proxy": "0", "LT": "1", "Standard": "2", "HQ": "3", "4444": "4", "XQ": "5"}
_PRORES_OF_FORMATS = {"yuv422p10le": "3", "yuv444p10le": "4", "yuva444p10le": "4"}
_DNXHR_OF_FORMATS = {
    "yuv422p": "dnxhr_hq",
    "yuv422p10le": "dnxhr_hqx",
    "yuv444p10le": "dnxhr_444",
    "gbrp10le": "dnxhr_444",
}
# Megabits a second by which the older DNxHD profiles are known (SMPTE ST 2019-1).
_DNXHD_RATES = (36, 42, 45, 60, 63, 75, 80, 84, 85, 90, 100, 110, 115, 120, 145, 175, 180, 185, 220, 365, 440)


@dataclass(frozen=True)
class Encoding:
    """How the pictures of one film are encoded.

    Attributes:
        encoder: libav's name.
        pix_fmt: what the encoder is given.
        options: for the encoder.
        tags: colour tags of the output; the source's, but for a conversion between RGB and YUV.
        converts: the user asked for another pixel format: samples change.
        rate: frames a second, where the encoder counts frames instead of keeping time; else None.
        profile: that the output should have, by libav's name; None where none is asked for.
        losses: one line for each thing that this choice changes.
    """

    encoder: str
    pix_fmt: str
    options: Mapping[str, str]
    tags: ColourTags
    converts: bool = False
    rate: Fraction | None = None
    profile: str | None = None
    losses: tuple[str, ...] = ()


def choose_encoding(
    codec: str,
    info: VideoInfo,
    path: Path,
    *,
    options: Mapping[str, str] | None = None,
    pix_fmt: str | None = None,
) -> Encoding:
    """Decide how a film is encoded.

    Args:
        codec: ``libx264``, ``libx265``, ``libsvtav1``, ``prores``, ``dnxhr``, ``ffv1``, ``libvpx-vp9``,
            ``h264_nvenc``, ``hevc_nvenc``, ``av1_nvenc``,
            ``source`` (as the source is encoded), or libav's name of any other encoder.
        info: of the source.
        path: of the output; its extension is the container.
        options: for the encoder, beside the defaults; one that sets a quality or a bit rate takes the place
            of the default quality.
        pix_fmt: a pixel format to convert to; None keeps every sample.

    Raises:
        UsageError: no such encoder, not in this container, or it cannot hold the samples.
    """
    encoder, of_source = (
        _encoder_of_source(info, path) if codec == SOURCE else (_ENCODERS.get(codec, codec), {})
    )
    _check_encoder(encoder, codec, path)
    target, losses = _pixel_format(encoder, codec, info, path, pix_fmt)
    chosen = _quality(encoder, options or {})
    if encoder == "libx264" and (pix_fmt is not None or "0" in (chosen.get("qp"), chosen.get("crf"))):
        # Lossless, other chroma and more bits want a higher profile.
        of_source.pop("profile", None)
    for key, value in _structure(encoder, target, of_source).items():
        chosen.setdefault(key, value)
    parameters, hdr = hdr_parameters(encoder, info.mastering_display, info.content_light)
    if encoder == "libx265":
        # Weighing pictures, the same film gives other pictures now and then, most of all on a busy machine.
        hdr = {**hdr, "log-level": "error", "weightp": "0"}
    if hdr:
        chosen[parameters] = with_parameters(chosen.get(parameters, ""), hdr)
    if encoder in {"libx264", "libx264rgb"} and "avx512f" in instructions():
        # With AVX-512 it reads memory that it has not written: the same pictures give other bytes.
        chosen["x264-params"] = with_parameters(chosen.get("x264-params", ""), {"asm": "AVX2"})
    return Encoding(
        encoder=encoder,
        pix_fmt=target,
        options=chosen,
        tags=output_tags(info, target),
        converts=exact_format(info.pix_fmt, [target], full_range=info.colour.full_range) is None,
        rate=_counted_rate(encoder, info.average_rate),
        profile=info.profile if codec == SOURCE else None,
        losses=tuple(losses),
    )


def _encoder_of_source(info: VideoInfo, path: Path) -> tuple[str, dict[str, str]]:
    """The encoder of the source's own codec, and what makes its profile the same."""
    try:
        name = av.Codec(info.codec, "r").canonical_name
        if name == "h264" and PIXEL_LAYOUTS[info.pix_fmt].rgb:
            return "libx264rgb", {}
        if name == "h264" and info.profile is not None:
            return "libx264", _h264_profile(info.profile)
        if name == "prores":
            profile = _PRORES_PROFILES.get(info.profile or "")
            return "prores_ks", {} if profile is None else {"profile": profile}
        if name == "dnxhd":
            return "dnxhd", _dnx_profile(info)
        encoder = _ENCODERS_OF_CODECS.get(name) or av.Codec(name, "w").name
    except ValueError:
        raise UsageError(
            f"{path}: nothing here encodes {info.codec}, the codec of {info.path}: "
            "choose another --codec, such as prores, ffv1 or libx264"
        ) from None
    return encoder, {}


def _h264_profile(profile: str) -> dict[str, str]:
    """x264's options for a profile by libav's name, such as "High 4:2:2 Intra"."""
    known = _H264_PROFILES.get(profile.removesuffix(" Intra"))
    every_picture = {"g": "1"} if profile.endswith(" Intra") else {}
    return every_picture if known is None else {"profile": known, **every_picture}


def _dnx_profile(info: VideoInfo) -> dict[str, str]:
    if info.profile != "DNXHD":
        return {} if info.profile is None else {"profile": info.profile.lower().replace(" ", "_")}
    megabits = (info.bit_rate or 0) / 1_000_000
    nearest = min(_DNXHD_RATES, key=lambda rate: abs(rate - megabits))
    return {"profile": "dnxhd", "b": f"{nearest}M"}


def _check_encoder(encoder: str, codec: str, path: Path) -> None:
    """Refuse what does not exist, or does not fit into the container, before anything is made."""
    try:
        found = av.Codec(encoder, "w")
    except ValueError as error:
        raise UsageError(
            f"{path}: there is no encoder named {codec}: use {', '.join(_ENCODERS)} or {SOURCE}"
        ) from error
    if found.type != "video":
        raise UsageError(f"{path}: {codec} encodes {found.type}: name a video encoder")
    container = container_of(path)
    if not encoder_fits(encoder, container):
        able = [suffix for suffix, name in CONTAINERS.items() if encoder_fits(encoder, name)]
        others = [name for name, behind in _OF_THE_CPU.items() if encoder_fits(behind, container)]
        advice = f"use {' or '.join(able)}" if able else "no other container here does"
        raise UsageError(
            f"{path}: {path.suffix} does not take what {codec} writes: {advice}, "
            f"or another --codec: {', '.join(others)}"
        )


def _offered(encoder: str) -> list[str]:
    if encoder == "libvpx-vp9":
        return list(_FORMATS_OF_VP9)
    names = [known.name for known in av.Codec(encoder, "w").video_formats or ()]
    if encoder in NVENC:
        # It turns packed RGB into YUV by itself.
        names = [name for name in names if not name.startswith(("rgb", "bgr", "x2"))]
    return [name for name in names if encoder not in _NO_ALPHA or alpha_component(name) is None]


def _pixel_format(
    encoder: str, codec: str, info: VideoInfo, path: Path, asked: str | None
) -> tuple[str, list[str]]:
    """The format that the encoder is given, and what the way there changes."""
    offered = _offered(encoder)
    full_range = info.colour.full_range
    if asked is not None:
        if asked not in PIXEL_LAYOUTS or (offered and asked not in offered):
            known = ", ".join(name for name in offered if name in PIXEL_LAYOUTS)
            raise UsageError(f"{path}: {codec} does not take {asked}: it takes {known}")
        offered = [asked]
    target = exact_format(info.pix_fmt, offered, full_range=full_range)
    if target is not None:
        if not raises_depth(info.pix_fmt, target):
            return target, []
        bits, more = PIXEL_LAYOUTS[info.pix_fmt].bits, PIXEL_LAYOUTS[target].bits
        return target, [
            f"{info.path}: {bits}-bit samples are stored in {more} bits, multiplied by {1 << more - bits}"
        ]
    if asked is not None:
        dropped = alpha_component(info.pix_fmt) is not None and alpha_component(asked) is None
        alpha = ", without the alpha" if dropped else ""
        return asked, [f"{info.path}: samples are converted from {info.pix_fmt} to {asked}{alpha}"]
    container = container_of(path)
    able = [
        name
        for name, behind in _OF_THE_CPU.items()
        if encoder_fits(behind, container)
        and exact_format(info.pix_fmt, _offered(behind), full_range=full_range)
    ]
    advice = f"use {', '.join(able)}" if able else "use ffv1 in .mkv"
    nearest = min(filter(PIXEL_LAYOUTS.__contains__, offered), key=lambda name: _distance(info.pix_fmt, name))
    raise UsageError(
        f"{path}: {codec} cannot hold {info.pix_fmt} without changing samples: {advice}, "
        f"or allow the conversion with --pix-fmt {nearest}"
    )


def _distance(pix_fmt: str, other: str) -> tuple[int, ...]:
    """How much a conversion loses: what comes first weighs most."""
    old, new = PIXEL_LAYOUTS[pix_fmt], PIXEL_LAYOUTS[other]
    lost_x, lost_y = new.chroma_shift_x - old.chroma_shift_x, new.chroma_shift_y - old.chroma_shift_y
    return (
        old.rgb != new.rgb,
        alpha_component(pix_fmt) is not None and alpha_component(other) is None,
        max(lost_x, 0) + max(lost_y, 0),
        max(old.bits - new.bits, 0),
        abs(lost_x) + abs(lost_y),
        new.bits - old.bits,
        "yuvj" in other,
    )


def _quality(encoder: str, options: Mapping[str, str]) -> dict[str, str]:
    """The user's options, and the defaults that they do not speak of."""
    defaults = _FIXED_QUANTISER if encoder in _QUANTISED else DEFAULT_QUALITY.get(encoder, {})
    said = {*options, *(part.partition("=")[0] for value in options.values() for part in value.split(":"))}
    if said & _RATE_CONTROL:
        defaults = {key: value for key, value in defaults.items() if key in _SPEED}
    return {**defaults, **options}


def _structure(encoder: str, pix_fmt: str, of_source: dict[str, str]) -> dict[str, str]:
    """Options that say what is written, not how well."""
    if encoder == "prores_ks":
        profile = of_source.get("profile", _PRORES_OF_FORMATS[pix_fmt])
        # A 4:2:2 profile cannot hold 4:4:4, where the user converts.
        deep = profile in {"4", "5"}
        return {"profile": profile if deep == ("444" in pix_fmt) else _PRORES_OF_FORMATS[pix_fmt]}
    if encoder == "libx265":
        # Captions inside the pictures, which libx264 writes without being asked.
        return {"a53cc": "1"}
    if encoder == "ffv1":
        # Samples of floating point came with version 4, which libav calls experimental.
        floating = PIXEL_LAYOUTS[pix_fmt].bits == FLOAT_BITS
        version = {"level": "4", "strict": "experimental"} if floating else {"level": "3"}
        return {**version, "slicecrc": "1"}
    if encoder == "dnxhd":
        return of_source or {"profile": _DNXHR_OF_FORMATS[pix_fmt]}
    return of_source


def _counted_rate(encoder: str, rate: Fraction | None) -> Fraction | None:
    if encoder not in _COUNT_FRAMES:
        return None
    rate = rate or Fraction(25)
    if encoder in {"mpeg1video", "mpeg2video"}:
        return min(_BROADCAST_RATES, key=lambda known: abs(known - rate))
    return rate.limit_denominator(1001)
