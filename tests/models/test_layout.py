"""Heatmaps, laws and changes of layouts, against loops written from the equations."""

import math

import pytest
import torch

from gansteer.models.layout import Blob, Layout, halves, heatmaps, pixels, splat
from gansteer.models.layout_laws import HierarchicalLaw, ObjectsLaw


def layout(*blobs: Blob, dim: int = 3) -> Layout:
    return Layout.of(blobs, dim, torch.float64)


def blob(x: float, y: float, size: float = 4.0, present: float = 1.0, **more: object) -> Blob:
    return Blob(x, y, size, (0.5, -1.0, 2.0), present, **more)  # type: ignore[arg-type]


def reference(of: Layout, size: int, resolution: int) -> torch.Tensor:
    """`exp(-|x - c|^2 / sigma)` at every pixel of the picture, then the mean over those of each cell."""
    drawn = max(size, resolution)
    side = drawn // size
    result = torch.zeros(len(of), size, size, dtype=torch.float64)
    for k, b in enumerate(of.blobs):
        cx, cy = (2 * b.x + 1) / resolution - 1, (2 * b.y + 1) / resolution - 1
        sigma = max((2 * b.size / resolution) ** 2 / math.log(2), 1e-6)
        for row in range(drawn):
            for col in range(drawn):
                x, y = (2 * col + 1) / drawn - 1, (2 * row + 1) / drawn - 1
                h = b.present * math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / sigma)
                result[k, row // side, col // side] += h / side**2
    return result


MANY = layout(
    blob(5, 6), blob(5.5, 6.5, 2), blob(0, 15, 3), blob(-2.5, 20, 6), blob(7, 3, 0), blob(7.25, 3, 1e-4), blob(9, 9, 5, 0.0), blob(2, 12, 3, 0.4)
)  # fmt: skip
"""Overlapping ones, one on the border and one beyond it, of no size on a pixel and beside one, absent, half present."""


@pytest.mark.parametrize(("size", "resolution"), [(16, 16), (4, 16), (8, 16), (32, 16)])
def test_heatmaps_are_those_of_the_equation(size: int, resolution: int) -> None:
    torch.testing.assert_close(heatmaps(MANY, size, resolution)[0], reference(MANY, size, resolution))


def test_a_heatmap_is_one_half_at_its_size() -> None:
    h = heatmaps(layout(blob(8, 8, 5)), 17)[0, 0]
    torch.testing.assert_close(h[8, [8, 13, 3]], torch.tensor([1, 0.5, 0.5], dtype=torch.float64))
    torch.testing.assert_close(h[3, 8], torch.tensor(0.5, dtype=torch.float64))


def test_splatting_sums_the_heatmaps_weighted_by_values() -> None:
    values = torch.randn(1, len(MANY), 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    maps = reference(MANY, 8, 16)
    expected = torch.einsum("khw,kc->chw", maps, torch.cat([values[0], torch.ones(len(MANY), 1).double()], dim=1))
    torch.testing.assert_close(splat(MANY, values, 8, 16)[0], expected)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_any_number_of_blobs(count: int) -> None:
    of = layout(*(blob(k, k) for k in range(count)))
    assert heatmaps(of, 8).shape == (1, count, 8, 8)
    assert splat(of, of.batched.styles, 8).shape == (1, 4, 8, 8)
    assert Layout.batch([of, of]).centres.shape == (2, count, 2)


def test_gradients_of_heatmaps_are_finite_differences() -> None:
    of = MANY[[0, 1, 2, 3, 7]]
    weight = torch.randn(5, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def energy(centres: torch.Tensor, sizes: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        moved = Layout(centres, sizes, of.styles, present, of.levels, of.parents)
        return (heatmaps(moved, 8, 16)[0] * weight).sum()

    parts = [x.clone().requires_grad_() for x in (of.centres, of.sizes, of.present)]
    assert torch.autograd.gradcheck(energy, parts)


def test_a_blob_of_no_size_has_a_gradient_that_is_a_number() -> None:
    sizes = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    of = layout(blob(3.3, 4.1))
    heatmaps(Layout(of.centres, sizes, of.styles, of.present, of.levels, of.parents), 8).sum().backward()
    assert sizes.grad is not None
    assert sizes.grad.isfinite().all()


def test_places_go_there_and_back() -> None:
    xy = torch.tensor([[-3.0, 0.0], [7.5, 15.0]])
    torch.testing.assert_close(pixels(halves(xy, 16), 16), xy)
    torch.testing.assert_close(halves(torch.tensor([-0.5, 7.5, 15.5]), 16), torch.tensor([-1.0, 0.0, 1.0]))


def test_a_parent_takes_its_children_along_and_theirs() -> None:
    family = layout(blob(1, 1), blob(2, 2, parent=0, level=2), blob(3, 3, parent=1, level=3), blob(4, 4))
    moved = family.moved(0, 10.0, -1.0)
    assert moved.centres.tolist() == [[11, 0], [12, 1], [13, 2], [4, 4]]
    assert family.moved(1, 1.0, 0.0).centres.tolist() == [[1, 1], [3, 2], [4, 3], [4, 4]]


def test_changes_leave_everything_else_as_it_was() -> None:
    before = layout(blob(1, 1), blob(2, 2))
    assert before.moved(1, 5.0, 0.0).moved(1, -5.0, 0.0).blobs == before.blobs
    assert before.resized(1, 9.0).blobs == (before.blobs[0], blob(2, 2, 9.0))
    assert before.shown(0, False).shown(0).blobs == before.blobs
    assert before.shown(0, False).blobs[0].present == 0
    style = torch.tensor([9.0, 8.0, 7.0])
    assert before.restyled(0, style).blobs == (Blob(1, 1, 4, (9, 8, 7)), before.blobs[1])
    assert before.added(blob(7, 8)).blobs == (*before.blobs, blob(7, 8))


def test_blobs_and_tensors_give_the_layout_back() -> None:
    again = Layout.from_tensors(MANY.tensors())
    assert again is not None
    assert again.blobs == MANY.blobs == Layout.of(MANY.blobs, 3, torch.float64).blobs
    assert Layout.from_tensors({"w": torch.zeros(2)}) is None
    damaged = MANY.tensors()
    del damaged["layout.sizes"]
    with pytest.raises(ValueError, match=r"lacks layout.sizes"):
        Layout.from_tensors(damaged)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("sizes", torch.tensor([1.0, -1.0]), "size must not be negative"),
        ("sizes", torch.tensor([1.0, math.nan]), "must be finite"),
        ("present", torch.ones(3), "present must be of"),
        ("parents", torch.tensor([-1, 2]), "parent must be a blob"),
        ("styles", torch.zeros(2, 4), "style has 3 numbers"),
    ],
)
def test_a_damaged_layout_says_what_is_wrong(part: str, value: torch.Tensor, message: str) -> None:
    tensors = layout(blob(1, 1), blob(2, 2)).tensors() | {f"layout.{part}": value}
    with pytest.raises(ValueError, match=message):
        Layout(*(tensors[f"layout.{name}"] for name in Layout.__dataclass_fields__)).check(3)


def test_batching_pads_with_absent_blobs() -> None:
    both = Layout.batch([layout(blob(1, 1)), layout(blob(2, 2), blob(3, 3))])
    assert both.present.tolist() == [[1, 0], [1, 1]]
    torch.testing.assert_close(heatmaps(both, 8)[0, :1], heatmaps(layout(blob(1, 1)), 8)[0])
    assert both[1].blobs == (blob(2, 2), blob(3, 3))


def test_between_two_layouts_blobs_travel_and_fade() -> None:
    a, b = layout(blob(0, 0)), layout(blob(4, 8), blob(6, 6))
    half = a.lerp(b, 0.5)
    assert half.centres.tolist() == [[2, 4], [6, 6]]
    assert half.present.tolist() == [1, 0.5]
    assert b.lerp(a, 0.5).centres.tolist() == [[2, 4], [6, 6]]
    assert a.lerp(b, 1.0).blobs == b.blobs


def test_the_objects_law_is_what_it_says() -> None:
    law = ObjectsLaw(5, 0.25, -0.5, 0.75, -0.25, 1.0, 0.1, 0.3, candidates=1)
    drawn = law.sample(4000, 64, 7, torch.Generator().manual_seed(0))
    assert drawn.styles.shape == (4000, 5, 7)
    places = halves(drawn.centres, 64).flatten(0, 1)
    low, high = torch.tensor([-0.5, -0.25]).double(), torch.tensor([0.75, 1.0]).double()
    assert ((places > low) & (places < high)).all()
    torch.testing.assert_close(places.mean(dim=0), (low + high) / 2, atol=0.02, rtol=0)
    radius = drawn.sizes / 32
    assert 0.1 <= radius.min() < 0.101
    assert 0.299 < radius.max() <= 0.3
    torch.testing.assert_close(drawn.present.mean().item(), 0.75, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.styles.std().item(), 1.0, atol=0.02, rtol=0)


def test_the_objects_law_keeps_things_apart() -> None:
    def nearest(candidates: int) -> float:
        drawn = ObjectsLaw(6, candidates=candidates).sample(1000, 64, 1, torch.Generator().manual_seed(0))
        gaps = torch.cdist(drawn.centres, drawn.centres) + torch.eye(6).double() * 1e9
        return gaps.amin(dim=(1, 2)).mean().item()

    assert nearest(3) > 1.5 * nearest(1)


def test_the_hierarchical_law_is_the_published_one() -> None:
    drawn = HierarchicalLaw().sample(4000, 64, 2, torch.Generator().manual_seed(0))
    centres, sigma = halves(drawn.centres, 64), (drawn.sizes / 32).square() / math.log(2)
    first, second, third = centres[:, :1], centres[:, 1:3], centres[:, 3:]
    assert first.abs().max() <= 0.75
    torch.testing.assert_close(first.std().item(), 0.33, atol=0.02, rtol=0)
    assert (second - first).abs().max() <= 0.4 < (third - first).abs().max() <= 0.8
    assert (sigma[:, 0] == sigma[0, 0]).all()
    assert 0.5 <= sigma[0, 0] <= 1
    for part, low, high in ((sigma[:, 1:3], 0.1 / 1.4, 1.1 / 1.4), (sigma[:, 3:], 0.05, 0.55)):
        assert low <= part.min() < low + 0.01
        assert high - 0.01 < part.max() <= high
    one = drawn[0]
    assert one.levels.tolist() == [1, 2, 2, 3, 3, 3, 3]
    torch.testing.assert_close(one.moved(0, 3.0, 4.0).centres, one.centres + torch.tensor([3.0, 4.0]))


def test_a_hierarchy_nearer_to_the_middle_is_the_same_one_drawn_in() -> None:
    wide, near = (HierarchicalLaw(d).sample(50, 64, 2, torch.Generator().manual_seed(0)) for d in (0.33, 0.11))
    first = [halves(drawn.centres[:, :1], 64) for drawn in (wide, near)]
    assert (first[0].abs() == 0.75).any()
    torch.testing.assert_close(first[1], first[0] / 3)
    parts = [halves(drawn.centres, 64) - middle for drawn, middle in zip((wide, near), first, strict=True)]
    torch.testing.assert_close(parts[1], parts[0])
    assert torch.equal(near.sizes, wide.sizes)


@pytest.mark.parametrize("law", [ObjectsLaw(), HierarchicalLaw()])
def test_the_same_numbers_give_the_same_layout(law: ObjectsLaw | HierarchicalLaw) -> None:
    first, again = (law.sample(1, 128, 4, torch.Generator().manual_seed(5)) for _ in range(2))
    assert first[0].blobs == again[0].blobs
