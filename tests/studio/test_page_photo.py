"""A photo on the page: looked at, its crop adjusted, rebuilt, and put back, in a real browser."""

import io
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from client import Nursery, Server, studio
from PIL import Image
from visitor import Visitor

from gansteer.edits.inversion.crop import Crop, cut, paste
from support.waiting import until

WIDE, HIGH = 320, 200


def photo() -> Image.Image:
    """A picture with something in every corner, and no face."""
    y, x = np.mgrid[:HIGH, :WIDE]
    waves = np.stack([x * 255 / WIDE, y * 255 / HIGH, 128 + 100 * np.sin(x / 17) * np.cos(y / 13)], axis=-1)
    return Image.fromarray(waves.astype(np.uint8))


def file(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def tiny(nursery: Nursery, models: Any, tmp_path_factory: Any) -> Any:
    with studio(nursery, tmp_path_factory.mktemp("sessions"), models) as server:
        yield server


@pytest.fixture(scope="module")
def tab(browser: Any, tiny: Server) -> Any:
    with Visitor(browser, tiny) as tab:
        yield tab


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def test_a_photo_is_aligned_rebuilt_and_put_back(visitor):
    page, whole = visitor.page, photo()
    visitor.tab("photo")
    visitor.drop(file(whole), "mine.png", "image/png")
    page.wait_for_selector("dialog .photo")
    assert page.locator("dialog .cost").inner_text().startswith("About ")
    box = page.locator("dialog .photo").bounding_box()
    scale = box["width"] / WIDE

    def at(x, y):
        return box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale

    page.mouse.move(*at(160, 100))  # the middle of the photo is taken at first, 200 px wide
    page.mouse.down()
    page.mouse.move(*at(120, 90), steps=3)
    page.mouse.up()
    page.mouse.move(*at(120 + 100, 90 + 100))  # its lower right corner
    page.mouse.down()
    page.mouse.move(*at(120 + 60, 90 + 60), steps=3)
    page.mouse.up()
    page.focus("dialog .photo")
    visitor.press("ArrowRight", "Shift+ArrowUp")
    page.click("dialog button:has-text('Easy to edit')")
    page.click("dialog button:has-text('Begin')")
    visitor.until("window.studio.state.session.run?.edit.kind === 'inversion' && window.studio.state.traces.length > 3")
    with visitor.before("the photo"):
        pass
    visitor.press("Escape")
    visitor.settled()
    edit = visitor.session["edit"]
    assert edit["tuning"] == "none"
    found = [edit["crop"][name] for name in ("x", "y", "size", "angle")]
    size = found[2]
    assert found == pytest.approx([120 + size / 100, 90 - 8 * size / 100, 120, 0], abs=1.5)

    root, key = visitor.current, visitor.js("window.studio.wire.session")
    crop = Crop(*found)
    taken = decoded(visitor.server.get(f"/session/{key}/photo/{root}")[2])
    assert np.array_equal(taken, cut(whole, crop, 64).numpy())
    visitor.drag((20, 30), (26, 30))
    visitor.start()
    visitor.stop()
    assert visitor.current != root
    page.click("[aria-label=Export]")
    page.click("text=The whole photo, PNG")
    there = decoded(visitor.download("dialog button.primary"))
    mine = Image.fromarray(visitor.node(visitor.current).astype(np.uint8))
    assert np.array_equal(there, np.asarray(paste(whole, crop, mine), dtype=float))
    visitor.press("Escape")
    again = decoded(visitor.download("text=Put it back"))
    assert np.abs(again - there).mean() < 3


def test_what_hangs_over_the_border_is_mirrored_in_the_small_picture_too(visitor):
    """As the studio will cut it: the browser's drawing against the library's."""
    page = visitor.page
    visitor.drop(file(photo()), "mine.png", "image/png")
    page.focus("dialog .photo")
    visitor.press(*["Shift+ArrowUp"] * 5, *["Shift+ArrowLeft"] * 12)
    visitor.js(
        "(() => { const turn = document.querySelectorAll('dialog input[type=range]')[1];"
        " turn.value = 20; turn.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    wanted = cut(photo(), Crop(0, 99.5 - 5 * 16, 200, 20), 128).numpy().astype(float)  # it went as far left as it can

    def shown():
        drawn = visitor.js(
            "(() => { const c = document.querySelector('dialog canvas');"
            " return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); })()"
        )
        return np.reshape(drawn, (128, 128, 4)).astype(float)

    until(lambda: np.abs(shown()[:, :, :3] - wanted).mean() < 4)  # a busy browser draws when it can
    assert shown()[:, :, 3].min() == 255


def test_only_its_own_photo_takes_a_picture_back(visitor):
    """Where the browser has forgotten it the person chooses it; another one is refused."""
    page = visitor.page
    visitor.drop(file(photo()), "mine.png", "image/png")
    page.click("dialog button:has-text('Begin')")
    visitor.until("window.studio.state.traces.length > 0")
    visitor.press("Escape")
    visitor.settled()
    visitor.js("new Promise((done) => { indexedDB.deleteDatabase('gansteer').onsuccess = () => done(1); })")
    other = photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    with page.expect_file_chooser() as chooser:
        page.click("text=Put it back")
    chooser.value.set_files({"name": "other.png", "mimeType": "image/png", "buffer": file(other)})
    page.wait_for_selector(".notice.bad:has-text('not the photo')")
    visitor.problems.clear()  # the browser tells of the refusal too
    with page.expect_file_chooser() as chooser, page.expect_download():
        page.click("text=Put it back")
        chooser.value.set_files({"name": "mine.png", "mimeType": "image/png", "buffer": file(photo())})


def test_the_photo_on_a_narrow_screen(browser, tiny):
    with Visitor(browser, tiny, 360, 740, has_touch=True, bypass_csp=True) as visitor:
        page = visitor.page
        visitor.drop(file(photo()), "mine.png", "image/png")
        page.wait_for_selector("dialog .photo")
        serious = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in serious] == []
        box = page.locator("dialog .photo").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert page.locator("dialog button.primary").bounding_box()["y"] < 740 - 36  # in sight without scrolling
        page.touchscreen.tap(box["x"] + 0.1 * box["width"], box["y"] + 0.5 * box["height"])
        page.tap("dialog button.primary")
        visitor.until("window.studio.state.traces.length > 0")
        visitor.press("Escape")
        visitor.settled()
        crop = visitor.session["edit"]["crop"]
        assert (crop["x"], crop["y"]) == pytest.approx((0.1 * WIDE, 0.5 * HIGH), abs=3)
        assert visitor.problems == []
