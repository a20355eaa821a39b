"""`gansteer convert NAME out.onnx`: another runtime draws the same pictures from the same codes."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.layout import Layout
from gansteer.subject import Model
from support.layouts import tiny_model as arranged
from support.tiny import tiny_model as plain


def codes(model: Model) -> list[Code]:
    """One picture; three of large w; with a layout, two whose blobs are fewer than in training and lie on levels."""
    found = [Code.batch([model.sample(7).code]), Code.batch([model.sample(seed, psi=1.5).code for seed in (1, 2, 3)])]
    if found[0].layout is not None:
        two = Code.batch([model.sample(seed).code for seed in (8, 9)])
        assert two.layout is not None
        fewer = Layout(*(x[:, :3] for x in vars(two.layout).values()))
        levels = torch.tensor([[0, 1, 2], [2, 0, 1]])
        found.append(Code(two.ws, layout=replace(fewer, levels=levels, parents=torch.full_like(levels, -1))))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "arranged"])
def test_another_runtime_draws_the_same(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = plain(8, dtype=torch.float32) if kind == "plain" else arranged(resolution=8)
    if kind == "arranged":  # encodings begin as the identity: let them do something
        rng = torch.Generator().manual_seed(0)
        for x in model.generator.synthesis.conditioning.parameters():
            x.copy_(torch.randn(x.shape, generator=rng) * 0.3)
    source, target = tmp_path / "tiny.safetensors", tmp_path / "tiny.onnx"
    save_model(model, source)
    assert main(["convert", str(source), str(target)]) == 0
    said = capsys.readouterr()
    assert "differ from ours by" in said.out
    assert said.err == ""
    onnx.checker.check_model(str(target), full_check=True)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    parts = ["centres", "sizes", "styles", "present", "levels"] if kind == "arranged" else []
    assert names == ["w", *(f"layout.{part}" for part in parts)]
    assert [value.name for value in session.get_outputs()] == ["picture"]
    about = json.loads(session.get_modelmeta().custom_metadata_map["gansteer"])
    assert about["weights"] == model.digest
    assert about["card"]["licence"] == model.card.licence
    for code in codes(model):
        tensors = code.tensors()
        (drawn,) = session.run(None, {name: tensors[name].numpy() for name in names})
        ours = model.generator.synthesize(code).detach().numpy()
        assert drawn.shape == ours.shape
        assert np.abs(drawn - ours).max() < 1e-4
        assert ours.std() > 0.05
        assert len(ours) == 1 or np.abs(ours[0] - ours[1]).max() > 0.01


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "tiny.safetensors", tmp_path / "tiny.onnx"
    save_model(plain(16, dtype=torch.float32), source)
    target.write_bytes(b"as it was")
    for args, complaint in (
        ([str(target), "--precision", "float16"], "ONNX files are float32"),
        ([str(tmp_path / "tiny.pb")], "ends in .safetensors or .onnx"),
        ([str(tmp_path / "none" / "tiny.onnx")], "no folder"),
    ):
        assert main(["convert", str(source), *args]) == 2
        assert complaint in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["convert", str(source), str(target)]) == 2
    assert "run pip install 'gansteer[onnx]'" in capsys.readouterr().err
    assert target.read_bytes() == b"as it was"


@pytest.mark.slow
def test_a_generator_that_looks_at_its_numbers_is_no_graph(tmp_path: Path) -> None:
    from gansteer.checkpoints.onnx_file import save_onnx

    model = plain(16, dtype=torch.float32)
    draw = type(model.generator).synthesize

    class Moody(type(model.generator)):
        def synthesize(self, code: Code, **how: Any) -> torch.Tensor:
            return draw(self, code, **how) if float(code.ws.sum()) > 0 else -draw(self, code, **how)

    model.generator.__class__ = Moody
    with pytest.raises(UserError, match="can't be written as ONNX"):
        save_onnx(model, tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())
