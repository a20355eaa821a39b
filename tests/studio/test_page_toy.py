"""A kind of edit that no file of the page names but the one that is its own, and one line of the list of kinds."""

from pathlib import Path
from typing import Any

import pytest
from client import Nursery, studio
from visitor import Visitor

TOY = Path(__file__).with_name("toy.js")
EDITS = Path(__file__).parents[1] / "edits"
REGISTER = f"import sys; sys.path.insert(0, {str(EDITS)!r}); import toy_kind; toy_kind.register()"


@pytest.fixture(scope="module")
def tab(browser: Any, models: Path, tmp_path_factory: Any) -> Any:
    def with_toy(route: Any) -> None:
        text = route.fetch().text()
        assert "KINDS = [" in text
        listed = text.replace("KINDS = [", "KINDS = [shift, ").replace(
            "import", 'import { shift } from "./toy.js";\nimport', 1
        )
        route.fulfill(body=listed, content_type="text/javascript")

    def prepare(context: Any) -> None:
        context.route("**/edits/index.js", with_toy)
        context.route(
            "**/edits/toy.js", lambda route: route.fulfill(body=TOY.read_text(), content_type="text/javascript")
        )

    nursery = Nursery(REGISTER)
    sessions = tmp_path_factory.mktemp("sessions")
    with studio(nursery, sessions, models) as server, Visitor(browser, server, prepare=prepare) as tab:
        yield tab
    nursery.close()


def test_a_toy_kind_is_prepared_started_gone_on_with_and_found_again(visitor):
    page, root = visitor.page, visitor.current
    amount = "(() => { const s = window.studio.state; return s.trails[s.session.current].present.amount; })()"
    visitor.tab("shift")
    assert page.inner_text(".readout") == "Press."
    visitor.drag((20, 20), (48, 20))
    assert visitor.js(amount) == pytest.approx(0.29, abs=1e-6)
    assert page.locator("svg circle.toy").count() == 1
    visitor.press("Control+z")
    assert visitor.js(amount) == 0
    visitor.press("Control+Shift+Z")
    page.fill("text=Times", "100")
    visitor.press("Enter")
    page.click("button.primary:has-text('Start')")
    visitor.until("window.studio.state.session.nodes.length === 2")
    visitor.settled()
    assert visitor.session["edit"]["kind"] == "shift"
    assert visitor.session["edit"]["amount"] == pytest.approx(0.29, abs=1e-6)
    assert page.locator(".entry[aria-current] .name").inner_text().startswith("Shift 0.29")
    assert page.locator(".entry[aria-current] .name").inner_text().endswith("ed")
    page.focus(".stage")
    visitor.press("Enter", "Enter")  # the first shows the cross, the second presses there
    assert visitor.js(amount) == pytest.approx(0.01)
    page.reload()
    visitor.settled()
    assert visitor.js(amount) == pytest.approx(0.01), "what was prepared outlives a reload"
    visitor.press("Control+z")
    visitor.until("(id) => window.studio.state.session.current === id", root)


def test_a_panel_is_there_only_where_the_server_knows_its_edits(visitor):
    shown = visitor.page.locator("[role=tab]").all_inner_texts()
    assert shown[:2] == ["Shift", "Drag"]
    assert "Sliders" in shown
    assert shown[-1] == "Gallery"
    visitor.js("window.studio.store.set({ welcome: { ...window.studio.state.welcome, edits: ['drag'] } })")
    visitor.page.wait_for_selector("#tab-sliders", state="detached")
    assert visitor.page.locator("[role=tab]").all_inner_texts() == ["Drag", "Gallery"]
