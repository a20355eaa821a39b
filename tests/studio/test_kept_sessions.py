"""The sessions that a studio has kept: told to whoever may talk to it, named, seen, and deleted; and on the page."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client import Nursery, Page, Server, studio
from PIL import Image
from visitor import Visitor

from support.waiting import until

TOKEN = "token=a-secret-of-16-letters"


@pytest.fixture
def server(nursery: Nursery, models: Path, tmp_path: Path) -> Iterator[Server]:
    with studio(nursery, tmp_path, models, "--keep-days", "30", "--token", TOKEN.removeprefix("token=")) as server:
        yield server


def told(server: Server) -> list[dict[str, Any]]:
    """What any browser that has the token is told."""
    status, _, body = server.get(f"/sessions?{TOKEN}")
    assert status == 200
    return list(json.loads(body))


def worked(server: Server, seed: int) -> str:
    """The key of a session with two pictures, whose page is closed."""
    page = Page(server)
    page.settled()
    page.act("sample", seed=seed)
    page.close()
    until(lambda: not any(one["shown"] for one in told(server)))
    return page.key


def test_sessions_are_told_named_seen_and_deleted(server: Server, tmp_path: Path) -> None:
    idle = Page(server)
    idle.settled()
    assert told(server) == [], "nothing was done in it"
    assert server.get("/sessions")[0] == 403, "without the token"
    first, second = worked(server, 5), worked(server, 6)
    for age, key in enumerate((first, second), 1):
        os.utime(tmp_path / f"{key}.steer", (2e9 - age, 2e9 - age))
    assert [(s["key"], s["name"], s["pictures"]) for s in told(server)] == [(first, "", 2), (second, "", 2)]

    def name(key: str, text: bytes) -> int:
        return server.get(f"/session/{key}/name?{TOKEN}", data=text)[0]

    assert name(second, b"  Anna,\n frowning ") == 200
    assert name(second, b"x" * 81) == name(second, b"\x1b[2J") == name(second, b"x" * 10_000) == 400
    assert name("A" * 22, b"nobody") == name("studio", b"nobody") == 404
    assert [s["name"] for s in told(server)] == ["", "Anna, frowning"]
    assert name(idle.key, b"Mine") == 200, "one that is not on the disk comes there with its name"
    idle.until(lambda: idle.state["saved"] and len(told(server)) == 3)
    mine = next(s for s in told(server) if s["name"] == "Mine")
    assert (mine["key"], mine["pictures"], mine["shown"]) == (idle.key, 1, True)

    def picture(key: str) -> Image.Image:
        status, headers, data = server.get(f"/session/{key}/picture?{TOKEN}")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        return Image.open(io.BytesIO(data)).convert("RGB")

    for key, seed in ((first, 5), (second, 6)):
        _, _, data = server.get(f"/session/{idle.key}/seed/{seed}?{TOKEN}")
        there = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
        assert np.abs(np.asarray(picture(key), dtype=float) - there).mean() < 10  # both are JPEGs, of noise
    assert server.get(f"/session/{'A' * 22}/picture?{TOKEN}")[0] == 404
    again = Page(server, session=second)
    again.settled()
    again.act("undo")
    again.act("sample", seed=9)
    assert np.abs(np.asarray(picture(second), dtype=float) - there).mean() > 20, "of what it shows now"
    assert next(s["name"] for s in told(server) if s["key"] == second) == "Anna, frowning", "a change keeps the name"
    again.close()
    until(lambda: not any(s["shown"] for s in told(server) if s["key"] == second))
    forget = {"method": "DELETE"}
    assert server.get(f"/session/{second}?{TOKEN}", **forget)[0] == 204
    assert list(tmp_path.glob(f"{second}*")) == []
    assert server.get(f"/session/{idle.key}?{TOKEN}", **forget)[0] == 409
    idle.close()


def test_a_session_of_an_earlier_release_has_no_name_and_a_damaged_one_no_picture(
    server: Server, tmp_path: Path
) -> None:
    key = worked(server, 5)
    (tmp_path / f"{key}.about").unlink()
    (tmp_path / ("B" * 22 + ".steer")).write_bytes(b"nothing")
    (tmp_path / ("B" * 22 + ".about")).write_bytes(b"{")
    assert {s["key"]: (s["name"], s["pictures"]) for s in told(server)} == {key: ("", None), "B" * 22: ("", None)}
    assert server.get(f"/session/{'B' * 22}/picture?{TOKEN}")[0] == 400
    assert server.get(f"/session/{key}/picture?{TOKEN}")[0] == 200


def test_another_browser_finds_names_opens_and_deletes_them(browser: Any, server: Server, tmp_path: Path) -> None:
    old, other = worked(server, 5), worked(server, 6)
    with Visitor(browser, server) as visitor:
        page = visitor.page

        def sessions() -> None:
            visitor.open("Sessions and files")
            page.click("text=Sessions …")
            page.wait_for_selector(".session")

        sessions()
        page.wait_for_selector("text=deleted when nobody opened them for 30 days")
        assert page.locator(".session").count() == 2
        visitor.until("[...document.querySelectorAll('.session img')].every((one) => one.naturalWidth === 64)")
        page.locator(".session input").first.fill("A friendly one")
        visitor.press("Enter")
        page.wait_for_selector("[aria-label='Open A friendly one']")
        (name,) = (one["key"] for one in told(server) if one["name"] == "A friendly one")
        page.click("[aria-label='Open A friendly one']")
        visitor.until("(key) => window.studio && window.studio.wire.session === key", name)
        visitor.settled()
        assert len(visitor.session["nodes"]) == 2
        sessions()
        assert page.locator(".session.here .show").is_disabled()
        (gone,) = {old, other} - {name}
        for word in ("Keep it", "Delete for good"):
            assert (tmp_path / f"{gone}.steer").exists()
            page.click("[title='Delete this session']:not(:disabled)")
            page.click(f"text={word}")
        visitor.until("document.querySelectorAll('.session').length === 1")
        assert list(tmp_path.glob(f"{gone}*")) == []
        assert visitor.problems == []
