"""What holds for all tests, and the command line as a person meets it."""

import re
import signal

import numpy as np
import pytest
from PIL import Image

from gansteer.cli import main

# A shell starts background jobs with SIGINT ignored, and their children inherit that: tests of Ctrl-C would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 40 random pictures of 8 px."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def run(capsys):
    """Run the command line in this process: exit code, what it printed, what it complained."""

    def go(*args):
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as end:  # tyro's own, as argparse
            code = end.code
        return code, *capsys.readouterr()

    return go


@pytest.fixture
def refused(run, tmp_path):
    """Run it, see that it refuses in one line and leaves every file as it was; returns the line."""

    def go(*args):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
        code, out, err = run(*args)
        assert code == 2
        assert out == "" or args[0] == "info"  # which tells what it can
        assert re.fullmatch(r"gansteer: [^\n]+\n", err), err
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
        return err

    return go
