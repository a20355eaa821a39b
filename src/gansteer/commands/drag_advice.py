"""What `gansteer drag` says when a drag ended before its targets, or the picture broke: why, and what to do."""

from gansteer.edits.api import Progress
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.queries import whole
from gansteer.subject import Subject

PART = 0.5
"""Of the way left at most, where it came part of it."""


def advice(edit: Drag, first: Progress, last: Progress) -> str | None:
    """One line about handles that have not arrived; None if they have, or if the reason of the end says what to do itself."""
    why = last.stop_reason or ""
    if not why.startswith(("step limit", "no nearer")):
        return None
    held = " ".join(_what_holds(edit, why))
    if max(last.distances) <= PART * max(first.distances):
        return (
            "it came part of the way, and what lies beyond may be more than this model can draw. To go on from here, write "
            f"--out NAME.steer and drag with --subject NAME.steer; or give nearer targets. {held}"
        ).rstrip()
    return (
        "it hardly came nearer: the model may know no such picture, or something holds it. Give targets half as far, or try "
        f"another --method. {held}"
    ).rstrip()


def _what_holds(edit: Drag, why: str) -> list[str]:
    """What of the edit itself may keep handles from their targets, and how to loosen it."""
    found = []
    if why.startswith("step limit"):
        found.append(f"It was still on its way after --steps {edit.steps}: more may do.")
    if edit.mask is not None:
        found.append(f"The mask holds the rest: paint more of it white, or lower --lambda-mask ({edit.lambda_mask:g}).")
    if edit.reach:
        found.append(f"The latent may not go farther than --reach {edit.reach:g} allows: raise it.")
    if edit.pull or edit.manifold:
        found.append("--pull and --manifold hold the latent near: lower them.")
    return found


def broken(start: Subject, end: Subject) -> str | None:
    """One line if the picture showed a face and no longer does; None too where nobody can tell (extra `photos`)."""
    if not whole(start, {}) or whole(end, {}) is not False:
        return None
    return (
        "the face came apart: the points were taken farther than this model has faces for. Drag again with --reach 10, which stops "
        "where its pictures end, or give nearer targets"
    )
