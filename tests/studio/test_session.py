"""A session is a tree, and its file brings it back bit for bit, or says in one line why not."""

import struct
import sys
import zipfile
import zlib
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.journal import Journal, open_journal
from gansteer.models.tuning import Tuning
from gansteer.session import MAX_STEPS, Node, Session, StepRecord, replay
from gansteer.steerfile import (
    from_bytes,
    open_session,
    open_subject,
    save_session,
    save_subject,
    to_bytes,
)
from gansteer.studio.store import Store
from gansteer.subject import Card, Model, Subject
from support.tiny import tiny_model


def tiny(seed: int = 0, name: str = "tiny") -> Model:
    return tiny_model(32, seed, channels=16, dtype=torch.float32, card=Card(name))


MODEL = tiny()
DRAG = Drag([(10, 12)], [(14, 12)], mask=torch.eye(32) < 1, steps=7, layer="b16.conv1", tolerance=0.01)


def worked() -> Session:
    """A seed, a drag of it, a branch, and another seed."""
    session = Session()
    first = session.add(MODEL.sample(1), source={"seed": 1, "psi": 0.7})
    run = start(first.subject, DRAG)
    node = session.add(run.subject, first.id, DRAG)
    for progress in run:
        trace = StepRecord(progress.step, progress.loss, progress.points, progress.distances, 0.1 * progress.step)
        node = node.stepped(progress.subject, trace, progress.stop_reason)
        session.put(node)
    offsets = {"b8.conv1": torch.linspace(-1, 1, 16), "b8.torgb": torch.ones(16)}
    session.add(
        replace(first.subject, code=replace(first.subject.code, style_offsets=offsets)),
        first.id,
        replace(DRAG, mask=None),
    )
    session.add(MODEL.sample(2), source={"seed": 2})
    return session


def same(a: Subject, b: Subject) -> bool:
    return torch.equal(a.code.ws, b.code.ws) and torch.equal(a.render(), b.render())


def test_undo_and_redo_follow_what_was_looked_at() -> None:
    session = Session()
    a = session.add(MODEL.sample(1)).id
    b, c = session.add(MODEL.sample(2), a).id, session.add(MODEL.sample(3), a).id
    seed = session.add(MODEL.sample(4)).id
    assert (a, b, c, seed) == (1, 2, 3, 4)
    session.undo()
    assert session.current == c, "undo of a new seed leads back to the picture before"
    session.undo()
    session.redo()
    assert session.current == c
    session.go(b)
    session.undo()
    assert session.current == a
    session.redo()
    assert session.current == b, "redo follows the branch that was visited last"
    assert not session.can_redo
    with pytest.raises(UserError, match="nothing to redo"):
        session.redo()
    with pytest.raises(UserError, match="no entry 9"):
        session.go(9)
    with pytest.raises(UserError, match="made of it"):
        session.drop(a)
    session.drop(b)
    assert session.current == a
    session.drop(c)
    session.go(seed)
    session.undo()
    assert session.current == a, "what was before a dropped node is before its followers"
    with pytest.raises(UserError, match="nothing to undo"):
        session.undo()
    with pytest.raises(UserError, match="empty"):
        _ = Session().node


def test_a_session_opens_bit_for_bit(tmp_path: Path) -> None:
    session = worked()
    save_session(session, tmp_path / "a.steer")
    back = open_session(tmp_path / "a.steer", lambda name: {"tiny": MODEL}[name])
    assert list(back.nodes) == list(session.nodes)
    assert back.current == session.current
    for node in session.nodes.values():
        other = back.nodes[node.id]
        assert same(node.subject, other.subject)
        assert (node.parent, node.before, node.source, node.steps, node.stop_reason) == (
            other.parent,
            other.before,
            other.source,
            other.steps,
            other.stop_reason,
        )
    edit = back.nodes[2].edit
    assert edit.mask.dtype == torch.bool  # type: ignore[attr-defined]
    assert torch.equal(edit.mask, DRAG.mask)  # type: ignore[attr-defined]
    assert replace(edit, mask=None).__dict__ == replace(DRAG, mask=None).__dict__
    assert to_bytes(back) == to_bytes(session)


