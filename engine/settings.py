"""What a user may choose; all of it enters the plan of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import UsageError
from .face.choose import check_selection
from .swap.colour_match import METHODS, Method
from .swap.mask import MaskSettings
from .swap.refine import REFINES, Refine
from .swap.steady_match import MatchSettings
from .video.info import VideoInfo
from .video.writing.codecs import Encoding, choose_encoding


@dataclass(frozen=True)
class AnalysisSettings:
    """What changes the result of an analysis.

    Attributes:
        detect_every: frames from one search by the detector to the next.
        detector_px: long side of the picture that the detector sees.
        select: which faces are swapped: ``largest``, ``all``, and others; see `choose`.
        person: whom ``select="person"`` means, as `Person.text` gives it.
    """

    detect_every: int = 5
    detector_px: int = 640
    select: str = "largest"
    person: str = ""

    def check(self) -> None:
        """Raises UsageError for a selection that there is not."""
        check_selection(self.select, self.person)


@dataclass(frozen=True)
class ConversionSettings:
    """What changes the pictures of a conversion.

    Attributes:
        colour: how the new face takes the shot's colours; see `colour_match`.
        sharpness: share of its difference in sharpness to the plate that is made good, 0..1; see `texture`.
        grain: strength of the noise that it is given, over the plate's, 0..4; see `grain`.
        refine: what of the new face's expression is made the source's; see `refine`.
        motion_blur: blur a face that moves fast as the plate's is; see `motion_blur`.
        mask: what of a face is blended, and its edge.
        occlusion: leave what lies before faces in front of them.
        batch: faces a run of the network.
        codec: how a film is encoded; see `codecs`. "source" takes the clip's own codec.
        encoder_options: of that encoder, beside its defaults in `codecs`.
        pix_fmt: pixel format to convert to; None keeps every sample, or refuses.
        encoder_threads: of each encoder; it changes what some encoders write.
        segment_s: least length of a segment of the work, in seconds.
        whole: encode in one segment, as two passes or a bit rate want.
        morph: 0..1, how much of the person drawn there is in the face, of DFMs that take that; None for
            their default.
        unmarked_because: leave the imperceptible mark out of the faces, for this reason, which stands in plan
            and report.
    """

    colour: Method = "reinhard"
    sharpness: float = 1.0
    grain: float = 1.0
    refine: Refine = "off"
    motion_blur: bool = False
    mask: MaskSettings = field(default_factory=MaskSettings)
    occlusion: bool = False
    batch: int = 8
    codec: str = "libx264"
    encoder_options: Mapping[str, str] | None = None
    pix_fmt: str | None = None
    encoder_threads: int = 2
    segment_s: float = 10.0
    whole: bool = False
    morph: float | None = None
    unmarked_because: str | None = None

    def check(self) -> None:
        """Raises UsageError for values that make no sense."""
        if self.colour not in METHODS or self.batch < 1:
            raise UsageError(f"colour must be one of {', '.join(METHODS)}, and batch at least 1")
        if not 0 <= self.sharpness <= 1 or not 0 <= self.grain <= 4:
            raise UsageError("sharpness must be within 0..1, and grain within 0..4")
        if self.refine not in REFINES:
            raise UsageError(f"refine must be one of {', '.join(REFINES)}")
        self.mask.check()
        if not self.segment_s > 0 or self.encoder_threads < 0:
            raise UsageError("a segment must be longer than 0 s, and encoder threads not below 0")
        if self.unmarked_because is not None and not self.unmarked_because.strip():
            raise UsageError("to go without marks, give a reason")
        if self.morph is not None and not 0 <= self.morph <= 1:
            raise UsageError("a morph factor must be within 0..1")

    @property
    def match(self) -> MatchSettings:
        """How a face is made to fit the plate."""
        return MatchSettings(self.colour, self.sharpness, self.grain, self.refine, self.motion_blur)

    def encoding(self, info: VideoInfo, path: Path) -> Encoding:
        """How the frames of a film at ``path`` are encoded; raises as `choose_encoding`."""
        return choose_encoding(self.codec, info, path, options=self.encoder_options, pix_fmt=self.pix_fmt)


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
