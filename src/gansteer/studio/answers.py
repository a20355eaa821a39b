"""What panels of the page may ask about a picture."""

from collections.abc import Callable, Mapping
from typing import Any

from gansteer.subject import Subject

ANSWERS: Mapping[str, Callable[[Subject, dict[str, Any]], Any]] = {}
"""What `Ask` may be about, to the function of the node's subject and the arguments that gives the answer (as JSON can hold
it). Called on the painter's thread; raises UserError for arguments that make no sense."""
