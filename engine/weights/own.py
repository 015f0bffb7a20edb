"""The networks that are Crossface's own: small enough to lie in the tree."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigurationError
from .pinned import sha256_of

# By name. ``NOTICE.md`` says how they were made, and of what.
OWN_SHA256 = {"occlusion": "b93a4707c12f7c81e38083e762b05f69648fc9e522d37c82be4fe20cd4d28f25"}


def locate_own(name: str) -> Path:
    """Finds a network of our own and checks it.

    Args:
        name: a key of ``OWN_SHA256``.

    Raises:
        ConfigurationError: it is not there, not readable, or not the one that belongs to this version.
    """
    path = Path(__file__).with_name(f"{name}.onnx")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}): install Crossface again"
        ) from error
    if sha256_of(content) != OWN_SHA256[name]:
        raise ConfigurationError(f"{path}: is not that of this version: install Crossface again")
    return path
