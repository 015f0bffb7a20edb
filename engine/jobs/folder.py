"""What lies in a job's folder: the plan, and for each segment what was seen, recorded and encoded."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, BusyError, ExplicitError, InputMissingError, OutputError, unreadable
from ..events import Routed
from ..part_file import PartFile
from ..swap.colour_match import QUANTILES, Statistics
from ..swap.occlusion import SIZE_PX as OCCLUSION_PX
from ..swap.steady_match import Measured
from ..swap.texture import Texture
from ..video.part import Part
from .path_mapping import PathMapping
from .plan import Plan


def folder_of(output: Path) -> Path:
    """Beside the output, so that parts lie on its file system."""
    return output.with_name(f"{output.name}.job")


def open_job(plan_path: Path) -> tuple[Plan, JobFolder]:
    """A plan, with the paths that this host has, and its folder.

    Raises:
        InputMissingError, BadInputError: the plan or the rules for paths cannot be used.
    """
    plan, mapping = Plan.read(plan_path), PathMapping.of_environment()
    here = replace(
        plan,
        source=mapping.here(str(plan.source)),
        output=mapping.here(str(plan.output)),
        faces=None if plan.faces is None else mapping.here(str(plan.faces)),
        models=tuple(replace(model, path=mapping.here(str(model.path))) for model in plan.models),
    )
    return here, JobFolder(plan_path.parent, plan_path)


@dataclass(frozen=True)
class Sidecar:
    """What is said of a finished part.

    Attributes:
        plan: its id.
        part: the file.
        faces: swapped in it.
        frames_changed: in which one was swapped.
        warnings: of its reading and conversion.
        colours: measured in its last frames, which the next segment begins with.
        fingerprint: of the machine that made it.
        route: where it was made.
    """

    plan: str
    part: Part
    faces: int
    frames_changed: int
    warnings: tuple[str, ...]
    colours: tuple[Measured, ...]
    fingerprint: dict[str, str]
    route: Routed


class JobFolder:
    """Paths and small files of a job; the segments' own files appear whole or not at all.

    Args:
        path: the folder.
        plan_path: of the plan in it; ``plan.json`` where None.
    """

    def __init__(self, path: Path, plan_path: Path | None = None) -> None:
        self.path = path
        self.plan_path = path / "plan.json" if plan_path is None else plan_path
        self.done_path = path / "done.json"
        self.joining_path = path / "joining"
        self.faces_path = path / "shot.faces"
        self.refused_path = path / "refused.json"

    def seen(self, number: int) -> Path:
        return self.path / f"seen-{number:04d}.jsonl"

    def records(self, number: int) -> Path:
        return self.path / f"records-{number:04d}.jsonl"

    def part(self, number: int, suffix: str) -> Path:
        return self.path / f"part-{number:04d}{suffix}"

    def sidecar_path(self, number: int) -> Path:
        return self.path / f"part-{number:04d}.json"

    def write_sidecar(self, number: int, sidecar: Sidecar) -> None:
        """Says that the part is finished.

        Raises:
            OutputError: it cannot be written.
        """
        fields = {
            **asdict(sidecar),
            "part": {**asdict(sidecar.part), "path": sidecar.part.path.name},
            "colours": [_listed(each) for each in sidecar.colours],
        }
        with PartFile(self.sidecar_path(number), overwrite=True) as part:
            part.write_text(json.dumps(fields) + "\n", encoding="utf-8")

    def sidecar(self, number: int, plan: Plan) -> Sidecar | None:
        """Of a finished part; None where it is not finished.

        Raises:
            BadInputError: the sidecar is damaged, or belongs to another plan.
        """
        path = self.sidecar_path(number)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            part = Part(**{**fields["part"], "path": self.path / fields["part"]["path"]})
            colours = tuple(map(_measured, fields["colours"]))
            sidecar = Sidecar(
                fields["plan"],
                part,
                int(fields["faces"]),
                int(fields["frames_changed"]),
                tuple(fields["warnings"]),
                colours,
                dict(fields["fingerprint"]),
                Routed(**fields["route"]),
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
            raise BadInputError(f"{path}: is damaged: delete it, and its segment is made anew") from error
        if sidecar.plan != plan.id:
            raise BadInputError(
                f"{path}: belongs to another plan: delete the job's folder, or convert with --overwrite"
            )
        if not part.path.exists():
            return None
        return sidecar

    def require_all(self, found: Mapping[int, Sidecar | None]) -> None:
        """Raises InputMissingError where a part is not finished."""
        missing = [number for number, sidecar in found.items() if sidecar is None]
        if missing:
            names = ", ".join(map(str, missing[:10])) + (" and more" if len(missing) > 10 else "")
            raise InputMissingError(
                f"{self.plan_path}: segments {names} are not converted yet: "
                f"run crossface segment {self.plan_path} --seg {missing[0]}"
            )

    def is_seen(self, number: int) -> bool:
        return self.seen(number).exists()

    def may_replace(self, output: Path, *, overwrite: bool) -> bool:
        """False where an output is there that neither was given up to us nor made by this job."""
        return overwrite or self.joining_path.exists() or self.done_path.exists() or not output.exists()

    def read_done(self) -> dict[str, Any] | None:
        """What is known of the finished film; None where there is none."""
        try:
            fields = json.loads(self.done_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return fields if isinstance(fields, dict) else None

    def write_done(self, fields: dict[str, Any]) -> None:
        with PartFile(self.done_path, overwrite=True) as part:
            part.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
        self.joining_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def refusing(self, plan: Plan, *, remember: bool) -> Iterator[None]:
        """Around the work on a plan: where the content gate refuses it, removes what was made.

        Args:
            plan: of the job.
            remember: keep the plan, what was seen, and the decision, for the other steps of the job.

        Raises:
            ExplicitError: it was refused before.
        """
        try:
            fields = json.loads(self.refused_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            fields = {}
        if isinstance(fields, dict) and fields.get("plan") == plan.id:
            raise ExplicitError(str(fields.get("because")))
        try:
            yield
        except ExplicitError as error:
            if not remember:
                self.begin_anew(keep_seen=False)
                raise
            self.clear_segments(keep_seen=True)
            with PartFile(self.refused_path, overwrite=True) as part:
                part.write_text(json.dumps({"plan": plan.id, "because": str(error)}) + "\n", encoding="utf-8")
            raise

    def clear_segments(self, *, keep_seen: bool = False) -> None:
        """Remove what is of no use once the film is there."""
        for pattern in ("part-*", "records-*", *(() if keep_seen else ("seen-*",))):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def begin_anew(self, *, keep_seen: bool) -> None:
        """Forget what was done; with ``keep_seen`` only what follows the analysis."""
        self.done_path.unlink(missing_ok=True)
        self.joining_path.unlink(missing_ok=True)
        if not keep_seen:
            self.faces_path.unlink(missing_ok=True)
        self.refused_path.unlink(missing_ok=True)
        self.clear_segments(keep_seen=keep_seen)

    @contextlib.contextmanager
    def locked(self, *, keep: bool = False) -> Iterator[None]:
        """Holds the job against other processes; the system lets go of it if we are killed.

        A folder in which nothing was done is removed in the end, unless ``keep``.

        Raises:
            BusyError: another process works on it.
            OutputError: the folder cannot be written.
        """
        lock = self.path / ".lock"
        try:
            file = self._locked(lock)
        except OSError as error:
            raise OutputError(f"{lock}: cannot be made ({error.strerror}): check the folder") from error
        try:
            yield
        finally:
            begun = self.refused_path.exists()
            begun = begun or any(self.path.glob("seen-*.jsonl")) or any(self.path.glob("part-*.json"))
            if not begun and not keep:
                self._remove_traces(lock)
            os.close(file)

    def _locked(self, lock: Path) -> int:
        while True:
            self.path.mkdir(exist_ok=True)
            file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(file)
                raise BusyError(
                    f"{self.path}: another process works on this job: wait for its end"
                ) from error
            # Between opening and locking, its owner may have removed it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(lock), os.fstat(file)):
                    return file
            os.close(file)

    def _remove_traces(self, lock: Path) -> None:
        if self.done_path.exists():
            return
        with contextlib.suppress(OSError):
            self.plan_path.unlink(missing_ok=True)
            lock.unlink()
            self.path.rmdir()


def _listed(measured: Measured) -> list[Any]:
    texture = None if measured.texture is None else list(measured.texture.numbers())
    colours = [_moments(each) for each in (measured.drawn, measured.source)]
    visible = (
        None if measured.visible is None else b64encode(zlib.compress(measured.visible.tobytes())).decode()
    )
    placed = None if measured.placed is None else measured.placed.tolist()
    return [measured.frame, measured.shot, measured.track, *colours, texture, visible, placed]


def _moments(statistics: Statistics) -> list[Any]:
    quantiles = None if statistics.quantiles is None else statistics.quantiles.tolist()
    return [statistics.mean.tolist(), statistics.covariance.tolist(), quantiles, statistics.contrast]


def _measured(fields: list[Any]) -> Measured:
    frame, shot, track, drawn, source, texture, visible, placed = fields
    return Measured(
        int(frame),
        int(shot),
        int(track),
        _statistics(*drawn),
        _statistics(*source),
        None if texture is None else Texture(*map(float, texture)),
        None if visible is None else _map(visible),
        None if placed is None else np.array(placed, np.float64).reshape(2, 3),
    )


def _map(text: str) -> NDArray[np.uint8]:
    """What of a face is seen."""
    content = zlib.decompress(b64decode(text, validate=True))
    return np.frombuffer(content, np.uint8).reshape(OCCLUSION_PX, OCCLUSION_PX)


def _statistics(
    mean: list[Any], covariance: list[Any], quantiles: list[Any] | None, contrast: float | None
) -> Statistics:
    return Statistics(
        np.array(mean, np.float64).reshape(3),
        np.array(covariance, np.float64).reshape(3, 3),
        None if quantiles is None else np.array(quantiles, np.float64).reshape(3, QUANTILES),
        None if contrast is None else float(contrast),
    )
