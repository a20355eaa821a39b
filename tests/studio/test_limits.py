"""What is asked of the studio, from the network or the shell, costs no more than is granted, and nobody's work."""

import io
import json
import os
import socket
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from client import Nursery, Page, Server, studio, studio_model
from PIL import Image
from websockets.exceptions import ConnectionClosed

from gansteer.errors import UserError
from gansteer.output import replacing
from gansteer.session import Session
from gansteer.steerfile import ENTRY, JSON, MAX_ENTRIES, MAX_SOURCE, MAX_STEPS, from_bytes, to_bytes
from gansteer.studio import protocol
from gansteer.studio.export import CHUNK, MAX_CHUNKS, SIGNATURE, settings
from gansteer.studio.store import Store
from support.waiting import PATIENCE


@pytest.fixture(scope="module")
def server(nursery: Nursery, models: Path, tmp_path_factory: pytest.TempPathFactory) -> "Server":
    with studio(nursery, tmp_path_factory.mktemp("sessions"), models) as server:
        yield server
        assert server.alive


@pytest.fixture(scope="module")
def whole() -> bytes:
    """A session of one picture, as `.steer` file."""
    session = Session()
    session.add(studio_model().sample(3), source={"seed": 3})
    return to_bytes(session)


def with_tree(whole: bytes, tree: str, compress: int = zipfile.ZIP_STORED) -> bytes:
    """The file with another tree."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w") as new:
        new.writestr("session.json", tree, zipfile.ZIP_DEFLATED, 9)
        new.writestr("tensors.safetensors", old.read("tensors.safetensors"), compress)
    return out.getvalue()


def changed(whole: bytes, **fields: object) -> str:
    """The tree with other fields of its only entry."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        tree = json.loads(archive.read("session.json"))
    tree["nodes"][0].update(fields)
    return json.dumps(tree)


def refusals(whole: bytes) -> dict[str, tuple[bytes, str]]:
    """Small files that ask much, and what is said of each."""
    step = {"step": 1, "loss": 0.5, "points": [], "distances": [], "seconds": 0.1}
    numbers, spaces = f"[{','.join(['1e300'] * 2000)}]", " " * (JSON.size + 1)
    entry = json.loads(changed(whole))["nodes"][0]
    many = json.loads(changed(whole))
    many["nodes"] = [{**entry, "id": i + 1} for i in range(MAX_ENTRIES + 1)]
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("session.json", changed(whole))
        archive.writestr("tensors.safetensors", bytes(1 << 24))
    return {
        "numbers": (with_tree(whole, changed(whole, source={"a": "?"}).replace('"?"', numbers)), "uncommon size"),
        "bytes": (with_tree(whole, changed(whole) + spaces), "larger than 64 MB"),
        "values": (with_tree(whole, "[" + "[]," * JSON.values + "1]"), "values"),
        "entries": (with_tree(whole, json.dumps(many)), "entries"),
        "an entry": (with_tree(whole, changed(whole, source={"a": [0] * ENTRY.values})), "values"),
        "source": (with_tree(whole, changed(whole, source={"a": "x" * MAX_SOURCE})), "bytes to say"),
        "steps": (with_tree(whole, changed(whole, trail=[step] * (MAX_STEPS + 1))), "steps"),
        "depth": (with_tree(whole, changed(whole, source={"a": "?"}).replace('"?"', "[" * 5000 + "]" * 5000)), "damaged"),
        "tensors": (zeros.getvalue(), "far more than the file holds"),
        "members": (b"PK\x01\x02" * 1000, "far too many files"),
    }  # fmt: skip


def as_settings(data: bytes) -> bytes:
    """A PNG of that chunk alone."""
    crc = zlib.crc32(CHUNK + data).to_bytes(4, "big")
    return SIGNATURE + len(data).to_bytes(4, "big") + CHUNK + data + crc


def test_small_files_that_ask_much_are_refused_before_they_are_read(whole: bytes, server: Server) -> None:
    page = Page(server)
    page.settled()
    for name, (data, says) in refusals(whole).items():
        with pytest.raises(UserError, match=says):
            from_bytes(data, lambda name: studio_model())
        assert len(data) < 2 << 20, name
        status, _, answer = page.file("file", data=data)
        assert status == 400, name
        assert says in json.loads(answer)["error"]
        if name in ("numbers", "entries", "steps"):  # as the settings of a picture they are no better
            status, _, answer = page.file("file", data=as_settings(data))
            assert (status, says in json.loads(answer)["error"]) == (400, True), name
    assert page.file("file", data=with_tree(whole, changed(whole)))[0] == 200
    page.close()


def test_others_go_on_while_files_are_opened(whole: bytes, server: Server) -> None:
    """The steps of an edit are told between one file and the next."""
    busy, page = Page(server), Page(server)
    busy.start()
    for data, _ in refusals(whole).values():
        told = busy.progress[-1]["trace"]["step"] if busy.progress else 0
        page.file("file", data=data)
        busy.until(lambda told=told: busy.progress and busy.progress[-1]["trace"]["step"] > told)
    busy.send("stop")
    busy.until(lambda: busy.state["run"] is None)
    busy.close()
    page.close()


