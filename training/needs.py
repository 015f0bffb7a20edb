"""What the commands of this package need beside it."""

from __future__ import annotations

import importlib.util

from ..engine.errors import ConfigurationError


def need(module: str, what: str) -> None:
    """Raises ConfigurationError where a module is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(f'{what} needs {module}: run pip install "crossface[train]"')
