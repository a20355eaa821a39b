"""`gansteer directions fit|list` and `gansteer edit` as their user runs them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drag_reference import tiny_subject
from PIL import Image

from gansteer.cli import main
from support.tiny import tiny_model

SCORE = "def coldness(pictures):\n    return (pictures[:, 2] - pictures[:, 0]).mean(dim=(1, 2))\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, another one, and directions fitted to the first by a function."""
    from gansteer.checkpoints.native import save_model

    folder = tmp_path_factory.mktemp("edit")
    save_model(tiny_subject(16, seed=3, dtype=torch.float32).model, folder / "tiny.safetensors")
    save_model(tiny_subject(16, seed=1, dtype=torch.float32).model, folder / "other.safetensors")
    (folder / "gansteer_my_score.py").write_text(SCORE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert fit("--attribute", "cold", "--function", "gansteer_my_score:coldness", "--samples", 400) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def fit(*args: object, out: str = "cold.safetensors", model: str = "tiny.safetensors") -> int:
    return main(["directions", "fit", "--model", model, "--out", out, "--device", "cpu", *map(str, args)])


def edit(*args: object, model: str = "tiny.safetensors", out: str = "out.png") -> int:
    return main(["edit", "--model", model, "--out", out, "--device", "cpu", *map(str, args)])


def coldness(path: str) -> float:
    with Image.open(path) as picture:
        levels = np.asarray(picture, float)
        return float((levels[:, :, 2] - levels[:, :, 0]).mean())


def test_an_edit_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    directions = ("--directions", "cold.safetensors")
    assert edit("--seed", 7, "--set", "cold=0", *directions, out="still.png") == 0
    assert main(["sample", "--model", "tiny.safetensors", "--seeds", "7", "--out", "plain.png", "--device", "cpu"]) == 0
    assert Path("still.png").read_bytes() == Path("plain.png").read_bytes()
    for space in ("w", "s", "z"):
        assert edit("--seed", 7, "--set", "cold=+2", "--space", space, *directions, out="more.png") == 0
        assert edit("--seed", 7, "--set", "cold=-2", "--space", space, *directions, out="less.png") == 0
        assert coldness("less.png") < coldness("still.png") < coldness("more.png")
    said = capsys.readouterr().out
    assert "cold +2" in said


def test_a_subject_is_edited_again(capsys: pytest.CaptureFixture[str]) -> None:
    directions = ("--directions", "cold.safetensors")
    assert edit("--seed", 7, "--set", "cold=+1", *directions, out="once.steer") == 0
    assert edit("--subject", "once.steer", "--set", "cold=+1", *directions, out="twice.png") == 0
    assert edit("--seed", 7, "--set", "cold=+2", *directions, out="both.png") == 0
    with Image.open("twice.png") as a, Image.open("both.png") as b:
        assert int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max()) <= 1
    assert "now cold" in capsys.readouterr().out


def test_the_list_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            ["directions", "list", "--model", "tiny.safetensors", "--directions", "cold.safetensors", "--device", "cpu"]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["cold", space, "svm"] for space in "wsz"]
    assert main(["directions", "list", "--model", "tiny.safetensors", "--device", "cpu"]) == 2
    assert "has no directions" in capsys.readouterr().err


def test_labels_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_subject(16, seed=3, dtype=torch.float32).model
    scores = {
        seed: float(model.sample(seed).render().mean(dim=(1, 2)) @ torch.tensor([-1.0, 0.0, 1.0])) for seed in range(60)
    }
    order = sorted(scores, key=scores.__getitem__)
    Path("labels.csv").write_text(
        "seed,label\n" + "".join(f"{s},{int(scores[s] > scores[order[30]])}\n" for s in order)
    )
    assert fit("--attribute", "mine", "--labels", "labels.csv", out="mine.safetensors") == 0
    liked, disliked = (",".join(map(str, part)) for part in (order[-20:], order[:20]))
    assert fit("--attribute", "mine", "--liked", liked, "--disliked", disliked, out="liked.safetensors") == 0
    for file in ("mine.safetensors", "liked.safetensors"):
        assert edit("--seed", 99, "--set", "mine=+2", "--directions", file, out="more.png") == 0
        assert edit("--seed", 99, "--set", "mine=-2", "--directions", file, out="less.png") == 0
        assert coldness("less.png") < coldness("more.png")
    assert capsys.readouterr().err == ""