@pytest.mark.parametrize(
    "inside", ["[" + "1e300," * 1000 + "1]", "[" + "[]," * 20_000 + "1]", "[" + "0," * 20_000 + "1]"]
)
def test_a_message_that_asks_much_ends_the_connection(server: Server, inside: str) -> None:
    page = Page(server)
    page.socket.send(f'{{"type": "start", "edit": {{"kind": "drag", "handles": {inside}}}}}')
    with pytest.raises(ConnectionClosed) as closed:
        page.until(lambda: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert "it has more than" in closed.value.rcvd.reason
    page.close()


def test_a_drag_of_too_many_points_is_refused(server: Server) -> None:
    page = Page(server)
    points = [[i % 60, i // 60] for i in range(101)]
    page.send("start", edit={"kind": "drag", "handles": points, "targets": [[x + 1, y] for x, y in points]})
    page.until(lambda: page.faults)
    assert page.faults == ["there are more than 100 points: place fewer"]
    assert len(page.state["nodes"]) == 1
    page.close()


def test_a_picture_of_countless_chunks_is_looked_through_so_far_only() -> None:
    empty = bytes(4) + b"abCd" + bytes(4)
    assert settings(SIGNATURE + empty * (MAX_CHUNKS + 5)) is None
    data = b"x"
    inside = len(data).to_bytes(4, "big") + b"stEr" + data + b"1234"
    with pytest.raises(UserError, match="damaged"):
        settings(SIGNATURE + empty * 5 + inside)
    assert settings(SIGNATURE + empty * MAX_CHUNKS + inside) is None


def test_a_film_is_told_of_while_it_is_made_and_has_the_size_that_was_chosen(server: Server) -> None:
    page = Page(server)
    node = page.start()
    page.until(lambda: page.progress and page.progress[-1]["trace"]["step"] >= 4)
    page.send("stop")
    page.until(lambda: page.state["run"] is None)
    for what in ("gif", "webp"):
        page.exporting.clear()
        status, _, data = page.file(f"export/{node}/{what}?size=256&marks=0")
        assert status == 200
        film = Image.open(io.BytesIO(data))
        assert film.size == (256, 256)
        page.until(lambda: page.exporting and page.exporting[-1]["done"] == page.exporting[-1]["of"])
        assert page.exporting[-1]["of"] >= film.n_frames  # type: ignore[attr-defined]  # a picture like the one before is not stored again
        assert {(one["node"], one["what"]) for one in page.exporting} == {(node, what)}
    assert Image.open(io.BytesIO(page.file(f"export/{node}/png?size=512")[2])).size == (512, 512)
    assert page.file(f"export/{node}/png?size=4096")[0] == 400
    page.close()


def test_a_file_that_nobody_waits_for_is_given_up(server: Server) -> None:
    """The connection is closed at once; the drawing thread is free for the next request, and no film is encoded."""
    page = Page(server)
    node = page.start()
    page.until(lambda: page.progress and page.progress[-1]["trace"]["step"] >= 4)
    page.send("stop")
    page.until(lambda: page.state["run"] is None)
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(f"GET /session/{page.key}/export/{node}/gif HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    assert page.file(f"export/{node}/webp")[0] == 200
    page.close()


# --- The folder of sessions -------------------------------------------------------------------------------------------


def started(folder: str, models: Path) -> tuple[int, str]:
    """What the command says that cannot begin: its exit code and its words."""
    words = ["studio", "--port", "0", "--no-open", "--device", "cpu", "--models", str(models), "--sessions", folder]
    done = subprocess.run([sys.executable, "-m", "gansteer", *words], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stderr


def test_a_folder_where_nothing_can_be_kept_is_told_in_one_line(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (str(file), str(file / "below"), "/proc/self/fd", ""):
        code, said = started(folder, models)
        assert code == 2, said
        assert said.count("\n") == 1, said
        assert "--sessions" in said
    assert file.read_text() == "mine"


def test_two_studios_do_not_share_a_folder(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models) as first:
        code, said = started(str(tmp_path), models)
        assert code == 2
        assert f"process {first.pid}" in said
        assert said.count("\n") == 1
        first.kill()
    with studio(nursery, tmp_path, models) as second:  # what a killed one held is free
        assert Page(second).state


def test_the_first_mistake_is_told_not_that_of_cleaning_up(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="could not be written"), replacing(file / "below") as new:
        new.write_text("")


def test_a_session_from_a_clock_that_was_not_set_counts_from_now(tmp_path: Path) -> None:
    store = Store(tmp_path)
    session = Session()
    session.add(studio_model().sample(1))
    unset, old = store.new_key(), store.new_key()
    for key in (unset, old):
        store.save(key, session, running=False).result()
    os.utime(tmp_path / f"{unset}.steer", (0, 0))
    year = 1_736_000_000
    os.utime(tmp_path / f"{old}.steer", (year, year))
    assert store.tidy(30, ()).result() == 1
    assert store.has(unset).result()
    assert not store.has(old).result()
    assert (tmp_path / f"{unset}.steer").stat().st_mtime > year
    store.close()


def test_the_bounds_of_messages_leave_room_for_what_the_page_sends() -> None:
    points = [[i * 1.23456, i * 2.34567] for i in range(100)]
    mask = {"shape": [1024, 1024], "packed": "A1E300+/" * (1024 * 1024 // 8 * 4 // 3 // 8)}
    edit = {"kind": "drag", "handles": points, "targets": points, "mask": mask, "steps": 300, "learning_rate": 0.005}
    assert isinstance(protocol.decode(json.dumps({"type": "start", "edit": edit})), protocol.Start)
