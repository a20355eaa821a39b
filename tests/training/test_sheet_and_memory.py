"""The page of samples, and the allocator's setting that training makes."""

import subprocess
import sys

import pytest
from PIL import Image

from gansteer.sheet import sheet
from support.waiting import PATIENCE

COLOURS = [(i * 40, 10, 255 - i * 40) for i in range(5)]


@pytest.mark.parametrize(("columns", "size"), [(None, (12, 6)), (2, (8, 9)), (5, (20, 3)), (8, (32, 3))])
def test_pictures_stand_row_by_row(columns, size):
    page = sheet([Image.new("RGB", (4, 3), colour) for colour in COLOURS], columns)
    assert page.size == size
    across = size[0] // 4
    for i, colour in enumerate(COLOURS):
        corner = (i % across * 4, i // across * 3)
        assert page.getpixel(corner) == page.getpixel((corner[0] + 3, corner[1] + 2)) == colour


FAULTS = """
import resource, sys
from gansteer.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(10):
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * (len(block) // 4096)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_freed_memory_is_used_again():
    faults = {}
    for how in ("keep", "give back"):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        faults[how] = int(done.stdout)
    assert faults["keep"] < 0.5 * faults["give back"]
