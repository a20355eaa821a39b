"""Sliders, local changes and the gallery, in a real browser."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence
from visitor import Visitor

import gansteer
from gansteer.mixing import mix
from support.waiting import until


@pytest.fixture
def attributes(visitor: Visitor) -> None:
    if not visitor.js("window.studio.ask('directions').catch(() => [])"):
        pytest.skip("the attributes that are shipped are another model's: fit them again (docs/attributes.md)")


@pytest.mark.usefixtures("attributes")
def test_a_slider_turns_an_attribute_and_a_lock_holds_one(visitor):
    page, root = visitor.page, visitor.current
    visitor.tab("sliders")
    first, second = (page.locator(".slider .value").nth(i) for i in (0, 1))
    first.fill("2")
    visitor.press("Enter")
    visitor.until("window.studio.state.session.edit?.kind === 'attribute'")
    visitor.settled()
    name = next(iter(visitor.session["edit"]["change"]))
    assert visitor.session["edit"]["change"][name] == 2
    assert not np.array_equal(visitor.canvas(), visitor.node(root))
    page.locator(".slider [aria-pressed]").first.click()
    visitor.until("document.querySelector('.slider .value').disabled")
    made = visitor.current
    second.fill("-1.5")
    visitor.press("Enter")
    visitor.until("(id) => window.studio.state.session.current !== id", made)
    visitor.settled()
    assert visitor.session["edit"]["hold"] == [name]
    until(lambda: float(first.input_value()) == pytest.approx(2, abs=0.11))
    until(lambda: float(second.input_value()) == pytest.approx(-1.5, abs=0.11))
    for expected in (made, root):
        visitor.press("Control+z")
        visitor.until("(id) => window.studio.state.session.current === id", expected)


@pytest.mark.usefixtures("attributes")
def test_a_slider_being_moved_is_one_entry_of_the_history(visitor):
    visitor.tab("sliders")
    slider = visitor.page.locator(".slider input[type=range]").first
    slider.focus()
    visitor.press(*["ArrowRight"] * 6)
    visitor.until("window.studio.state.session.edit?.kind === 'attribute'")
    visitor.until("!window.studio.state.turning")
    visitor.settled()
    assert len(visitor.session["nodes"]) == 2
    (value,) = visitor.session["edit"]["change"].values()
    assert value == pytest.approx(float(slider.input_value()))
    box = visitor.page.locator(".slider input[type=range]").nth(1).bounding_box()
    visitor.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=10)
    visitor.page.mouse.up()
    visitor.until("!window.studio.state.turning")
    visitor.settled()
    assert len(visitor.session["nodes"]) == 3
    (value,) = visitor.session["edit"]["change"].values()
    assert value == pytest.approx(float(visitor.page.locator(".slider input[type=range]").nth(1).input_value()))
    assert visitor.problems == []  # no picture was asked for that has given way to another


@pytest.mark.usefixtures("attributes")
def test_a_local_change_has_its_area(visitor):
    page = visitor.page
    visitor.tab("area")
    visitor.until("window.studio.state.own.area.name !== ''")
    visitor.drag((50, 90), (78, 90))
    page.wait_for_selector("text=The rest stays as it is")
    visitor.start()
    visitor.stop()
    edit = visitor.session["edit"]
    assert edit["kind"] == "intervention"
    mask = visitor.js("(p) => import('/draft.js').then(({ unpack }) => Array.from(unpack(p)))", edit["region"])
    region = np.reshape(mask, (128, 128))
    assert region[90, 64]
    assert not region[:70].any()
    page.click(".before-after [aria-label='Show where the picture changed']")
    page.wait_for_selector(".changes")


def test_the_gallery_shuffles_all_but_the_locked(visitor):
    page = visitor.page
    visitor.tab("gallery")
    page.click("[aria-label='Keep picture 4 when shuffling']")
    page.click("[aria-label='Star picture 5']")
    visitor.until("document.querySelectorAll('.tile .show').length === 13")  # the starred one stands below once more
    before = page.locator(".tile .show").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    page.click("text=Shuffle")
    visitor.until("(first) => document.querySelector('.tile .show').ariaLabel !== first", before[0])
    after = page.locator(".tile .show").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    assert after[4] == before[4] == "Picture 4"
    assert after[-1] == "Picture 5"
    assert sum(a == b for a, b in zip(before, after, strict=True)) == 2
    page.click("[aria-label='Picture 4']")
    visitor.until("window.studio.state.session.source.seed === 4")
    visitor.settled()
    made, key = visitor.current, visitor.js("window.studio.wire.session")
    page.click("[aria-label='Star picture 4']")
    page.click(".segmented button:has-text('Shape')")
    page.locator("[aria-label='Mix: the present picture with the shape of picture 5']").first.click()
    visitor.until("window.studio.state.session.nodes.at(-1).kind === 'mix'")
    visitor.settled()
    assert page.locator(".entry[aria-current]").get_attribute("aria-label") == "Shape of 5"
    model = gansteer.load("portraits")
    wanted = np.asarray(mix(model.sample(5), model.sample(4)).image, dtype=float)
    assert np.abs(visitor.canvas() - wanted).max() <= 1
    assert np.array_equal(visitor.canvas(), visitor.node(visitor.current))
    visitor.js("(id) => window.studio.go(id)", made)
    visitor.until("(id) => window.studio.state.session.current === id", made)
    page.wait_for_selector("text=Film through 3 pictures")
    page.click("text=Begin with the present picture")
    with Image.open(io.BytesIO(visitor.download("text=Film through 2 pictures"))) as film:
        assert (len(list(ImageSequence.Iterator(film))), film.size) == (48, (128, 128))
    _, _, data = visitor.server.get(f"/session/{key}/walk/webp?stops=n{made},x")
    assert b"must be a number" in data
    for bad in ("stops=4", "stops=4,5&frames=301", "stops=n99,4", "stops=" + "4," * 25, "stops=4,5&psi=9"):
        assert visitor.server.get(f"/session/{key}/walk/webp?{bad}")[0] in (400, 404), bad
    assert visitor.server.get(f"/session/{key}/walk/png?stops=4,5")[0] == 400


AREA = """(() => { const s = window.studio.state, d = s.trails[s.session.current].present;
  return [d.area, d.paint].map((layer) => Array.from(layer)); })()"""


def test_a_part_is_taken_by_pointing_at_it(visitor):
    """What a click takes is what the studio finds there: a part of the face, or the area that is alike around it."""
    page = visitor.page
    visitor.tab("area")
    page.click(".segmented button:has-text('Point')")
    visitor.until("window.studio.state.parts.list")
    parts = visitor.js("window.studio.state.parts.list.map((p) => [p.name, Array.from(p.layer)])")
    layers = [(name, np.reshape(layer, (128, 128))) for name, layer in parts]

    def under(x, y):
        return next(layer for _, layer in layers if layer[y, x])

    def painted(which):
        return np.reshape(visitor.js(AREA)[which], (128, 128))

    back, low = (3, 3), (64, 120)
    assert not np.array_equal(under(*back), under(*low))
    page.mouse.move(*visitor.spot(*back))
    page.wait_for_selector(".hint:has-text('This area')")
    page.mouse.click(*visitor.spot(*back))
    assert np.array_equal(painted(0), under(*back))
    page.mouse.click(*visitor.spot(*low))  # takes its place
    assert np.array_equal(painted(0), under(*low))
    page.keyboard.down("Shift")
    page.mouse.click(*visitor.spot(*back))
    page.keyboard.up("Shift")
    assert np.array_equal(painted(0), under(*low) | under(*back))
    visitor.press("Control+z", "Control+z")
    assert np.array_equal(painted(0), under(*back))
    page.focus(".stage")
    visitor.press("Enter", "a")  # the first shows the cross, in the middle
    middle = under(64, 64)
    assert np.array_equal(painted(0), middle)
    visitor.press(*["Shift+ArrowDown"] * 7, "Enter")
    assert np.array_equal(painted(0), middle | under(64, 120))
    visitor.press("Enter")  # what is there already goes
    assert np.array_equal(painted(0), middle & ~under(64, 120).astype(bool))
    visitor.press("a", "h", "Enter")  # what must stay
    assert np.array_equal(painted(1), 2 * under(64, 120))
