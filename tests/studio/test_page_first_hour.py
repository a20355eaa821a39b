"""What hurt somebody who saw the page for the first time, at four sizes of the window."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from client import Nursery, Server, studio
from visitor import Visitor

SIZES = [(360, 740), (844, 390), (1024, 768), (1440, 900)]
NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, summary, [role=slider], [role=button]")]
  .filter((e) => e.checkVisibility() && e.getClientRects().length)
  .filter((e) => !(e.ariaLabel || e.title || [...(e.labels ?? [])].some((l) => l.innerText.trim())
    || (["BUTTON", "SUMMARY"].includes(e.tagName) && e.innerText.trim()))).map((e) => e.outerHTML.slice(0, 120))"""
IN_VIEW = """() => {
  const [box, entry] = [".history .scroll", ".entry[aria-current]"].map((s) => document.querySelector(s).getBoundingClientRect());
  return entry.left >= box.left && entry.right <= box.right && entry.top >= box.top && entry.bottom <= box.bottom + 1;
}"""
CUT = """() => {
  const box = document.querySelector(".history .scroll").getBoundingClientRect();
  return [...document.querySelectorAll(".entry .thumb")].map((e) => e.getBoundingClientRect())
    .filter((r) => r.right > box.left && r.left < box.right && (r.left < box.left || r.right > box.right));
}"""
COVERED = """(which) => [...document.querySelectorAll(which)].filter((e) => {
  const r = e.getBoundingClientRect(), at = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
  return !at || !(e.contains(at) || at.contains(e) && at.tagName === "LABEL");
}).map((e) => e.outerHTML.slice(0, 100))"""
SCROLLED = "document.scrollingElement.scrollTop"
SHALL = "document.body.innerText.match(/\\\\bshall\\\\b/i)?.[0] ?? null"


@pytest.fixture(scope="module")
def tiny(nursery: Nursery, models: Any, tmp_path_factory: Any) -> Any:
    """A studio with tiny models."""
    with studio(nursery, tmp_path_factory.mktemp("sessions"), models) as server:
        yield server


@pytest.fixture(scope="module")
def tab(browser: Any, tiny: Server) -> Any:
    with Visitor(browser, tiny, bypass_csp=True) as tab:
        yield tab


@pytest.fixture
def visitor(visitor: Visitor) -> Visitor:
    visitor.js("window.studio.prefer({ limit: 5000 })")  # steps of a tiny network are quick: none is to be the last
    return visitor


@pytest.fixture(scope="module")
def long(tab: Visitor) -> Any:
    """A page with more pictures than any window shows."""
    tab.js("window.studio.prefer({ limit: 5000 })")
    for entries in range(2, 18):
        tab.js("(seed) => window.studio.sample(seed)", entries)
    tab.until("window.studio.state.session.nodes.length === 17")
    tab.settled()
    yield tab
    assert tab.problems == []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_strip_scrolls_and_what_is_worked_with_is_in_view(long, width, height):
    visitor, page = long, long.page
    page.set_viewport_size({"width": width, "height": height})
    visitor.js("scrollTo(0, 0)")  # a browser opens a page again where one was
    page.reload()
    visitor.settled()
    page.wait_for_selector(".between", state="attached")
    assert visitor.js(SCROLLED) == 0, "the page opens at its top"
    for id in (visitor.current, 3, 9, len(visitor.session["nodes"])):
        visitor.js("(id) => window.studio.go(id)", id)
        visitor.until("(id) => window.studio.state.session.current === id", id)
        visitor.drawn()
        visitor.until(IN_VIEW)
        visitor.until(f"({CUT})().length === 0")
        assert visitor.js(SCROLLED) == 0
    before = len(visitor.session["nodes"])
    visitor.js("window.studio.clear('pairs', '')")
    visitor.drag((20, 12), (40, 30 + SIZES.index((width, height))))  # the points of the drag before would go on with it
    page.wait_for_selector("button.primary:has-text('Start')")
    visitor.start()
    visitor.until(IN_VIEW)
    visitor.stop()
    assert len(visitor.session["nodes"]) == before + 1
    page.wait_for_selector(".between", state="attached")
    visitor.until(IN_VIEW)
    assert visitor.js(SCROLLED) == 0
    for word in ("Before", "Slide", "Beside", "Changes"):
        assert page.locator(f".before-after >> text={word}").is_visible(), word
    assert visitor.js(COVERED, ".looking button") == []
    for tab in ("sliders", "area", "photo", "gallery", "drag"):
        visitor.tab(tab)
        visitor.until(f"({COVERED})('.tabs button').length === 0")
        page.locator("#panel").press("End")
        assert visitor.js(COVERED, ".bar button") == [], "Start is in view wherever one is"
        assert visitor.js(NAMELESS) == [], tab
        assert visitor.js(SHALL) is None
        assert visitor.js("document.documentElement.scrollWidth <= innerWidth"), tab
        if tab in ("area", "gallery") and 400 < width < 1400:  # test_page_access.py asks about the other sizes
            serious = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
            assert [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in serious] == []
    visitor.open("Export")
    assert visitor.js(NAMELESS) == []
    assert visitor.js(COVERED, "dialog button.primary") == [], "the button is in view without scrolling"
    visitor.close()


