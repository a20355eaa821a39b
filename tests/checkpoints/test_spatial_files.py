"""Spatial models in our own format: the same pictures from the same seeds, and configurations that cannot be."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file as read_tensors
from safetensors.torch import save_file

from gansteer.checkpoints.files import load_file
from gansteer.checkpoints.native import save_model
from gansteer.errors import UserError
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.subject import Card, Model


def tiny(**changes):
    torch.manual_seed(0)
    shape = {"z_dim": 4, "w_dim": 5, "channel_base": 64, "channel_max": 4, "mapping_layers": 2, "blob_dim": 3}
    generator = SpatialGenerator(SpatialConfig(16, **shape, **changes)).eval().requires_grad_(False)  # type: ignore[arg-type]
    generator.mapping.w_mean.normal_()
    return Model(Card(name="tiny rooms"), generator)


@pytest.mark.parametrize(
    "changes",
    [{}, {"encoding": "published", "law": "hierarchical"}, {"noise": False, "mean_rows": 3, "blobs": 2}],
    ids=str,
)
def test_round_trip_is_exact(tmp_path, changes):
    model = tiny(**changes)
    save_model(model, tmp_path / "x")
    again = load_file(tmp_path / "x", "cpu", torch.float32)
    assert again.card == model.card
    assert again.generator.config == model.generator.config
    one, other = model.sample(3), again.sample(3)
    assert one.code.layout.blobs == other.code.layout.blobs
    assert torch.equal(one.render(), other.render())
    save_model(again, tmp_path / "y")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"blobs": 1000},
        {"blobs": -1},
        {"encoding": "global"},
        {"drop": 2},
        {"top": -0.5},
        {"blob_dim": 10**6},
        {"noise": "no"},
    ],
    ids=str,
)
def test_configurations_that_cannot_be_are_refused(tmp_path, wrong):
    path = tmp_path / "x"
    save_model(tiny(), path)
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["gansteer"])
    about["config"] |= wrong
    save_file(read_tensors(path), path, metadata={"gansteer": json.dumps(about)})
    with pytest.raises(UserError, match=str(path)) as error:
        load_file(path, "cpu", torch.float32)
    assert "\n" not in str(error.value)
