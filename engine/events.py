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
        of: frames that the container declares; 0 where it does not say.
    """

    stage: Literal["analyze", "convert"]
    frame: int
    of: int


@dataclass(frozen=True)
class Warned:
    """Something that the user should know, in one line; the work goes on."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The output is there.

    Attributes:
        output: its path.
        frames: frames in it.
        faces: faces found, or swapped.
    """

    output: Path
    frames: int
    faces: int


Event = Progress | Warned | Finished