def test_a_control_that_has_the_focus_is_behind_nothing(long):
    for width, height in SIZES[:2]:
        long.page.set_viewport_size({"width": width, "height": height})
        long.tab("drag")
        long.page.click("text=Advanced")
        fields = long.page.locator("#panel input, #panel select, #panel button")
        for i in range(fields.count()):
            fields.nth(i).focus()
            assert long.js(COVERED, "#panel :focus") == [], (width, i)


def test_names_of_sessions_are_not_cut_off(long):
    for width, height in SIZES:
        long.page.set_viewport_size({"width": width, "height": height})
        long.open("Sessions and files")
        long.page.click("text=Sessions …")
        long.page.wait_for_selector(".session input")
        long.js("document.querySelectorAll('.session input').forEach((i) => (i.value = 'Nov 28, 12:34 PM'))")
        assert long.js("[...document.querySelectorAll('.session input')].every((i) => i.scrollWidth <= i.clientWidth)")
        long.close()


def test_a_point_that_was_added_to_a_stopped_drag_outlives_a_reload(visitor):
    visitor.drag((20, 30), (50, 30))
    visitor.start()
    visitor.stop()
    assert visitor.page.inner_text("button.primary") == "Go on"
    stopped = visitor.current
    visitor.drag((10, 50), (14, 50))
    assert visitor.page.inner_text("button.primary") == "Start"
    visitor.until(
        "JSON.parse(localStorage.getItem(`draft:${window.studio.wire.session}:${window.studio.state.session.current}`))?.pairs.length === 2"
    )
    visitor.page.reload()
    visitor.settled()
    assert visitor.page.inner_text("button.primary") == "Start"
    assert len(visitor.pairs) == 2
    visitor.start()
    visitor.stop()
    assert visitor.current != stopped
    assert len(visitor.session["edit"]["handles"]) == 2
    visitor.page.reload()
    visitor.settled()
    assert visitor.page.inner_text("button.primary") == "Go on", "nothing was added since"


def test_points_that_have_arrived_are_told_and_cleared_by_one_key(visitor):
    page = visitor.page
    assert "quiet" in page.get_attribute("button.primary", "class")
    visitor.drag((20, 30), (21, 30))
    page.wait_for_selector("text=All points have arrived")
    visitor.drag((40, 50), (55, 50))
    page.wait_for_selector("text=One point is ready, 1 that has arrived hold")
    assert "quiet" not in page.get_attribute("button.primary", "class")
    visitor.press("x")
    visitor.until(
        "(() => { const s = window.studio.state; return s.trails[s.session.current].present.pairs.length === 1; })()"
    )
    assert visitor.pairs[0]["from"] == [40, 50]
    visitor.press("Control+z")
    visitor.until(
        "(() => { const s = window.studio.state; return s.trails[s.session.current].present.pairs.length === 2; })()"
    )


def test_a_drag_that_came_nowhere_says_why_and_offers_what_to_do(visitor):
    page, root = visitor.page, visitor.current
    page.click("text=Advanced")
    page.fill("text=Steps at most", "2")
    visitor.press("Enter")
    visitor.drag((10, 32), (58, 32))
    page.click("button.primary")
    page.wait_for_selector(".outcome")
    visitor.settled()
    (before,) = visitor.pairs
    page.click("text=Only half of what is left")
    visitor.drawn()
    (after,) = visitor.pairs
    assert after["from"] == before["from"]
    assert after["to"][0] == pytest.approx((before["from"][0] + 58) / 2, abs=0.1)
    page.wait_for_selector(".outcome", state="detached")
    visitor.press("Control+z")
    page.click(".outcome button:has-text('Back')")
    visitor.until("(id) => window.studio.state.session.current === id", root)


