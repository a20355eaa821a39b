"""Whether features follow points: on a generator that moves its picture by known amounts, and by the command."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.evaluation.tracking import Landmarks, tracking
from gansteer.models.code import Code
from gansteer.models.generator import Capabilities, FeatureFrame, Generator, LayerSpec
from gansteer.subject import Card, Model

SIZE = 64
POINTS = torch.stack(torch.meshgrid(torch.linspace(26, 38, 4), torch.linspace(26, 38, 17), indexing="xy"), -1).view(
    -1, 2
)
"""Where the landmarks are in the picture that is not moved: `[68, 2]`."""


@dataclass(frozen=True)
class Shape:
    """A generator of 64 px with eight rows of two numbers: how far to the right and down its picture is moved."""

    resolution: int = SIZE
    img_channels: int = 3
    z_dim: int = 2
    w_dim: int = 2
    num_ws: int = 8
    c_dim: int = 0


class Moving(Generator):
    """Its features are a random pattern, moved by whole pixels; the picture's levels say by how many."""

    architecture = "moving"
    capabilities = Capabilities()

    def __init__(self) -> None:
        super().__init__()
        self.config: Any = Shape()
        self.layers = (
            LayerSpec("blind", "conv", 0, 1, 4, FeatureFrame(32)),
            LayerSpec("small", "conv", 0, 1, 4, FeatureFrame(8)),
            LayerSpec("seeing", "conv", 0, 1, 4, FeatureFrame(SIZE)),
        )
        pattern = torch.randn(4, 3 * SIZE, 3 * SIZE, generator=torch.Generator().manual_seed(0))
        self.register_buffer("pattern", pattern)

    def moved(self, code: Code) -> Tensor:
        """Pixels `[B, 2]` (x, y), by the rows that a drag moves; the others have no say."""
        return self._rows(code)[:, 0].round().long()

    def mean_w(self) -> Tensor:
        return torch.zeros(2)

    def map_z(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return 30 * z.tanh()

    def style_map(self, layer: str) -> Any:
        return lambda w: w[:, :1]

    def synthesize(self, code: Code, **how: Any) -> Tensor:
        levels = torch.nn.functional.pad(self.moved(code) / SIZE, (0, 1))  # [B, 3]
        return levels[:, :, None, None].expand(-1, -1, SIZE, SIZE)

    def features(self, code: Code, layers: Any, **how: Any) -> dict[str, Tensor]:
        pattern = self.get_buffer("pattern")
        cuts = [pattern[:, SIZE - y : 2 * SIZE - y, SIZE - x : 2 * SIZE - x] for x, y in self.moved(code).tolist()]
        maps = {"seeing": torch.stack(cuts), "blind": torch.zeros(len(cuts), 4, 32, 32)}
        return {name: maps[name] for name in layers}


def landmarks(pictures: Tensor) -> Tensor:
    """`[B, 68, 2]`, as the picture says."""
    return POINTS + pictures[:, :2, 0, 0][:, None] * SIZE


def reader(model: Model) -> Landmarks:
    return landmarks


def test_points_are_followed_where_features_move_with_the_picture() -> None:
    model = Model(Card("moving"), Moving())
    told: list[tuple[int, int]] = []
    found = tracking(model, reader, 5, strength=0.3, seed=3, report=lambda *counts: told.append(counts))
    by_name = {layer.layer: layer for layer in found.layers}
    assert list(by_name) == ["none", "blind", "seeing"], "maps of less than 16 cells are too coarse to drag by"
    assert (by_name["seeing"].share, by_name["seeing"].median_error) == (1.0, 0.0)
    assert by_name["blind"] == type(by_name["blind"])("blind", by_name["none"].share, by_name["none"].median_error)
    motions = []
    for i in range(5):
        start, end = (model.sample(3 + 2 * i + j, 0.7).code.ws[0] for j in range(2))
        motions.append(((start + 0.3 * (end - start)).round() - start.round()).norm())
    assert found.points == 5 * 68
    assert found.median_motion == pytest.approx(float(torch.stack(motions).median()))
    assert by_name["none"].share == pytest.approx(sum(float(motion <= 2) for motion in motions) / 5)
    assert told == [(i, 5) for i in range(1, 6)]


def test_one_layer_alone() -> None:
    found = tracking(Model(Card("moving"), Moving()), reader, 1, layers=["seeing"])
    assert [layer.layer for layer in found.layers] == ["none", "seeing"]


@pytest.mark.parametrize("wrong", [{"moves": 0}, {"steps": 0}, {"strength": 0.0}, {"strength": 1.5}])
def test_what_cannot_be_measured_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be at least 1, and --strength"):
        tracking(Model(Card("moving"), Moving()), reader, **wrong)


@pytest.mark.slow
def test_the_command_says_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the shipped model, whose points move: some layer follows more of them than would be right by staying."""
    words = ["evaluate", "tracking", "--model", "portraits", "--moves", "1", "--device", "cpu"]
    assert main([*words, "--strength", "0.5", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{found['points']} points of portraits that move by {found['median_motion']:.1f} px")
    assert [line.split()[0] for line in lines[: len(found["layers"])]] == [row["layer"] for row in found["layers"]]
    for line, row in zip(lines, found["layers"], strict=False):
        assert f"{row['share']:.1%} within 2 px, median error {row['median_error']:.2f} px" in line
    none, *layers = found["layers"]
    assert none["layer"] == "none"
    assert found["points"] == 68
    assert max(row["share"] for row in layers) > none["share"]
