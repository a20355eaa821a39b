"""The studio as pages meet it: a real server in its own process, real sockets."""

import base64
import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from client import Nursery, Page, Server, studio
from PIL import Image
from shown import latent, picture, titles
from websockets.exceptions import ConnectionClosed

from gansteer.checkpoints.registry import load
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.steerfile import open_session
from gansteer.studio.store import LOCK
from support.waiting import until


def test_a_page_is_shown_a_picture_at_once(page: Page, models: Path) -> None:
    assert [model["name"] for model in page.welcome["models"]] == ["tiny", "other"]
    assert page.welcome["restored"] is False
    assert page.state["resolution"] == 64
    frame = page.frames[-1]
    assert (frame.width, frame.height, frame.format) == (64, 64, "image/png")
    source = page.state["source"]
    subject = load(models / "a.safetensors", "cpu").sample(source["seed"], source["psi"])
    shown = Image.open(io.BytesIO(page.picture))
    assert np.array_equal(np.asarray(shown), np.asarray(subject.image))
    assert np.array_equal(np.asarray(picture(page, frame.node)), np.asarray(subject.image))


def test_an_edit_is_what_the_library_does(page: Page, models: Path) -> None:
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:, 20:] = True
    packed = {"shape": [64, 64], "packed": base64.b64encode(np.packbits(mask.numpy())).decode()}  # type: ignore[arg-type]
    edit = {"kind": "drag", "handles": [[30, 30]], "targets": [[33, 31]], "mask": packed, "steps": 12, "tolerance": 0.1}
    page.send("start", edit=edit)
    page.until(lambda: page.state["run"])
    page.settled()
    node = page.state["nodes"][-1]
    assert (node["kind"], node["done"], node["parent"]) == ("drag", True, 1)
    assert page.state["ended"]
    assert page.state["edit"]["mask"] == packed
    source = page.state["source"]
    torch.set_num_threads(1)
    subject = load(models / "a.safetensors", "cpu").sample(source["seed"], source["psi"])
    run = start(subject, Drag([(30, 30)], [(33, 31)], mask, steps=12, tolerance=0.1))
    progress = list(run)[-1]
    assert torch.equal(latent(page, node["id"]), run.subject.code.ws)
    assert page.state["trail"][-1]["points"] == [list(p) for p in progress.points]


def test_frames_come_while_it_runs_and_it_goes_on_where_it_was_stopped(page: Page) -> None:
    node = page.start()
    before = len(page.frames)
    page.until(lambda: len(page.frames) > before + 8)
    for frame in page.frames[before + 1 :]:
        assert frame.node == node
        assert frame.trace is not None
    steps = [frame.trace.step for frame in page.frames[before + 1 :] if frame.trace]
    assert steps == sorted(set(steps)), "newer frames only"
    for _ in range(5):
        page.send("stop")
        page.until(lambda: page.state["run"] is None)
        page.settled()
        reached = page.state["trail"][-1]["step"]
        assert page.state["can_resume"]
        page.send("resume")
        page.until(lambda: page.state["run"])
        assert page.state["run"]["node"] == node, "it goes on where it was"
        page.progress.clear()
        page.until(lambda: page.progress)
        assert page.progress[0]["trace"]["step"] > reached


def test_an_edit_goes_on_that_was_stopped_before_its_turn_came(server: Server, page: Page) -> None:
    other = Page(server)  # keeps the machine at work, so that turns are waited for
    other.start()
    page.start()
    page.until(lambda: page.progress)
    for _ in range(10):
        page.send("stop")
        page.send("resume")
    page.progress.clear()
    page.until(lambda: page.progress)
    assert page.faults == []
    for each in (page, other):  # closing a page leaves its edit in the queue, where other tests would find it
        each.send("stop")


def test_the_history_is_a_tree(page: Page) -> None:
    page.act("sample", seed=5)
    first = page.state["current"]
    page.send("sample", seed=6, replacing=first)
    page.until(lambda: page.state["source"] == {"seed": 6, "psi": 0.7, "label": None})
    root = page.state["current"]
    assert first not in [node["id"] for node in page.state["nodes"]]
    made = []
    for _ in range(2):
        page.send("go", node=root)
        node = page.start()
        page.until(lambda: len(page.progress) > 3)
        page.send("stop")
        page.settled()
        made.append(node)
    assert [node["parent"] for node in page.state["nodes"][-2:]] == [root, root]
    page.send("undo")
    page.until(lambda: page.state["current"] == root)
    assert page.state["can_redo"]
    page.send("redo")
    page.until(lambda: page.state["current"] == made[1])
    page.send("interpolate", a=made[0], b=root, t=0.5)
    page.until(lambda: page.frames[-1].node is None)
    page.send("interpolate", a=made[0], b=root, t=0.5, keep=True)
    page.until(lambda: titles(page)[-1] == f"Between {made[0]} and {root}")
    middle = latent(page, page.state["current"])
    assert torch.allclose(middle, (latent(page, made[0]) + latent(page, root)) / 2)
    page.settled()


