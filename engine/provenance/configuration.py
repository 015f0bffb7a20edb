"""The folder of what a user has told us for good, or what we made in their name."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigurationError


def configuration_folder() -> Path:
    """``$XDG_CONFIG_HOME/crossface``, by default under ``~/.config``; it need not be there.

    Raises:
        ConfigurationError: nobody has told the system where this user is at home.
    """
    chosen = os.environ.get("XDG_CONFIG_HOME", "")
    # By the XDG specification a relative path is of no account.
    if os.path.isabs(chosen):
        return Path(chosen) / "crossface"
    try:
        return Path.home() / ".config" / "crossface"
    except RuntimeError as error:
        raise ConfigurationError("this user has no home folder: set XDG_CONFIG_HOME") from error