def test_directions_of_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    from gansteer.checkpoints.directions import load_directions
    from gansteer.checkpoints.native import save_model

    save_model(tiny_model(16, seed=3, dtype=torch.float32, classes=3), Path("classes.safetensors"))
    score = ("--attribute", "cold", "--function", "gansteer_my_score:coldness", "--samples", 400)
    assert fit(*score, model="classes.safetensors", out="two.safetensors") == 2
    assert "class-conditional: give a label from 0 to 2" in capsys.readouterr().err
    assert fit(*score, "--label", 3, model="classes.safetensors", out="two.safetensors") == 2
    assert "give a label from 0 to 2" in capsys.readouterr().err
    for label, out in ((1, "one.safetensors"), (2, "two.safetensors")):
        assert fit(*score, "--label", label, model="classes.safetensors", out=out) == 0
        assert f"svm of class {label}" in capsys.readouterr().out
    one, two = (load_directions(Path(name)) for name in ("one.safetensors", "two.safetensors"))
    assert {entry.about["label"] for entry in two.entries} == {2}
    assert not torch.equal(one.get("cold").vector, two.get("cold").vector)
    there = ("--seed", 8, "--label", 2, "--directions", "two.safetensors")
    for space in ("w", "s", "z"):
        for amount in (2, -2):
            args = ("--set", f"cold={amount}", "--space", space)
            assert edit(*there, *args, model="classes.safetensors", out=f"{amount}.png") == 0
        assert coldness("-2.png") < coldness("2.png")
    assert edit("--seed", 7, "--set", "cold=1", *COLD, "--label", 1) == 2
    assert "has no classes: leave the label out" in capsys.readouterr().err


def test_quality_tells_what_is_like_the_real_pictures(tmp_path: Path) -> None:
    """Where the real ones are the coldest of what the model draws, colder is better."""
    from gansteer.evaluation.realism import realism

    model = tiny_subject(16, seed=3, dtype=torch.float32).model
    pictures = [model.sample(seed, 1.0).image for seed in range(200)]
    levels = [np.asarray(picture, float) for picture in pictures]
    coldness = [(x[:, :, 2] - x[:, :, 0]).mean() for x in levels]
    for i in np.argsort(coldness)[-60:]:
        pictures[i].save(tmp_path / f"{i}.png")
    score = realism(model, tmp_path)
    fresh = torch.stack([model.sample(seed, 1.0).render() for seed in range(1000, 1060)]).requires_grad_()
    found = score(fresh)["quality"]
    cold = (fresh[:, 2] - fresh[:, 0]).mean(dim=(1, 2)).detach()
    assert np.corrcoef(found.detach().numpy(), cold.numpy())[0, 1] > 0.5
    assert float(torch.autograd.grad(found.sum(), fresh)[0].abs().max()) > 0


def test_an_onnx_file_scores_as_the_function_does(capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    def save(shape: list[object], axes: list[int], out: list[object]) -> None:
        nodes = [
            helper.make_node("Mul", ["x", "weight"], ["y"]),
            helper.make_node("ReduceMean", ["y"], ["z"], axes=axes, keepdims=len(out) > 1),
        ]
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],  # type: ignore[arg-type]
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, out)],  # type: ignore[arg-type]
            [helper.make_tensor("weight", TensorProto.FLOAT, [1, 3, 1, 1], [-3.0, 0.0, 3.0])],
        )  # fmt: skip
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(made, "score.onnx")

    from gansteer.checkpoints.directions import load_directions

    save(["B", 3, 16, 16], [1, 2, 3], ["B"])
    assert fit("--attribute", "cold", "--onnx", "score.onnx", "--samples", 400, out="onnx.safetensors") == 0
    a, b = (load_directions(Path(name)).get("cold") for name in ("onnx.safetensors", "cold.safetensors"))
    assert float(a.vector @ b.vector) > 1 - 1e-6
    save(["B", 3, 8, 8], [1, 2, 3], ["B", 1, 1, 1])  # another size: resized to it
    assert fit("--attribute", "cold", "--onnx", "score.onnx", "--samples", 400, out="onnx.safetensors") == 0
    save(["B", 3, 16, 16], [2, 3], ["B", 3, 1, 1])
    assert fit("--attribute", "cold", "--onnx", "score.onnx", "--samples", 400, out="bad.safetensors") == 2
    assert "one number for each picture" in capsys.readouterr().err
    Path("broken.onnx").write_bytes(b"nonsense")
    assert fit("--attribute", "cold", "--onnx", "broken.onnx", out="bad.safetensors") == 2
    assert "cannot be read as ONNX" in capsys.readouterr().err
    assert not Path("bad.safetensors").exists()


def test_a_region_by_point_and_by_picture(capsys: pytest.CaptureFixture[str]) -> None:
    white = Image.new("L", (16, 16), 0)
    white.paste(255, (0, 0, 8, 16))
    white.save("region.png")
    assert edit("--seed", 7, "--set", "cold=+2", *COLD, "--region", "region.png", out="inside.png") == 0
    assert "the rest of the picture" in capsys.readouterr().out
    assert edit("--seed", 7, "--set", "cold=0", *COLD, out="before.png") == 0
    assert edit("--seed", 7, "--set", "cold=+2", *COLD, out="whole.png") == 0

    def change(name: str) -> float:
        with Image.open(name) as a, Image.open("before.png") as b:
            return float(np.abs(np.asarray(a, float) - np.asarray(b, float))[:, 8:].mean())

    assert change("inside.png") < 0.7 * change("whole.png")
    assert edit("--seed", 7, "--set", "cold=+2", *COLD, "--region", "3,3", "--channels", 8, out="point.png") == 0