def test_a_slider_replaces_what_it_made_before(page: Page) -> None:
    root = page.state["current"]
    first = page.start(node=root)
    second = page.start(node=root, replacing=first)
    page.until(lambda: page.progress and page.progress[-1]["node"] == second)
    page.send("stop")
    page.settled()
    ids = [node["id"] for node in page.state["nodes"]]
    assert second in ids
    assert first not in ids
    page.send("start", edit={"kind": "drag", "handles": [[1, 1]], "targets": [[2, 2]]}, replacing=root)
    page.until(lambda: page.faults)
    assert picture(page, first).size == (64, 64), "the page may fetch it a moment late"
    assert page.file(f"change/{first}/{second}")[0] == 200
    assert page.file("node/999")[0] == 404


def test_models_are_switched_within_the_session(page: Page) -> None:
    page.act("sample", seed=1, model="other")
    assert (page.state["resolution"], page.state["nodes"][-1]["model"]) == (32, "other")
    page.act("undo")
    assert page.state["resolution"] == 64
    page.send("interpolate", a=1, b=page.state["nodes"][-1]["id"], t=0.5)
    page.until(lambda: page.faults)
    assert "one model" in page.faults[0]


def test_a_run_goes_on_while_the_page_is_reloaded(server: Server, page: Page) -> None:
    node = page.start()
    page.until(lambda: page.progress)
    reached = page.progress[-1]["trace"]["step"]
    page.close()
    again = Page(server, page.key)
    assert again.key == page.key
    assert again.state["run"]["node"] == node
    again.until(lambda: again.progress and again.progress[-1]["trace"]["step"] > reached + 3 and again.frames)
    again.send("stop")


def test_a_session_opened_in_another_tab_leaves_the_first(server: Server, page: Page) -> None:
    other = Page(server, page.key)
    with pytest.raises(ConnectionClosed) as closed:
        page.until(lambda: False)
    assert closed.value.rcvd is not None
    assert "another tab" in closed.value.rcvd.reason
    other.close()


def test_a_page_can_begin_a_new_session(server: Server, page: Page) -> None:
    page.act("sample", seed=77)
    old = page.key
    page.send("leave")
    page.until(lambda: page.key != old)
    page.until(lambda: titles(page) == ["Seed 214"])
    assert titles(Page(server, old)) == ["Seed 214", "Seed 77"]


def test_sessions_outlive_the_server(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models) as server:
        page = Page(server)
        node = page.start(learning_rate=0.02)
        page.until(lambda: len(page.progress) > 3)
        page.send("stop")
        page.settled()
        _, _, before = page.file(f"node/{node}")
        state = page.state
        running = page.start()
        page.until(lambda: len(page.progress) > 8)
        server.end()
    with studio(nursery, tmp_path, models) as server:
        page = Page(server, page.key)
        assert page.welcome["restored"]
        assert page.file(f"node/{node}")[2] == before
        film = Image.open(io.BytesIO(page.file(f"export/{node}/webp")[2]))  # the edit is carried out again for it
        assert getattr(film, "n_frames", 1) > 1
        assert [n for n in page.state["nodes"] if n["id"] == node] == [n for n in state["nodes"] if n["id"] == node]
        assert page.state["current"] == running
        assert page.state["can_resume"]
        page.send("resume")
        page.until(lambda: page.state["run"])
        assert (page.state["run"]["edit"]["handles"] == page.state["nodes"] and False) or page.state["run"][
            "node"
        ] > running
        page.send("stop")
        page.settled()
    assert list(open_session(tmp_path / f"{page.key}.steer", lambda name: load(models / "a.safetensors", "cpu")).nodes)


def files(folder: Path) -> list[Path]:
    """What a studio keeps in its folder, but for the lock."""
    return sorted(path for path in folder.iterdir() if path.name != LOCK)


