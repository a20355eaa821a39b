"""Scripts make the picture again; command lines say the same as the edit."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from client import studio_model
from PIL import Image

from gansteer.checkpoints.native import save_model
from gansteer.cli import parse
from gansteer.commands.drag import Drag as DragCommand
from gansteer.commands.edit import Edit as EditCommand
from gansteer.commands.edit import parse_changes, parse_names, parse_rows
from gansteer.edits.attribute.edit import Attribute
from gansteer.edits.drag.edit import Drag
from gansteer.edits.intervention.edit import Intervention
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.mixing import blend
from gansteer.session import Session, StepRecord
from gansteer.steerfile import save_session
from gansteer.studio.script import python, shell

MODEL = studio_model()
MASK = torch.ones(64, 64, dtype=torch.bool)
DRAG = Drag([(30, 30), (10, 12)], [(32, 30), (10, 15)], MASK, steps=4, rows=3, tolerance=0.1, exact_mask=True)


def add(session: Session, parent: int, edit: Drag) -> int:
    """Carry an edit out; the id of its node."""
    node = session.add(session.nodes[parent].subject, parent, edit)
    for progress in start(node.subject, edit):
        node = node.stepped(progress.subject, StepRecord(progress.step, None, (), (), 0.0), progress.stop_reason)
    session.put(node)
    return node.id


@pytest.mark.parametrize("first", ["seed", "between"])
def test_the_script_makes_the_picture_again(tmp_path: Path, first: str) -> None:
    save_model(MODEL, tmp_path / "tiny.safetensors")
    session, seeds = Session(), [MODEL.sample(seed, 0.8) for seed in (1, 2)]
    root = (
        session.add(seeds[0], source={"seed": 1, "psi": 0.8, "label": None})
        if first == "seed"
        else session.add(blend(*seeds, 0.5), source={"between": [1, 2]})  # type: ignore[arg-type, call-arg]
    )
    last = add(session, add(session, root.id, DRAG), replace(DRAG, mask=None, method="freedrag"))
    path = str(tmp_path / "tiny.safetensors")
    session.go(root.id)
    save_session(session, tmp_path / f"gansteer-{root.id}.steer")
    script = "\n".join(python(session, last)).replace("'tiny'", repr(path))
    script = script.replace('.steer")', f'.steer"), lambda name: gansteer.load({path!r}, "cpu")')
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=environment)
    torch.set_num_threads(1)
    found = np.asarray(Image.open(tmp_path / f"gansteer-{last}.png"))
    assert np.array_equal(found, np.asarray(session.nodes[last].subject.image))


def command(edit: object, source: dict[str, object] | None = None) -> tuple[object, list[str]]:
    """What the shell would make of the last line for this edit, and the other lines."""
    session = Session()
    root = session.add(MODEL.sample(3), source={"seed": 3, "psi": 0.5} if source is None else source)
    *notes, line = shell(session, session.add(root.subject, root.id, edit).id)  # type: ignore[arg-type]
    program, *words = shlex.split(line)
    assert program == "gansteer"
    return parse(words), notes


def test_the_command_line_of_a_drag() -> None:
    made, notes = command(DRAG)
    assert isinstance(made, DragCommand)
    assert notes == ["# save the mask of entry 2 as gansteer-2-mask.png"]
    assert (made.seed, made.psi, made.model, made.out) == (3, 0.5, "tiny", Path("gansteer-2.png"))
    assert made.mask == Path("gansteer-2-mask.png")
    assert replace(made, mask=None).edit().__dict__ == replace(DRAG, mask=None).__dict__
    made, notes = command(replace(DRAG, mask=None), {"photo": True})
    assert isinstance(made, DragCommand)
    assert made.subject == Path("gansteer-1.steer")
    assert notes == ["# save entry 1 as a session, gansteer-1.steer"]


@pytest.mark.parametrize(
    "edit",
    [
        Attribute({"smile": 2.0, "age": -1.5}, hold=("gender", "sefa:pose:1"), rows=(0, 4), absolute=True),
        Attribute({"smile": -0.25}, space="s"),
        Intervention({"smile": 2.0}, torch.eye(64) > 0, hold=("age",), channels=12),
    ],
)
def test_the_command_line_of_attributes(edit: Attribute | Intervention) -> None:
    made, notes = command(edit)
    assert isinstance(made, EditCommand)
    assert parse_changes(made.set) == edit.change
    assert parse_names(made.hold) == edit.hold
    assert parse_rows(made.layers) == edit.rows
    if isinstance(edit, Intervention):
        assert made.region == "gansteer-2-mask.png"
        assert made.channels == edit.channels
        assert len(notes) == 1
    else:
        assert (made.absolute, made.space, notes) == (edit.absolute, edit.space, [])


def test_the_command_line_of_a_seed() -> None:
    session = Session()
    session.add(MODEL.sample(3), source={"seed": 3, "psi": 0.5, "label": None})
    (line,) = shell(session, 1)
    assert line == "gansteer sample --model tiny --seeds 3 --psi 0.5 --out gansteer-1.png"
    parse(shlex.split(line)[1:])
    session.add(MODEL.sample(3), source={"photo": True})
    with pytest.raises(UserError, match="take the Python script"):
        list(shell(session, 2))
