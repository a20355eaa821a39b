"""Faces put into a photo at known places come out aligned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from gansteer.checkpoints.mtcnn import load_face_detector
from gansteer.checkpoints.registry import load
from gansteer.edits.inversion.align import Aligner, model_template, turned_back
from gansteer.edits.inversion.crop import Crop, cut, paste
from gansteer.errors import UserError
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model

PORTRAITS = Path(__file__).parent.parent / "data" / "portraits"
TEMPLATE = torch.tensor([[0.395, 0.42], [0.61, 0.42], [0.505, 0.556], [0.41, 0.664], [0.593, 0.664]])


@pytest.fixture(scope="module")
def aligner():
    return Aligner(TEMPLATE, load_face_detector())


def portrait(name):
    with Image.open(PORTRAITS / name) as opened:
        return opened.convert("RGB")


def test_a_face_is_found_wherever_it_is_put(aligner):
    head = portrait("h00001.jpg")
    alone = aligner.align(head).crop
    photo = Image.new("RGB", (900, 600), (90, 110, 130))
    for place in (Crop(250, 300, 300, 0), Crop(600, 250, 380, 12), Crop(300, 280, 200, -15)):
        found = aligner.align(paste(photo, place, head, feather=0.01)).crop
        scale = place.size / head.width
        assert abs(found.size - alone.size * scale) < 0.08 * place.size
        assert abs(found.angle - alone.angle - place.angle) < 5
        away = np.hypot(found.x - place.x, found.y - place.y)
        assert away < np.hypot(alone.x - 127.5, alone.y - 127.5) * scale + 0.08 * place.size


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270])
def test_a_photo_on_its_side_that_does_not_say_so(aligner, turn):
    """The crop's own turn takes the face upright out of the photo as it lies there."""
    photo = paste(Image.new("RGB", (500, 400), (90, 110, 130)), Crop(220, 190, 300), portrait("h00001.jpg"), 0.01)
    upright = aligner.align(photo)
    assert upright.turned == 0
    found = aligner.align(photo.transpose(turn))
    assert f"turned by {found.turned} degrees" in found.note
    a, b = (cut(p, f.crop, 64).float() for p, f in ((photo, upright), (photo.transpose(turn), found)))
    assert float((a - b).abs().mean()) < 6
    assert float((a - b.flip(0, 1)).abs().mean()) > 20


@pytest.mark.parametrize("quarters", range(4))
def test_points_are_turned_back(quarters):
    picture = torch.arange(15.0).view(1, 3, 5)  # 5 wide, 3 high
    turned = torch.rot90(picture, quarters, (1, 2))
    for y in range(turned.shape[1]):
        for x in range(turned.shape[2]):
            back = turned_back(torch.tensor([float(x), float(y)]), quarters, 5, 3)
            assert picture[0, int(back[1]), int(back[0])] == turned[0, y, x]


def test_several_faces_the_largest_first(aligner):
    photo = Image.new("RGB", (800, 400), (90, 110, 130))
    photo = paste(photo, Crop(150, 200, 200), portrait("h00006.jpg"), 0.01)
    photo = paste(photo, Crop(550, 200, 380), portrait("h00001.jpg"), 0.01)
    found = aligner.align(photo)
    assert len(found.faces) == 2
    assert found.note == "found 2 faces and took the largest"
    assert found.crop.x > 400
    second = aligner.align(photo, face=2)
    assert second.crop.x < 300
    assert "number 2" in second.note
    with pytest.raises(UserError, match="there is no face 3: 2 were found"):
        aligner.align(photo, face=3)


def test_no_face(aligner):
    with pytest.raises(UserError, match="no face was found"):
        aligner.align(Image.new("RGB", (300, 200), (90, 110, 130)))
    with pytest.raises(UserError, match="no face was found"):
        aligner.align(Image.fromarray(data.coffee()))


def test_a_photograph(aligner):
    """scikit-image's astronaut: her eyes are near (195, 107) and (248, 103), as one sees in the picture."""
    found = aligner.align(Image.fromarray(data.astronaut()))
    crop = found.crop
    assert len(found.faces) == 1
    assert abs(crop.x - 224) < 15
    assert abs(crop.y - 122) < 25
    assert 170 < crop.size < 300
    assert cut(Image.fromarray(data.astronaut()), crop, 64).shape == (64, 64, 3)


def test_a_model_that_draws_no_faces():
    torch.manual_seed(0)
    config = GeneratorConfig(resolution=32, z_dim=4, w_dim=5, channel_base=64, channel_max=4, mapping_layers=2)
    model = Model(Card("noise"), StyleGAN2Generator(config).eval().requires_grad_(False))
    with pytest.raises(UserError, match="noise draws no faces that could be aligned to: give --crop"):
        model_template(model, load_face_detector())


def test_the_shipped_models_own_framing():
    """Whatever its weights are: eyes side by side, the nose between them and the mouth, about the middle."""
    left, right, nose, mouth_left, mouth_right = Aligner.of(load("portraits", "cpu")).template.tolist()
    assert 0.15 < right[0] - left[0] < 0.35
    assert abs(right[1] - left[1]) < 0.06
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    assert abs((left[0] + right[0]) / 2 - 0.5) < 0.08
