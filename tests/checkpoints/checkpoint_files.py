"""Writes checkpoints in the layout of each release: same class names, records, opcodes and tensor names.

The classes stand in `sys.modules` under the releases' names only while a file is written, so that whoever imports them
when reading fails.
"""

import io
import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch

FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


@contextmanager
def modules(contents):
    """Modules (dotted name to their attributes) that exist for the duration."""
    made = {}
    for dotted, attributes in contents.items():
        parts = dotted.split(".")
        for i in range(1, len(parts) + 1):
            made.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
        for name, value in attributes.items():
            value.__module__, value.__qualname__ = dotted, name
            setattr(made[dotted], name, value)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


# NVIDIA, PyTorch


def _reconstruct_persistent_obj(meta):
    raise AssertionError("a checkpoint must not be run")


class EasyDict(dict):
    pass


HARMFUL_SOURCE = "import pathlib\npathlib.Path(r'{canary}').touch()\nraise SystemExit\n"


class Persistent(torch.nn.Module):
    """What `persistence.persistent_class` makes of a module."""

    source = "raise AssertionError('a checkpoint must not be run')"

    def __init__(self, **attributes):
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def __reduce__(self):
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source,
            "class_name": type(self).__name__,
            "state": self.__dict__,
        }
        return _reconstruct_persistent_obj, (meta,), None


def persistent(class_name, **attributes):
    return type(class_name, (Persistent,), {})(**attributes)


def parameter(*shape, scale=1.0, shift=0.0):
    return torch.nn.Parameter(torch.randn(shape) * scale + shift)


def dense(inputs, outputs, activation="lrelu", rate=1.0, bias=0.0):
    layer = persistent("FullyConnectedLayer", activation=activation)
    layer.weight_gain, layer.bias_gain = rate / np.sqrt(inputs), rate  # a NumPy scalar, as in the release
    layer.weight = parameter(outputs, inputs, scale=1 / rate)
    layer.bias = parameter(outputs, scale=0.1 / rate, shift=bias)
    return layer


