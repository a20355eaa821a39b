"""The studio's page in a real browser, against the real server, with the shipped model."""

import numpy as np
from visitor import Visitor

from gansteer.studio.protocol import unpack_frame

FROM, TO = (64, 76), (70, 73)


def found(after: np.ndarray, before: np.ndarray, at: tuple[int, int], radius: int = 8, reach: int = 12) -> np.ndarray:
    """Where in `after` the patch of `before` around `at` is, whatever its colour."""

    def patch(picture: np.ndarray, x: int, y: int) -> np.ndarray:
        part = picture[y - radius : y + radius + 1, x - radius : x + radius + 1]
        return part - part.mean((0, 1))

    wanted, (x0, y0) = patch(before, *at), at
    places = [(x, y) for x in range(x0 - reach, x0 + reach + 1) for y in range(y0 - reach, y0 + reach + 1)]
    return np.array(min(places, key=lambda place: np.abs(patch(after, *place) - wanted).mean()))


def test_the_first_picture_comes_with_the_first_frame_and_each_file_once(browser, portraits):
    """How soon that is, `benchmarks/studio_opening.py` tells."""
    asked, frames = [], []

    def listen(page):
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "websocket",
            lambda socket: socket.on("framereceived", lambda data: isinstance(data, bytes) and frames.append(data)),
        )

    with Visitor(browser, portraits, prepare=lambda context: context.on("page", listen)) as visitor:
        visitor.until("window.studio.state.whole")
        assert visitor.canvas().std() > 10
        head, _ = unpack_frame(frames[0])
        assert head.final
        assert len(frames) == 1
    assert len(asked) == len(set(asked))
    assert all(address.startswith((portraits.base, "data:", "blob:")) for address in asked)


def test_a_handle_that_is_dragged_arrives(visitor):
    """The page says so, and so do the pixels: what was at the handle is now near the target."""
    start, target = (64, 84), (64, 92)  # the mouth, where every portrait has something
    before = visitor.node(visitor.current)
    visitor.drag(start, target)
    assert [(pair["from"], pair["to"]) for pair in visitor.pairs] == [(list(start), list(target))]
    visitor.start()
    visitor.settled()
    assert "arrived" in visitor.session["ended"]
    (end,) = visitor.session["trail"][-1]["points"]
    assert np.hypot(end[0] - target[0], end[1] - target[1]) < 2
    after = visitor.canvas()
    assert np.array_equal(after, visitor.node(visitor.current))
    assert np.array_equal(found(before, before, start), start)
    there = found(after, before, start)
    assert np.hypot(*(there - target)) < 0.7 * np.hypot(*np.subtract(start, target))


def test_a_drag_of_one_point_is_by_least_change_unless_something_else_is_chosen(browser, portraits):
    with Visitor(browser, portraits, method="") as visitor:
        visitor.drag(FROM, (70, 62))
        visitor.start()
        visitor.settled()
        assert visitor.session["trail"][-1]["step"] <= 20  # DragGAN's are 40 and more
        assert "arrived" in visitor.session["ended"]


def test_stop_go_on_and_a_point_added_afterwards(visitor):
    visitor.drag(FROM, (88, 56))
    visitor.start()
    visitor.stop()
    stopped = visitor.session
    assert stopped["can_resume"]
    steps = stopped["trail"][-1]["step"]
    visitor.page.click("button.primary:has-text('Go on')")
    visitor.until("(n) => window.studio.state.session.run && window.studio.state.traces.at(-1).step > n + 3", steps)
    visitor.stop()
    assert visitor.current == stopped["current"]
    visitor.drag((40, 110), (44, 110))
    visitor.start()
    visitor.stop()
    now = visitor.session
    assert len(now["edit"]["handles"]) == 2
    assert [node["parent"] for node in now["nodes"]] == [None, now["nodes"][0]["id"], stopped["current"]]


def test_undo_and_redo_of_points_paint_and_edits(visitor):
    root = visitor.current
    visitor.drag(FROM, TO)
    visitor.press("h")
    visitor.drag((20, 20), (100, 20))
    held = "window.studio.state.trails[window.studio.state.session.current].present.paint.filter((v) => v).length"
    painted = visitor.js(held)
    assert painted > 500
    visitor.press("Control+z")
    assert visitor.js(held) == 0
    visitor.press("Control+z")
    assert visitor.pairs == []
    visitor.press("Control+Shift+Z", "Control+y")
    assert (visitor.js(held), len(visitor.pairs)) == (painted, 1)
    visitor.start()
    visitor.settled()
    after, picture = visitor.current, visitor.canvas()
    assert after != root
    visitor.page.click("[aria-label=Undo]")
    visitor.until("(id) => window.studio.state.session.current === id", root)
    visitor.settled()
    assert len(visitor.pairs) == 1
    assert not np.array_equal(visitor.canvas(), picture)
    visitor.page.click("[aria-label=Redo]")
    visitor.until("(id) => window.studio.state.session.current === id", after)
    visitor.settled()
    assert np.array_equal(visitor.canvas(), picture)


