"""The content gate: films that look sexually explicit are refused, unless the consent covers that by name.

Sampled frames of a clip are scored while it is analysed, see `explicit`. One frame may mislead the network:
a film is refused where the mean of three samples in a row reaches `LIMIT`. How much is missed is not known;
what films of several kinds score is in docs/responsible-use.md.

A conversion asks `looks_by` who looks, and where that is nobody, for a statement of the user's, each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import ExplicitError, RefusedError
from ..weights import is_there, locate

if TYPE_CHECKING:
    from ..face.seen import SeenFrame
    from ..jobs.plan import PlannedModel

NETWORK = "content_gate"
LIMIT = 0.6
# An entry of a consent's scope that lets such films through.
SCOPE = "explicit content"
_IN_A_ROW = 3

# Who tells of a conversion's clip whether it is explicit.
LooksBy = Literal["network", "faces file", "nobody"]


class Score(NamedTuple):
    """Of one frame.

    Attributes:
        pts: its time.
        explicit: 0..1.
    """

    pts: int
    explicit: float


def is_installed() -> bool:
    """Whether the network is here.

    Raises:
        ConfigurationError: it is not the one that it should be, or not readable.
    """
    if not is_there(NETWORK):
        return False
    locate(NETWORK)
    return True


class _InARow:
    """Takes the scores of a clip in order; gives those in a row whose mean reaches the limit."""

    def __init__(self) -> None:
        self.first_pts = 0
        self._last: deque[Score] = deque(maxlen=_IN_A_ROW)
        self._count = 0

    def add(self, score: Score) -> tuple[Score, ...] | None:
        """With the next sample."""
        if not self._count:
            self.first_pts = score.pts
        self._count += 1
        self._last.append(score)
        return self._found() if self._count >= _IN_A_ROW else None

    def end(self) -> tuple[Score, ...] | None:
        """When there are no more: of a clip with fewer samples than that, all that there are."""
        return self._found() if 0 < self._count < _IN_A_ROW else None

    def _found(self) -> tuple[Score, ...] | None:
        mean = sum(score.explicit for score in self._last) / len(self._last)
        return tuple(self._last) if mean >= LIMIT else None


def explicit_samples(scores: Iterable[Score]) -> tuple[Score, ...] | None:
    """The first samples in a row of a whole clip's that look explicit; None where there are none."""
    row = _InARow()
    return next((found for score in scores if (found := row.add(score))), None) or row.end()


@dataclass(frozen=True)
class Gate:
    """What becomes of one clip.

    Attributes:
        clip: for messages.
        time_base: seconds a unit of ``pts``.
        covered: the consent of everybody who is drawn covers explicit content: nothing is refused.
    """

    clip: Path
    time_base: Fraction
    covered: bool = False

    def passing(self, parts: Generator[Iterable[SeenFrame]]) -> Iterator[Iterator[SeenFrame]]:
        """The parts of a clip, from its first on, as long as they are not refused.

        Raises:
            ExplicitError: while the frames pass, with the sample that makes it certain.
        """
        row = _InARow()

        def looked_at(part: Iterable[SeenFrame]) -> Iterator[SeenFrame]:
            for frame in part:
                if frame.explicit is not None:
                    self._refuse(row, row.add(Score(frame.pts, frame.explicit)), parts)
                yield frame

        for part in parts:
            yield looked_at(part)
        self._refuse(row, row.end(), parts)

    def _refuse(
        self, row: _InARow, found: tuple[Score, ...] | None, parts: Generator[Iterable[SeenFrame]]
    ) -> None:
        if found is not None and not self.covered:
            # Here, in the thread that has opened what they work with.
            parts.close()
            raise ExplicitError(self._refusal(row.first_pts, found))

    def check(self, scores: Sequence[Score]) -> None:
        """Raises ExplicitError where a whole clip's scores are those of an explicit one."""
        found = explicit_samples(scores)
        if found is not None and not self.covered:
            raise ExplicitError(self._refusal(scores[0].pts, found))

    def finding(self, scores: Sequence[Score]) -> str | None:
        """What was found, for people; None where there is nothing."""
        found = explicit_samples(scores)
        return None if found is None else self._says(scores[0].pts, found)

    def _refusal(self, first_pts: int, found: tuple[Score, ...]) -> str:
        return (
            f"{self._says(first_pts, found)}: it is not converted, unless the consent of everybody who is "
            f'drawn names "{SCOPE}" in its scope: see docs/responsible-use.md'
        )

    def _says(self, first_pts: int, found: tuple[Score, ...]) -> str:
        times = ", ".join(
            f"{float((score.pts - first_pts) * self.time_base):.1f} s ({score.explicit:.2f})"
            for score in found
        )
        return f"{self.clip}: looks sexually explicit at {times}; the limit is a mean of {LIMIT}"


def noting(parts: Iterable[Iterable[SeenFrame]], scores: list[Score]) -> Iterator[Iterator[SeenFrame]]:
    """The parts of a clip; adds the scores to a list while their frames pass."""

    def noted(part: Iterable[SeenFrame]) -> Iterator[SeenFrame]:
        for frame in part:
            if frame.explicit is not None:
                scores.append(Score(frame.pts, frame.explicit))
            yield frame

    for part in parts:
        yield noted(part)


def is_covered(models: Sequence[PlannedModel]) -> bool:
    """Whether the consent of everybody who is drawn names explicit content."""
    return bool(models) and all(
        model.consent is not None and any(each.strip().casefold() == SCOPE for each in model.consent.scope)
        for model in models
    )


def looks_by(
    clip: Path, models: Sequence[PlannedModel], *, scored: bool | None, rights_stated: bool
) -> tuple[LooksBy, list[str]]:
    """Who tells whether the clip is explicit, and what to warn of.

    Args:
        clip: for messages.
        models: who is drawn.
        scored: a faces file that is given holds scores; None where none is given.
        rights_stated: the user says now, for this run, that they have the rights.

    Raises:
        RefusedError: nobody does, and the user has not said so.
        ConfigurationError: the network is damaged.
    """
    if scored:
        return "faces file", []
    if scored is None and is_installed():
        return "network", []
    missing = (
        'the network for it is missing ("crossface weights" fetches it)'
        if scored is None
        else 'its faces file holds no scores ("crossface analyze" makes one that does)'
    )
    covered = is_covered(models)
    if not rights_stated and not covered:
        raise RefusedError(
            f"{clip}: was not looked at for explicit content, as {missing}: if you have the right to make "
            "this film, say so with --i-have-the-rights; that is asked for on every run, and recorded"
        )
    leave = "the consent covers that" if covered else "the user has stated to have the rights"
    return "nobody", [f"{clip}: was not looked at for explicit content: {missing}; {leave}"]


def told(by: LooksBy, scores: Sequence[Score], *, covered: bool) -> dict[str, Any]:
    """What a report says of it."""
    if by == "nobody":
        return {"looked_at_by": by}
    return {
        "looked_at_by": by,
        "samples": len(scores),
        "highest_score": max((score.explicit for score in scores), default=None),
        "limit": LIMIT,
        "explicit": explicit_samples(scores) is not None,
        "covered_by_consent": covered,
    }
