"""What earlier releases wrote opens, draws the same and replays: sessions, journals, records, checkpoints, PNGs."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.checkpoints.registry import load
from gansteer.cli import main
from gansteer.edits.api import Run
from gansteer.edits.record import replay, stored_edit, tensor_from_json
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.session import Session
from gansteer.session import replay as replayed
from gansteer.steerfile import from_bytes, open_session, to_bytes
from gansteer.studio.export import settings
from gansteer.studio.store import Store
from gansteer.subject import Model, Subject

EARLIER = Path(__file__).parent / "data" / "earlier"
SESSIONS = ("small", "killed", "attribute", "intervention", "inversion")
LEVEL = 1
"""Of 256, by which pictures may differ: other processors round otherwise."""
LOSS, LATENT = 1e-3, 1e-3
"""By which share losses may, and by how much latents: the order of sums is the version's and the machine's, and Adam, which
divides by a gradient's own size, amplifies what is rounded in a small one."""


@pytest.fixture(scope="module")
def model() -> Model:
    return load(str(EARLIER / "tiny.safetensors"), "cpu")


def opened(name: str, model: Model) -> Session:
    return open_session(EARLIER / f"{name}.steer", {"tiny": model}.__getitem__)


def assert_drawn(subject: Subject, name: str) -> None:
    """The subject's picture is that of `pictures/`, but for rounding."""
    with Image.open(EARLIER / "pictures" / f"{name}.png") as picture:
        wanted = np.asarray(picture).astype(int)
    assert np.abs(np.asarray(subject.image).astype(int) - wanted).max() <= LEVEL, name


@pytest.mark.parametrize("seed", [0, 1])
def test_a_checkpoint_draws_its_seeds(model: Model, seed: int) -> None:
    assert model.card.name == "tiny"
    assert_drawn(model.sample(seed, psi=1.0), f"seed-{seed}")


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_opens_and_draws_its_pictures(model: Model, name: str) -> None:
    session = opened(name, model)
    pictures = {path.stem for path in (EARLIER / "pictures").glob(f"{name}-*.png")}
    assert {f"{name}-{id}" for id in session.nodes} == pictures
    for id, node in session.nodes.items():
        if (name, id) != ("killed", 3):  # the picture of that one is in the journal
            assert_drawn(node.subject, f"{name}-{id}")


def test_the_tree_of_a_session(model: Model) -> None:
    session = opened("small", model)
    assert [(id, node.parent) for id, node in session.nodes.items()] == [
        (2, None), (3, 2), (4, 3), (5, 2), (6, None), (7, None),
    ]  # fmt: skip
    assert session.current == 6
    assert session.nodes[2].source == {"seed": 1, "psi": 1.0, "label": None}
    assert session.nodes[6].source == {"between": [3, 5], "t": 0.25}
    assert [len(node.steps) for node in session.nodes.values()] == [0, 9, 4, 9, 0, 0]
    assert [node.edit.title for node in session.nodes.values() if node.edit] == ["Drag a point"] * 3
    again = from_bytes(to_bytes(session), {"tiny": model}.__getitem__)
    assert to_bytes(again) == to_bytes(session)


@pytest.mark.parametrize("id", [3, 4, 5])
def test_the_edits_of_a_session_replay(model: Model, id: int) -> None:
    session = opened("small", model)
    node = session.nodes[id]
    assert node.parent is not None
    steps = list(replayed(node, session.nodes[node.parent].subject))
    assert [step.step for step in steps[:-1]] == [record.step for record in node.steps][: len(steps) - 1]
    for step, record in zip(steps, node.steps, strict=False):
        assert step.loss == pytest.approx(record.loss, rel=LOSS, abs=1e-7)
        np.testing.assert_allclose(step.points, record.points, rtol=0, atol=1e-3)
    torch.testing.assert_close(steps[-1].subject.code.ws, node.subject.code.ws, rtol=0, atol=LATENT)
    assert_drawn(steps[-1].subject, f"small-{id}")


@pytest.mark.parametrize("name", ["attribute", "intervention"])
def test_edits_of_the_command_are_carried_out_again(model: Model, name: str) -> None:
    """They were written without what they began with, which is that of seed 0."""
    node = opened(name, model).node
    assert node.edit is not None
    run = start(model.sample(0), node.edit)
    *_, last = run
    for group, tensor in last.subject.code.tensors().items():
        torch.testing.assert_close(tensor, node.subject.code.tensors()[group], rtol=0, atol=1e-4)
    assert_drawn(last.subject, f"{name}-1")


def test_the_journal_of_a_killed_studio_is_taken_up(model: Model, tmp_path: Path) -> None:
    for suffix in ("steer", "steps"):
        shutil.copy(EARLIER / f"killed.{suffix}", tmp_path)
    store = Store(tmp_path)
    session = store.open("killed", {"tiny": model}.__getitem__)
    store.close()
    assert session is not None
    assert session.node.id == 3
    assert [record.step for record in session.node.steps] == [0, 1, 2, 3, 4]
    assert not session.node.done
    assert_drawn(session.node.subject, "killed-3")


def test_a_picture_brings_its_settings_back(model: Model) -> None:
    inside = settings((EARLIER / "settings.png").read_bytes())
    assert inside is not None
    session = from_bytes(inside, {"tiny": model}.__getitem__)
    assert [node.parent for node in session.nodes.values()] == [None, 2]
    assert_drawn(session.node.subject, "small-3")


@pytest.fixture(params=["draggan", "gauss-newton", "freedrag"])
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


def test_a_record_comes_out_again(model: Model, method: str) -> None:
    """Within rounding anywhere; bit for bit where the machine is as it was, and otherwise it is said that it isn't."""
    recorded = json.loads((EARLIER / f"{method}.json").read_text())
    (entry,) = recorded["edits"]
    edit = stored_edit({"kind": "drag", **entry["edit"]})
    assert edit.method == method
    run: Run = start(Subject(model, Code(tensor_from_json(recorded["start"]["w"]), {})), edit)
    for expected in recorded["steps"][: entry["pictures"]]:
        step = run.step()
        assert step.step == expected["step"]
        assert step.loss == pytest.approx(expected["loss"], rel=LOSS, abs=1e-7)
        np.testing.assert_allclose(step.points, expected["points"], rtol=0, atol=1e-3)
    assert run.stop_reason == recorded["ended"]
    assert_drawn(run.subject, method)
    try:
        again = replay(recorded, model)
    except UserError as error:
        said = str(error)
    else:
        said = ""
        assert_drawn(again.subject, method)
    assert said == "" or "otherwise than recorded" in said


def test_the_command_turns_along_directions(model: Model, tmp_path: Path) -> None:
    files = ["--model", str(EARLIER / "tiny.safetensors"), "--directions", str(EARLIER / "directions.safetensors")]
    assert main(["edit", *files, "--set", "liking=+1.5", "--out", str(tmp_path / "a.steer"), "--device", "cpu"]) == 0
    subject = open_session(tmp_path / "a.steer", {"tiny": model}.__getitem__).node.subject
    assert subject.model.digest == model.digest
    assert not torch.equal(subject.code.ws, model.sample(0).code.ws)
