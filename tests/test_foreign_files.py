"""Files of other programs in the shell: networks, latents, tuned generators and seeds, each with the right picture."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "checkpoints"))
from checkpoint_files import dump_nvidia, nvidia_generator

from gansteer.checkpoints.files import load_file
from gansteer.cli import main
from gansteer.models.code import Code
from gansteer.steerfile import open_subject
from gansteer.subject import to_image


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command line in a folder of its own: exit code, what it printed, what it complained."""
    monkeypatch.chdir(tmp_path)

    def go(*args):
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, out, err

    return go


@pytest.fixture
def pair(tmp_path):
    """A generator, and a tuned copy of it."""
    torch.manual_seed(0)
    network = nvidia_generator(clamp=256)
    dump_nvidia(tmp_path / "net.pkl", G_ema=network)
    network.synthesis.b8.conv1.weight.data += 0.3 * torch.randn(network.synthesis.b8.conv1.weight.shape)
    network.synthesis.b16.torgb.bias.data += 0.2
    dump_nvidia(tmp_path / "tuned.pkl", G_ema=network)
    return load_file(tmp_path / "net.pkl", "cpu"), load_file(tmp_path / "tuned.pkl", "cpu")


def drawn(model, w):
    with torch.no_grad():
        return np.asarray(to_image(model.generator.synthesize(Code(w[None]))[0]))


def stored(name):
    return np.asarray(Image.open(name))


def test_a_latent_of_another_program(run, pair):
    model, tuned = pair
    w = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    np.savez("projected_w.npz", w=w[None].numpy())
    torch.save(w[None], "0.pt")
    np.save("one.npy", w[:1].numpy())
    for name, wanted in (("projected_w.npz", w), ("0.pt", w), ("one.npy", w[:1].expand(6, -1))):
        assert run("sample", "--model", "net.pkl", "--subject", name, "--out", "a.png")[0] == 0
        np.testing.assert_array_equal(stored("a.png"), drawn(model, wanted))

    # PTI's pair, either way.
    assert run("sample", "--model", "tuned.pkl", "--subject", "0.pt", "--out", "a.png")[0] == 0
    np.testing.assert_array_equal(stored("a.png"), drawn(tuned, w))
    words = ("--model", "net.pkl", "--subject", "0.pt", "--tuned", "tuned.pkl")
    assert run("sample", *words, "--out", "a.png")[0] == 0
    assert np.abs(stored("a.png").astype(int) - drawn(tuned, w)).max() <= 1
    assert np.abs(drawn(tuned, w).astype(int) - drawn(model, w)).max() > 10

    # It is edited and kept as any other subject.
    code, out, _ = run("drag", *words, "--point", "5,5:7,5", "--steps", "1", "--layer", "b8.conv1", "--out", "d.steer")
    assert code == 0, out
    kept = open_subject(Path("d.steer"), lambda name: model)
    assert kept.tuning is not None
    assert run("sample", "--model", "net.pkl", "--subject", "d.steer", "--out", "d.png")[0] == 0
    np.testing.assert_array_equal(stored("d.png"), np.asarray(kept.image))


@pytest.mark.parametrize("ending", [".npz", ".npy", ".pt", ".safetensors"])
def test_a_latent_for_other_programs(run, pair, ending):
    model, _ = pair
    assert run("sample", "--model", "net.pkl", "--seeds", "3", "--out", "x.steer")[0] == 0
    code, out, err = run("export", "--model", "net.pkl", "--subject", "x.steer", "--out", f"w{ending}")
    assert (code, err) == (0, "")
    assert out == f"wrote w{ending}: w+ [1, 6, 5] of net\n"
    assert run("sample", "--model", "net.pkl", "--subject", f"w{ending}", "--out", "back.png")[0] == 0
    np.testing.assert_array_equal(stored("back.png"), np.asarray(model.sample(3).image))
    assert run("sample", "--model", "net.pkl", "--seeds", "3", "--out", "x.png")[0] == 0
    np.testing.assert_array_equal(stored("x.png"), stored("back.png"))


def test_what_an_exported_latent_lacks_is_said(run, pair):
    np.save("w.npy", np.zeros((6, 5), np.float32))
    words = ("--model", "net.pkl", "--subject", "w.npy")
    assert run("drag", *words, "--tuned", "tuned.pkl", "--point", "5,5:7,5", "--steps", "1", "--layer", "b8.conv1",
               "--out", "d.steer")[0] == 0  # fmt: skip
    code, _, err = run("export", "--model", "net.pkl", "--subject", "d.steer", "--out", "w.pt")
    assert (code, err) == (0, "note: w.pt holds w+ alone, without the weights tuned for its photo\n")


def test_a_latent_with_its_model_in_it(run, pair):
    assert run("sample", "--model", "portraits", "--seeds", "3", "--out", "x.steer")[0] == 0
    assert run("export", "--subject", "x.steer", "--out", "w.safetensors")[0] == 0
    assert run("sample", "--subject", "w.safetensors", "--out", "back.png")[0] == 0
    assert run("sample", "--subject", "x.steer", "--out", "x.png")[0] == 0
    np.testing.assert_array_equal(stored("x.png"), stored("back.png"))
    code, _, err = run("sample", "--subject", "w.safetensors", "--model", "net.pkl", "--out", "back.png")
    assert (code, err) == (
        2,
        "gansteer: w.safetensors was made with other weights than those of net: give the model it belongs to\n",
    )


