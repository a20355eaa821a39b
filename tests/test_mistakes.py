"""What is mistyped in the shell is said in one line, in plain words, with what was probably meant."""

import subprocess
import sys
from typing import get_args

import pytest

from gansteer.cli import main
from gansteer.edits.drag.config import Method

CASES = [
    ("drga", "there is no gansteer drga: did you mean drag?"),
    ("evaluate qualty", "there is no gansteer evaluate qualty: did you mean quality?"),
    ("zzz", "there is no gansteer zzz: gansteer --help lists what there is"),
    ("directions", "gansteer directions needs one more word: fit, import, list"),
    ("drag --modle portraits --out x.png", "gansteer drag has no --modle: did you mean --model?"),
    ("sample --mdel=portraits", "gansteer sample has no --mdel: did you mean --model?"),
    ("drag --no-maks --out x.png", "gansteer drag has no --no-maks: did you mean --no-marks?"),
    ("drag --zzz 3", "gansteer drag has no --zzz: gansteer drag --help lists its flags"),
    ("drag --from 3", "gansteer drag has no --from: gansteer drag --help lists its flags"),
    ("drag --learning-rat 3", "gansteer drag has no --learning-rat: did you mean --learning-rate?"),
    ("drag --seed three --out x.png", "--seed three: give a whole number, such as 7"),
    ("drag --seed=three --out x.png", "--seed three: give a whole number, such as 7"),
    ("drag --seed", "--seed: give a whole number, such as 7"),
    ("drag --psi abc --out x.png", "--psi abc: give a number, such as 0.7"),
    ("drag --method dragon --out x.png", f"--method dragon: give one of {', '.join(get_args(Method))}"),
    ("drag --model portraits", "gansteer drag needs --out: gansteer drag --help says what it means"),
    ("info", "gansteer info needs a file: gansteer info --help says what it means"),
]


@pytest.mark.parametrize(("words", "line"), CASES, ids=[words for words, _ in CASES])
def test_mistakes(words: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"gansteer: {line}\n")


def test_underscores_are_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drag", "--learning_rate", "x", "--out", "x.png"]) == 2
    assert capsys.readouterr().err == "gansteer: --learning-rate x: give a number, such as 0.7\n"


SLOW_START = """
import os, signal, sys, types
class Interrupted(types.ModuleType):
    def __getattr__(self, name):  # what the command line imports first stands still, and the person has enough of it
        os.kill(os.getpid(), signal.SIGINT)
        raise ImportError("it went on importing")
sys.modules["tyro"] = Interrupted("tyro")
from gansteer.__main__ import run
sys.exit(run())
"""


def test_ctrl_c_while_it_starts_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_START], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "gansteer: stopped\n")


def test_nothing_that_takes_its_time_is_imported_before_ctrl_c_is_looked_after() -> None:
    """What Python has loaded by itself when its first line runs cannot be helped; `os` and `signal` are what it takes."""
    code = "import sys; before = set(sys.modules); import gansteer.__main__; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], capture_output=True, text=True
    )
    taken = set(done.stdout.split()) - {"gansteer", "gansteer.__main__"}
    alone = subprocess.run(
        [sys.executable, "-S", "-c", code.replace("gansteer.__main__", "os, signal")], capture_output=True, text=True
    )
    assert taken <= set(alone.stdout.split()), done.stderr