COLD = ["--directions", "cold.safetensors"]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "--set smile=+2"),
        (["--set", "cold"], "name=deviations"),
        (["--set", "cold=a lot"], "name=deviations"),
        (["--set", "cold=1,cold=2"], "twice"),
        (["--set", "cald=1", *COLD], "did you mean 'cold'"),
        (["--set", "cold=1"], "no direction 'cold'"),
        (["--set", "cold=1", "--hold", "cold", *COLD], "both changed and held"),
        (["--set", "cold=1", "--layers", "4-2", *COLD], "first to the last"),
        (["--set", "cold=1", "--layers", "few", *COLD], "such as 0-4"),
        (["--set", "cold=1", "--layers", "0-99", *COLD], "go from 0 to 5"),
        (["--set", "cold=1", "--directions", "missing.safetensors"], "cannot be read"),
        (["--set", "cold=1", "--directions", "tiny.safetensors"], "no directions"),
        (["--set", "cold=1", "--region", "lips", *COLD], "there is no part 'lips'"),
        (["--set", "cold=1", "--region", "missing.png", *COLD], "cannot be read as a picture"),
        (["--set", "cold=1", "--region", "black.png", *COLD], "region is empty"),
        (["--set", "cold=1", "--region", "99,3", *COLD], "outside the picture"),
        (["--set", "cold=1", "--region", "3,3", "--absolute", *COLD], "leave out --absolute"),
        (["--set", "cold=1", "--channels", "3", *COLD], "needs a --region"),
        (["--set", "cold=1", "--subject", "x.steer", "--space", "z"], "leave out --subject"),
    ],
)
def test_mistakes_are_one_line(args: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (16, 16), 0).save("black.png")
    assert edit(*args, out="never.png") == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert "\n" not in said
    assert not Path("never.png").exists()


def test_directions_of_another_checkpoint_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert edit("--set", "cold=1", *COLD, model="other.safetensors", out="never.png") == 2
    assert "fitted to other weights" in capsys.readouterr().err
    assert not Path("never.png").exists()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--attribute", "a", "--liked", "1-20", "--disliked", "21-24"], "only 4 negative examples"),
        (["--attribute", "a", "--liked", "1-20", "--disliked", "20-40"], "labelled twice"),
        (["--attribute", "a", "--liked", "1-20"], "both --liked and --disliked"),
        (["--liked", "1-20", "--disliked", "21-40"], "name it with one --attribute"),
        (["--attribute", "a", "--function", "nowhere:f"], "cannot be found"),
        (["--attribute", "a", "--function", "nowhere"], "MODULE:FUNCTION"),
        (["--attribute", "a", "--function", "os:getcwd", "--onnx", "x.onnx"], "exclude each other"),
        (["--attribute", "a", "--onnx", "x.onnx"], "no such file"),
        (["--attribute", "a", "--labels", "x.csv"], "cannot be read"),
        (["--attribute", "a", "--labels", "bad.csv"], "line 2"),
        (["--attribute", "a", "--labels", "ones.csv"], "all 1"),
        (["--attribute", "a", "--labels", "empty.csv"], "holds no labels"),
        (["--attribute", "a", "--real", "real"], "at least 50"),
        (["--attribute", "smiles"], "no score 'smiles'"),
        (["--samples", "50"], "too few"),
    ],
)
def test_bad_sources_are_one_line(args: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.csv").write_text("1,1\n2,yes\n")
    Path("ones.csv").write_text("".join(f"{seed},1\n" for seed in range(30)))
    Path("empty.csv").write_text("seed,label\n")
    Path("real").mkdir(exist_ok=True)
    for i in range(3):
        Image.new("RGB", (16, 16), (9 * i, 0, 0)).save(f"real/{i}.png")
    assert fit(*args, out="never.safetensors") == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert "\n" not in said
    assert not Path("never.safetensors").exists()


def test_the_shipped_model_has_its_directions() -> None:
    import gansteer
    from gansteer.edits.attribute.edit import sliders

    found = [slider.name for slider in sliders(gansteer.load("portraits", "cpu").sample(1))]
    assert {
        "age",
        "gender",
        "smile",
        "mouth_open",
        "eyes_closed",
        "yaw",
        "pitch",
        "hair_color",
        "hair_length",
        "skin_tone",
    } <= set(found)
    assert {f"pc:{i}" for i in range(1, 11)} <= set(found)
