"""The studio as pages meet it: a real server in its own process, real sockets."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from client import Nursery, Page, Server, eventually, studio
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gansteer.checkpoints.registry import load
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.steerfile import open_session
from gansteer.studio.store import LOCK
from support.waiting import until


@pytest.fixture(scope="module")
def server(nursery: Nursery, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--most-upload", "1", "--most-pixels", "1", "--most-edits", "6", "--max-concurrent-edits", "4")
    with studio(nursery, tmp_path_factory.mktemp("sessions"), models, *flags) as server:
        yield server
        assert server.alive, "no test may end it"


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    page = Page(server)
    page.settled()
    yield page
    for each in list(server.pages):
        if each.state["run"]:
            each.send("stop")
            each.until(lambda each=each: each.state["run"] is None)
    for each in list(server.pages):
        each.close()


def picture(page: Page, node: int) -> Image.Image:
    status, _, data = page.file(f"node/{node}")
    assert status == 200
    return Image.open(io.BytesIO(data))


def latent(page: Page, node: int) -> torch.Tensor:
    return safetensors.torch.load(page.file(f"export/{node}/latent")[2])["w"]


def titles(page: Page) -> list[str]:
    return [node["title"] for node in page.state["nodes"]]


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
        return bool(json.loads(server.get(f"/session/{key}")[2])["kept"])  # type: ignore[attr-defined]

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


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dragged(page: Page) -> Page:
    """A page with a short drag, all of it done."""
    mask = {"shape": [64, 64], "packed": base64.b64encode(b"\xff" * 512).decode()}
    edit = {"kind": "drag", "handles": [[30, 30]], "targets": [[27, 31]], "mask": mask, "steps": 5, "tolerance": 0.1}
    edit["learning_rate"] = 2e-2  # one step brings it nearer, and the last does not: the film shows each
    page.send("start", edit=edit)
    page.until(lambda: page.state["run"])
    page.settled()
    return page


def test_a_dropped_picture_brings_its_settings_back(server: Server, dragged: Page) -> None:
    id = dragged.state["current"]
    _, headers, data = dragged.file(f"export/{id}/png")
    assert headers["content-disposition"] == f'attachment; filename="gansteer-{id}.png"'
    other = Page(server)
    status, _, answer = other.file("file", data=data)
    assert (status, json.loads(answer)["what"]) == (200, "settings")
    other.until(lambda: other.state["edit"])
    assert other.state["edit"] == dragged.state["edit"]
    assert other.state["trail"] == dragged.state["trail"]
    assert other.file(f"node/{other.state['current']}")[2] == dragged.file(f"node/{id}")[2]
    _, _, steer = dragged.file(f"export/{id}/steer")
    _, _, answer = other.file("file", data=steer)
    assert json.loads(answer)["what"] == "session"
    damaged = bytearray(data)
    damaged[data.index(b"stEr") + 100] ^= 1
    status, _, answer = other.file("file", data=bytes(damaged))
    assert (status, json.loads(answer)["error"]) == (400, "the settings in this picture are damaged")
    other.close()


def test_exports(dragged: Page) -> None:
    id = dragged.state["current"]
    for what in dragged.welcome["exports"]:
        status, headers, data = dragged.file(f"export/{id}/{what}")
        assert status == 200
        assert headers["x-content-type-options"] == "nosniff"
        kind = headers["content-type"]
        if kind.startswith("image/"):
            image = Image.open(io.BytesIO(data))
            assert image.get_format_mimetype() == kind
            assert getattr(image, "n_frames", 1) == (
                1 if what in ("png", "jpeg", "mask") else len(dragged.state["trail"])
            )
    assert set(zipfile.ZipFile(io.BytesIO(dragged.file(f"export/{id}/steer")[2])).namelist()) > set()
    points = json.loads(dragged.file(f"export/{id}/points")[2])
    assert points["handles"] == [[30, 30]]
    assert dragged.file(f"export/{id}/exe")[0] == 400
    assert dragged.file("export/99/png")[0] == 404
    assert dragged.file("export/1/mask")[0] == 400
    first, _, _ = (dragged.file(path) for path in (f"change/1/{id}", "seed/5?size=16", "node/1?size=16"))
    assert Image.open(io.BytesIO(first[2])).getextrema()[1] == 255


def test_the_script_and_the_command_make_the_picture_again(dragged: Page, models: Path, tmp_path: Path) -> None:
    id = dragged.state["current"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    wanted = np.asarray(picture(dragged, id))
    script = dragged.file(f"export/{id}/python")[2].decode().replace("'tiny'", repr(str(models / "a.safetensors")))
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=environment)
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"gansteer-{id}.png")), wanted)
    (tmp_path / f"gansteer-{id}.png").unlink()
    (tmp_path / f"gansteer-{id}-mask.png").write_bytes(dragged.file(f"export/{id}/mask")[2])
    shell = dragged.file(f"export/{id}/shell")[2].decode().replace("tiny", str(models / "a.safetensors"))
    shell = shell.replace("gansteer drag", f"{sys.executable} -m gansteer drag --device cpu")
    subprocess.run(shell, shell=True, cwd=tmp_path, check=True, env=environment, capture_output=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"gansteer-{id}.png")), wanted)


def png(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("L", (width, height)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"", 400, "no picture"),
        (b"PK\x03\x04 and no zip", 400, "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, 400, "no picture"),
        (png(1100, 1000), 400, "million pixels"),
        (b"x" * (1 << 20) + b"x", 413, "larger than 1 MB"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "no picture"),
        (b"GIF89a" + bytes(50), 400, "no picture"),
    ],
)
def test_other_files_are_refused(page: Page, data: bytes, status: int, says: str) -> None:
    found, _, answer = page.file("file", data=data)
    assert (found, says in json.loads(answer)["error"]) == (status, True), answer


# --- Several people ---------------------------------------------------------------------------------------------------


def test_edits_wait_in_a_fair_queue(server: Server, page: Page) -> None:
    pages = [page, *(Page(server) for _ in range(5))]
    for page in pages:
        page.start()
    stand(pages, [0, 0, 0, 0, 1, 2])
    late = Page(server)
    late.send("start", edit={"kind": "drag", "handles": [[30, 30]], "targets": [[40, 30]]})
    late.until(lambda: late.faults)
    assert "try again" in late.faults[0]
    late.until(lambda: titles(late) == ["Seed 214"])
    stopped, *others = pages
    stopped.send("stop")
    stand(others, [0, 0, 0, 0, 1])
    stopped, *others = others
    stopped.send("stop")
    stand(others, [0, 0, 0, 0])
    for page in others:
        page.progress.clear()
        page.until(lambda page=page: page.progress)


def stand(pages: list[Page], positions: list[int]) -> None:
    """Wait until the running edits of some pages have these places in the queue, whoever has which.

    Who has had a second of computing goes to the end, and how soon that is depends on the machine.
    """

    def so() -> bool:
        for page in pages:
            with suppress(TimeoutError):
                page.hear(0.01)
        return sorted(page.state["run"]["position"] for page in pages) == positions

    until(so)


def test_who_waits_gets_a_turn(server: Server, page: Page) -> None:
    pages = [page, *(Page(server) for _ in range(4))]
    for page in pages:
        page.start()
    last = pages[-1]
    last.until(lambda: last.progress)


def test_sessions_are_limited_and_idle_ones_leave_the_memory(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models, "--most-sessions", "2") as server:
        first, second = Page(server), Page(server)
        with pytest.raises(ConnectionClosed) as closed:
            Page(server)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        assert "try again later" in closed.value.rcvd.reason
        first.act("sample", seed=8)
        first.close()
        third = eventually(lambda: Page(server))  # the first one's session has left the memory
        assert server.get(f"/session/{first.key}/node/1")[0] == 404
        second.close()
        assert titles(eventually(lambda: Page(server, first.key))) == ["Seed 214", "Seed 8"]
        third.close()


# --- Safety -----------------------------------------------------------------------------------------------------------


def test_the_page_is_kept_to_itself(server: Server) -> None:
    status, headers, body = server.get("/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for address in re.findall(r'(?:src|href)="([^"]+)"', body.decode()):
        assert server.get(f"/{address}")[0] == 200
    status, headers, _ = server.get("/", headers={"If-None-Match": headers["etag"]})
    assert status == 304


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/studio/server.py",
        "/%00",
        "/style/",
        "/.git",
    ],
)
def test_no_address_becomes_a_path(server: Server, path: str) -> None:
    assert server.get(path)[0] in (400, 404)


@pytest.mark.parametrize("key", ["../a", "..", "a/b", "%2e%2e%2fa", "*", "", "%00"])
def test_no_key_becomes_a_path(server: Server, key: str) -> None:
    page = Page(server, key)
    assert page.key != key
    assert page.welcome["restored"] is False
    page.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_are_refused(server: Server, headers: dict[str, str]) -> None:
    assert server.get("/", headers=headers)[0] == 403
    if "Host" not in headers:
        with pytest.raises(InvalidStatus) as refused:
            Page(server, additional_headers=headers)
        assert refused.value.response.status_code == 403
    assert server.get("/", headers={"Origin": server.base})[0] == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.get("/", headers=link)[0] == 200, "a link to the page can be followed"
    assert server.get("/app.js", headers=link)[0] == 403


def test_elsewhere_only_with_the_token(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models, "--host", "0.0.0.0") as server:
        token = server.query.removeprefix("token=")
        assert len(token) >= 32
        server.base = re.sub("//[^:]+", "//127.0.0.1", server.base)
        for address in ("/", "/app.js", "/session/x/node/1", "/?token=", f"/?token={token}x", f"/?token={token[:-1]}é"):
            assert server.get(address.replace("é", "%C3%A9"))[0] == 403
        with pytest.raises(InvalidStatus):
            Page(Server(server.pid, server.base))
        _, headers, _ = server.get(f"/?token={token}")
        cookie = headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert server.get("/app.js", headers={"Cookie": cookie.split(";")[0]})[0] == 200
        page = Page(server)
        assert page.file("node/1")[0] == 200


def test_a_page_behind_a_tunnel(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    """A tunnel calls the server by the page's own name, or by the one that it forwards to; either way with the token."""
    with studio(nursery, tmp_path, models, "--origin", "https://name.example/") as server:
        token = server.query.removeprefix("token=")
        assert len(token) >= 32
        for host in ("name.example", server.base.removeprefix("http://")):
            mine = {"Host": host, "Origin": "https://name.example"}
            assert server.get(f"/?token={token}", headers=mine)[0] == 200
            assert server.get("/", headers=mine)[0] == 403
            for other in ("https://evil.example", "https://name.example.evil", "https://name.example:444", "null"):
                assert server.get(f"/?token={token}", headers={"Host": host, "Origin": other})[0] == 403
        page = Page(server, additional_headers={"Origin": "https://name.example"})
        assert page.file("node/1")[0] == 200
        with pytest.raises(InvalidStatus):
            Page(server, additional_headers={"Origin": "https://evil.example"})
        assert server.get(f"/?token={token}", headers={"Host": "evil.example"})[0] == 403
        # SSH forwards a port: the page and the server agree on its name.
        assert server.get(f"/?token={token}", headers={"Host": "localhost:9", "Origin": "http://localhost:9"})[0] == 200


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--host", "0.0.0.0", "--token", "none"], "anybody could get in"),
        (["--token", "short"], "16 or more"),
        (["--port", "99999"], "--port"),
        (["--models", "/nowhere"], "no such folder"),
        (["--most-edits", "0"], "at least 1"),
        (["--origin", "name.example"], "write the address of the tunnel's page"),
        (["--origin", "https://name.example/path"], "write the address of the tunnel's page"),
        (["--origin", "https://name.example", "--token", "none"], "through the tunnel"),
    ],
)
def test_flags_that_make_no_sense(flags: list[str], says: str) -> None:
    command = [sys.executable, "-m", "gansteer", "studio", "--no-open", "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_port_is_taken(server: Server) -> None:
    port = server.base.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "gansteer", "studio", "--no-open", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "give another with --port" in done.stderr) == (2, True)
