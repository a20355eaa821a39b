"""Heads that follow the first blob, or half the way, or not at all: a rendered portrait that is laid where the blob is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.errors import UserError
from gansteer.evaluation.layout import SceneBlob, Variant
from gansteer.evaluation.layout_face import examine, levels_of, of_record, rows, to_record
from gansteer.evaluation.layout_measures import disc
from gansteer.evaluation.layout_scene import SubjectScene
from support.layouts import tiny_model

PORTRAITS = Path(__file__).parent.parent / "data" / "portraits"
SIZE = 96


@dataclass(frozen=True)
class Portrait:
    """A portrait that goes `gain` of the way of the first blob; the second one makes a place darker."""

    picture: Tensor
    eye: tuple[float, float]
    gain: float = 1.0
    size: int = SIZE

    @property
    def blobs(self) -> Sequence[SceneBlob]:
        return [SceneBlob(0, SIZE / 2, SIZE / 2, 30.0), SceneBlob(1, *self.eye, 8.0)]

    def heat(self, number: int) -> Tensor:
        raise NotImplementedError

    def draw(self, variants: Sequence[Variant]) -> Tensor:
        return torch.stack([self.drawn(v.move or (0, 0.0, 0.0)) for v in variants])

    def drawn(self, move: tuple[int, float, float]) -> Tensor:
        number, dx, dy = move
        if number == 1:
            x = self.picture.clone()
            x[:, disc(SIZE, self.eye, 8.0)] *= 0.5
            return x
        shift = torch.tensor([[[1, 0, -2 * self.gain * dx / SIZE], [0, 1, -2 * self.gain * dy / SIZE]]])
        grid = F.affine_grid(shift, [1, 3, SIZE, SIZE], align_corners=False)
        return F.grid_sample(self.picture[None], grid, padding_mode="border", align_corners=False)[0]


def portrait(gain: float) -> Portrait:
    label = json.loads((PORTRAITS / "labels.jsonl").read_text().splitlines()[0])
    with Image.open(PORTRAITS / Path(label["file"]).name) as opened:
        small = opened.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    eye = np.array(label["lm"])[36:42].mean(axis=0) * SIZE / 256
    return Portrait(
        torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1, (float(eye[0]), float(eye[1])), gain
    )


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.0])
def test_the_head_is_seen_to_go_as_far_as_it_does(gain):
    detector = load_face_detector()
    records = [of_record(json.loads(json.dumps(to_record(examine(portrait(gain), (1, 2), detector, seed)))))
               for seed in range(8)]  # fmt: skip
    found = {row.name: row.value.value for row in rows(records)}
    assert found["a face is found"] == 1
    assert found["after the move still a face"] == 1
    assert found["head: displacement slope"] == pytest.approx(gain, abs=0.08)
    if gain == 1:
        assert found["head: displacement R2"] > 0.95
        assert found["head: displacement within 10 % of the width"] == 1
    assert found["level 2: change outside over inside"] < 0.01
    assert found["level 2: change of eyes and mouth over that of the rest"] > 5  # what it darkens is an eye


def test_independent_blobs_are_refused():
    model = tiny_model()
    with pytest.raises(UserError, match="evaluate layout"):
        levels_of(SubjectScene(model.sample(0)))
    assert levels_of(SubjectScene(tiny_model(law="hierarchical").sample(0))) == [1, 2, 2, 3, 3, 3, 3]
