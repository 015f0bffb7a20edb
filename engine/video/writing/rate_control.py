"""Which options make an encoder spread bits over the whole film, so that parts of it cannot stand alone."""

from __future__ import annotations

from collections.abc import Iterator

from .codecs import DEFAULT_QUALITY, Encoding

# Bit rates, their limits and buffers, several passes, and files or numbers that count the film's frames;
# of libav, x264, x265, SVT-AV1 and libvpx, with hyphens for underscores.
_WHOLE_FILM = {
    "b", "bitrate", "tbr", "abr", "bt", "minrate", "maxrate", "bufsize", "mbr", "rc-init-occupancy",
    "vbv-maxrate", "vbv-bufsize", "vbv-init", "vbv-end", "nal-hrd", "hrd", "hrd-concat", "strict-cbr",
    "const-vbv", "buf-sz", "buf-initial-sz", "buf-optimal-sz", "pass", "passes", "2pass", "stats",
    "passlogfile", "zones", "zonefile", "qpfile", "analysis-save", "analysis-load", "analysis-reuse-file",
    "multi-pass-opt-analysis", "multi-pass-opt-distortion", "vbv-live-multi-pass",
}  # fmt: skip
_PARAMETER_LISTS = {"x264-params", "x264opts", "x265-params", "svtav1-params"}
_OFF = {"", "0", "0k", "0M", "none", "no", "false"}
# A bit rate of theirs is that of every single picture, or means nothing.
_RATE_OF_A_PICTURE = {
    "dnxhd", "dvvideo", "prores", "prores_ks", "prores_aw", "ffv1", "jpeg2000", "cfhd", "v210", "rawvideo",
}  # fmt: skip
_HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_v4l2m2m", "_vulkan", "_mf")
_CONSTANT_QUALITY = {"qp", "cq", "q", "global_quality", "qp_i", "crf"}
_CONSTANT_MODES = {"constqp", "cqp", "icq", "crf"}


def needs_whole_film(encoding: Encoding) -> str | None:
    """The first option by which an encoder must see the whole film.

    Bit rates, their limits and buffers, and several passes spread bits over a film; in parts they would
    begin anew each time. The same goes for what counts the film's frames, such as zones.

    Args:
        encoding: from `choose_encoding`.

    Returns:
        Its name, such as ``maxrate`` or ``x264-params vbv-bufsize``; None where each part can be encoded
        by itself.
    """
    options = dict(encoding.options)
    flags = options.get("flags", "")
    if "pass1" in flags or "pass2" in flags:
        return "flags pass"
    if encoding.encoder in _RATE_OF_A_PICTURE:
        return None
    if encoding.encoder == "libvpx" and "b" not in options:
        # VP8 always has a bit rate, of which 256 kb/s is the default; ours is out of reach.
        return "b"
    default = DEFAULT_QUALITY.get(encoding.encoder, {})
    for name, value in _settings(options):
        key = name.rpartition(" ")[2].replace("_", "-")
        if key == "rc" and encoding.encoder == "libsvtav1" and value not in _OFF:
            return name
        if key in _WHOLE_FILM and value not in _OFF and default.get(name) != value:
            return name
    return _hardware_rate(encoding.encoder, options)


def _settings(options: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every option and every entry of lists such as ``bframes=3:keyint=48``."""
    for name, value in options.items():
        if name not in _PARAMETER_LISTS:
            yield name, value
            continue
        for entry in value.split(":"):
            key, _, setting = entry.partition("=")
            # A name alone switches on.
            yield f"{name} {key.strip()}", setting.strip() if "=" in entry else "1"


def _hardware_rate(encoder: str, options: dict[str, str]) -> str | None:
    """Encoders in hardware aim at a bit rate of their own unless they are given a quality."""
    if not encoder.endswith(_HARDWARE):
        return None
    mode = options.get("rc", options.get("rc_mode", "")).lower()
    if mode:
        constant = mode in _CONSTANT_MODES or (mode == "vbr" and "cq" in options)
        return None if constant else "rc"
    return None if _CONSTANT_QUALITY & set(options) else f"{encoder} without a constant quality (qp or cq)"
