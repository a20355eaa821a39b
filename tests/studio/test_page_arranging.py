"""Arranging blobs in a real browser: by pointer, wheel, keys, numbers and buttons; the picture and the history follow."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from client import Nursery, Server, studio
from visitor import Visitor

from gansteer.checkpoints.native import save_model
from support.layouts import tiny_model

KNOWN = "window.studio.state.own.layout.known"
RESTS = f"{KNOWN} && !{KNOWN}.change && {KNOWN}.node === window.studio.state.session.current && !window.studio.state.session.run"


@pytest.fixture(scope="module")
def blobs(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio with a tiny model that has a layout."""
    folder = tmp_path_factory.mktemp("models")
    save_model(tiny_model(), folder / "tiny.safetensors")
    with studio(nursery, tmp_path_factory.mktemp("sessions"), folder) as server:
        yield server


@pytest.fixture(scope="module")
def tab(browser: Any, blobs: Server) -> Iterator[Visitor]:
    with Visitor(browser, blobs) as tab:
        yield tab


@pytest.fixture
def visitor(visitor: Visitor) -> Visitor:
    visitor.tab("layout")
    rests(visitor)
    return visitor


def rests(visitor: Visitor) -> list[dict[str, Any]]:
    """The blobs once everything has arrived."""
    visitor.until(RESTS)
    visitor.settled()
    return list(visitor.js(f"{KNOWN}.blobs"))


def after(visitor: Visitor, before: int) -> list[dict[str, Any]]:
    """The blobs of the next node."""
    visitor.until("(id) => window.studio.state.session.current !== id", before)
    return rests(visitor)


def test_a_blob_that_is_dragged_takes_the_picture_along_in_one_entry(visitor: Visitor) -> None:
    root, blobs = visitor.current, rests(visitor)
    assert visitor.page.inner_text(".readout") == "What is moved here happens at once."
    smallest = min(range(len(blobs)), key=lambda i: blobs[i]["size"])
    x, y = blobs[smallest]["x"], blobs[smallest]["y"]
    dx = 6 if x < 16 else -6
    visitor.page.mouse.move(*visitor.spot(x, y))
    visitor.page.mouse.down()
    visitor.page.mouse.move(*visitor.spot(x + dx / 2, y), steps=3)
    visitor.until("window.studio.state.session.nodes.length > 1")  # the picture follows while the blob is held
    visitor.page.mouse.move(*visitor.spot(x + dx, y), steps=3)
    visitor.page.mouse.up()
    moved = after(visitor, root)
    assert moved[smallest]["x"] == pytest.approx(x + dx, abs=0.2)
    assert moved[smallest]["y"] == pytest.approx(y, abs=0.2)
    assert [b for i, b in enumerate(moved) if i != smallest] == [b for i, b in enumerate(blobs) if i != smallest]
    assert len(visitor.session["nodes"]) == 2
    assert visitor.session["nodes"][-1]["title"] == f"Move blob {smallest}"
    assert not np.array_equal(visitor.canvas(), visitor.node(root))
    made = visitor.current
    visitor.press("Control+z")
    assert after(visitor, made) == blobs
    assert np.array_equal(visitor.canvas(), visitor.node(root))


def test_keys_and_wheel(visitor: Visitor) -> None:
    root, blobs = visitor.current, rests(visitor)
    mark = visitor.page.locator("g.blob[aria-label^='Blob 1,']")
    mark.focus()
    visitor.press("ArrowRight", "ArrowRight", "Shift+ArrowDown")
    moved = after(visitor, root)
    assert moved[1]["x"] == pytest.approx(blobs[1]["x"] + 2, abs=0.01)
    assert moved[1]["y"] == pytest.approx(blobs[1]["y"] + 8, abs=0.01)
    before = visitor.current
    mark.focus()
    visitor.press("+")
    assert after(visitor, before)[1]["size"] == pytest.approx(1.1 * blobs[1]["size"], rel=1e-4)
    before = visitor.current
    smallest = min((i for i in range(len(blobs)) if i != 1), key=lambda i: blobs[i]["size"])
    now = rests(visitor)[smallest]
    visitor.page.mouse.move(*visitor.spot(now["x"], now["y"]))
    visitor.page.mouse.wheel(0, -200)
    assert after(visitor, before)[smallest]["size"] > now["size"]
    before, count = visitor.current, len(blobs)
    mark.focus()
    visitor.press("Delete")
    assert len(after(visitor, before)) == count - 1


