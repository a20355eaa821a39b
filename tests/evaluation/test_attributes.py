"""The attributes' tables against slow references; comparisons that are exact by construction."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import gansteer
from gansteer.checkpoints.directions import own_directions
from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.readers import FACES
from gansteer.cli import main
from gansteer.commands.evaluate_attributes import Attributes, read_columns
from gansteer.directions import Direction, Directions
from gansteer.edits.attribute.fitting import Samples
from gansteer.edits.attribute.portrait_scores import LIGHTNESS, PORTRAIT_SCORES, PortraitScorer
from gansteer.errors import UserError
from gansteer.evaluation import attributes
from gansteer.evaluation.attributes import accuracy_of, correlations, cosines
from gansteer.evaluation.records import append, read_records, resume
from gansteer.evaluation.regions import (
    NO_PART,
    Bench,
    Comparison,
    Measured,
    Task,
    interval,
    of_record,
    outside,
    reached,
    seam,
    summed_up,
    tasks,
    to_record,
)
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model


def test_accuracy_is_counted_as_the_paper_counts() -> None:
    rng = np.random.default_rng(0)
    w = torch.from_numpy(rng.normal(size=(1000, 4)))
    scores = w[:, 0].numpy() + rng.normal(size=1000)
    n = torch.tensor([1.0, 0, 0, 0])
    directions = Directions("m", "d", (Direction("a", "w", n, 1.0),))
    found = accuracy_of(directions, "a", "w", Samples(w, w, w, {"a": scores}))
    ranked = sorted(range(1000), key=lambda i: scores[i])
    low, high, rest = ranked[:50], ranked[-50:], ranked[50:-50]
    right = sum(float(w[i, 0]) < 0 for i in low) + sum(float(w[i, 0]) > 0 for i in high)
    assert found.extremes == right / 100
    middle = (scores.min() + scores.max()) / 2
    assert found.all == sum((float(w[i, 0]) > 0) == (scores[i] > middle) for i in rest) / 900
    assert found.correlation == pytest.approx(np.corrcoef(w[:, 0], scores)[0, 1])


def test_matrices_against_numpy() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 200))
    x[1] += x[0]
    assert np.allclose(correlations(list(x)), np.corrcoef(x))
    holes = x.copy()
    holes[2, ::3] = np.nan
    kept = np.arange(200) % 3 != 0
    assert correlations(list(holes))[0][2] == pytest.approx(np.corrcoef(x[0, kept], x[2, kept])[0, 1])
    unit = torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True))
    assert np.allclose(cosines(list(unit)), unit.numpy() @ unit.numpy().T)


def test_the_cut_counts_unwanted_changes_only() -> None:
    plain = np.array([[2.0, 1.0, 0.1], [0.4, -1.0, 0.0], [0.0, 0.0, 1.0]])
    held = np.array([[1.0, 0.1, 0.9], [0.1, -0.5, 0.9], [0.9, 0.9, 1.0]])
    found = attributes.summed_up(plain, held)
    assert found.entangled == 2  # 1.0 of 2.0 and 0.4 of 1.0; 0.1 of 2.0 is little
    assert found.unwanted_plain == pytest.approx((0.5 + 0.4) / 2)
    assert found.unwanted_held == pytest.approx((0.1 + 0.2) / 2)
    assert found.cut == pytest.approx(1 - 0.15 / 0.45)
    assert found.cut_at_equal_strength == pytest.approx(1 - 0.1 / 0.7)


def test_a_seam_is_the_jump_over_the_border() -> None:
    rng = np.random.default_rng(0)
    change, mask = torch.from_numpy(rng.normal(size=(3, 6, 7))), torch.from_numpy(rng.random((6, 7)) > 0.5)
    jumps = [
        float((change[:, y, x] - change[:, v, u]).abs().mean())
        for y in range(6) for x in range(7) for v, u in ((y + 1, x), (y, x + 1))
        if v < 6 and u < 7 and mask[y, x] != mask[v, u]
    ]  # fmt: skip
    assert seam(change, mask) == pytest.approx(float(np.mean(jumps)))
    rest = [float(change[:, y, x].abs().mean()) for y in range(6) for x in range(7) if not mask[y, x]]
    assert outside(change, mask) == pytest.approx(float(np.mean(rest)))
    assert outside(change * mask, mask) == 0  # what pasting into the region does
    assert seam(change * mask, mask) > 0


def test_the_strength_that_reaches_a_change() -> None:
    assert reached(lambda x: x**2, 2.0, 1.0) == pytest.approx(2**0.5, abs=0.02)
    assert reached(lambda x: x / 10, 0.02, 2.0) == pytest.approx(0.2, abs=0.02)
    assert reached(lambda x: min(x, 3.0), 9.0, 1.0) == 3.0  # out of reach: the nearest


def test_intervals_hold_the_mean_of_most_resamplings() -> None:
    values = np.random.default_rng(1).normal(5, 1, size=100)
    found = interval(values)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.15)
    assert interval(values, values).low == pytest.approx(1.0)


def test_regions_are_summed_up_over_the_pictures_that_could_be_compared(tmp_path: Path) -> None:
    """The methods' leaks are in fixed proportions, picture by picture; one of four pictures is left out."""
    rng = np.random.default_rng(0)
    found = []
    for task in tasks(4, 10, [("mouth", "smile"), ("hair", "hair_color")]):
        leak = float(rng.uniform(1, 2))
        row = {"intervention": Measured(0.3, leak, 1.0), "w": Measured(0.3 if task.seed % 2 else 0.4, 6 * leak, 2.0)}
        if task.seed < 12:
            row["sparse"] = Measured(0.3, 2 * leak, 3.0)
        found.append(
            Comparison(task, None, NO_PART) if task == Task("hair", "hair_color", 13) else Comparison(task, row)
        )
    assert [(c.task.region, c.task.seed) for c in found[:3]] == [("mouth", 10), ("hair", 10), ("mouth", 11)]
    path = tmp_path / "records.jsonl"
    resume(path, {"of": 1}, of_record)
    for comparison in found:
        append(path, to_record(comparison))
    kept = resume(path, {"of": 1}, of_record)
    assert kept == found
    model = tiny_of_three_classes()
    bench = Bench(model, Directions("tiny", model.digest, ()), lambda pictures: {}, {"smile": 0.1, "hair_color": 0.2})
    report = summed_up(bench, 4, 10, kept)
    assert report.tried == {"mouth: smile": 4, "hair: hair_color": 4}
    assert report.left_out == {"mouth: smile": 0, "hair: hair_color": 1}
    assert report.reasons == {"mouth: smile": {}, "hair: hair_color": {NO_PART: 1}}
    by = {(m.region, m.method): m for m in report.methods}
    assert by["mouth", "w"].times.low == pytest.approx(6)
    assert by["mouth", "w"].times.high == pytest.approx(6)
    assert by["mouth", "sparse"].pictures == 2
    assert by["mouth", "w"].matched == 2
    assert by["hair", "w"].pictures == 3
    assert by["hair", "intervention"].gain == pytest.approx(1.5)
    assert by["mouth", "w"].outside.value == pytest.approx(
        6 * np.mean([c.found["intervention"].outside for c in kept if c.found and c.task.region == "mouth"])
    )
    with pytest.raises(UserError, match="no region was found"):
        summed_up(bench, 4, 10, [Comparison(Task("mouth", "smile", 1), None)])
    for text in ("{}\n[1, 2]\n", '{}\n["mouth", "smile", 1, {"w": [1, 2]}, ""]\n'):
        path.write_text(text)
        with pytest.raises(UserError, match="no file of records"):
            read_records(path, of_record)


