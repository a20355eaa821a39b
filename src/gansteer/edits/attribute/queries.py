"""What the page may ask about the attributes of a picture."""

from dataclasses import asdict
from typing import Any

from gansteer.edits.attribute.edit import sliders
from gansteer.subject import Subject


def directions(subject: Subject, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The attributes that can be turned: `[{"name", "value", "low", "high", "method"}]`, in deviations. No arguments."""
    return [asdict(slider) for slider in sliders(subject)]