def test_a_tuning_is_stored_and_opened_once() -> None:
    weight = MODEL.generator.state_dict()["synthesis.blocks.2.convs.conv1.weight"]
    tuning = Tuning(MODEL.generator, {"synthesis.blocks.2.convs.conv1.weight": 0.1 * torch.ones_like(weight)})
    session = Session()
    root = session.add(replace(MODEL.sample(1), tuning=tuning), source={"photo": "me.jpg"})
    plain = len(to_bytes(session))
    session.add(
        replace(root.subject, code=replace(root.subject.code, ws=root.subject.code.ws + 1)),
        root.id,
        replace(DRAG, mask=None),
    )
    assert len(to_bytes(session)) < plain + weight.numel() * 2
    back = from_bytes(to_bytes(session), lambda _: MODEL)
    assert back.nodes[1].subject.tuning is back.nodes[2].subject.tuning
    assert all(same(back.nodes[i].subject, session.nodes[i].subject) for i in (1, 2))


def test_single_subjects(tmp_path: Path) -> None:
    subject = MODEL.sample(5)
    save_subject(subject, tmp_path / "photo.steer", {"photo": "me.jpg"})
    assert same(open_subject(tmp_path / "photo.steer", lambda _: MODEL), subject)


def test_an_edit_is_replayed_as_far_as_it_went() -> None:
    session = worked()
    node = session.nodes[2]
    progresses = list(replay(node, session.nodes[1].subject))
    assert same(progresses[-1].subject, node.subject)
    assert [p.points for p in progresses] == [trace.points for trace in node.steps]


def test_the_way_to_a_node_travels_alone_and_is_grafted() -> None:
    session = worked()
    other = Session()
    other.add(MODEL.sample(9))
    node = other.graft(from_bytes(to_bytes(session.only(2)), lambda _: MODEL))
    assert same(node.subject, session.nodes[2].subject)
    assert [n.source for n in other.path(node.id)] == [{"seed": 1, "psi": 0.7}, {}]
    for _ in range(2):
        other.undo()
    assert other.current == 1


def test_trails_are_thinned_evenly() -> None:
    node = Node(1, MODEL.sample(1))
    for step in range(10_001):
        node = node.stepped(node.subject, StepRecord(step, 0.0, (), (), 0.0))
    steps = [trace.step for trace in node.steps]
    assert (steps[0], steps[-1], node.step_count) == (0, 10_000, 10_000)
    assert MAX_STEPS / 2 - 2 <= len(steps) <= MAX_STEPS
    gaps = {b - a for a, b in pairwise(steps)}
    assert len(gaps - {steps[-1] - steps[-2]}) == 1


@pytest.mark.parametrize("long", [False, True])
def test_the_steps_of_a_running_edit_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    if long:
        monkeypatch.setattr(sys.modules["gansteer.journal"], "MAX_JOURNAL", 3000)
    session, path = Session(), tmp_path / "a.steps"
    root = session.add(MODEL.sample(1))
    session.add(root.subject, root.id, DRAG)
    run, files = start(root.subject, DRAG), [to_bytes(session)]
    with closing(Journal(path)) as journal:
        for i, progress in enumerate(run):
            trace = StepRecord(progress.step, None, progress.points, (0.5,), 0.5)
            node = session.node.stepped(progress.subject, trace, progress.stop_reason)
            session.put(node)
            journal.keep(node)
            assert (path.stat().st_size < 5000) or not long
            if i == 3:
                files.append(to_bytes(session))
            for data in files:  # the session as it was at the beginning, or saved in the middle
                back = from_bytes(data, lambda _: MODEL)
                open_journal(back, path)
                assert same(back.node.subject, node.subject)
                assert back.node.steps == node.steps
                assert back.node.stop_reason == node.stop_reason
    assert node.done
    assert [each.name for each in tmp_path.iterdir()] == ["a.steps"]


