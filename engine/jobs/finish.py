"""The end of a job: its parts become the film, what it is is written down, and its folder is tidied."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from ..clip import Clip
from ..errors import ConfigurationError, CrossfaceError, OutputExistsError
from ..events import Event, Finished, Progress, Warned
from ..face.faces_file import FacesFile
from ..part_file import PartFile
from ..provenance.c2pa_file import found_sidecar, sidecar_of
from ..provenance.claim import Claim
from ..provenance.credentials import Signer
from ..provenance.gate import Score, is_covered
from ..provenance.gate import told as gate_told
from ..provenance.words import disclosure
from ..review.write import write_review
from ..video.join import Join
from .faces import write_job_faces
from .fingerprint import differences
from .folder import JobFolder, Sidecar
from .plan import Plan, PlannedModel
from .watching import WatchedParts


def join(
    plan: Plan,
    folder: JobFolder,
    sidecars: Sequence[Sidecar],
    signer: Signer,
    scores: Sequence[Score],
    *,
    told: Sequence[str] = (),
    overwrite: bool,
) -> Generator[Event]:
    """Joins finished parts into the output, signs it, and reviews it.

    Args:
        plan: of the job.
        folder: of the job.
        sidecars: of all parts, in order.
        signer: of the film.
        scores: of the content gate.
        told: warnings that the user has had already.
        overwrite: replace an output that is there.

    Raises:
        ConfigurationError: parts were made on machines that do not give the same bytes.
        InputMissingError, BadInputError: a part is missing or damaged.
        OutputExistsError, OutputError: the output is there already, or cannot be written.
    """
    _check_fingerprints(plan, sidecars)
    faces = sum(sidecar.faces for sidecar in sidecars)
    changed = sum(sidecar.frames_changed for sidecar in sidecars)
    claim = Claim(plan.source, plan.source_hash, plan.models, plan.frames, changed, faces)
    words = disclosure(plan.models, unsigned_because=signer.unsigned_because)
    with Clip(plan.source, plan.reading) as clip:
        film = Join(
            plan.output,
            clip.source,
            [sidecar.part for sidecar in sidecars],
            plan.conversion.encoding(clip.source, plan.output),
            span=clip.span_s,
            comment=words if faces else None,
            overwrite=overwrite,
            seal=signer.seal(plan.output, lambda: claim),
        )
        with film:
            for frames in film:
                yield Progress("join", frames, plan.frames)
            # From here on a film of that name is ours, also where we are killed before we can say so.
            folder.joining_path.touch()
        info = clip.info
    later = [loss for loss in film.losses if loss not in told]
    yield from map(Warned, later)
    if plan.faces is None:
        dropped = write_job_faces(plan, folder, info)
        yield from map(Warned, dropped)
        later += dropped
    try:
        write_review(
            folder.path,
            source=plan.source,
            output=plan.output,
            records=[folder.records(segment.number) for segment in plan.segments],
            reading=plan.reading,
            warnings=[*told, *later],
            routes=[sidecar.route for sidecar in sidecars],
            provenance={
                "models": [_told(model) for model in plan.models],
                "content_gate": gate_told(plan.looked_at_by, scores, covered=is_covered(plan.models)),
                "imperceptible_mark": None if plan.payload is None else str(plan.payload),
                **signer.told(plan.output),
            },
        )
    except CrossfaceError as error:  # the film is whole all the same
        yield Warned(str(error))
    yield from _finished(plan, folder, faces)


def scores_of(plan: Plan, folder: JobFolder) -> list[Score]:
    """What the content gate saw in the whole clip.

    Raises:
        InputMissingError, BadInputError: a part was not analysed, or its file or the faces file is damaged.
    """
    if plan.looked_at_by == "nobody":
        return []
    if plan.faces is not None:
        return FacesFile(plan.faces).scores or []
    frames = (frame for part in WatchedParts(plan, folder, None) for frame in part)
    return [Score(frame.pts, frame.explicit) for frame in frames if frame.explicit is not None]


def copy_source(plan: Plan, folder: JobFolder, *, overwrite: bool) -> Generator[Event]:
    """The end of a job that swapped no face."""
    theirs, ours = found_sidecar(plan.source), sidecar_of(plan.output)
    with PartFile(plan.output, overwrite=overwrite) as part:
        shutil.copyfile(plan.source, part)
        # Its credentials go with it; what was said of an earlier output goes.
        if theirs is None:
            ours.unlink(missing_ok=True)
        else:
            with PartFile(ours, overwrite=True) as beside:
                shutil.copyfile(theirs, beside)
    yield from _finished(plan, folder, 0)


def nothing_swapped(source: Path, output: Path, *, copied: bool, tried: bool) -> str:
    """The warning about an output without a swapped face.

    Args:
        source: the clip.
        output: what was made of it.
        copied: as it was; else it is encoded anew.
        tried: it was converted, and nothing came of that; else no face was found.
    """
    shows = "is a copy of the clip" if copied else "shows the clip as it is, encoded anew"
    if not tried:
        return f"{source}: no face to swap: {output} {shows}"
    return (
        f"{source}: no face was swapped: {output} {shows}: there is none, or the model draws no mask yet, or "
        "the faces file leaves no face: look there, or train longer"
    )


def already_done(plan: Plan, folder: JobFolder) -> Finished | None:
    """What a finished job of this plan said; None where it is not finished.

    Raises:
        OutputExistsError: the output is not what the job made.
    """
    done = folder.read_done()
    if done is None or done.get("plan") != plan.id or not plan.output.exists():
        return None
    if _state(plan.output) != done.get("state") and _sha256(plan.output) != done.get("sha256"):
        raise OutputExistsError(
            f"{plan.output}: was changed since it was made: give another name, or --overwrite to make it anew"
        )
    folder.clear_segments()
    return Finished(plan.output, int(done["frames"]), int(done["faces"]), already=True)


def _finished(plan: Plan, folder: JobFolder, faces: int) -> Generator[Event]:
    folder.write_done(
        {
            "plan": plan.id,
            "frames": plan.frames,
            "faces": faces,
            "sha256": _sha256(plan.output),
            "state": _state(plan.output),
        }
    )
    folder.clear_segments()
    yield Finished(plan.output, plan.frames, faces)


def _told(model: PlannedModel) -> dict[str, Any]:
    return {
        "identity": model.identity,
        "sha256": model.sha256,
        "consent": None if model.consent is None else model.consent.to_fields(),
        "rights_stated_by_user": model.rights_stated,
    }


def _check_fingerprints(plan: Plan, sidecars: Sequence[Sidecar]) -> None:
    for segment, sidecar in zip(plan.segments, sidecars, strict=True):
        if sidecar.fingerprint != sidecars[0].fingerprint:
            names = differences(sidecars[0].fingerprint, sidecar.fingerprint)
            raise ConfigurationError(
                f"{sidecar.part.path}: segment {segment.number} was made by other software or on another "
                f"kind of machine than segment 0 ({names}): make it anew like the others"
            )


def _state(path: Path) -> list[int]:
    """Changes whenever the file does."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
