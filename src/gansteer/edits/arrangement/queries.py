"""What the page may ask about the layout of a picture."""

from typing import Any

from gansteer.edits.arrangement.edit import layout_of
from gansteer.edits.arrangement.naming import names_of
from gansteer.subject import Subject


def layout(subject: Subject, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The blobs in the order of their numbers. Raises UserError, which says which models have any, for one without."""
    return [
        {
            "x": blob.x, "y": blob.y, "size": blob.size, "there": bool(blob.present), "level": blob.level,
            "parent": blob.parent,
        }
        for blob in layout_of(subject).blobs
    ]  # fmt: skip


def things(subject: Subject, arguments: dict[str, Any]) -> list[str | None]:
    """What each blob draws, where a reader knows."""
    return names_of(subject)
