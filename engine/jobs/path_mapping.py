"""Paths of a plan on a host that mounts the same disks elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from ..errors import BadInputError, InputMissingError

VARIABLE = "CROSSFACE_PATH_MAPPING"

_FORMATS: dict[object, type[PurePath]] = {"POSIX": PurePosixPath, "WINDOWS": PureWindowsPath}


class PathMapping:
    """Rules in the form of Open Job Description, ``pathmapping-1.0``; the longest that fits counts.

    Args:
        rules: folders as they are in the plan, and where they are here.
    """

    def __init__(self, rules: Mapping[PurePath, Path]) -> None:
        self._rules = sorted(rules.items(), key=lambda rule: -len(rule[0].parts))

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ) -> PathMapping:
        """The rules in the file that ``CROSSFACE_PATH_MAPPING`` names; none without it.

        Raises:
            InputMissingError: the file cannot be read.
            BadInputError: it does not hold such rules.
        """
        name = environ.get(VARIABLE)
        if not name:
            return cls({})
        try:
            content = json.loads(Path(name).read_text(encoding="utf-8"))
            return cls(
                {
                    _FORMATS[rule["source_path_format"]](rule["source_path"]): Path(rule["destination_path"])
                    for rule in content.get("path_mapping_rules", [])
                }
            )
        except OSError as error:
            raise InputMissingError(
                f"{name}: cannot be read ({error.strerror}): set {VARIABLE} to a file of path mapping rules"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInputError(
                f"{name}: holds no path mapping rules (pathmapping-1.0): check what {VARIABLE} names"
            ) from error

    def here(self, path: str) -> Path:
        """Where a path of the plan is on this host; unchanged where no rule fits."""
        for source, destination in self._rules:
            written = type(source)(path)
            if written.is_relative_to(source):
                return destination / Path(*written.relative_to(source).parts)
        return Path(path)