def test_latents_that_do_not_fit(run, pair):
    np.save("wrong.npy", np.zeros((18, 512), np.float32))
    np.save("right.npy", np.zeros((6, 5), np.float32))
    dump_nvidia(Path("other.pkl"), G_ema=nvidia_generator(resolution=8))
    for words, complaint in (
        (
            ("--model", "net.pkl", "--subject", "wrong.npy"),
            "wrong.npy holds a latent of shape [18, 512]; this model takes",
        ),
        (("--subject", "right.npy"), "right.npy does not say which model it belongs to: give --model"),
        (("--model", "net.pkl", "--tuned", "tuned.pkl"), "--tuned belongs to a latent: give its file with --subject"),
        (
            ("--model", "net.pkl", "--subject", "right.npy", "--tuned", "other.pkl"),
            "--tuned other has another shape than net",
        ),
        (("--model", "net.pkl", "--subject", "missing.npz"), "missing.npz: there is no such file"),
    ):
        code, _, err = run("sample", *words, "--out", "a.png")
        assert code == 2
        assert err.startswith(f"gansteer: {complaint}")
        assert err.count("\n") == 1
        assert not Path("a.png").exists()


def test_the_pictures_that_nvidia_draws_for_a_seed(run, pair):
    """`RandomState(seed).randn(1, z_dim)`, mapped and truncated."""
    model, _ = pair
    z = torch.from_numpy(np.random.RandomState(66).randn(1, 6)).float()
    with torch.no_grad():
        w = model.generator.code_of(z, psi=0.7).ws[0]
    words = ("--model", "net.pkl", "--seeds", "66", "--seeds-like", "numpy")
    assert run("sample", *words, "--out", "a.png")[0] == 0
    np.testing.assert_array_equal(stored("a.png"), drawn(model, w))
    assert run("sample", *words, "--out", "a.steer")[0] == 0
    assert torch.equal(open_subject(Path("a.steer"), lambda name: model).code.ws, w)
    words = ("--model", "net.pkl", "--seed", "66", "--seeds-like", "numpy", "--point", "5,5:7,5", "--layer", "b8.conv1")  # type: ignore[assignment]
    assert run("drag", *words, "--steps", "1", "--out", "d.png", "--json", "d.json")[0] == 0
    assert json.loads(Path("d.json").read_text())["source"]["like"] == "numpy"
    assert run("sample", "--model", "net.pkl", "--seeds", "66", "--out", "ours.png")[0] == 0
    assert (stored("ours.png") != stored("a.png")).any()


def test_subjects_of_several_seeds(run, pair):
    model, _ = pair
    code, _, err = run("sample", "--model", "net.pkl", "--seeds", "0-2", "--out", "x.steer")
    assert (code, err) == (2, "gansteer: x.steer keeps one picture: give one of --seeds, or a name with {seed} in it\n")
    assert run("sample", "--model", "net.pkl", "--seeds", "0-2", "--out", "x{seed}.steer")[0] == 0
    for seed in range(3):
        kept = open_subject(Path(f"x{seed}.steer"), lambda name: model)
        assert torch.equal(kept.code.ws, model.sample(seed).code.ws)


def test_one_of_several_networks(run, tmp_path):
    torch.manual_seed(0)
    first, second = nvidia_generator(resolution=8), nvidia_generator(resolution=8)
    dump_nvidia(tmp_path / "two.pkl", G=first, G_ema=second)
    code, _, err = run("sample", "--model", "two.pkl", "--seeds", "0", "--out", "default.png")
    assert (code, err) == (
        0,
        "note: two.pkl holds G_ema and G with different weights: G_ema was taken, --network takes another\n",
    )
    for network in ("G", "G_ema"):
        code, _, err = run(
            "sample", "--model", "two.pkl", "--network", network, "--seeds", "0", "--out", f"{network}.png"
        )
        assert (code, err) == (0, "")
    assert (stored("G.png") != stored("G_ema.png")).any()
    np.testing.assert_array_equal(stored("default.png"), stored("G_ema.png"))
    assert run("convert", "two.pkl", "g.safetensors", "--network", "G")[0] == 0
    assert run("sample", "--model", "g.safetensors", "--seeds", "0", "--out", "converted.png")[0] == 0
    np.testing.assert_array_equal(stored("converted.png"), stored("G.png"))
    code, out, err = run("info", "two.pkl")
    assert (code, err) == (0, "")
    assert "note             holds G_ema and G with different weights" in out
    code, _, err = run("sample", "--model", "two.pkl", "--network", "D", "--seeds", "0", "--out", "d.png")
    assert (code, err) == (2, "gansteer: two.pkl holds no network 'D': give --network one of its own (G, G_ema)\n")


def test_a_file_that_cannot_be_opened_is_not_described_as_if(run, tmp_path):
    network = nvidia_generator(resolution=8)
    network.mapping.w_avg.fill_(torch.nan)
    dump_nvidia(tmp_path / "nan.pkl", G_ema=network)
    code, _, err = run("info", "nan.pkl")
    assert (code, err) == (2, "gansteer: nan.pkl has values in mapping.w_mean that are not finite numbers\n")
