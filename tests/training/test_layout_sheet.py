"""The sheet of what changing a blob does: which blob, which change, and nothing else."""

import pytest
import torch

from gansteer.models.code import Code
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import to_image
from gansteer.training.layout_sheet import ROWS, changed, layout_sheet

SHAPE = {"z_dim": 4, "w_dim": 4, "channel_base": 64, "channel_max": 8, "mapping_layers": 1}


@pytest.fixture(scope="module")
def generator() -> SpatialGenerator:
    torch.manual_seed(0)
    return SpatialGenerator(SpatialConfig(16, **SHAPE, blobs=3, drop=0.5)).eval().requires_grad_(False)  # type: ignore[arg-type]


def test_rows_are_the_pictures_with_one_change_each(generator: SpatialGenerator) -> None:
    page = layout_sheet(generator, 3)
    assert page.size == (3 * 16, len(ROWS) * 16)
    code = generator.sample_code(torch.Generator().manual_seed(1))
    assert code.layout is not None
    rng = torch.Generator().manual_seed(9)
    for row, name in enumerate(ROWS):
        if name in ("heatmaps", "restyled"):
            continue
        layout = changed(code.layout, name, 16, rng)
        alone = to_image(generator.synthesize(Code(code.ws, layout=layout))[0])
        found = page.crop((16, row * 16, 32, row * 16 + 16))
        difference = max(abs(a - b) for a, b in zip(found.tobytes(), alone.tobytes(), strict=True))
        assert difference <= 1, name


def test_changes_concern_the_first_blob_that_is_there(generator: SpatialGenerator) -> None:
    layout = generator.sample_layout(1, torch.Generator().manual_seed(0))[0].shown(0, False).shown(1)
    rng = torch.Generator().manual_seed(0)
    moved = changed(layout, "moved", 16, rng)
    assert (moved.centres - layout.centres).nonzero().tolist() == [[1, 0]]
    assert (moved.centres - layout.centres).abs().max().item() == pytest.approx(0.2 * 16)
    assert changed(layout, "removed", 16, rng).present[1] == 0
    restyled = changed(layout, "restyled", 16, rng)
    assert set((restyled.styles != layout.styles).nonzero()[:, 0].tolist()) == {1}
    assert changed(layout, "without blobs", 16, rng).present.sum() == 0


def test_a_model_without_layouts_has_no_such_sheet() -> None:
    with pytest.raises(ValueError, match="no layouts"):
        layout_sheet(StyleGAN2Generator(GeneratorConfig(16, **SHAPE)))
