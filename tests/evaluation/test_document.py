"""Figures in documents."""

from pathlib import Path

import pytest

from gansteer.errors import UserError
from gansteer.evaluation.document import fill, table


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [[1, "x"], [2.5, "y"]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2.5 | y |"


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("top\n<!-- one -->\nold\n<!-- end of one -->\nmiddle\n<!-- two -->\n<!-- end of two -->\nend\n")
    fill(page, "one", r"new \1 (kept as it is)")
    fill(page, "two", "2")
    assert page.read_text() == (
        "top\n<!-- one -->\nnew \\1 (kept as it is)\n<!-- end of one -->\nmiddle\n<!-- two -->\n2\n<!-- end of two -->\nend\n"
    )


def test_a_document_without_the_marks_stays_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(UserError, match="<!-- one -->"):
        fill(page, "one", "new")
    assert page.read_text() == "nothing here\n"
    assert list(tmp_path.iterdir()) == [page]
