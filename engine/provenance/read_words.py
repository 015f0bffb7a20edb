"""Reads the words that `words` puts into containers and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import ConfigurationError
from ..sequence.picture import openimageio
from ..video.reading.limits import MAX_PIXELS, PATIENCE_S
from ..video.source import open_source, try_source
from .words import OPENING


def words_of_film(path: Path) -> str | None:
    """What a film says of itself, if it is ours.

    Raises:
        InputMissingError, BadInputError: as `open_source`.
    """
    try_source(path, max_pixels=MAX_PIXELS, patience_s=PATIENCE_S)
    _, container = open_source(path)
    with container:
        return _ours(container.metadata.values())


def words_of_pictures(paths: Sequence[Path]) -> str | None:
    """What the first picture that says something says; None also without the extra ``vfx``."""
    try:
        oiio = openimageio()
    except ConfigurationError:
        return None
    for path in paths:
        picture = oiio.ImageInput.open(str(path))
        if picture is None:
            oiio.geterror()  # or it is told when the process ends
            continue
        values = [attribute.value for attribute in picture.spec().extra_attribs]
        picture.close()
        if (found := _ours(value for value in values if isinstance(value, str))) is not None:
            return found
    return None


def _ours(texts: Iterable[str]) -> str | None:
    lines = [line for text in texts for line in text.splitlines() if OPENING in line]
    return "\n".join(dict.fromkeys(lines)) or None