def tiny_of_three_classes() -> Model:
    torch.manual_seed(0)
    config = GeneratorConfig(32, z_dim=32, w_dim=32, c_dim=3, channel_base=256, channel_max=8, mapping_layers=2)
    return Model(Card("tiny"), StyleGAN2Generator(config).eval().requires_grad_(False))


def test_a_class_is_measured_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a random model, whose pictures the reader makes something up of."""
    monkeypatch.chdir(tmp_path)
    save_model(tiny_of_three_classes(), Path("tiny.safetensors"))
    of_it = ["--model", "tiny.safetensors", "--device", "cpu"]
    assert main(["directions", "fit", *of_it, "--label", "1", "--samples", "160", "--attribute", "smile", "--attribute", "age",
                 "--out", "d.safetensors"]) == 0  # fmt: skip
    measure = ["evaluate", "attributes", *of_it, "--directions", "d.safetensors", "--samples", "40", "--pictures", "2",
               "--regions", "0", "--json", "report.json"]  # fmt: skip
    drawn = []
    for label in ("1", "2"):
        assert main([*measure, "--label", label]) == 0
        drawn.append(json.loads(Path("report.json").read_text())["attributes"])
    assert drawn[0]["names"] == ["age", "smile"]
    assert drawn[0]["deviations"] != drawn[1]["deviations"]
    assert main([*measure, "--label", "7"]) == 2
    assert "give a label from 0 to 2" in capsys.readouterr().err


def test_scores_carry_what_the_reader_reads() -> None:
    reader = FACES.load()
    picture = gansteer.load("portraits", "cpu").sample(3).render()[None]
    faces, scores = reader.read(picture), PortraitScorer(reader)(picture)
    assert tuple(scores) == PORTRAIT_SCORES
    assert float(scores["smile"]) == float(faces.smile)
    assert float(scores["hair_length"]) == float(faces.hair_length)
    p = faces.landmarks[0].double().detach().numpy()
    lids, widths = [(37, 41), (38, 40), (43, 47), (44, 46)], [(36, 39), (36, 39), (42, 45), (42, 45)]
    shares = [
        np.linalg.norm(p[i] - p[j]) / np.linalg.norm(p[k] - p[m]) for (i, j), (k, m) in zip(lids, widths, strict=True)
    ]
    from_the_front = float(np.mean(shares)) * math.cos(math.radians(float(faces.yaw)))
    assert float(scores["eyes_wide"]) == pytest.approx(from_the_front, rel=1e-4)
    wanted = sum(p * light for p, light in zip(faces.hair_color[0].tolist(), LIGHTNESS, strict=True))
    assert float(scores["hair_color"]) == pytest.approx(wanted, rel=1e-5)


def test_the_command_measures_the_shipped_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Small enough to be quick; the full table is in docs/attributes.md."""
    labels, report = tmp_path / "labels.csv", tmp_path / "report.json"
    labelled = [name for name in PORTRAIT_SCORES if name != "eyes_wide"]
    rows = np.random.default_rng(0).normal(size=(30, len(labelled))).round(3).astype(str).tolist()
    rows[4][2] = ""
    labels.write_text("\n".join([",".join(labelled), *(",".join(row) for row in rows)]))
    # Two pictures with one region are left to do, one for each process.
    records, model = tmp_path / "records.jsonl", gansteer.load("portraits", "cpu")
    command, bench = Attributes(model="portraits"), Bench(model, own_directions(model), lambda pictures: {}, {})
    resume(records, command.about(bench), of_record)
    here = own_directions(model).names("s")
    wanted_tasks = [task for task in tasks(2) if task.attribute in here]
    for task in wanted_tasks:
        if task.attribute != "mouth_open":
            append(records, to_record(Comparison(task, None, NO_PART)))
    measure = ["evaluate", "attributes", "--model", "portraits", "--device", "cpu", "--samples", "200", "--pictures", "8",
               "--regions", "2", "--processes", "2", "--records", str(records), "--labels", str(labels),
               "--json", str(report)]  # fmt: skip
    assert main(measure) == 0
    inside = json.loads(report.read_text())["regions"]
    assert set(inside["tried"].values()) == {2}
    assert inside["left_out"]["mouth: mouth_open"] == 0
    by = {m["method"]: m for m in inside["methods"]}
    assert set(by) == {"w", "s", "blended", "intervention", "sparse"}
    assert all(m["pictures"] == 2 for m in by.values())
    assert by["w"]["gain"] == pytest.approx(by["intervention"]["gain"], rel=0.02)
    assert by["w"]["times"]["value"] > 2
    assert len(records.read_text().splitlines()) == 1 + len(wanted_tasks)
    found = json.loads(report.read_text())["attributes"]
    assert found["names"] == labelled
    assert "eyes_wide" in found["deviations"]
    assert set(found["cosine"]) == {"z", "w", "s"}
    accuracy = {(a["name"], a["space"]): a["extremes"] for a in found["accuracy"]}
    assert accuracy["yaw", "w"] > 0.8
    wanted = np.diag(found["rescoring"]["plain"])
    assert (wanted > 0.1).sum() >= 8  # attributes rise when they are turned up
    assert found["rescoring"]["unwanted_held"] < found["rescoring"]["unwanted_plain"]
    assert "holding leaves" in capsys.readouterr().out
    assert main([*measure, "--seed", "5"]) == 2
    assert "of other weights or settings" in capsys.readouterr().err


def test_labels_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.csv"
    for text, complaint in (
        ("", "holds no labels"),
        ("a,b\n1,x\n", "every field is a number"),
        ("a,b\n1\n", "every field"),
    ):
        path.write_text(text)
        if text == "a,b\n1\n":
            assert np.isnan(read_columns(path)["b"]).all()
            continue
        with pytest.raises(UserError, match=complaint):
            read_columns(path)
    for flags, complaint in ((["--regions", "1"], "at least 2"), (["--json", "x.txt"], "ends in .json"),
        (["--processes", "0"], "from 1 to 64"), (["--minutes", "0"], "above 0"), (["--records", "x.json"], "ends in .jsonl"),
    ):  # fmt: skip
        assert main(["evaluate", "attributes", "--model", "portraits", *flags]) == 2
        assert complaint in capsys.readouterr().err
