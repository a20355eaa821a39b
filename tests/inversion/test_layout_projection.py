"""Bringing in a picture of a model with a layout: blobs move beside w, and begin where the reader sees things."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.layout import LARGEST, SMALLEST, FreeLayout, first_layout
from gansteer.edits.inversion.run import PSNR
from gansteer.edits.registry import start
from gansteer.models.layout import Blob, Layout
from gansteer.models.room_reader import KINDS
from gansteer.subject import Model
from support.layouts import tiny_model

ROOMS = Path(__file__).parents[1] / "data" / "rooms"


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def own_picture(model: Model, seed: int) -> torch.Tensor:
    """uint8 `[32, 32, 3]`."""
    return torch.from_numpy(np.array(model.sample(seed, 1.0).image.convert("RGB")))


def brought_in(model: Model, layout: str) -> tuple[Layout, Layout, float]:
    """The layout at the first step and at the last one, and the last PSNR."""
    edit = Inversion(own_picture(model, 5), projection=12, tuning="none", layout=layout, prior=0.0)  # type: ignore[arg-type]
    steps = list(start(model.sample(0), edit))
    first, last = (p.subject.code.layout for p in (steps[0], steps[-1]))
    assert first is not None
    assert last is not None
    assert steps[-1].metrics[PSNR] > steps[0].metrics[PSNR]
    return first, last, steps[-1].metrics[PSNR]


def test_free_blobs_move_grow_and_change_style_and_come_nearer(model: Model) -> None:
    first, last, psnr = brought_in(model, "free")
    for name in ("centres", "sizes", "styles"):
        assert not torch.equal(getattr(first, name), getattr(last, name)), name
    assert torch.equal(first.present, last.present)
    assert not last.centres.requires_grad
    held, same, other = brought_in(model, "fixed")
    assert torch.equal(held.centres, same.centres)
    assert torch.equal(held.styles, same.styles)
    assert psnr > other


def test_a_free_layout_starts_as_it_is_and_its_gradients_are_those_of_the_chain_rule() -> None:
    layout = Layout.of([Blob(5, 6, 3, (0.5, -1.0)), Blob(20, 9, 4, (0.1, 0.2))], 2, torch.float64)
    free = FreeLayout(layout, 32)
    now = free.layout()
    assert torch.equal(now.centres, layout.centres)
    assert torch.equal(now.sizes, layout.sizes)
    assert float(free.unlikely().detach()) == pytest.approx((0.25 + 1 + 0.01 + 0.04) / 4)
    parameters = [p for group in free.groups(1.0) for p in group["params"]]  # type: ignore[attr-defined]
    total = 2 * now.centres.sum() + 3 * now.sizes.sum() + 5 * now.styles.sum()
    places, growth, styles = torch.autograd.grad(total, parameters)
    assert torch.allclose(places, torch.full((2, 2), 2 * 16.0, dtype=torch.float64))
    assert torch.allclose(growth, 3 * layout.sizes)
    assert torch.allclose(styles, torch.full((2, 2), 5.0, dtype=torch.float64))


def test_the_first_guess_has_a_blob_on_each_thing_of_a_room(model: Model) -> None:
    """Against the true maps of held-out rooms: of things of 3 % or more, most have a blob within their box."""
    rooms = replace(model, card=replace(model.card, domain="rendered rooms"))
    like = rooms.sample(0).code.layout
    assert like is not None
    hits = total = 0
    for path in sorted(ROOMS.glob("*.jpg")):
        with Image.open(path) as image:
            picture = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
        with Image.open(path.with_name(f"{path.stem}_kinds.png")) as image:
            kinds = np.array(image)
        layout = first_layout(rooms, picture, like, 0)
        assert 0 < len(layout) <= 8
        assert ((layout.sizes >= SMALLEST * 16 - 1e-4) & (layout.sizes <= LARGEST * 16 + 1e-4)).all()
        at = (layout.centres.numpy() + 0.5) * 4 - 0.5  # of 32 px in pixels of 128
        for kind in range(1, len(KINDS)):
            y, x = np.nonzero(kinds == kind)
            if len(x) >= 0.03 * kinds.size:
                total += 1
                inside = (at[:, 0] >= x.min()) & (at[:, 0] <= x.max()) & (at[:, 1] >= y.min()) & (at[:, 1] <= y.max())
                hits += bool(inside.any())
    assert total > 5
    assert hits >= 0.8 * total


def test_without_a_reader_the_first_guess_is_the_layout_of_a_sample(model: Model) -> None:
    empty = model.generator.mean_code().layout
    assert empty is not None
    found = first_layout(model, torch.zeros(1, 3, 32, 32), empty, 3)
    assert len(found) == 4
    assert torch.equal(found.centres, first_layout(model, torch.zeros(1, 3, 32, 32), empty, 3).centres)
