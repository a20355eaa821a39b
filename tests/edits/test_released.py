"""Our drags against those of the code that DragGAN's authors released, step by step.

The file holds its trajectories on `portraits` in float64: "released" as it is, "formula" with its one mistake mended (patch
coordinates that are stretched by h / (h - 1)).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gansteer.checkpoints.registry import load
from gansteer.edits.drag.draggan import stretched_disc
from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.tracking import disc
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.subject import Model, Subject

SCENES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data/drags/released.json").read_text())[
    "scenes"
]


@pytest.fixture(scope="module")
def model() -> Model:
    found = load("portraits", "cpu")
    return replace(found, generator=found.generator.double())


def trajectory(model: Model, scene: dict[str, Any], **settings: Any) -> list[tuple[list, float, float]]:
    """Points, loss, and how far the moving rows are from where they began, before every step."""
    mask = None
    if scene["mask"]:
        mask = torch.zeros(model.resolution, model.resolution, dtype=torch.bool)
        mask[40:110, 30:98] = True
    drag = Drag(
        handles=scene["handles"], targets=scene["targets"], mask=mask, layer=scene["layer"], rows=scene["rows"],
        r1=float(scene["r1_px"]), learning_rate=scene["learning_rate"], lambda_mask=float(scene["lambda_mask"]), **settings,
    )  # fmt: skip
    subject: Subject = model.sample(scene["seed"], scene["psi"])
    run = start(subject, drag)
    found = []
    for _ in scene["steps"]:
        progress = run.step()
        moved = float((progress.subject.code.ws[: scene["rows"]] - subject.code.ws[: scene["rows"]]).norm())
        found.append(([list(point) for point in progress.points], progress.loss, moved))
    return found


def check(found: list[tuple[list, float, float]], scene: dict[str, Any]) -> None:
    for step, (points, loss, moved) in zip(scene["steps"], found, strict=True):
        assert points == step["points"]
        assert loss == pytest.approx(step["loss"], rel=1e-5)
        assert moved == pytest.approx(step["w_moved"], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("scene", [s for s in SCENES if s["form"] == "released"], ids=lambda s: s["scene"])
def test_as_released(model: Model, scene: dict[str, Any]) -> None:
    assert scene["weights"].startswith(model.digest[:8]) or scene["scene"]
    check(trajectory(model, scene, as_released=True, r2=float(scene["r2_px"])), scene)


@pytest.mark.parametrize("scene", [s for s in SCENES if s["form"] == "formula"], ids=lambda s: s["scene"])
def test_by_the_formula(model: Model, scene: dict[str, Any]) -> None:
    found = trajectory(
        model,
        scene,
        method="draggan",
        tracker="nearest-l2",
        r2=scene["r2_px"] + 1.0,
        exact_mask=True,
        tolerance=2.0,
        patience=1000,
    )
    check(found, scene)


def test_the_stretched_disc_pixel_by_pixel() -> None:
    size, r1, p, t = 64, 3.0, torch.tensor([[40.0, 9.0], [5.0, 5.0]]).double(), torch.tensor([[50.0, 9.0], [5.0, 6.0]])
    offsets = disc(r1 + 1.5)
    found = stretched_disc(p, t.double(), offsets, r1, size)
    grid = torch.linspace(0, size, size, dtype=torch.float64)
    expected = {
        (x, y) for y in range(size) for x in range(size) if ((grid[x] - 40.0) ** 2 + (grid[y] - 9.0) ** 2) ** 0.5 < r1
    }
    assert {(40 + int(x), 9 + int(y)) for x, y in offsets[found[0]].tolist()} == expected
    assert not found[1].any()  # one pixel from its target


def test_as_released_is_draggans() -> None:
    with pytest.raises(UserError, match="--method freedrag"):
        Drag(handles=[(1, 1)], targets=[(2, 2)], method="freedrag", as_released=True)


def test_radii_as_released(model: Model) -> None:
    fitted = Drag(handles=[(60, 60)], targets=[(70, 60)], as_released=True).fitted(model.sample(0))
    assert (fitted.r1, fitted.r2, fitted.tolerance, fitted.tracker) == (1.0, 4.0, 2.0, "nearest-l2")
