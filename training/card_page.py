"""The model card: what stands beside an exported model, for people to read.

It says nothing of the people beyond what its user wrote, and names no clip.
"""

from __future__ import annotations

from ..engine.provenance.consent import Consent
from .checkpoint import Progress
from .held_out import RUN_FACES
from .model_card import ModelCard
from .models import Person


def card_page(
    name: str,
    card: ModelCard,
    progress: Progress,
    person: Person,
    *,
    precision: str,
    consent: Consent | None,
    picture: str | None = None,
) -> str:
    """Markdown.

    Args:
        name: of the exported file.
        card: of the model.
        progress: of the checkpoint that was exported.
        person: whose face is drawn.
        precision: of the file.
        consent: of the person drawn.
        picture: name of a picture beside the page, where one may be shown.
    """
    other: Person = "a" if person == "b" else "b"
    rows = [
        ("who is drawn", card.identity(person)),
        ("whose expressions the encoder knows too", card.identity(other)),
        (
            "consent",
            str(consent or "**none on file**: ask the person who is drawn before you use this model"),
        ),
        ("network", f"{card.preset.name}, {card.preset.size_px} px, {precision}"),
        ("faces", f"{_faces(card, person)} of {card.identity(person)}, {_faces(card, other)} of the other"),
        ("data", f"sha256 `{card.data_hash}` over both facesets"),
        ("training", f"{progress.step} steps, {progress.elapsed_s / 60:.0f} minutes, {card.software}"),
    ]
    if card.base is not None:
        rows.append(("began with", f"the weights of a base, data sha256 `{card.base}`"))
    if progress.rate_scale < 1:
        rows.append(("diverged", f"and went on with {progress.rate_scale:g} of its learning rate"))
    if progress.losses is not None:
        rows.append(("loss of the last step", f"{_both(progress.losses, person)}"))
    rows.append(("held-out faces", _held_out(progress, person)))
    lines = [
        f"# Model card: `{name}`",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {text} |" for key, text in rows),
    ]
    if picture is not None:
        lines += ["", f"![What it draws]({picture})"]
    lines += [
        "",
        "Use it only on footage whose people have agreed, with the person who is drawn among them. What it "
        "makes says that it was made, and must go on to do so.",
        "",
    ]
    return "\n".join(lines)


def _faces(card: ModelCard, person: Person) -> str:
    count = card.faces_a if person == "a" else card.faces_b
    return "an unknown number" if count is None else str(count)


def _both(pair: tuple[float, float], person: Person) -> str:
    own, other = pair if person == "a" else pair[::-1]
    return f"{own:.4f}, the other person's {other:.4f}"


def _held_out(progress: Progress, person: Person) -> str:
    if not progress.measured:
        return "none: all faces were trained on"
    last, best = progress.measured[-1], progress.best
    assert best is not None
    dssim = _both((last.dssim_a, last.dssim_b), person)
    return (
        f"DSSIM {dssim}, at step {last.step} (runs of {RUN_FACES} frames that were never trained on); "
        f"mean of both {last.mean:.4f}, at best {best.mean:.4f} at step {best.step}"
    )