def test_what_a_full_disk_took_only_a_part_of_is_taken_back(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    session, path = Session(), tmp_path / "a.steps"
    root = session.add(MODEL.sample(1))
    node = session.add(root.subject, root.id, DRAG)
    nodes = [node := node.stepped(root.subject, StepRecord(step, None, (), (), 0.0)) for step in range(3)]
    with closing(Journal(path)) as journal:
        journal.keep(nodes[0])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, before[1]))
        try:
            with pytest.raises(UserError, match="could not be written"):
                journal.keep(nodes[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.keep(nodes[2])
    open_journal(session, path)
    assert session.node.steps == (nodes[0].steps[0], nodes[2].steps[-1])


def test_a_journal_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    session, path = Session(), tmp_path / "a.steps"
    root = session.add(MODEL.sample(1))
    session.add(root.subject, root.id, DRAG)
    data = to_bytes(session)
    open_journal(session, path)  # there is none
    journal, sizes = Journal(path), [0]
    nodes = [session.node]
    for step in range(4):
        subject = replace(root.subject, code=replace(root.subject.code, ws=root.subject.code.ws + step))
        nodes.append(nodes[-1].stepped(subject, StepRecord(step, None, (), (), 0.0)))
        journal.keep(nodes[-1])
        sizes.append(path.stat().st_size)
    journal.close()
    whole = path.read_bytes()
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        back = from_bytes(data, lambda _: MODEL)
        open_journal(back, path)
        expected = nodes[max(i for i, size in enumerate(sizes) if size <= cut)]
        assert same(back.node.subject, expected.subject)
        assert back.node.steps == expected.steps
    path.write_bytes(struct.pack("<QI", 3, zlib.crc32(b"old")) + b"old")
    with pytest.raises(UserError, match="the last step of this session could not be read"):
        open_journal(session, path)
    store = Store(tmp_path)
    save_session(session, tmp_path / "key.steer")
    path.rename(store.journal("key"))
    opened = store.open("key", lambda _: MODEL)
    store.close()
    assert opened is not None
    assert same(opened.node.subject, session.node.subject), "a journal of another version costs nobody their session"
    path.write_bytes(whole)
    session.put(replace(nodes[2], stop_reason="arrived"))
    done = from_bytes(to_bytes(session), lambda _: MODEL)
    before = done.node
    open_journal(done, path)
    assert done.node is before, "a finished edit is not taken back"


def damaged() -> dict[str, bytes]:
    good = to_bytes(worked())
    with zipfile.ZipFile(BytesIO(good)) as archive:
        tree, tensors = archive.read("session.json"), archive.read("tensors.safetensors")

    def packed(**parts: bytes) -> bytes:
        data = BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name.replace("_", "."), part)
        return data.getvalue()

    def changed(old: bytes, new: bytes) -> bytes:
        assert old in tree
        return packed(session_json=tree.replace(old, new), tensors_safetensors=tensors)

    return {
        "empty": b"",
        "cut": good[: len(good) // 2],
        "another zip": packed(a_txt=b"hello"),
        "no tensors": packed(session_json=tree, tensors_safetensors=b""),
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "newer": changed(b'{"format":1', b'{"format":2'),
        "a parent that comes later": changed(b'"parent":1', b'"parent":4'),
        "an unknown tensor": changed(b'"w":"t0"', b'"w":"t99"'),
        "a wrong shape": changed(b'"w":"t0"', b'"w":"t3"'),
        "an unknown edit": changed(b'"kind":"drag"', b'"kind":"shell"'),
        "an unknown layer": changed(b'"b8.conv1"', b'"b9.conv1"'),
        "a rest of nothing": changed(b'"rest":{}', b'"rest":{"b9.conv1":"t0"}'),
        "a wrong current": changed(b'"current":4', b'"current":44'),
        "wrong kinds": changed(b'"steps":7', b'"steps":"7"'),
    }


@pytest.mark.parametrize("name", list(damaged()))
def test_damaged_files_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(UserError) as caught:
        from_bytes(damaged()[name], lambda _: MODEL)
    assert "\n" not in str(caught.value)


def test_a_file_of_other_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.steer"
    save_session(worked(), path)
    with pytest.raises(UserError, match="other weights"):
        open_session(path, lambda _: tiny(3))
    with pytest.raises(UserError, match="cannot be read"):
        open_session(tmp_path / "none.steer", lambda _: MODEL)


def test_a_large_file_does_not_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    data = to_bytes(worked())
    monkeypatch.setattr(sys.modules["gansteer.steerfile"], "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="larger than"):
        from_bytes(data, lambda _: MODEL)