def test_buttons_and_numbers(visitor: Visitor) -> None:
    page, blobs = visitor.page, rests(visitor)
    before = visitor.current
    page.click("button[aria-label='Hide blob 2']")
    assert [b["there"] for b in after(visitor, before)] == [True, True, False, True]
    assert page.locator("g.blob").count() == 3
    before = visitor.current
    page.click("button[aria-label='Show blob 2']")
    assert after(visitor, before) == blobs
    before, pictured = visitor.current, visitor.canvas()
    page.click("button[aria-label='Another style for blob 0']")
    after(visitor, before)
    assert not np.array_equal(visitor.canvas(), pictured)
    diced = visitor.current
    page.click("button[aria-label='Back to the style that blob 0 had']")
    after(visitor, diced)
    assert np.array_equal(visitor.canvas(), pictured)
    before = visitor.current
    page.click("button[aria-label='Another one like blob 0']")
    assert len(after(visitor, before)) == 5
    before = visitor.current
    page.fill("input[aria-label='Blob 1, across']", "12.5")
    visitor.press("Enter")
    assert after(visitor, before)[1]["x"] == pytest.approx(12.5, abs=1e-4)
    before = visitor.current
    page.fill("input[aria-label='Blob 1, size']", "7")
    visitor.press("Enter")
    assert after(visitor, before)[1]["size"] == pytest.approx(7, rel=1e-4)
    before = visitor.current
    page.click("button:has-text('Add a blob')")
    assert len(after(visitor, before)) == 6


def test_a_double_click_adds_a_blob_there(visitor: Visitor) -> None:
    before, blobs = visitor.current, rests(visitor)
    free = max(
        ((x, y) for x in range(1, 31) for y in range(1, 31)),
        key=lambda p: min(np.hypot(p[0] - b["x"], p[1] - b["y"]) - b["size"] for b in blobs),
    )
    visitor.page.mouse.dblclick(*visitor.spot(*free))
    added = after(visitor, before)[-1]
    assert (added["x"], added["y"]) == (pytest.approx(free[0], abs=0.3), pytest.approx(free[1], abs=0.3))


def test_the_heatmaps_are_bright_where_the_blobs_are(visitor: Visitor) -> None:
    blobs = rests(visitor)
    assert visitor.page.locator("canvas.paint").count() == 2  # of drags and areas
    visitor.page.click("label:has-text('Show the heatmaps')")
    visitor.until("document.querySelectorAll('canvas.paint').length === 3")
    places = [list(visitor.spot(min(max(b["x"], 0), 31), min(max(b["y"], 0), 31))) for b in blobs]
    light = (
        "(points) => { const all = [...document.querySelectorAll('canvas.paint')];"
        " const best = (x, y) => Math.max(...all.map((c) => { const r = c.getBoundingClientRect();"
        "   const k = c.width / r.width; const p = c.getContext('2d').getImageData((x - r.left) * k, (y - r.top) * k, 1, 1).data;"
        "   return p[0]; })); return Math.min(...points.map(([x, y]) => best(x, y))) > 120; }"
    )
    visitor.until(light, places)


def test_a_model_without_a_layout_says_so_in_the_panel(browser: Any, portraits: Server) -> None:
    with Visitor(browser, portraits) as visitor:
        visitor.tab("layout")
        visitor.page.wait_for_selector("p:has-text('portraits draws without a layout')")
        assert visitor.page.locator("g.blob").count() == 0
