"""A kind of edit that only these tests know goes through everything: Python, shell, record, files, server and history."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from client import Page, Server, studio_model

from gansteer.cli import main
from gansteer.edits.record import record, replay
from gansteer.edits.registry import KINDS, start
from gansteer.errors import UserError
from gansteer.journal import Journal, open_journal
from gansteer.session import Session, StepRecord
from gansteer.steerfile import from_bytes, open_session, to_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "edits"))

from toy_kind import KIND, Shift, moved


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "shift", KIND)


def test_python_and_records() -> None:
    model = studio_model()
    subject = model.sample(3)
    run = start(subject, Shift(0.4))
    progresses = list(run)
    assert [progress.metrics["moved"] for progress in progresses] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert torch.equal(run.subject.code.ws, moved(subject, 0.4).code.ws)
    written = json.loads(json.dumps(record(run, progresses, {"seed": 3})))
    assert [step["metrics"] for step in written["steps"]] == [dict(progress.metrics) for progress in progresses]
    assert torch.equal(replay(written, studio_model()).subject.code.ws, run.subject.code.ws)
    with pytest.raises(UserError, match="cannot be revised"):
        run.revise(Shift(0.2))
    with pytest.raises(UserError, match="otherwise than recorded"):
        replay(
            {**written, "edits": [{"edit": {"kind": "shift", "amount": 0.3, "times": 4}, "pictures": 4}]},
            studio_model(),
        )


def test_the_shell(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = ["--model", str(models / "a.safetensors"), "--device", "cpu"], tmp_path / "out.png"
    written, film, steer = tmp_path / "r.json", tmp_path / "f.webp", tmp_path / "out.steer"
    assert (
        main(["shift", *model, "--amount", "0.4", "--out", str(out), "--json", str(written), "--film", str(film)]) == 0
    )
    assert "shifted" in capsys.readouterr().out
    again = tmp_path / "again.png"
    assert main(["shift", *model, "--replay", str(written), "--out", str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()
    assert main(["shift", *model, "--amount", "0.4", "--out", str(steer)]) == 0
    session = open_session(steer, lambda name: studio_model())
    assert session.node.edit is not None
    assert session.node.edit.title == "Shift 0.4"
    assert main(["shift", *model, "--amount", "nan", "--out", str(out)]) == 2
    assert capsys.readouterr().err == "gansteer: amount must be a finite number\n"


def test_files_and_journal(tmp_path: Path) -> None:
    model = studio_model()
    session = Session()
    root = session.add(model.sample(3), source={"seed": 3})
    node = session.add(root.subject, root.id, Shift(0.4))
    saved = to_bytes(session)
    journal = Journal(tmp_path / "steps")
    for progress in list(start(root.subject, Shift(0.4)))[:2]:
        found = StepRecord(progress.step, progress.loss, (), (), 0.5, dict(progress.metrics))
        node = node.stepped(progress.subject, found)
        session.put(node)
        journal.keep(node)
    journal.close()
    back = from_bytes(saved, lambda name: model)
    open_journal(back, tmp_path / "steps")
    assert back.node.step_count == 2
    assert back.node.steps[-1].metrics == {"moved": pytest.approx(0.2)}
    assert torch.equal(back.node.subject.code.ws, moved(root.subject, 0.2).code.ws)
    whole = from_bytes(to_bytes(session), lambda name: model)
    assert whole.node.steps == session.node.steps


@contextmanager
def studio_with_the_kind(models: Path, folder: Path) -> Iterator[Server]:
    places = [str(Path(__file__).parents[1] / "edits"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, places))}
    code = "import sys, toy_kind; from gansteer.cli import main; toy_kind.register(); sys.exit(main(sys.argv[1:]))"
    words = [
        "studio",
        "--port",
        "0",
        "--no-open",
        "--device",
        "cpu",
        "--models",
        str(models),
        "--sessions",
        str(folder),
    ]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        try:
            assert run.stdout is not None
            line = run.stdout.readline()
            assert line.startswith("The studio is at "), line
            yield Server(run.pid, line.split()[-1])
        finally:
            run.terminate()
            run.wait()


def test_the_server_and_its_history(models: Path, tmp_path: Path) -> None:
    with studio_with_the_kind(models, tmp_path) as server:
        page = Page(server)
        page.settled()
        assert "shift" in page.welcome["edits"]
        page.send("sample", seed=3, psi=0.7, model="tiny")
        page.until(lambda: page.state["source"].get("seed") == 3 and len(page.state["nodes"]) == 2)
        page.settled()
        page.send("start", edit={"kind": "shift", "amount": 0.4, "times": 101})
        page.until(lambda: page.faults)
        assert page.faults == ["times goes up to 100"]
        page.act("start", edit={"kind": "shift", "amount": 0.4})
        node = page.state["nodes"][-1]
        assert (node["kind"], node["title"], node["done"]) == ("shift", "Shift 0.4", True)
        assert page.state["trail"][-1]["metrics"] == {"moved": pytest.approx(0.4)}
        assert page.state["edit"] == {
            "kind": "shift",
            "amount": 0.4,
            "times": 4,
        }  # what was sent, and what was not said
        page.send("ask", id=1, about="mean", node=node["id"], arguments={})
        page.until(lambda: 1 in page.answers)
        wanted = moved(replace(studio_model().sample(3, 0.7)), 0.4)
        assert page.answers[1] == pytest.approx(float(wanted.code.ws.mean()))
        python = page.file(f"export/{node['id']}/python")[2].decode()
        assert "from toy_kind import Shift" in python
        assert "Shift(amount=0.4)" in python
        shell = page.file(f"export/{node['id']}/shell")[2].decode()
        assert (
            f"gansteer shift --model tiny --seed 3 --psi 0.7 --amount 0.4 --times 4 --out gansteer-{node['id']}.png"
            in shell
        )
        assert page.file(f"export/{node['id']}/webp")[0] == 200
        key = page.key
        page.close()
        again = Page(server, key)
        assert again.state["nodes"][-1]["title"] == "Shift 0.4"
        again.close()
