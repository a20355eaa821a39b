"""Models and subjects: the same seed is the same picture, rounding, offsets, sheets."""

import numpy as np
import pytest
import torch
from PIL import Image

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.sheet import sheet
from gansteer.subject import Subject, to_image
from support.tiny import smallest_model


def test_a_seed_is_a_picture():
    model = smallest_model()
    first, again, other = model.sample(3), model.sample(3), model.sample(4)
    assert torch.equal(first.render(), again.render())
    assert not torch.equal(first.render(), other.render())
    torch.manual_seed(123)  # PyTorch's own generator has no say
    assert torch.equal(model.sample(3).code.ws, first.code.ws)


def test_a_seed_is_the_same_picture_in_float64():
    torch.testing.assert_close(
        smallest_model(dtype=torch.float64).sample(7).render().float(),
        smallest_model().sample(7).render(),
        rtol=0,
        atol=1e-4,
    )


def test_a_sample_is_what_the_paper_says():
    model = smallest_model(dtype=torch.float64)
    z = torch.randn(1, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    w, mean = model.generator.mapping(z)[0], model.generator.mapping.w_mean
    expected = mean + 0.3 * (w - mean)
    subject = model.sample(5, psi=0.3)
    torch.testing.assert_close(subject.code.ws, expected.expand(4, 5))
    torch.testing.assert_close(subject.render(), model.generator.synthesize(Code(expected.expand(1, 4, 5)))[0])


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range(seed):
    with pytest.raises(UserError, match="seed must be from 0 to 4294967295"):
        smallest_model().sample(seed)


def test_the_largest_seed():
    assert smallest_model().sample(2**32 - 1).code.ws.isfinite().all()


def test_labels():
    model = smallest_model(c_dim=3)
    assert not torch.equal(model.sample(0, label=0).code.ws, model.sample(0, label=2).code.ws)
    for label in (None, -1, 3):
        with pytest.raises(UserError, match="give a label from 0 to 2"):
            model.sample(0, label=label)
    with pytest.raises(UserError, match="has no classes"):
        smallest_model().sample(0, label=0)


def test_offsets_move_the_styles():
    model = smallest_model()
    plain = model.sample(0)
    name = "b8.conv0"
    styles = model.generator.styles(plain.code)
    offset = torch.linspace(-1, 1, styles[name].shape[1])
    moved = Subject(model, Code(plain.code.ws, {name: offset}))
    styles[name] = styles[name] + offset
    torch.testing.assert_close(moved.render(), model.generator.synthesis(styles)[0])
    assert not torch.equal(moved.render(), plain.render())


def test_pictures_round_to_the_nearest_level():
    levels = torch.arange(256, dtype=torch.float64)
    values = (levels - 127.5) / 127.5
    nearly = values + 0.49 / 127.5
    picture = torch.stack([values, nearly, values - 0.49 / 127.5])[:, None]  # [3, 1, 256]
    array = np.array(to_image(picture))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.arange(256)[None, :, None].repeat(3, 2))
    beyond = to_image(torch.tensor([-7.0, 7.0]).expand(3, 1, 2))
    np.testing.assert_array_equal(np.array(beyond), [[[0, 0, 0], [255, 255, 255]]])


def test_a_picture_of_one_channel_is_grey():
    assert smallest_model(img_channels=1).sample(0).image.mode == "L"
    assert smallest_model().sample(0).image.mode == "RGB"
    assert smallest_model().sample(0).image.size == (8, 8)


@pytest.mark.parametrize(
    ("count", "columns", "size"), [(5, None, (3, 2)), (4, None, (2, 2)), (5, 2, (2, 3)), (1, 4, (4, 1))]
)
def test_sheets(count, columns, size):
    page = sheet([Image.new("RGB", (2, 3), (i + 1, 0, 0)) for i in range(count)], columns)
    assert page.size == (size[0] * 2, size[1] * 3)
    found = np.array(page)[::3, ::2, 0].ravel()
    np.testing.assert_array_equal(found, [*range(1, count + 1), *[0] * (size[0] * size[1] - count)])
