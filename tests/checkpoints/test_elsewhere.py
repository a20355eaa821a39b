"""The layouts in which people pass generators on: each gives the same tensors and pictures as the release's own file."""

import contextlib
import functools
import pickle
from collections import OrderedDict
from pathlib import Path

import checkpoint_reference as reference
import numpy as np
import pytest
import torch
from checkpoint_files import (
    EasyDict,
    _reconstruct_persistent_obj,
    dump_nvidia,
    modules,
    nvidia_discriminator,
    nvidia_generator,
    persistent,
    rosinality_tensors,
)
from test_nvidia import arrays_of

from gansteer.checkpoints.files import convert, describe, load_file
from gansteer.checkpoints.registry import load
from gansteer.errors import UserError

LAYOUTS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}


@contextlib.contextmanager
def release_names():
    places = {
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib.util": {"EasyDict": EasyDict},
    }
    with modules(places):
        yield


def save(path, value, layout="zip"):
    with release_names():
        torch.save(value, path, **LAYOUTS[layout])


def same_weights(a, b):
    a, b = a.generator.state_dict(), b.generator.state_dict()
    assert set(a) == set(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name


# NVIDIA's networks


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "wrap",
    [lambda g: g, torch.nn.DataParallel, lambda g: {"G_ema": g, "D": nvidia_discriminator()}, lambda g: {"ema": g}],
    ids=["alone", "parallel", "dictionary", "other key"],
)
def test_what_torch_save_makes_of_a_network(tmp_path, layout, wrap):
    """PTI's `model_*.pt` and its like."""
    torch.manual_seed(0)
    network = nvidia_generator(clamp=256)
    dump_nvidia(tmp_path / "own.pkl", G_ema=network)
    save(tmp_path / "model_x.pt", wrap(network), layout)

    model = load_file(tmp_path / "model_x.pt", "cpu")

    own = load_file(tmp_path / "own.pkl", "cpu")
    same_weights(model, own)
    assert model.generator.config == own.generator.config
    assert describe(tmp_path / "model_x.pt").problem is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", ["", "module.", "G_ema.", "module.decoder."])
def test_a_bare_state_dict_with_nvidias_names(tmp_path, layout, prefix):
    torch.manual_seed(0)
    network = nvidia_generator(clamp=256, c_dim=3)
    dump_nvidia(tmp_path / "own.pkl", G_ema=network)
    state = OrderedDict((prefix + name, value) for name, value in network.state_dict().items())
    torch.save(state, tmp_path / "x.pt", **LAYOUTS[layout])

    model = load_file(tmp_path / "x.pt", "cpu")

    same_weights(model, load_file(tmp_path / "own.pkl", "cpu"))
    assert model.generator.config.conv_clamp == 256  # type: ignore[attr-defined]
    assert "conv_clamp" in model.notes[0]


def test_parameters_with_attributes_of_their_own(tmp_path):
    torch.manual_seed(0)
    network = nvidia_generator(clamp=256)
    dump_nvidia(tmp_path / "own.pkl", G_ema=network)
    network.mapping.fc0.weight.note = "trained"  # torch pickles such a parameter under another name
    network.mapping.w_avg.note = "tracked"
    save(tmp_path / "x.pt", network)
    same_weights(load_file(tmp_path / "x.pt", "cpu"), load_file(tmp_path / "own.pkl", "cpu"))


def test_a_generator_without_noise(tmp_path):
    torch.manual_seed(0)
    silent = nvidia_generator(noise=False)
    dump_nvidia(tmp_path / "x.pkl", G_ema=silent)
    model = load_file(tmp_path / "x.pkl", "cpu", torch.float64)
    arrays = arrays_of(silent)
    for block in silent.synthesis._modules.values():
        for name in ("conv0", "conv1"):
            if name in block._modules:
                path = f"synthesis.b{block.resolution}.{name}"
                zeros = np.zeros((block.resolution, block.resolution))
                arrays |= {f"{path}.noise_const": zeros, f"{path}.noise_strength": np.zeros(())}
    z = np.random.default_rng(1).standard_normal((1, 6))
    wanted = reference.nvidia(arrays, z, psi=1.0)
    np.testing.assert_allclose(
        model.generator(model.generator.code_of(torch.from_numpy(z)))[0].numpy(), wanted, atol=1e-10
    )
    assert model.notes == (f"{tmp_path / 'x.pkl'} adds no noise in 5 of 5 layers (use_noise=False)",)


def test_the_colours_of_rgba(tmp_path):
    torch.manual_seed(0)
    network = nvidia_generator(resolution=8, image=4)
    dump_nvidia(tmp_path / "x.pkl", G_ema=network)
    model = load_file(tmp_path / "x.pkl", "cpu", torch.float64)
    z = np.random.default_rng(1).standard_normal((1, 6))
    wanted = reference.nvidia(arrays_of(network), z)[:3]
    np.testing.assert_allclose(
        model.generator(model.generator.code_of(torch.from_numpy(z)))[0].numpy(), wanted, rtol=1e-10, atol=1e-10
    )
    assert model.sample(0).image.mode == "RGB"
    assert "transparency" in model.notes[0]


