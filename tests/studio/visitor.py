"""A person at the studio's page, in a real browser."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from client import Server
from PIL import Image
from playwright.sync_api import Error

from support.waiting import PATIENCE, until

DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
"""The page shows its state: it draws with the screen's next frame, what is loaded by then appears in the one after it."""
ARRIVED = "window.studio.state.session?.saved && !window.studio.state.session.run && window.studio.state.whole"


class Visitor:
    """One tab."""

    def __init__(
        self,
        browser: Any,
        server: Server,
        width: int = 1280,
        height: int = 800,
        prepare: Callable[[Any], None] = lambda context: None,
        method: str = "draggan",
        **options: Any,
    ) -> None:
        """`prepare` is given the browser's context before the page is opened.

        Drags are by `method`, "" for what the page does by itself: DragGAN's take so many steps that one can be stopped.
        Nothing fades unless a test asks for it: colours halfway are nobody's, and what moves is clicked beside.
        """
        self.server = server
        options.setdefault("reduced_motion", "reduce")
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True, **options
        )
        prepare(self.context)
        settings = json.dumps(json.dumps({"numbers": {"method": method} if method else {}}))
        self.context.add_init_script(f"try {{ localStorage.settings ??= {settings}; }} catch {{}}")
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        self.size = {"width": width, "height": height}
        self.page.goto(server.address)
        self.settled()

    def anew(self) -> "Visitor":
        """The same tab as if nobody had been there: another session, and nothing that the browser has kept."""
        self.js("sessionStorage.clear(); localStorage.clear()")
        self.page.set_viewport_size(self.size)
        self.page.goto("about:blank")  # what a page that is left says of its requests is no problem of the next
        self.problems.clear()
        self.page.goto(self.server.address)
        self.settled()
        return self

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *args: object) -> None:
        self.context.close()

    def js(self, expression: str, *arguments: Any) -> Any:
        """The value of an expression in the page."""
        return self.page.evaluate(expression, *arguments)

    def until(self, expression: str, argument: Any = None) -> None:
        """Wait until it is so in the page. (Playwright's own way needs eval, which the page's policy forbids.)"""

        def happened() -> Any:
            try:
                return self.js(expression, argument)
            except Error as error:  # a page that is loaded anew meanwhile
                if "context was destroyed" not in str(error):
                    raise
                return False

        told = "JSON.stringify([window.studio?.state.notice, window.studio?.state.link, window.studio?.state.said])"
        until(
            happened,
            lambda: f"it never came to {expression}: {self.js(told)}, {self.problems}",
        )

    def settled(self) -> None:
        """Wait until nothing runs, all is on the disk, the picture is the final one, and the page shows it."""
        self.page.wait_for_selector(".entry[aria-current]")
        self.until(f"{ARRIVED} && window.studio.state.shown === window.studio.state.session.current")
        self.drawn()

    def drawn(self) -> None:
        """Wait until the page shows what it knows."""
        self.js(DRAWN)

    def tab(self, name: str) -> None:
        """Open a panel."""
        self.page.click(f"#tab-{name}")
        self.page.wait_for_selector(f"#tab-{name}[aria-selected=true]")

    def open(self, opener: str) -> None:
        """Open a dialog or a menu by the button that is called so."""
        self.page.click(f"[aria-label='{opener}']")
        self.page.wait_for_selector("dialog, .popover")

    def close(self) -> None:
        """Close the dialog or the menu that is open."""
        self.press("Escape")
        self.page.wait_for_selector("dialog, .popover", state="detached")

    @property
    def session(self) -> dict[str, Any]:
        """The newest state."""
        return dict(self.js("window.studio.state.session"))

    @property
    def current(self) -> int:
        return int(self.session["current"])

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """The points as they are on the page."""
        return list(
            self.js("(() => { const s = window.studio.state; return s.trails[s.session.current].present.pairs; })()")
        )

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture is on the screen."""
        box = self.page.locator("canvas.picture").bounding_box()
        scale = box["width"] / self.session["resolution"]
        return box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale

    def drag(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        """With the mouse, from a pixel to another."""
        self.page.mouse.move(*self.spot(*a))
        self.page.mouse.down()
        self.page.mouse.move(*self.spot(*b), steps=4)
        self.page.mouse.up()
        self.drawn()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def start(self) -> None:
        """Start, and wait until it runs; or is over, which a slow page may hear of at once."""
        steps = "window.studio.state.traces.at(-1)?.step ?? 0"
        before = [self.current, self.js(steps)]
        self.page.click("button.primary")
        self.until(
            f"([node, step]) => {{ const {{ session, traces }} = window.studio.state; const now = {steps};"
            " return session.run ? traces.length > 1 : session.current !== node || now > step; }",
            before,
        )

    def stop(self) -> None:
        """Stop what runs, if it is not over by now: a step before its end the button may say Stop for the last time."""
        self.js("window.studio.state.session.run && document.querySelector('button.primary').click()")
        self.settled()

    @contextmanager
    def before(self, called: str) -> Iterator[None]:
        """While the key for it is held the picture before is seen, which is called so."""
        self.page.keyboard.down("c")
        self.page.wait_for_selector(f"img.before[alt='Before: {called}']")
        yield
        self.page.keyboard.up("c")
        self.page.wait_for_selector("img.before", state="detached")

    def node(self, id: int) -> np.ndarray:
        """The picture of a node, as the server has it."""
        key = self.js("window.studio.wire.session")
        status, _, data = self.server.get(f"/session/{key}/node/{id}")
        assert status == 200
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"), dtype=float)

    def canvas(self) -> np.ndarray:
        """The picture that the person sees, without what lies over it."""
        width, data = self.js(
            "(() => { const c = document.querySelector('canvas.picture'); return [c.width,"
            " Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]; })()"
        )
        return np.array(data, dtype=float).reshape(width, width, 4)[:, :, :3]

    def download(self, click: str) -> bytes:
        """The file that a click brings."""
        with self.page.expect_download() as found:
            self.page.click(click)
        with open(found.value.path(), "rb") as file:
            return file.read()

    def drop(self, data: bytes, name: str, kind: str) -> None:
        """Drop a file on the page."""
        self.js(
            "([bytes, name, type]) => { const d = new DataTransfer();"
            " d.items.add(new File([new Uint8Array(bytes)], name, { type }));"
            " document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: d, bubbles: true, cancelable: true })); }",
            [list(data), name, kind],
        )
