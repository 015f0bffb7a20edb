"""Was everything read that a file promised? Each container promises in its own way."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from .boxes import Mp4Shape
from .damage import Damage
from .decode import Decoding
from .ebml import MatroskaShape
from .transport import odd_bytes

# Sound may end a little before the picture, and the duration is the longest stream's.
_SLACK_S = Fraction(1, 2)


def is_whole(
    path: Path, decoding: Decoding, mp4: Mp4Shape | None, matroska: MatroskaShape, damage: Damage
) -> bool:
    """Compare what was read with what the container promised, and tell what is missing.

    Args:
        path: the file.
        decoding: a pass that came to the end.
        mp4: outermost boxes, of an MP4 or MOV file.
        matroska: outermost elements, of a Matroska file.
        damage: where it is told.

    Raises:
        BadInputError: video is missing, and damage is not tolerated.
    """
    missing = None
    if mp4 is not None:
        missing = _missing_of_mp4(mp4, decoding, damage)
    elif "matroska" in decoding.container.format.name:
        missing = _missing_of_matroska(matroska, decoding, damage)
    elif decoding.container.format.name == "mpegts":
        missing = _missing_of_transport_stream(odd_bytes(path), decoding, damage)
    if missing is not None:
        damage.meet("cuts", missing)
    return missing is None and not decoding.cut


def _missing_of_mp4(shape: Mp4Shape, decoding: Decoding, damage: Damage) -> str | None:
    # The index is adjusted to the edit list, so it counts what should have been read.
    entries = decoding.stream.index_entries
    expected = len(entries) - sum(entry.is_discard for entry in entries)
    if not decoding.whole:
        expected = 0
    elif hidden := max(decoding.stream.frames, len(entries)) - expected:
        # Players do not show them either.
        damage.warn("edit lists", f"its edit list hides {hidden} of its frames: they are left out")
    if decoding.packets < expected:
        return f"holds only {decoding.packets} of {expected} video packets: it is truncated"
    if shape.missing_bytes and shape.fragmented:
        return f"is cut short by {shape.missing_bytes} bytes"
    if shape.missing_bytes and shape.has_index:
        missing_bytes = shape.missing_bytes
        damage.warn(
            "cuts", f"is cut short by {missing_bytes} bytes; the video is whole, other streams are not"
        )
    return None


def _missing_of_transport_stream(odd: int, decoding: Decoding, damage: Damage) -> str | None:
    if odd:
        damage.warn("cuts", f"ends within a packet, after {odd} bytes of it: it may have been cut")
    if decoding.picture_end_s + _SLACK_S < decoding.end_s:
        ends = f"its picture ends at {float(decoding.picture_end_s):.2f} s of {float(decoding.end_s):.2f} s"
        if decoding.late_stream:
            return f"{ends}, and another stream begins in its middle"
        damage.warn("early ends", ends)
    return None


def _missing_of_matroska(shape: MatroskaShape, decoding: Decoding, damage: Damage) -> str | None:
    if shape.strange_at is not None:
        damage.warn(
            "strange elements",
            f"holds something strange at byte {shape.strange_at}: pictures may be missing",
        )
    if decoding.whole and len(decoding.clusters_read) < len(shape.clusters):
        counts = f"{len(decoding.clusters_read)} of {len(shape.clusters)}"
        damage.warn("clusters", f"only {counts} clusters could be read: pictures may be missing")
    declared_s = Fraction(decoding.container.duration or 0, av.time_base)
    if shape.missing_bytes or decoding.ended_early or decoding.end_s + _SLACK_S < declared_s:
        return f"is truncated at {float(decoding.end_s):.2f} s of {float(declared_s):.2f} s"
    return None
