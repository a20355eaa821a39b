"""Earlier sessions in the page's menu: gone back to, and deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client import Nursery, studio
from visitor import Visitor

MENU = "button[aria-label='Sessions and files']"


@pytest.fixture
def visitor(browser: Any, nursery: Nursery, models: Path, tmp_path: Path) -> Iterator[Visitor]:
    with studio(nursery, tmp_path, models, "--keep-days", "30") as server, Visitor(browser, server) as visitor:
        yield visitor
        assert visitor.problems == []


def test_sessions_that_hold_nothing_or_are_gone_are_not_listed(visitor: Visitor, tmp_path: Path) -> None:
    def fresh() -> str:
        """Begin a new session; the key of the one before."""
        old = str(visitor.js("window.studio.wire.session"))
        visitor.page.click(MENU)
        visitor.page.click("text=New session")
        visitor.until("old => window.studio && window.studio.wire.session && window.studio.wire.session !== old", old)
        visitor.settled()
        return old

    fresh()  # nothing was done in it
    visitor.drag((20, 20), (30, 20))
    visitor.start()
    visitor.stop()
    worked = fresh()
    visitor.drag((20, 20), (30, 20))  # a point, and nothing made of it
    fresh()
    visitor.page.click(MENU)
    visitor.page.wait_for_selector(".popover h3")
    assert visitor.page.locator("button[title='Delete this session']").count() == 1
    assert visitor.page.locator(".popover .row small").inner_text() == "2 pictures"
    visitor.press("Escape")
    (tmp_path / f"{worked}.steer").unlink()
    visitor.page.evaluate(
        "() => { window.asked = window.studio.wire.kept; window.studio.wire.kept = async (known) => "
        "{ const kept = await window.asked.call(window.studio.wire, known); window.answered = true; return kept; }; }"
    )
    visitor.page.click(MENU)
    visitor.until("window.answered")
    visitor.drawn()
    assert visitor.page.locator("button[title='Delete this session']").count() == 0


def test_an_earlier_session_is_deleted_on_the_second_word(visitor: Visitor, tmp_path: Path) -> None:
    page, old = visitor.page, visitor.js("window.studio.wire.session")
    visitor.drag((20, 20), (30, 20))
    visitor.start()
    visitor.stop()
    assert (tmp_path / f"{old}.steer").exists()
    page.click(MENU)
    page.click("text=New session")
    visitor.until("old => window.studio && window.studio.wire.session && window.studio.wire.session !== old", old)
    visitor.settled()
    page.click(MENU)
    page.wait_for_selector("text=Deleted when nobody opened them for 30 days.")
    page.click("button[title='Delete this session']")
    page.click("text=Keep it")
    assert (tmp_path / f"{old}.steer").exists()
    page.click("button[title='Delete this session']")
    page.click("text=Delete for good")
    page.wait_for_selector("text=The session is deleted.")
    assert page.locator("button[title='Delete this session']").count() == 0
    assert list(tmp_path.glob(f"{old}*")) == []
