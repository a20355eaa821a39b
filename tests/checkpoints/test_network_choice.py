"""`--network` where a file of several networks is one of a folder, or what a training goes on from."""

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import dump_nvidia, nvidia_discriminator, nvidia_generator

from gansteer.checkpoints.files import load_file
from gansteer.checkpoints.native import save_model
from gansteer.errors import UserError
from gansteer.studio.catalogue import Catalogue
from gansteer.training.config import TrainConfig
from gansteer.training.folder import read_start
from gansteer.training.generators import StyleGAN2Training
from support.tiny import smallest_model

SHAPE: dict[str, Any] = {"z_dim": 4, "w_dim": 4, "mapping_layers": 1, "channel_base": 32, "channel_max": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of two networks in one file, of one in another, and of our own file."""
    torch.manual_seed(0)
    shape = {"resolution": 8, "z_dim": 4, "w_dim": 4, "base": 32, "maximum": 4, "depth": 1}
    folder = tmp_path / "models"
    folder.mkdir()
    dump_nvidia(
        folder / "both.pkl", G=nvidia_generator(**shape), D=nvidia_discriminator(), G_ema=nvidia_generator(**shape)
    )
    dump_nvidia(folder / "one.pkl", G_ema=nvidia_generator(**shape))
    save_model(smallest_model(), folder / "own.safetensors")
    return folder


def test_the_studio_takes_the_one_that_is_named(folder: Path) -> None:
    usual, chosen = (Catalogue(folder, "cpu", folder / "none", network=name) for name in (None, "G"))
    assert [info.name for info in chosen.infos] == [info.name for info in usual.infos] == ["both", "one", "tiny"]
    assert not chosen.skipped
    both = folder / "both.pkl"
    assert chosen.load("both").digest == load_file(both, "cpu", network="G").digest
    assert usual.load("both").digest == load_file(both, "cpu", network="G_ema").digest != chosen.load("both").digest
    assert chosen.load("one").digest == usual.load("one").digest
    wrong = Catalogue(folder, "cpu", folder / "none", network="D")
    assert [info.name for info in wrong.infos] == ["one", "tiny"]
    assert len(wrong.skipped) == 1
    assert "both.pkl" in wrong.skipped[0]


def test_training_goes_on_from_the_one_that_is_named(folder: Path) -> None:
    both = folder / "both.pkl"
    for name in ("G", "G_ema"):
        config = TrainConfig(folder, folder / "run", resolution=8, loss="stylegan2", grow=both, network=name, **SHAPE)
        start, discriminator = read_start(both, config, StyleGAN2Training(config), 0)
        wanted = load_file(both, "cpu", network=name).generator.state_dict()
        assert discriminator is None
        assert all(torch.equal(x, wanted[key]) for key, x in start.state_dict().items())
    with pytest.raises(UserError, match="--network says which network of a file to --grow from"):
        TrainConfig(folder, folder / "run", network="G")
    (folder / "run").mkdir()
    (folder / "run" / "checkpoint.pt").touch()
    config = TrainConfig(folder, folder / "new", grow=folder / "run", network="G")
    with pytest.raises(UserError, match="leave --network out"):
        read_start(folder / "run", config, StyleGAN2Training(config), 0)