def nvidia_generator(
    resolution=16, z_dim=6, w_dim=5, c_dim=0, base=64, maximum=6, depth=2, clamp=None, taps=FILTER, architecture="skip",
    noise=True, image=3, kernel=3, embed=None, hidden=None, aspect=(1, 1),
):  # fmt: skip
    """A generator with random weights everywhere, of the release's class names.

    `noise` is its use_noise, `embed` its embed_features, `hidden` its layer_features; `aspect` height and width in fours.
    """
    g = persistent("Generator", z_dim=z_dim, c_dim=c_dim, w_dim=w_dim, img_resolution=resolution)
    mapping = persistent("MappingNetwork", w_avg_beta=0.995, num_layers=depth)
    if c_dim:
        mapping.embed = dense(c_dim, embed or w_dim, activation="linear")
    for i in range(depth):
        inputs = (hidden or w_dim) if i else z_dim + ((embed or w_dim) if c_dim else 0)
        setattr(mapping, f"fc{i}", dense(inputs, (hidden or w_dim) if i < depth - 1 else w_dim, rate=0.01))
    mapping.register_buffer("w_avg", torch.randn(w_dim))
    kwargs = EasyDict(channel_base=base, channel_max=maximum, num_fp16_res=4, conv_clamp=clamp)
    synthesis = persistent("SynthesisNetwork", _init_args=(), _init_kwargs=kwargs)
    for r in (4 << i for i in range(20)):
        if r > resolution:
            break
        out = min(base // r, maximum)
        block = persistent("SynthesisBlock", resolution=r, architecture=architecture, _init_kwargs=kwargs)
        block.register_buffer("resample_filter", taps.clone())
        if r == 4:
            block.const = parameter(out, 4 * aspect[0] // max(aspect), 4 * aspect[1] // max(aspect))
        for name, inputs in (("conv0", min(base // (r // 2), maximum)), ("conv1", out)):
            if r == 4 and name == "conv0":
                continue
            layer = persistent("SynthesisLayer", activation="lrelu", conv_clamp=clamp, act_gain=np.sqrt(2))
            layer.affine = dense(w_dim, inputs, activation="linear", bias=1.0)
            layer.weight = parameter(out, inputs, kernel, kernel)
            layer.register_buffer("resample_filter", taps.clone())
            layer.use_noise = noise
            if noise:
                layer.register_buffer("noise_const", torch.randn(r, r))
                layer.noise_strength = parameter()
            layer.bias = parameter(out, scale=0.1)
            block.add_module(name, layer)
        if architecture == "skip" or r == resolution:
            block.torgb = persistent("ToRGBLayer", conv_clamp=clamp, weight_gain=1 / np.sqrt(out))
            block.torgb.affine = dense(w_dim, out, activation="linear", bias=1.0)
            block.torgb.weight = parameter(image, out, 1, 1)
            block.torgb.bias = parameter(image, scale=0.1)
        synthesis.add_module(f"b{r}", block)
    g.synthesis, g.mapping = synthesis, mapping
    return g


def nvidia_discriminator():
    d = persistent("Discriminator", img_resolution=8)
    d.b8 = persistent("DiscriminatorBlock", resolution=8)
    d.b8.fromrgb = persistent("Conv2dLayer", activation="lrelu")
    d.b8.fromrgb.weight = parameter(4, 3, 1, 1)
    return d


def dump_nvidia(path, protocol=4, **networks):
    """Save as the release does: a dictionary of networks and training options in one pickle."""
    data = {**networks, "training_set_kwargs": EasyDict(class_name="os.system", path="./x.zip"), "augment_pipe": None}
    with (
        modules(
            {
                "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
                "dnnlib.util": {"EasyDict": EasyDict},
            }
        ),
        path.open("wb") as file,
    ):
        pickle.dump(data, file, protocol=protocol)


# NVIDIA, TensorFlow


class Network:
    """What `dnnlib.tflib.Network` pickles: its state, with the source of its build function."""

    def __init__(self, name, variables=(), components=None, source="raise AssertionError('ran')", **static):
        self.state = {
            "version": 4,
            "name": name,
            "static_kwargs": static,
            "components": components or {},
            "build_module_src": source,
            "build_func_name": "G_main",
            "variables": list(variables),
        }

    def __getstate__(self):
        return self.state

    def __setstate__(self, state):
        raise AssertionError("a checkpoint must not be run")


def tensorflow_arrays(rng, resolution=16, z_dim=6, w_dim=5, base=64, maximum=6, depth=2):
    """The variables of a generator, `mapping/...` and `synthesis/...`, with random values."""

    def normal(*shape, scale=1.0):
        return np.asarray(rng.standard_normal(shape) * scale, dtype=np.float32)

    t = {"dlatent_avg": normal(w_dim)}
    for i in range(depth):
        t[f"mapping/Dense{i}/weight"] = normal(w_dim if i else z_dim, w_dim, scale=100)
        t[f"mapping/Dense{i}/bias"] = normal(w_dim, scale=10)
    noise, inputs, r = 0, min(base // 4, maximum), 4
    t["synthesis/4x4/Const/const"] = normal(1, inputs, 4, 4)
    while r <= resolution:
        out = min(base // r, maximum)
        for name in ("Conv",) if r == 4 else ("Conv0_up", "Conv1"):
            path = f"synthesis/{r}x{r}/{name}"
            t[f"{path}/weight"] = normal(3, 3, inputs, out)
            t[f"{path}/mod_weight"], t[f"{path}/mod_bias"] = normal(w_dim, inputs), normal(inputs, scale=0.1)
            t[f"{path}/noise_strength"], t[f"{path}/bias"] = normal()[()], normal(out, scale=0.1)
            t[f"synthesis/noise{noise}"] = normal(1, 1, r, r)
            noise, inputs = noise + 1, out
        path = f"synthesis/{r}x{r}/ToRGB"
        t[f"{path}/weight"], t[f"{path}/bias"] = normal(1, 1, out, 3), normal(3, scale=0.1)
        t[f"{path}/mod_weight"], t[f"{path}/mod_bias"] = normal(w_dim, out), normal(out, scale=0.1)
        r *= 2
    return t


def tensorflow_generator(t, name="Gs", lod=True, **static):
    """`lod` is a variable of the first release's generators, whatever their architecture."""

    def part(which):
        return Network(f"G_{which}", [(k.split("/", 1)[1], v) for k, v in t.items() if k.startswith(f"{which}/")])

    return Network(
        name,
        [*([("lod", np.float32(0))] if lod else []), ("dlatent_avg", t["dlatent_avg"])],
        {"synthesis": part("synthesis"), "mapping": part("mapping")},
        architecture="skip",
        **static,
    )


def dump_tensorflow(path, networks, protocol=4):
    with modules({"dnnlib.tflib.network": {"Network": Network}}), path.open("wb") as file:
        pickle.dump(networks, file, protocol=protocol)


# rosinality


def rosinality_tensors(resolution=16, style_dim=5, base=64, maximum=6, depth=2):
    """The state dict of a generator, with random values."""
    t = OrderedDict()
    for i in range(1, depth + 1):
        t[f"style.{i}.weight"] = torch.randn(style_dim, style_dim) * 100
        t[f"style.{i}.bias"] = torch.randn(style_dim) * 10
    inputs = min(base // 4, maximum)
    t["input.input"] = torch.randn(1, inputs, 4, 4)

    def conv(name, inputs, out, kernel):
        t[f"{name}.conv.weight"] = torch.randn(1, out, inputs, kernel, kernel)
        t[f"{name}.conv.modulation.weight"] = torch.randn(inputs, style_dim)
        t[f"{name}.conv.modulation.bias"] = 1 + torch.randn(inputs) * 0.1

    def styled(name, inputs, out, up, noise, r):
        conv(name, inputs, out, 3)
        if up:
            t[f"{name}.conv.blur.kernel"] = FILTER * 4
        t[f"{name}.noise.weight"] = torch.randn(1)
        t[f"{name}.activate.bias"] = torch.randn(out) * 0.1
        t[f"noises.noise_{noise}"] = torch.randn(1, 1, r, r)

    styled("conv1", inputs, inputs, False, 0, 4)
    conv("to_rgb1", inputs, 3, 1)
    t["to_rgb1.bias"] = torch.randn(1, 3, 1, 1) * 0.1
    k, r = 0, 8
    while r <= resolution:
        out = min(base // r, maximum)
        styled(f"convs.{2 * k}", inputs, out, True, 2 * k + 1, r)
        styled(f"convs.{2 * k + 1}", out, out, False, 2 * k + 2, r)
        conv(f"to_rgbs.{k}", out, 3, 1)
        t[f"to_rgbs.{k}.bias"] = torch.randn(1, 3, 1, 1) * 0.1
        t[f"to_rgbs.{k}.upsample.kernel"] = FILTER * 4
        k, r, inputs = k + 1, r * 2, out
    return t


def torch_bytes(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()
