"""Pickles of the TensorFlow era: every tensor, and the picture against that release's convention in float64."""

import checkpoint_reference as reference
import numpy as np
import pytest
import torch
from checkpoint_files import HARMFUL_SOURCE, Network, dump_tensorflow, tensorflow_arrays, tensorflow_generator

from gansteer.checkpoints.files import describe, load_file
from gansteer.errors import UserError


def expected(t):
    """Our tensors by hand: dense weights turned over, convolutions to OIHW, up-convolutions mirrored, style bias + 1."""
    ours = {"mapping.w_mean": t["dlatent_avg"], "synthesis.constant": t["synthesis/4x4/Const/const"][0]}
    i = 0
    while f"mapping/Dense{i}/weight" in t:
        ours[f"mapping.layers.{i}.weight"] = t[f"mapping/Dense{i}/weight"].T
        ours[f"mapping.layers.{i}.bias"] = t[f"mapping/Dense{i}/bias"]
        i += 1
    block, noise = 0, 0
    while f"synthesis/{4 << block}x{4 << block}/ToRGB/bias" in t:
        base = f"synthesis/{4 << block}x{4 << block}"
        convs = {"Conv": "conv1"} if block == 0 else {"Conv0_up": "conv0", "Conv1": "conv1"}
        for theirs, name in {**{k: f"convs.{v}" for k, v in convs.items()}, "ToRGB": "torgb"}.items():
            path, here = f"{base}/{theirs}", f"synthesis.blocks.{block}.{name}"
            w = np.einsum("hwio->oihw", t[f"{path}/weight"])
            ours[f"{here}.weight"] = np.flip(w, (2, 3)) if theirs == "Conv0_up" else w
            ours[f"{here}.bias"] = t[f"{path}/bias"]
            ours[f"{here}.affine.weight"] = t[f"{path}/mod_weight"].T
            ours[f"{here}.affine.bias"] = t[f"{path}/mod_bias"] + np.float32(1)
            if theirs != "ToRGB":
                ours[f"{here}.noise_strength"] = t[f"{path}/noise_strength"]
                ours[f"{here}.noise_fixed"] = t[f"synthesis/noise{noise}"][0, 0]
                noise += 1
        block += 1
    return ours


@pytest.mark.parametrize(("protocol", "lod"), [(2, True), (3, False), (4, True), (5, True)])
@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_every_tensor_and_the_picture(tmp_path, resolution, protocol, lod):
    """With `lod` as in the first release, and without as in the one of adaptive augmentation."""
    rng = np.random.default_rng(resolution)
    t = tensorflow_arrays(rng, resolution)
    other = tensorflow_generator(tensorflow_arrays(rng, resolution), "G", lod)
    path = tmp_path / "stylegan2-x-config-f.pkl"
    dump_tensorflow(
        path, (other, Network("D", [("4x4/Dense0/weight", rng.random(3))]), tensorflow_generator(t, lod=lod)), protocol
    )

    model = load_file(path, "cpu", torch.float64)

    state, wanted = model.generator.state_dict(), expected(t)
    assert set(state) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(state[name].numpy(), array.astype(np.float64), err_msg=name)
    z = rng.standard_normal((1, 6))
    picture = reference.tensorflow({k: v.astype(np.float64) for k, v in t.items()}, z)
    got = model.generator(model.generator.code_of(torch.from_numpy(z)))[0].numpy()
    # The release demodulates after its fan-in gain, so its epsilon of 1e-8 counts for more, and its sum with 1 is exact
    # here and rounded to float32 in the file's own run: both are far below this.
    np.testing.assert_allclose(got, picture, rtol=0, atol=2e-6 * np.abs(picture).max())


