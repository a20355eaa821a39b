"""The tables of docs/layout.md are of the `rooms` that ships."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from gansteer.checkpoints.registry import load

FOLDER, RECIPE = "rooms", "document"
PAGE = "<!-- reader -->\n<!-- end of reader -->\n<!-- layout-drag -->\nold\n<!-- end of layout-drag -->\n"


def report(folder: Path, weights: str) -> None:
    row = {"name": "pixels left", "value": {"value": 7.25, "low": 6.0, "high": 8.5}, "cases": 12}
    (folder / "layout-drag.json").write_text(json.dumps({"model": "rooms", "weights": weights, "rows": [row]}))


def test_reports_of_the_shipped_weights_fill_the_page(tmp_path: Path, recipe: ModuleType) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    digest = load("rooms", "cpu").digest
    report(tmp_path, digest)
    recipe.main(tmp_path, page)
    text = page.read_text()
    assert "| pixels left | 7.25 | 6 to 8.5 | 12 |" in text
    assert f"weights {digest[:8]}" in text
    assert "old" not in text


def test_reports_of_other_weights_are_refused(tmp_path: Path, recipe: ModuleType) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    report(tmp_path, "0" * 64)
    with pytest.raises(SystemExit, match="other weights"):
        recipe.main(tmp_path, page)
    assert "old" in page.read_text()
    assert "7.25" not in page.read_text()