def test_what_is_painted_stays(visitor):
    """The lower quarter is held: it changes less than without the paint."""
    root = visitor.current

    def dragged():
        before = visitor.node(root)
        visitor.start()
        visitor.settled()
        return np.abs(visitor.node(visitor.current) - before)[96:].mean()

    visitor.page.click("text=Advanced")
    visitor.page.fill("text=Steps at most", "25")
    visitor.press("Enter")
    visitor.drag(FROM, (74, 70))
    free = dragged()
    visitor.page.locator(".entry").first.click()
    visitor.until("(id) => window.studio.state.session.current === id", root)
    visitor.settled()
    visitor.press("h", "g")
    visitor.page.wait_for_selector(".options [role=radio][aria-label=Rectangle][aria-checked=true]")
    visitor.drag((0, 96), (127, 127))
    held = dragged()
    packed = visitor.session["edit"]["mask"]
    assert packed["shape"] == [128, 128]
    mask = visitor.js("(p) => import('/draft.js').then(({ unpack }) => Array.from(unpack(p)))", packed)
    assert np.array_equal(np.array(mask).reshape(128, 128), np.arange(128)[:, None].repeat(128, 1) < 96)
    assert held < 0.7 * free


def test_a_reload_during_a_run_loses_nothing(visitor):
    # A run that goes on however long the reload takes.
    visitor.js(
        "localStorage.settings = JSON.stringify({ limit: 100000, numbers: { method: 'draggan', tracker: 'none' } })"
    )
    visitor.page.reload()
    visitor.settled()
    visitor.drag(FROM, (88, 56))
    visitor.start()
    step = visitor.js("window.studio.state.traces.at(-1).step")
    visitor.page.reload()
    visitor.until("window.studio?.state.session?.run && window.studio.state.traces.length > 0")
    visitor.until("(n) => window.studio.state.traces.at(-1).step > n + 2", step)
    assert visitor.pairs[0]["to"] == [88, 56]
    visitor.stop()
    visitor.drag((30, 100), (36, 100))
    kept = "Object.entries(localStorage).some(([key, text]) => key.startsWith('draft:') && text.includes('100'))"
    visitor.until(kept)
    visitor.page.reload()
    visitor.settled()
    assert len(visitor.pairs) == 2


def test_a_saved_session_opens_identical(visitor, browser, portraits):
    visitor.drag(FROM, TO)
    visitor.start()
    visitor.settled()
    visitor.page.click("[aria-label='Sessions and files']")
    data = visitor.download("text=Save the session")
    picture, titles = visitor.canvas(), [node["title"] for node in visitor.session["nodes"]]
    with Visitor(browser, portraits) as other:
        other.drop(data, "mine.steer", "application/octet-stream")
        other.until("(n) => window.studio.state.session.nodes.length > n", len(titles))
        other.settled()
        assert np.array_equal(other.canvas(), picture)
        assert [node["title"] for node in other.session["nodes"]][-len(titles) :] == titles
        assert other.problems == []


def test_a_picture_dropped_back_brings_its_settings(visitor, browser, portraits):
    visitor.drag(FROM, TO)
    visitor.start()
    visitor.settled()
    visitor.page.click("[aria-label=Export]")
    data = visitor.download("dialog button.primary")  # a PNG, unless something else is chosen
    picture, edit = visitor.canvas(), visitor.session["edit"]
    with Visitor(browser, portraits) as other:
        other.drop(data, "mine.png", "image/png")
        other.until("window.studio.state.session.edit?.kind === 'drag'")
        other.settled()
        assert other.session["edit"] == edit
        assert np.array_equal(other.canvas(), picture)
        other.drop(b"nothing", "none.png", "image/png")
        other.page.wait_for_selector(".notice.bad")


def test_two_tabs_are_two_sessions(visitor, browser, portraits):
    with Visitor(browser, portraits) as other:
        assert visitor.js("window.studio.wire.session") != other.js("window.studio.wire.session")
        visitor.drag(FROM, (88, 56))
        other.drag((40, 60), (20, 60))
        visitor.start()
        other.start()
        for tab in (visitor, other):
            step = tab.js("window.studio.state.traces.at(-1).step")
            tab.until("(n) => window.studio.state.traces.at(-1).step > n + 2", step)
        visitor.stop()
        other.stop()
        assert visitor.session["edit"]["targets"] == [[88, 56]]
        assert other.session["edit"]["targets"] == [[20, 60]]


def test_it_goes_on_when_the_line_was_lost(visitor):
    visitor.drag(FROM, TO)
    visitor.js("(window.lost = window.studio.wire.socket).close()")
    visitor.until("window.studio.wire.socket !== window.lost && window.studio.state.link === 'open'")
    visitor.settled()
    assert len(visitor.pairs) == 1
    visitor.start()
    visitor.settled()


def test_before_and_after(visitor):
    visitor.drag(FROM, TO)
    visitor.start()
    visitor.settled()
    page = visitor.page
    page.click("[aria-label='Before and after side by side']")
    assert page.locator("img.before").get_attribute("alt") == "Before: Picture 214"
    page.click("[aria-label='Before and after with a border to move']")
    border = page.locator("[role=slider].divider")
    border.focus()
    visitor.press("ArrowRight")
    page.wait_for_selector(".divider[aria-valuenow='52']")
    page.click("[aria-label='Before and after with a border to move']")
    page.wait_for_selector("img.before", state="detached")
    with visitor.before("Picture 214"):
        pass
    mix = page.locator(".between input[type=range]")
    mix.focus()
    visitor.press(*["ArrowLeft"] * 5)
    page.click(".between button:has-text('Keep')")
    visitor.until("window.studio.state.session.nodes.some((node) => node.kind === 'between')")
