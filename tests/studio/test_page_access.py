"""The page by keyboard alone, by touch, on a narrow screen, and as axe-core sees it."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from visitor import Visitor

from support.waiting import until


def focus(visitor, selector):
    """Go there with Tab alone."""
    for _ in range(120):
        if visitor.js("(s) => document.activeElement.matches(s)", selector):
            return
        visitor.press("Tab")
    raise AssertionError(f"Tab never comes to {selector}")


def test_everything_by_keyboard_alone(visitor):
    page = visitor.page
    focus(visitor, "#tab-drag")
    visitor.press(*["ArrowLeft"])  # round to the last panel, the gallery
    focus(visitor, "input[name=seed]")
    page.keyboard.type("7")
    visitor.press("Enter")
    visitor.until("window.studio.state.session.source.seed === 7")
    visitor.settled()
    focus(visitor, ".stage")
    visitor.press(
        *["ArrowRight"] * 4, "Shift+ArrowDown", "Enter", *["ArrowUp"] * 5, "Enter"
    )  # the first shows the cross
    assert [(pair["from"], pair["to"]) for pair in visitor.pairs] == [([67, 72], [67, 67])]
    focus(visitor, "[data-end$=from]")
    visitor.press("ArrowLeft", "ArrowLeft")
    assert visitor.pairs[0]["from"] == [65, 72]
    focus(visitor, ".stage")
    visitor.press("Shift+ArrowRight", "Enter", "ArrowRight", "Enter")
    assert len(visitor.pairs) == 2
    focus(visitor, "[data-end='2-to']")
    visitor.press("Delete")
    assert len(visitor.pairs) == 1
    visitor.press("h", "g", "g")  # what must stay, by an ellipse
    focus(visitor, ".stage")
    visitor.press("Enter", *["Shift+ArrowDown"] * 2, *["Shift+ArrowLeft"] * 3, "Enter")
    painted = "window.studio.state.trails[window.studio.state.session.current].present.paint.filter((v) => v).length"
    assert visitor.js(painted) == pytest.approx(3.14159 / 4 * 24 * 16, rel=0.15)
    visitor.press("Control+z")
    assert visitor.js(painted) == 0
    root = visitor.current
    visitor.press("Shift+Enter")
    visitor.until("window.studio.state.session.run && window.studio.state.traces.length > 0")
    visitor.press("Escape")
    visitor.settled()
    visitor.press("Control+z")
    visitor.until("(id) => window.studio.state.session.current === id", root)
    with page.expect_download() as found:
        visitor.press("Control+s")
    assert found.value.suggested_filename.endswith(".steer")


def test_points_and_paint_by_numbers(visitor):
    page = visitor.page
    page.click("text=Add a point")
    page.fill("[aria-label='Point 1, across']", "30")
    page.press("[aria-label='Point 1, across']", "Enter")
    page.fill("[aria-label='Target of point 1, down']", "90")
    page.press("[aria-label='Target of point 1, down']", "Enter")
    assert visitor.pairs[0]["from"] == [30, 64]
    assert visitor.pairs[0]["to"] == [64, 90]
    page.click("text=Paint by numbers")
    page.click("form button:has-text('Paint')")
    page.wait_for_selector("text=20 % of the picture")  # an ellipse over half the width and half the height


def test_what_is_being_typed_outlives_a_redrawn_page(visitor):
    page = visitor.page
    page.click("text=Add a point")
    page.click("text=Paint by numbers")
    for field in ("[aria-label='Target of point 1, down']", "input[name=left]"):
        page.fill(field, "17")
        visitor.js("() => window.studio.store.set({ said: 'Something else has happened.' })")
        page.wait_for_selector("text=Something else has happened.", state="attached")
        visitor.js("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert page.input_value(field) == "17"
        page.press(field, "Tab")
        visitor.js("() => window.studio.store.set({ said: '' })")
    assert visitor.pairs[0]["to"] == [64, 17]


def test_touch_places_points_and_pinches(browser, portraits):
    with Visitor(browser, portraits, 390, 780, has_touch=True, is_mobile=True) as visitor:
        page = visitor.page
        for spot in ((64, 76), (74, 70)):
            page.touchscreen.tap(*visitor.spot(*spot))
        (pair,) = visitor.pairs
        assert pair["from"] == pytest.approx([64, 76], abs=0.6)
        assert pair["to"] == pytest.approx([74, 70], abs=0.6)
        touch = visitor.context.new_cdp_session(page)

        def fingers(kind, *points):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [dict(zip("xy", p, strict=True)) for p in points]})  # fmt: skip

        visitor.js(
            "(() => { window.lifted = 0; for (const kind of ['pointerup', 'pointercancel'])"
            " addEventListener(kind, () => window.lifted++, true); })()"
        )
        a, b = visitor.spot(54, 64), visitor.spot(74, 64)
        wide = page.locator("canvas.picture").bounding_box()["width"]
        fingers("touchStart", a)
        fingers("touchStart", a, b)
        for step in range(1, 6):
            fingers("touchMove", (a[0] - 5 * step, a[1]), (b[0] + 5 * step, b[1]))
        fingers("touchEnd")
        visitor.until("window.lifted === 2 && window.studio.state.view !== null")
        factor = (b[0] - a[0] + 50) / (b[0] - a[0])
        until(lambda: page.locator("canvas.picture").bounding_box()["width"] == pytest.approx(factor * wide, rel=0.02))
        assert len(visitor.pairs) == 1
        x, y = visitor.spot(50, 84)
        fingers("touchStart", (x, y))
        fingers("touchMove", (x + 30, y + 4))
        fingers("touchMove", (x + 120, y - 100))
        fingers("touchEnd")
        visitor.until("window.lifted === 3")
        started = visitor.pairs
        assert len(started) == 2
        # Not tapped: between the driver's two messages a busy page lets a tap grow into a long press, which starts nothing.
        page.click("button.primary")
        visitor.until("window.studio.state.session.run && window.studio.state.traces.length > 0")
        visitor.press("Escape")
        visitor.settled()
        assert visitor.session["edit"]["handles"] == [pair["from"] for pair in started]
        assert visitor.problems == []


PIXEL = """([x, y]) => {
  const box = document.querySelector("canvas.picture").getBoundingClientRect();
  return [((x - box.left) / box.width) * 128, ((y - box.top) / box.height) * 128];
}"""


def test_zoom_and_pan_keep_the_pixels_under_the_pointer(visitor):
    page = visitor.page
    x, y = map(round, visitor.spot(40, 50))  # wheel events know whole pixels only
    at = visitor.js(PIXEL, [x, y])
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    visitor.until("window.studio.state.view !== null")
    until(lambda: visitor.js(PIXEL, [x, y]) == pytest.approx(at, abs=0.05))
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(x + 40, y + 25, steps=3)
    page.mouse.up()
    page.keyboard.up(" ")
    until(lambda: visitor.js(PIXEL, [x + 40, y + 25]) == pytest.approx(at, abs=0.05))
    assert visitor.pairs == []
    visitor.press("1")
    until(lambda: page.locator("canvas.picture").bounding_box()["width"] == pytest.approx(128))
    visitor.press("0")
    until(lambda: page.locator("canvas.picture").bounding_box()["width"] > 300)


SMALL = """() => [...document.querySelectorAll("button, input, select, summary, [role=slider], .end .reach")]
  .filter((e) => e.checkVisibility?.() !== false && e.getClientRects().length)
  .map((e) => [e.outerHTML.slice(0, 90), e.closest("label") ?? e])
  .map(([what, e]) => [what, e.getBoundingClientRect()])
  .filter(([, r]) => r.width < 24 || r.height < 24).map(([what, r]) => `${what} ${r.width}x${r.height}`)"""


ALL = ("sliders", "area", "photo", "gallery")


@pytest.mark.parametrize(("width", "scheme", "tabs"), [(1440, "dark", ALL), (360, "light", ("area",))])
def test_axe_finds_nothing_serious(browser, portraits, width, scheme, tabs):
    with Visitor(browser, portraits, width, 740, color_scheme=scheme, bypass_csp=True) as visitor:
        page = visitor.page
        visitor.drag((64, 76), (84, 60))
        visitor.start()
        visitor.stop()

        def check():
            serious = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
            assert [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in serious] == []
            assert visitor.js(SMALL) == []
            assert visitor.js("document.documentElement.scrollWidth <= innerWidth")

        check()
        visitor.press("h")
        for tab in tabs:
            visitor.tab(tab)
            check()
        for opener in ("Hot keys", "Export", "Sessions and files"):
            visitor.open(opener)
            check()
            visitor.close()


def test_the_sheet_of_hot_keys_shows_the_table(visitor):
    visitor.press("?")
    visitor.page.wait_for_selector("dialog dt")
    table = visitor.js("import('/keys.js').then(({ KEYS, STAGE_KEYS }) => [...KEYS, ...STAGE_KEYS].map((k) => k.what))")
    shown = visitor.page.locator("dialog dt").all_inner_texts()
    assert sorted(shown) == sorted(table)
    unknown = visitor.js(
        "Promise.all([import('/keys.js'), import('/actions.js')]).then(([{ KEYS }, { ACTIONS }]) =>"
        " KEYS.filter((k) => !(k.action in ACTIONS) || (k.hold && !(`${k.action}-end` in ACTIONS))).map((k) => k.action))"
    )
    assert unknown == []


def test_themes_and_motion(browser, portraits):
    """Who asks the system for less motion gets none; all other tests do, and see no colour on its way to another."""
    with Visitor(browser, portraits, color_scheme="dark") as visitor:
        fades = "getComputedStyle(document.querySelector('button')).transitionDuration"
        assert visitor.js("document.documentElement.dataset.theme") == "dark"
        assert visitor.js(fades) in ("0s", "")
        visitor.page.emulate_media(reduced_motion="no-preference")
        assert visitor.js(fades) not in ("0s", "")
        visitor.page.click("[aria-label='Light colours']")
        visitor.page.reload()
        visitor.settled()
        assert visitor.js("document.documentElement.dataset.theme") == "light"