def test_a_session_is_deleted_when_a_page_asks(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    def kept(key: str) -> bool:
        return bool(json.loads(server.get(f"/session/{key}")[2])["kept"])

    named = tmp_path / "grandmother.steer"
    with studio(nursery, tmp_path, models) as server:
        page = Page(server)
        assert not kept(page.key), "nothing was done in it"
        page.act("sample", seed=5)
        page.start()
        page.until(lambda: page.progress)
        assert kept(page.key)
        path = tmp_path / f"{page.key}.steer"
        shutil.copy(path, named)
        assert server.get(f"/session/{page.key}", method="DELETE")[0] == 409, "it is open"
        other = {"Origin": "http://elsewhere.example"}
        assert server.get(f"/session/{page.key}", method="DELETE", headers=other)[0] == 403
        page.close()
        # At first the server may not have noticed that the page is gone.
        until(lambda: server.get(f"/session/{page.key}", method="DELETE")[0] != 409)
        assert files(tmp_path) == [named], "the edit is stopped, its journal gone too"
        for key in (page.key, "grandmother", "..grandmother"):
            assert server.get(f"/session/{key}", method="DELETE")[0] == 404
            assert not kept(key)
        again = Page(server, page.key)
        assert (again.welcome["restored"], again.key == page.key) == (False, False)
    assert files(tmp_path) == [named]


def test_sessions_are_kept_as_long_as_was_asked_for(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models) as server:
        keys = []
        for _ in range(3):
            page = Page(server)
            assert page.welcome["keep_days"] is None
            page.act("sample", seed=5)
            keys.append(page.key)
        server.end()
    (tmp_path / "grandmother.steer").write_bytes((tmp_path / f"{keys[0]}.steer").read_bytes())
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 20 * 86_400,) * 2)
    with studio(nursery, tmp_path, models) as server:
        assert len(list(tmp_path.glob("*.steer"))) == 4, "by default all are kept"
        Page(server, keys[1])
        server.end()
    with studio(nursery, tmp_path, models, "--keep-days", "14") as server:
        until(lambda: len(list(tmp_path.glob("*.steer"))) <= 2)
        page = Page(server, keys[1])
        assert (page.welcome["restored"], page.welcome["keep_days"]) == (True, 14.0)
    assert {path.stem for path in files(tmp_path)} == {keys[1], "grandmother"}


def test_an_edit_that_nobody_watches_is_stopped_and_kept(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models, "--idle-minutes", "0.02") as server:
        page = Page(server)
        node = page.start()
        page.until(lambda: page.progress)
        page.close()
        until(lambda: server.get(f"/session/{page.key}/node/1")[0] == 404)
        again = Page(server, page.key)
        assert again.state["run"] is None
        assert again.state["current"] == node
        assert again.state["nodes"][-1]["steps"] >= page.progress[-1]["trace"]["step"]
        assert again.state["can_resume"]


@pytest.mark.parametrize("odd", [{"r2": 5000.0}, {"r1": 5000.0}, {"r2": 1e300}, {"handles": [[3, 3]] * 2000}])
def test_edits_that_would_take_all_the_memory_are_refused(page: Page, odd: dict[str, Any]) -> None:
    points = [[x % 60, x // 60] for x in range(len(odd["handles"]))] if "handles" in odd else [[30, 30]]
    edit = {"kind": "drag", "targets": [[40, 30]] * len(points), **odd, "handles": points}
    page.send("start", edit=edit)
    page.until(lambda: page.faults)
    assert "too m" in page.faults[0]  # memory or handles
    assert page.state["run"] is None


def test_nothing_begins_without_memory(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models, "--most-memory", "1") as server:
        with pytest.raises(ConnectionClosed) as closed:
            Page(server)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "no memory left" in closed.value.rcvd.reason) == (1013, True)


def test_a_photo_is_rebuilt_while_one_looks_on(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models) as server:
        page = Page(server)
        photo = page.file("seed/7")[2]
        status, _, answer = page.file("file?whole=1", data=photo)
        assert (status, json.loads(answer)["what"]) == (200, "photo"), answer
        assert "takes" in json.loads(answer)["note"]
        page.until(lambda: len(page.frames) > 3 and page.frames[-1].trace)
        page.send("stop")
        page.settled()
        node = page.state["nodes"][-1]
        assert (node["kind"], node["parent"], node["done"]) == ("inversion", None, False)
        before = page.file(f"node/{node['id']}")[2]
        server.kill()
    with studio(nursery, tmp_path, models) as server:
        page = Page(server, page.key)
        assert page.file(f"node/{node['id']}")[2] == before
