"""The notebook of the examples runs from top to bottom, and leaves the files that it promises."""

import ast
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import gansteer

NOTEBOOK = Path(__file__).parents[1] / "examples" / "steering.ipynb"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    shown = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body[-1]
            if isinstance(last, ast.Expr):  # its value is what the cell shows
                exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
                shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
            else:
                exec(compile(tree, "cell", "exec"), names)
    pictures = [each for each in shown if isinstance(each, gansteer.Subject)]
    assert len(pictures) == 3
    assert len({each._repr_png_() for each in pictures}) == 3
    assert pictures[0]._repr_png_().startswith(b"\x89PNG")
    assert "all handles have arrived" in capsys.readouterr().out
    with Image.open("drag.webp") as film, Image.open("smiling.png") as picture:
        assert film.n_frames > 5  # type: ignore[attr-defined]
        assert picture.tobytes() == pictures[-1].image.tobytes()
    from gansteer.steerfile import open_subject

    assert open_subject(Path("smiling.steer")).image.tobytes() == pictures[-1].image.tobytes()


def test_reprs_are_one_line_and_mistakes_are_explained() -> None:
    model = gansteer.load("portraits", "cpu")
    subject = model.sample(1)
    assert repr(model) == "<Model portraits, 128 px>"
    assert repr(subject) == "<Subject of portraits, 128 px>"
    edit = gansteer.Drag(handles=[(64, 76)], targets=[(72, 76)], mask=torch.ones(128, 128), steps=9)
    assert repr(edit) == "Drag(steps=9, handles=((64.0, 76.0),), targets=((72.0, 76.0),), mask=<128 x 128>)"
    assert (
        repr(gansteer.start(subject, gansteer.Attribute({"smile": 1})))
        == "<Run of Attribute(change={'smile': 1.0}): step 0>"
    )
    with pytest.raises(gansteer.UserError, match=r"seed is a whole number and psi a number, not 'three' and 0\.7"):
        model.sample("three")  # type: ignore[arg-type]
    with pytest.raises(gansteer.UserError, match=r"handles is a list of points \(x, y\)"):
        gansteer.Drag(handles=(64, 76), targets=(72, 76))  # type: ignore[arg-type]
    with pytest.raises(gansteer.UserError, match="'smile' is no edit"):
        gansteer.start(subject, "smile")  # type: ignore[arg-type]
    with pytest.raises(gansteer.UserError, match="takes a subject first"):
        gansteer.start(model, gansteer.Drag([(1, 1)], [(2, 2)]))  # type: ignore[arg-type]
    with pytest.raises(gansteer.UserError, match="ends in"):
        subject.save("picture.bmp")