def test_changes_are_those_of_the_last_edit_and_a_mix_names_its_parents(visitor):
    page = visitor.page
    first = visitor.current
    visitor.js("window.studio.sample(7)")
    visitor.until("window.studio.state.session.nodes.length === 2")
    visitor.settled()
    parent = visitor.current
    visitor.drag((20, 30), (50, 30))
    visitor.start()
    visitor.stop()
    made = visitor.current
    page.select_option(".between select", str(first))
    visitor.press("d")
    page.wait_for_selector(".changes")
    assert f"change/{parent}/{made}" in page.get_attribute(".changes", "style")
    page.focus(".between input[type=range]")
    visitor.press(*["ArrowLeft"] * 25)
    page.click(".between button:has-text('Keep')")
    visitor.until("window.studio.state.session.nodes.some((node) => node.kind === 'between')")
    visitor.settled()
    named = page.locator(".entry[aria-current]").get_attribute("aria-label")
    assert named == "50 % Picture 214, 50 % Drag a point"
    assert page.locator(".branches path").count() == 3  # of the drag to its picture, and of the mix to both its parents


def test_text_of_twice_the_size_fits(visitor):
    """As large as a browser's settings make it."""
    page = visitor.page
    sizes = visitor.context.new_cdp_session(page)
    over = """() => {
      const boxes = [...document.querySelectorAll(".header > *, .bar > *, .tabs > *")].filter((e) => e.checkVisibility())
        .map((e) => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width && r.height);
      return boxes.flatMap(([a, r], i) => boxes.slice(i + 1).filter(([b, q]) => a.parentElement === b.parentElement
        && r.left < q.right - 1 && q.left < r.right - 1 && r.top < q.bottom - 1 && q.top < r.bottom - 1)
        .map(([b]) => `${a.className} ${a.innerText} over ${b.className} ${b.innerText}`));
    }"""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        sizes.send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
        visitor.until("getComputedStyle(document.body).fontSize === '28px'")
        for tab in ("drag", "gallery"):
            visitor.tab(tab)
            visitor.drawn()
            assert visitor.js("document.documentElement.scrollWidth <= innerWidth"), (width, tab)
            assert visitor.js(over) == [], width
            assert visitor.js("parseFloat(getComputedStyle(document.querySelector('.panel h2')).fontSize)") > 28
    sizes.send("Page.setFontSizes", {"fontSizes": {"standard": 16, "fixed": 13}})


def test_a_file_over_the_page_lights_it_up(visitor):
    fire = (
        "(type) => { const d = new DataTransfer(); d.items.add(new File(['x'], 'a.png', { type: 'image/png' }));"
        " document.body.dispatchEvent(new DragEvent(type, { dataTransfer: d, bubbles: true, cancelable: true })); }"
    )
    visitor.js(fire, "dragover")
    visitor.page.wait_for_selector(".dropping")
    visitor.js(fire, "dragleave")
    visitor.page.wait_for_selector(".dropping", state="detached")


def test_a_notice_covers_no_button(visitor):
    visitor.js("window.studio.tell('Something that is said.')")
    visitor.page.wait_for_selector(".notice")
    covered = """() => {
      const notice = document.querySelector(".notice").getBoundingClientRect();
      return [...document.querySelectorAll("button, input, select")].filter((e) => !e.closest(".notice") && e.checkVisibility())
        .filter((e) => { const r = e.getBoundingClientRect(); return r.left < notice.right && r.right > notice.left
          && r.top < notice.bottom && r.bottom > notice.top; }).map((e) => e.outerHTML.slice(0, 80));
    }"""
    assert visitor.js(covered) == []


def test_another_model_begins_with_the_picture_that_was_chosen_for_it(visitor):
    page = visitor.page
    page.click("button.model")
    page.click("dialog button:has-text('Use')")
    visitor.until("window.studio.state.session.nodes.length === 2")
    other = visitor.js("window.studio.state.welcome.models[1]")
    assert visitor.session["nodes"][1]["model"] == other["name"]
    assert visitor.session["source"]["seed"] == other["first"] == 214
