"""What the README says to type works as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from gansteer.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_python_example_draws_and_drags(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "README.md", "exec"), {})
    before, after = ((tmp_path / name).read_bytes() for name in ("before.png", "after.png"))
    assert before != after
    steps = capsys.readouterr().out.splitlines()
    assert float(steps[-1].split()[1].strip("(),")) < float(steps[0].split()[1].strip("(),"))


LINES = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_the_shell_lines_do_what_they_say(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line, comments=True)
    if program == "make":  # is what runs these tests, or takes an installation of its own
        assert all(re.search(rf"^{word}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for word in words)
        return
    assert program == "gansteer"
    assert main(words) == 0
    written = {Path(word) for word in words if Path(word).suffix in (".png", ".webp")}
    assert written
    assert all(path.stat().st_size > 0 for path in written)


def test_pictures_and_documents_that_it_names_are_there():
    named = re.findall(r"\]\(([^)#]+)\)", README)
    assert named
    assert [name for name in named if "://" not in name and not (ROOT / name).exists()] == []
