"""How much JSON from elsewhere may ask of the reader, found out before it is read.

Reading holds the interpreter, so that everything else in the process waits. It takes about as long as there are bytes and
values, but for some numbers: `1e300` takes as long as three hundred short ones. All three are counted here, which takes
a small part of the time of reading.
"""

import re
from dataclasses import dataclass

_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[eE][+-]?[0-9]{3}|[0-9.]{26}', re.DOTALL)
"""Texts, so that what is inside them is passed over; beginnings of slow numbers."""
_RARE = re.compile(rb"[eE][+-]?[0-9]{3}|[0-9.]{26}")


class TooMuch(ValueError):
    """A JSON text asks more than is granted. The message says of what, in one line."""


@dataclass(frozen=True)
class JsonLimits:
    """What a JSON text may have at most."""

    size: int
    """Bytes."""
    values: int
    """Values: numbers, texts, members and the lists and objects that hold them."""
    slow_numbers: int = 1000
    """Numbers with an exponent of three digits or with 26 digits and more."""

    def check(self, text: bytes) -> None:
        """Raise TooMuch if `text` has more than any of these."""
        if len(text) > self.size:
            raise TooMuch(f"it has more than {self.size} bytes of JSON")
        if value_bound(text) > self.values:
            raise TooMuch(f"it has more than {self.values} values")
        if _RARE.search(text) is None:  # no Python for each text: most have nothing slow anywhere
            return
        slow = 0
        for token in _TOKENS.finditer(text):
            slow += token[0][:1] != b'"'
            if slow > self.slow_numbers:
                raise TooMuch(f"it has more than {self.slow_numbers} numbers of uncommon size or length")


def value_bound(text: bytes) -> int:
    """No fewer than the values in a JSON text: separators and brackets, those inside texts too."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
