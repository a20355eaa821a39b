"""The pictures of docs/studio.md: screenshots of the running studio, and a short film of a drag.

    python recipes/studio_pictures.py --out docs/images --photo PHOTO

Needs the extra `dev` and Chromium (see tests/studio/browser.py). The points fit the shipped portraits model; give others
with --seed, --handle and --target.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

Point = tuple[float, float]
PATIENCE = 120.0
"""Seconds until a page is said to be stuck."""
SESSIONS = {7: "For the poster", 1: "", 13: "Purple collar", 9: "Grey hair"}
"""Seeds to the names that their sessions are given."""


@contextmanager
def studio() -> Iterator[str]:
    """A studio of its own; its address."""
    with tempfile.TemporaryDirectory() as sessions:
        command = [sys.executable, "-m", "gansteer", "studio", "--no-open", "--port", "0", "--sessions", sessions]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.wait()


def evaluate(page: Page, expression: str) -> Any:
    return page.evaluate(f"() => {{ const s = window.studio.state; return {expression}; }}")


def until(page: Page, expression: str) -> None:
    end = time.monotonic() + PATIENCE
    while not evaluate(page, expression):
        if time.monotonic() > end:
            sys.exit(f"the page never came to {expression}")
        page.wait_for_timeout(50)


def settled(page: Page) -> None:
    page.wait_for_selector(".entry[aria-current]")
    until(page, "!s.session.run && s.whole && s.shown === s.session.current")
    page.wait_for_timeout(500)


def opened(browser: Browser, address: str, seed: int, width: int, height: int, **options: Any) -> Page:
    page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
    page.goto(address)
    settled(page)
    if evaluate(page, "s.session.source.seed") != seed:
        page.evaluate(f"window.studio.sample({seed})")
        until(page, f"s.session.source.seed === {seed}")
        settled(page)
    return page


def spot(page: Page, point: Point) -> Point:
    """Where a pixel of the picture is on the screen."""
    box = page.locator("canvas.picture").bounding_box()
    assert box is not None
    scale = box["width"] / evaluate(page, "s.session.resolution")
    return box["x"] + (point[0] + 0.5) * scale, box["y"] + (point[1] + 0.5) * scale


def stroke(page: Page, *points: Point, shot: Any = lambda: None) -> None:
    """With the mouse along these pixels; `shot` is called on the way."""
    page.mouse.move(*spot(page, points[0]))
    page.mouse.down()
    for a, b in pairwise(points):
        for step in range(1, 7):
            page.mouse.move(*spot(page, (a[0] + (b[0] - a[0]) * step / 6, a[1] + (b[1] - a[1]) * step / 6)))
            shot()
    page.mouse.up()


def screenshots(browser: Browser, address: str, out: Path, arguments: argparse.Namespace) -> None:
    """The whole page: during a run, with paint and before/after in the dark, pointing at parts, with a photo, on a telephone."""
    where = (arguments.seed, *arguments.handle, *arguments.target)
    handle, target = where[1:3], where[3:5]
    page = opened(browser, address, arguments.seed, 1440, 900)
    stroke(page, handle, target)
    page.click("button.primary")
    until(page, "s.traces.length > 2")  # a drag by least change takes few steps
    page.screenshot(path=out / "studio.png")
    page.context.close()

    page = opened(browser, address, arguments.seed, 1440, 900, color_scheme="dark")
    stroke(page, handle, target)
    page.keyboard.press("b")
    page.keyboard.press("]")
    stroke(page, (42, 24), (86, 24), (92, 44), (38, 44), (36, 64), (92, 64), (88, 84), (42, 84), (50, 102), (80, 102))
    page.click("button.primary")
    until(page, "s.traces.length > 0")
    settled(page)
    page.click("[aria-label='Before and after side by side']")
    page.wait_for_timeout(500)
    page.screenshot(path=out / "studio-dark.png")
    page.context.close()

    page = opened(browser, address, arguments.seed, 1440, 900)
    page.click("#tab-area")
    page.click(".segmented button:has-text('Point')")
    until(page, "s.parts.list")
    page.mouse.click(*spot(page, arguments.part))
    page.mouse.move(*spot(page, arguments.other))
    page.wait_for_selector(".hint")
    page.wait_for_timeout(300)
    page.screenshot(path=out / "studio-area.png")
    page.context.close()

    if arguments.photo is not None:
        page = opened(browser, address, arguments.seed, 1440, 900)
        page.click("#tab-photo")
        with page.expect_file_chooser() as chooser:
            page.click("button.drop")
        chooser.value.set_files(arguments.photo)
        page.wait_for_selector("dialog .photo", timeout=120_000)
        page.wait_for_timeout(800)
        page.screenshot(path=out / "studio-photo.png")
        page.context.close()

    page = opened(browser, address, arguments.seed, 360, 740, device_scale_factor=2, has_touch=True, is_mobile=True)
    for point in (handle, target):
        page.touchscreen.tap(*spot(page, point))
    page.wait_for_timeout(300)
    page.screenshot(path=out / "studio-narrow.png")
    page.context.close()


def sessions(browser: Browser, address: str, out: Path, names: dict[int, str]) -> None:
    """The sessions that the studio has kept: one for each seed, with a name or none."""
    for seed, name in names.items():
        page = opened(browser, address, seed, 1440, 900)
        page.click("[aria-label='Sessions and files']")
        page.click("text=Sessions …")
        if name:
            page.wait_for_selector(".session.here input")
            page.fill(".session.here input", name)
            page.keyboard.press("Enter")
            until(page, "!!document.querySelector(`[aria-label^='${" + repr(name) + "}']`)")
        if seed == list(names)[-1]:
            page.wait_for_timeout(1500)
            page.screenshot(path=out / "studio-sessions.png")
        page.context.close()


def film(browser: Browser, address: str, out: Path, arguments: argparse.Namespace) -> None:
    """A drag from the first touch to the arrival, as an animated WebP of the stage."""
    page = opened(browser, address, arguments.seed, 1100, 720)
    shots: list[Image.Image] = []

    def shot() -> None:
        data = page.locator(".centre").screenshot()
        image = Image.open(BytesIO(data)).convert("RGB")
        shots.append(image.resize((600, round(image.height * 600 / image.width)), Image.Resampling.LANCZOS))

    shot()
    stroke(page, arguments.handle, arguments.target, shot=shot)
    page.click("button.primary")
    until(page, "s.traces.length > 0")
    while evaluate(page, "s.session.run"):
        shot()
    settled(page)
    page.mouse.move(2, 2)
    shot()
    durations = [700] + [90] * (len(shots) - 2) + [1800]
    temporary = out / ".studio-drag.webp"
    shots[0].save(temporary, save_all=True, append_images=shots[1:], duration=durations, loop=0, quality=70, method=4)
    os.replace(temporary, out / "studio-drag.webp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--handle", type=float, nargs=2, default=(68, 70), metavar=("X", "Y"))
    parser.add_argument("--target", type=float, nargs=2, default=(79, 69), metavar=("X", "Y"))
    parser.add_argument(
        "--part", type=float, nargs=2, default=(64, 84), metavar=("X", "Y"), help="a part that is taken"
    )
    parser.add_argument("--other", type=float, nargs=2, default=(64, 14), metavar=("X", "Y"), help="one pointed at")
    parser.add_argument("--photo", type=Path, help="a photo with a face, for its picture")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with studio() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
            chromium_sandbox=os.geteuid() != 0,
        )
        screenshots(browser, address, arguments.out, arguments)
        film(browser, address, arguments.out, arguments)
        with studio() as other:  # with nothing but these sessions
            sessions(browser, other, arguments.out, SESSIONS)
        browser.close()


if __name__ == "__main__":
    main()
