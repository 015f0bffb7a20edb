"""What analysis and conversion say while they run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """A frame is done.

    Attributes:
        stage: of the work.
        frame: frames done in it.
        of: frames that there are; 0 where nobody knows yet.
        segment: of the job, in which the frame lies; None where there are none.
    """

    stage: Literal["analyze", "convert", "join"]
    frame: int
    of: int
    segment: int | None = None


@dataclass(frozen=True)
class Warned:
    """Something that the user should know, in one line; the work goes on."""

    message: str


@dataclass(frozen=True)
class Noted:
    """Something that the user should have before their eyes, in one line; nothing is wrong."""

    message: str


@dataclass(frozen=True)
class Routed:
    """Where the stages of a conversion run, as its first frame has decided.

    Attributes:
        decode: device and decoder; or why the CPU.
        networks: the same of the networks and all that is done to pictures.
        encode: the encoder.
    """

    decode: str
    networks: str
    encode: str

    def __str__(self) -> str:
        return f"decode: {self.decode}, networks: {self.networks}, encode: {self.encode}"


@dataclass(frozen=True)
class Finished:
    """The output is there.

    Attributes:
        output: its path.
        frames: frames in it.
        faces: faces found, or swapped.
        already: it was there before, made by the same job.
    """

    output: Path
    frames: int
    faces: int
    already: bool = False


Event = Progress | Warned | Noted | Routed | Finished
