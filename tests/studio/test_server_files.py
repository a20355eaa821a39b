"""Files that go into and out of the studio, and people who share it."""

import base64
import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from client import Nursery, Page, Server, eventually, studio
from PIL import Image
from shown import picture, titles
from websockets.exceptions import ConnectionClosed

from support.waiting import until


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
            assert page.state["run"] is not None, (titles(page), page.progress[-1:], page.faults)
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