def test_orientation_of_the_up_convolution_matters():
    """So that the comparison above means something for the flip."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 4)), rng.standard_normal((3, 2, 3, 3))
    np.testing.assert_allclose(
        reference.up_tensorflow(x, w), reference.up_transposed(x, w[:, :, ::-1, ::-1]), atol=1e-12
    )
    assert np.abs(reference.up_tensorflow(x, w) - reference.up_transposed(x, w)).max() > 0.1


def test_column_major_arrays(tmp_path):
    t = tensorflow_arrays(np.random.default_rng(0), 4)
    t["mapping/Dense0/weight"] = np.asfortranarray(t["mapping/Dense0/weight"])
    dump_tensorflow(tmp_path / "x.pkl", tensorflow_generator(t))
    state = load_file(tmp_path / "x.pkl", "cpu").generator.state_dict()
    np.testing.assert_array_equal(state["mapping.layers.0.weight"].numpy(), t["mapping/Dense0/weight"].T)


def test_embedded_source_is_never_run(tmp_path):
    canary = tmp_path / "canary"
    t = tensorflow_arrays(np.random.default_rng(0), 4)
    network = tensorflow_generator(t)
    network.state["build_module_src"] = HARMFUL_SOURCE.format(canary=canary)
    dump_tensorflow(tmp_path / "x.pkl", network)
    load_file(tmp_path / "x.pkl", "cpu")
    assert not canary.exists()


def test_description(tmp_path):
    t = tensorflow_arrays(np.random.default_rng(0), 8)
    networks = (tensorflow_generator(t, "G"), Network("D"), tensorflow_generator(t, "Gs"))
    dump_tensorflow(tmp_path / "x.pkl", networks)
    about = describe(tmp_path / "x.pkl")
    assert (about.kind, about.held) == ("NVIDIA TensorFlow pickle", ("G (G)", "D (D)", "Gs (Gs)"))
    assert about.config is not None
    assert about.config.resolution == 8


def test_the_settings_of_the_parts_count_too(tmp_path):
    t = tensorflow_arrays(np.random.default_rng(0), 8)
    network = tensorflow_generator(t)
    network.state["components"]["synthesis"].state["static_kwargs"] = {"resample_kernel": (1, 3, 3, 1), "conv_clamp": 3}
    dump_tensorflow(tmp_path / "x.pkl", network)
    assert load_file(tmp_path / "x.pkl", "cpu").generator.config.conv_clamp == 3  # type: ignore[attr-defined]


def test_a_generator_without_noise(tmp_path):
    """`use_noise=False` of the release of adaptive augmentation leaves its variables out."""
    t = tensorflow_arrays(np.random.default_rng(0), 8)
    silent = {name: value for name, value in t.items() if "noise" not in name}
    dump_tensorflow(tmp_path / "silent.pkl", tensorflow_generator(silent))
    for name in t:
        if name.endswith("noise_strength"):
            t[name] = np.float32(0)
    dump_tensorflow(tmp_path / "zero.pkl", tensorflow_generator(t))
    silent, zero = (load_file(tmp_path / f"{name}.pkl", "cpu") for name in ("silent", "zero"))  # type: ignore[assignment]
    assert torch.equal(silent.sample(3).render(), zero.sample(3).render())  # type: ignore[attr-defined]
    assert "use_noise=False" in silent.notes[0]  # type: ignore[attr-defined]


def test_which_of_several_networks(tmp_path):
    rng = np.random.default_rng(0)
    first, second = (tensorflow_arrays(rng, 4) for _ in range(2))
    d = Network("D", [("4x4/Dense0/weight", rng.random(3))])
    dump_tensorflow(tmp_path / "x.pkl", (tensorflow_generator(first, "G"), d, tensorflow_generator(second)))

    def mean(network):
        return load_file(tmp_path / "x.pkl", "cpu", network=network).generator.mapping.w_mean.numpy()

    np.testing.assert_array_equal(mean("G"), first["dlatent_avg"])
    for name in (None, "Gs", "gs", "G_ema"):
        np.testing.assert_array_equal(mean(name), second["dlatent_avg"])
    with pytest.raises(UserError, match="no generator under D"):
        mean("D")
    with pytest.raises(UserError, match=r"no network 'E': give --network one of its own \(G, D, Gs\)"):
        mean("E")


def generator(extra=None, **static):
    return tensorflow_generator(tensorflow_arrays(np.random.default_rng(0), 8) | (extra or {}), **static)


ONE = np.ones(1, np.float32)
UNSUPPORTED = {
    "holds no generator, only vgg16": Network("vgg16", [("conv1/weight", ONE)]),
    "StyleGAN1": generator({"synthesis/4x4/Const/StyleMod/weight": ONE}),
    "another architecture": generator({"synthesis/8x8/Skip/weight": ONE}),
    "nonlinearity=relu": generator(nonlinearity="relu"),
    "resample_kernel=[1, 2, 1]": generator(resample_kernel=[1, 2, 1]),
    "resample_kernel=None": generator(resample_kernel=None),
    "mapping_lrmul=1.0": generator(mapping_lrmul=np.float64(1)),
    "configurations B to D": generator({"synthesis/ToRGB_lod0/weight": ONE}),
    "label_size": generator({"mapping/LabelConcat/weight": ONE}),
    "mapping_fmaps=7": generator({"mapping/Dense0/weight": np.ones((6, 7), np.float32)}),
    "label_fmaps=7": generator({"mapping/LabelEmbed/weight": np.ones((2, 7), np.float32)}),
    "fmap_const=3": generator({"synthesis/4x4/Const/const": np.ones((1, 3, 4, 4), np.float32)}),
    "kernel=5": generator({"synthesis/8x8/Conv1/weight": np.ones((5, 5, 6, 6), np.float32)}),
    "draws pictures of 4 x 8 px": generator({"synthesis/4x4/Const/const": np.ones((1, 6, 4, 2), np.float32)}),
    "unknown variable": generator({"synthesis/extra": ONE}),
    "unsupported type 'O8'": generator({"mapping/Dense0/bias": np.array([None] * 5)}),
}


@pytest.mark.parametrize("problem", UNSUPPORTED)
def test_what_is_unsupported_is_named(tmp_path, problem):
    dump_tensorflow(tmp_path / "x.pkl", UNSUPPORTED[problem])
    with pytest.raises(UserError) as caught:
        load_file(tmp_path / "x.pkl", "cpu")
    assert problem in str(caught.value)
