"""Two processes under torchrun, with gloo on the CPU, against one process with the joined batch."""

import json
import os
import subprocess
import sys

import pytest
import torch
from small_runs import TINY

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.training.augment import diffaugment
from gansteer.training.choice import generator_training
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import ProcessGroup, StepRandom
from gansteer.training.losses import generator_logistic
from gansteer.training.networks import build_networks
from gansteer.training.run import train

FLAGS = {**TINY, "images": 32, "batch": 16, "g_lr": 1e-4, "d_lr": 1e-4}
SECONDS = 300


def under_torchrun(data, out, **flags):
    """`gansteer train` in two processes; torchrun picks a free port by itself (`--standalone`)."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "gansteer", "train", "--data", str(data), "--out", str(out)]
    for name, value in flags.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [{"augment": "ada", "path_length": 2.0}, {"loss": "projected", "anchor": 0.5}],
    ids=["stylegan2", "anchored"],
)
def test_two_processes_are_one(pictures, tmp_path, flags):
    under_torchrun(pictures, tmp_path / "two", **{**FLAGS, **flags})
    list(train(TrainConfig(pictures, tmp_path / "one", **{**FLAGS, **flags})))
    reports, states = [], []
    for out in (tmp_path / "one", tmp_path / "two"):
        (line,) = (out / "log.jsonl").read_text().splitlines()
        reports.append(json.loads(line))
        states.append(torch.load(out / "checkpoint.pt", weights_only=True))
    one, two = reports
    assert one.keys() == two.keys()
    losses = [name for name in one if "/" in name]
    assert ("loss/r1" in losses) == ("loss" not in flags)
    for name in losses:
        assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
    torch.testing.assert_close(states[1]["mean_length"], states[0]["mean_length"], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(states[1]["g"]["mapping.w_mean"], states[0]["g"]["mapping.w_mean"], rtol=1e-5, atol=1e-7)
    apart = [(states[1]["ema"][name] - value).abs().flatten() for name, value in states[0]["ema"].items()]
    # In single precision the features' kinks move gradients by 0.1 %, and Adam's first steps follow their signs alone.
    assert torch.cat(apart).mean() < 0.1 * FLAGS["g_lr"]


@pytest.mark.parametrize("loss", ["stylegan2", "projected"])
def test_the_mean_gradient_of_shares_is_the_joint_gradient(tiny, loss):
    """In float64, where nothing is lost in rounding: noise, augmentation and both kinds of group statistics."""
    config = tiny(batch=16, loss=loss)
    nets = build_networks(config, generator_training(config), 0, torch.device("cpu"))
    g, d = nets.g.double(), nets.d.double().eval()  # eval: the power iteration stands still
    parameters = [p for p in (*g.parameters(), *d.parameters()) if p.requires_grad]

    def gradient(group):
        random = StepRandom(0, 0, 0, config.batch, group, torch.device("cpu"))
        fakes = g.synthesize(Code(g.map(random.normal(4).double())), noise=lambda b, r: random.noise(b, r).double())
        value = generator_logistic(d(diffaugment(fakes, random).pictures))
        found = torch.autograd.grad(value, parameters, allow_unused=True)
        return [torch.zeros_like(p) if f is None else f for p, f in zip(parameters, found, strict=True)]

    for joint, a, b in zip(
        gradient(ProcessGroup()), gradient(ProcessGroup(0, 2)), gradient(ProcessGroup(1, 2)), strict=True
    ):
        torch.testing.assert_close((a + b) / 2, joint, rtol=1e-9, atol=1e-12)


def test_a_batch_that_cannot_be_shared(tiny, monkeypatch):
    monkeypatch.setattr("gansteer.training.run.join_processes", lambda device: ProcessGroup(0, 2))
    config = tiny(batch=3)
    with pytest.raises(UserError, match="--batch 3 cannot be shared by 2 processes"):
        list(train(config))
    assert not config.out.exists()
