"""What panels of the page may ask about a picture."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from gansteer.edits.attribute import sliders
from gansteer.subject import Subject

Answerer = Callable[[Subject, dict[str, Any]], Any]


def directions(subject: Subject, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The attributes that can be turned: `[{"name", "value", "low", "high", "method"}]`, in deviations. No arguments."""
    return [asdict(slider) for slider in sliders(subject)]


ANSWERS: Mapping[str, Answerer] = {"directions": directions}
"""What `Ask` may be about, to the function of the node's subject and the arguments that gives the answer (as JSON can hold
it). Called on the painter's thread; raises UserError for arguments that make no sense."""
