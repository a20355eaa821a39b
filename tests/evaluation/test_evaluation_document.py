"""Reports become tables and plots of a document."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import evaluation_document

from gansteer.errors import UserError


def row(name: str, distance: float, relative: float | None) -> dict:
    measures = {"distance": [distance, distance - 0.5, distance + 0.5], "face": [0.5, 0.25, 0.75], "mse": None}
    return {"row": name, "settings": None, "cases": 7, "measures": measures, "relative": relative, "frechet": None}


def test_reports_fill_the_document(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- there-and-back -->\nold\n<!-- end of there-and-back -->\n<!-- trackers -->\n<!-- end of trackers -->\n"
    )
    head = {
        "model": "m",
        "weights": "0123456789",
        "resolution": 128,
        "protocol": "there-and-back",
        "psi": 0.7,
        "first": 0,
    }
    report = {**head, "tables": [{"points": 1, "rows": [row("no edit", 8, 1.0), row("a < b", 2, 0.25)]}]}
    (tmp_path / "a.json").write_text(json.dumps(report))
    walk = {"tracker": "none", "error": [1.0, 0.5, 1.5], "median": 0.75, "within": {"1": 0.5}}
    walks = {"model": "m", "walks": 3, "steps": 4, "motion": 1.0, "rows": [walk]}
    (tmp_path / "b.json").write_text(json.dumps(walks))
    words = [f"there-and-back={tmp_path}/a.json", f"trackers={tmp_path}/b.json", "--document", str(page)]
    evaluation_document.main(words)
    text = page.read_text()
    assert "old" not in text
    assert "| a < b | 2.00 [1.50, 2.50] | 50 % [25, 75] | 0.25 |  |" in text
    assert "1 point, 7 cases from number 0 on; `m` (128 px, weights 01234567, psi 0.7):" in text
    assert "| none | 1.00 [0.50, 1.50] | 0.75 | 50 % |" in text
    picture = tmp_path / "page-there-and-back-1.svg"
    assert f"({picture.name})" in text
    bars = [each for each in ElementTree.parse(picture).getroot() if each.tag.endswith("rect")]
    assert [float(bar.get("width") or 0) for bar in bars] == [pytest.approx(420 * v / 8.5, abs=0.1) for v in (8, 2)]
    page.write_text("<!-- beside -->\n<!-- end of beside -->\n")
    evaluation_document.main([f"beside={tmp_path}/a.json", "--document", str(page)])
    lines = page.read_text().splitlines()
    still = (
        "| no edit | 12.93 (1.00) | 11.66 (1.00) | 16.02 (1.00) | no edit | 8.00 [7.50, 8.50] (1.00), 7 cases | - | - |"
    )
    assert still in lines
    assert "| DragGAN | 2.44 (0.19) | 3.18 (0.27) | 4.73 (0.30) | DragGAN, published | - | - | - |" in lines
    assert "|  |  |  |  | a < b | 2.00 [1.50, 2.50] (0.25), 7 cases | - | - |" in lines
    with pytest.raises(UserError, match="write the part's name"):
        evaluation_document.main(["there-and-back", "--document", str(page)])