class Odd:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def kept_beside():
    """What a file may hold beside a generator, none of which it needs."""
    odd = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.utils.spectral_norm(torch.nn.Conv2d(4, 4, 3)))
    odd.register_forward_hook(functools.partial(print, end=""))
    optimiser = torch.optim.Adam(odd.parameters())
    optimiser.zero_grad()
    odd(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimiser.step()
    return {
        "D": persistent("ProjectedDiscriminator", net=odd),
        "augment_pipe": torch.nn.ReLU(),
        "optimiser": optimiser,
        "where": Path("/data/x"),
        "sizes": {(1, 2): 3, 1.5: "a", torch.float16: torch.float32, b"x": {7, 8}},
        "when": __import__("datetime").datetime(2024, 1, 1),
        "bound": odd[0].forward,
        "counts": __import__("collections").Counter("aab"),
        "queue": __import__("collections").deque([1, 2]),
        "array": np.arange(3),
        "rng": np.random.default_rng(0),
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_other_objects_beside_the_generator(tmp_path, protocol):
    torch.manual_seed(0)
    network = nvidia_generator()
    dump_nvidia(tmp_path / "own.pkl", G_ema=network)
    dump_nvidia(tmp_path / "x.pkl", protocol, G_ema=network, **kept_beside())
    save(tmp_path / "x.pt", {"G_ema": network, **kept_beside()})
    for name in ("x.pkl", "x.pt"):
        same_weights(load_file(tmp_path / name, "cpu"), load_file(tmp_path / "own.pkl", "cpu"))
    with pytest.raises(UserError, match="class 'ProjectedDiscriminator' that is no StyleGAN2 generator"):
        load_file(tmp_path / "x.pkl", "cpu", network="D")


def test_which_of_several_networks(tmp_path):
    torch.manual_seed(0)
    first, second = nvidia_generator(resolution=8), nvidia_generator(resolution=8)
    path = tmp_path / "x.pkl"
    dump_nvidia(path, G=first, D=nvidia_discriminator(), G_ema=second)

    def mean(network):
        return load_file(path, "cpu", network=network).generator.mapping.w_mean

    assert torch.equal(mean("G"), first.mapping.w_avg)
    for name in (None, "G_ema", "g_ema", "Gs"):
        assert torch.equal(mean(name), second.mapping.w_avg)
    note = "holds G_ema and G with different weights: G_ema was taken, --network takes another"
    assert load_file(path, "cpu").notes == (f"{path} {note}",)
    assert load_file(path, "cpu", network="G").notes == ()
    assert load(path, "cpu", network="G").resolution == 8
    with pytest.raises(UserError, match="discriminator"):
        mean("D")
    with pytest.raises(UserError, match=r"no network 'H': give --network one of its own \(G, D, G_ema\)"):
        mean("H")

    dump_nvidia(path, G=first, G_ema=first)
    assert load_file(path, "cpu").notes == ()
    convert(path, tmp_path / "own.safetensors", network="G")
    assert torch.equal(load_file(tmp_path / "own.safetensors", "cpu").generator.mapping.w_mean, first.mapping.w_avg)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="one network only"):
        load_file(tmp_path / "own.safetensors", "cpu", network="G")


def test_the_shipped_model_in_another_file_is_known(tmp_path):
    """Its card says which layer a drag follows."""
    own = load("portraits", "cpu")
    state = own.generator.state_dict()
    theirs = {}
    for name, value in state.items():
        name = name.replace("mapping.w_mean", "mapping.w_avg").replace("mapping.layers.", "mapping.fc")
        name = name.replace("synthesis.constant", "synthesis.b4.const").replace("noise_fixed", "noise_const")
        parts = name.replace(".convs.", ".").split(".")
        if parts[1] == "blocks":
            parts[1:3] = [f"b{4 << int(parts[2])}"]
        theirs[".".join(parts)] = value
    torch.save(theirs, tmp_path / "net.pt")
    model = load(tmp_path / "net.pt", "cpu")
    assert model.digest == own.digest
    assert (model.card, model.generator.config) == (own.card, own.generator.config)
    theirs["mapping.w_avg"] = theirs["mapping.w_avg"] + 1
    torch.save(theirs, tmp_path / "net.pt")
    assert load(tmp_path / "net.pt", "cpu").card.name == "net"


# rosinality's generator


def taken(path, value):
    torch.save(value, path)
    return load_file(path, "cpu")


@pytest.mark.parametrize("prefix", ["", "module.", "decoder.", "module.decoder."])
@pytest.mark.parametrize("key", [None, "g_ema", "state_dict", "generator"])
def test_a_state_dict_with_rosinalitys_names(tmp_path, key, prefix):
    torch.manual_seed(0)
    t, mean = rosinality_tensors(), torch.randn(5)
    own = taken(tmp_path / "own.pt", {"g_ema": t, "latent_avg": mean})
    state = {prefix + name: value for name, value in t.items()} | {"encoder.body.0.weight": torch.ones(2)}
    opts = {"device": torch.device("cuda:0"), "output_size": 16, "exp_dir": Path("x")}
    if key is None:
        same_weights(
            taken(tmp_path / "x.pt", {**state, "latent_avg": mean} if prefix else {**t, "latent_avg": mean}), own
        )
    else:
        same_weights(taken(tmp_path / "x.pt", {key: state if prefix else t, "latent_avg": mean, "opts": opts}), own)


MEANS = {
    "one row": lambda m: m,
    "a row": lambda m: m[None],
    "all rows": lambda m: m.repeat(6, 1),
    "a batch of all rows": lambda m: m.repeat(1, 6, 1),
    "a list of a tensor": lambda m: [m],
    "a list of rows": lambda m: [m] * 6,
    "numbers": lambda m: m.tolist(),
    "rows of numbers": lambda m: [m.tolist()] * 6,
    "an array": lambda m: m.numpy(),
    "a parameter": torch.nn.Parameter,
}


@pytest.mark.parametrize("form", MEANS)
def test_every_form_of_the_mean_of_w(tmp_path, form):
    torch.manual_seed(0)
    mean = torch.randn(5)
    t = {f"decoder.{name}": value for name, value in rosinality_tensors().items()}
    model = taken(tmp_path / "x.pt", {"state_dict": t, "latent_avg": MEANS[form](mean)})
    assert torch.equal(model.generator.mapping.w_mean, mean)
    assert model.notes == ()


def test_a_mean_whose_rows_differ(tmp_path):
    rows = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    model = taken(tmp_path / "x.pt", {"g_ema": rosinality_tensors(), "latent_avg": rows})
    torch.testing.assert_close(model.generator.mapping.w_mean, rows.mean(dim=0))
    assert "6 different rows" in model.notes[0]


def test_a_file_without_noise_maps(tmp_path):
    torch.manual_seed(0)
    t = {name: value for name, value in rosinality_tensors().items() if not name.startswith("noises.")}
    models = [taken(tmp_path / "x.pt", {"g_ema": t}) for _ in range(2)]
    same_weights(*models)
    assert models[0].notes == (f"{tmp_path / 'x.pt'} holds no noise maps: they were drawn from seed 0",)
    maps = [v.flatten() for k, v in models[0].generator.state_dict().items() if k.endswith("noise_fixed")]
    drawn = torch.cat(maps)
    assert drawn.unique().numel() == drawn.numel()  # every layer has its own
    assert abs(drawn.mean()) < 5 / drawn.numel() ** 0.5
    assert abs(drawn.std() - 1) < 5 / (2 * drawn.numel()) ** 0.5
    del t["convs.0.noise.weight"], t["conv1.noise.weight"]
    assert taken(tmp_path / "y.pt", {"g_ema": t}).sample(0).render().isfinite().all()
    t = rosinality_tensors()
    del t["noises.noise_1"]
    with pytest.raises(UserError, match="lacks the tensor"):
        taken(tmp_path / "z.pt", {"g_ema": t})


def test_an_average_is_taken_before_what_is_learned(tmp_path):
    torch.manual_seed(0)
    first, second = rosinality_tensors(), rosinality_tensors()
    file = {"g": first, "g_ema": second}
    assert torch.equal(taken(tmp_path / "x.pt", file).generator.synthesis.constant, second["input.input"][0])
    chosen = load_file(tmp_path / "x.pt", "cpu", network="g")
    assert torch.equal(chosen.generator.synthesis.constant, first["input.input"][0])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no network 'd': give --network one of its own \(g, g_ema\)"):
        load_file(tmp_path / "x.pt", "cpu", network="d")


def test_a_state_dict_that_plain_pickle_wrote(tmp_path):
    torch.manual_seed(0)
    t = rosinality_tensors()
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"g_ema": t, "latent_avg": torch.ones(5)}))
    same_weights(
        load_file(tmp_path / "x.pkl", "cpu"), taken(tmp_path / "x.pt", {"g_ema": t, "latent_avg": torch.ones(5)})
    )


# What says nothing wrong opens


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t["style.1.weight"].fill_(float("nan")),
        lambda t: t.update({"convs.1.conv.weight": torch.ones(1, 6, 5, 3, 3)}),
        lambda t: t.pop("to_rgb1.bias"),
        lambda t: t.update({"style.2.bias": torch.ones(5, dtype=torch.int64)}),
    ],
    ids=["not finite", "misshapen", "lacking", "whole numbers"],
)
def test_a_description_finds_what_loading_finds(tmp_path, spoil):
    t = rosinality_tensors()
    spoil(t)
    torch.save({"g_ema": t}, tmp_path / "x.pt")
    with pytest.raises(UserError) as caught:
        load_file(tmp_path / "x.pt", "cpu")
    about = describe(tmp_path / "x.pt")
    assert about.problem == str(caught.value)
    assert about.config is None
