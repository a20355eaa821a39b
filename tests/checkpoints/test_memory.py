"""Opening a 1024 px checkpoint needs little more memory than its weights."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_peak_while_opening(tmp_path):
    program = (
        "import sys; from pathlib import Path; from checkpoint_files import *\n"
        "dump_nvidia(Path(sys.argv[1]), G_ema=nvidia_generator(1024, 512, 512, base=32768, maximum=512, depth=8))"
    )
    path = tmp_path / "x.pkl"
    subprocess.run(
        [sys.executable, "-c", program, path], cwd=ROOT / "tests" / "checkpoints", check=True, timeout=PATIENCE
    )
    # Another process that stays small itself, because a child's peak counts from its parent's.
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'benchmarks'); import load_memory as m; "
        "print(*m.measure(Path(sys.argv[1])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    weights, peak = map(int, run.stdout.split())
    assert weights > 100e6
    assert 0.9 * weights < peak < 2.5 * weights
