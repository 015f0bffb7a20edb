"""Typed errors, one class per exit code.

Every message names the file, the frame where there is one, and what to do
next, on one line. The command line prints the message and exits with
``exit_code``; a caller in Python catches the class.
"""

from __future__ import annotations

from pathlib import Path


class CrossfaceError(Exception):
    """Base of every error that Crossface raises on purpose."""

    exit_code = 70

    def __str__(self) -> str:
        """The message on one line, whatever characters a file's name holds."""
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in super().__str__())


class UsageError(CrossfaceError):
    """An option or a combination of options makes no sense."""

    exit_code = 2


class BadInputError(CrossfaceError):
    """A file is damaged, truncated, or not what it should be."""

    exit_code = 65


class InputMissingError(CrossfaceError):
    """A file or folder does not exist or cannot be read."""

    exit_code = 66


class DeviceUnavailableError(CrossfaceError):
    """The device or the runtime that was asked for is not here."""

    exit_code = 69


class OutputExistsError(CrossfaceError):
    """The output is there already and ``--overwrite`` was not given."""

    exit_code = 73


class OutputError(CrossfaceError):
    """The output cannot be written: permissions, disk full, I/O error."""

    exit_code = 74


class BusyError(CrossfaceError):
    """Another process works on the same output; try again later."""

    exit_code = 75


class OutOfMemoryError(CrossfaceError):
    """The machine has no memory for what was asked; a smaller batch needs less."""

    exit_code = 75


class RefusedError(CrossfaceError):
    """Refused by the consent record or by the content gate."""

    exit_code = 77


class ExplicitError(RefusedError):
    """The film looks sexually explicit, and no consent covers that."""


class ConfigurationError(CrossfaceError):
    """The installation lacks something: weights, an extra, a library."""

    exit_code = 78


def unreadable(path: Path | str, error: OSError) -> InputMissingError:
    """What to raise for an input that does not open, or whose bytes do not come."""
    return InputMissingError(f"{path}: cannot be read ({error.strerror}): check the path")
