"""Which pictures a folder has already, so that rendering goes on where it was stopped."""

import json
from pathlib import Path


def rendered_before(labels: Path) -> set[str]:
    """The pictures that have a line; half a line, which a killed run may leave, is removed."""
    if not labels.exists():
        return set()
    text = labels.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        partial = labels.with_suffix(".part")
        partial.write_text(whole)
        partial.replace(labels)
    return {json.loads(line)["file"] for line in whole.splitlines()}
