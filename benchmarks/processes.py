"""The processes of a command, as Linux tells them."""

from pathlib import Path


def family(process: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = [process]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found
