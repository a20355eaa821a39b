"""StyleGAN2 pickles of the TensorFlow era: a tuple of three networks (G, D, Gs), each with a list of named arrays.

Dense weights are `(in, out)` and convolutions `(height, width, in, out)`. The up-convolution correlates the
zero-inserted picture with its weights, where a transposed convolution convolves: hence the flip of `Conv0_up`. The
style's bias is stored without the 1 that is added to it.
"""

import re
from collections.abc import Callable
from functools import partial

from torch import Tensor

from gansteer.checkpoints.assemble import (
    ParsedCheckpoint,
    Reader,
    checked_config,
    in_colour,
    layer_names,
    widths,
    with_noise,
)
from gansteer.checkpoints.choosing import named
from gansteer.checkpoints.names import TF_NETWORK
from gansteer.checkpoints.nvidia import SUPPORTED, refuse_oblong
from gansteer.checkpoints.pickle_reader import Record, Refused, shown
from gansteer.checkpoints.unpickle import dictionary, integers, is_array, number, read_array
from gansteer.subject import Card

KIND = "NVIDIA TensorFlow pickle"
MAX_VARIABLES = 2000

FIXED = {
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "normalize_latents": True,
    "mapping_lrmul": 0.01,
    "resample_kernel": [1, 3, 3, 1],
}
"""Arguments that no array shows, with the values that we know."""

GROWTH = ("lod", "synthesis/lod")
"""How far progressive growing got: every generator of the first release carries it, the skip architecture ignores it."""


def is_network(value: object) -> bool:
    """Whether the value is a pickled `dnnlib.tflib.Network`."""
    return isinstance(value, Record) and value.name == TF_NETWORK


def networks(root: object) -> dict[str, Record]:
    """The networks of the file as `G`, `D`, `Gs` (or by their own keys, or by number)."""
    if isinstance(root, dict):
        return {str(key): item for key, item in root.items() if isinstance(item, Record) and is_network(item)}
    items = list(root) if isinstance(root, tuple | list) else [root]
    found = [item for item in items if isinstance(item, Record) and is_network(item)]
    names = ["G", "D", "Gs"] if len(found) == 3 else [str(i) for i in range(len(found))]
    return dict(zip(names, found, strict=True))


def label(network: Record) -> str:
    """The name that the network was saved under."""
    return shown(dictionary(network.state).get("name"))


def find(root: object, name: str, wanted: str | None = None) -> ParsedCheckpoint:
    """The generator called `wanted`, else the averaged `Gs` (the last network that has a mapping); `name` is for its card."""
    found = networks(root)
    generators = [
        key for key, net in found.items() if "mapping" in dictionary(dictionary(net.state).get("components", {}))
    ]
    key = named(found, wanted) if wanted is not None else next(reversed(generators), None)
    if key is None or key not in generators:
        held = ", ".join(label(network) for network in list(found.values())[:4])
        what = "no generator" if key is None else f"no generator under {key}"
        raise Refused(f"holds {what}, only {held or 'other objects'}; {SUPPORTED}")
    network = found[key]
    arrays = dict(variables(network))
    refuse_others(arrays, label(network))
    check_conventions(network)
    return convert(arrays, network, Card(name, description=f"Read from the {label(network)} of an {KIND}"))


def variables(network: Record, prefix: str = "") -> list[tuple[str, Record]]:
    """The arrays of a network and its components: `mapping/Dense0/weight`, `synthesis/4x4/Const/const` ..."""
    state = dictionary(network.state)
    listed = state.get("variables", [])
    components = dictionary(state.get("components", {}))
    if len(components) > (0 if prefix else 2):
        raise Refused(
            f"holds a network ({label(network)}) made of other parts than a mapping and a synthesis; {SUPPORTED}"
        )
    if not isinstance(listed, list) or len(listed) > MAX_VARIABLES:
        raise Refused("has a damaged list of variables")
    found: list[tuple[str, Record]] = []
    for name, array in listed:
        if not isinstance(array, Record) or not is_array(array):
            raise Refused(f"has a damaged variable {shown(name)}")
        path = re.sub(r"^G_(mapping|synthesis)/", r"\1/", f"{prefix}{name}")
        found.append((path, array))
    for name, component in components.items():
        if not isinstance(component, Record) or not is_network(component):
            raise Refused(f"has a damaged component {shown(name)}")
        found += variables(component, f"{prefix}{name}/")
    return found


def refuse_others(arrays: dict[str, Record], name: str) -> None:
    """Say what a network is that isn't a StyleGAN2 generator as we know it."""
    if any("StyleMod" in path for path in arrays):
        raise Refused(f"holds a StyleGAN1 generator ({name}); {SUPPORTED}")
    if any("ToRGB_lod" in path for path in arrays):
        raise Refused(f"holds a generator ({name}) of StyleGAN2's configurations B to D, which grow; {SUPPORTED}")
    if any(path.endswith("Skip/weight") for path in arrays) or "synthesis/4x4/ToRGB/weight" not in arrays:
        raise Refused(f"holds a generator ({name}) of another architecture; {SUPPORTED}")
    if "mapping/LabelConcat/weight" in arrays:
        raise Refused("takes labels in the way of the first StyleGAN2 release (label_size > 0), which is not supported")


def settings(network: Record) -> dict[object, object]:
    """The arguments that a network and its two parts were made with."""
    state = dictionary(network.state)
    found: dict[object, object] = {}
    for part in [*dictionary(state.get("components", {})).values(), network]:
        if isinstance(part, Record):
            found |= dictionary(dictionary(part.state).get("static_kwargs", {}))
    return found


def check_conventions(network: Record) -> None:
    """Refuse arguments that change what the network computes without showing in its arrays."""
    arguments = settings(network)
    for key, wanted in FIXED.items():
        value = arguments.get(key, wanted)
        value = list(value) if isinstance(value, tuple) else number(value) if isinstance(value, Record) else value
        if value != wanted:
            plain = isinstance(value, list) and len(value) < 20 and all(isinstance(x, int | float) for x in value)
            raise Refused(f"was made with {key}={value if plain else shown(value)}; only {wanted} is supported")


def check_settings(arrays: dict[str, Record], w_dim: int) -> None:
    """Refuse, by the release's own name of the setting, shapes that our generator doesn't have."""
    for path, array in arrays.items():
        if re.fullmatch(r"mapping/Dense\d+/weight", path) and shape_of(array)[1] != w_dim:
            made = f"mapping_fmaps={shape_of(array)[1]}"
            raise Refused(f"was made with {made}; only the size of w ({w_dim}) is supported")
        if path == "mapping/LabelEmbed/weight" and shape_of(array)[1] != w_dim:
            raise Refused(f"was made with label_fmaps={shape_of(array)[1]}; only the size of w ({w_dim}) is supported")
        wanted = 1 if "/ToRGB/" in path else 3
        if re.fullmatch(r"synthesis/\d+x\d+/(Conv|Conv0_up|Conv1|ToRGB)/weight", path):
            kernel = shape_of(array)[:2]
            if kernel != [wanted, wanted]:
                raise Refused(f"was made with kernel={max(kernel, default=0)}; only {wanted} is supported there")
    const, conv = (shape_of(arrays[f"synthesis/4x4/{name}"]) for name in ("Const/const", "Conv/weight"))
    blocks = [int(m[1]) for path in arrays if (m := re.fullmatch(r"synthesis/(\d{1,4})x\1/Conv1/weight", path))]
    refuse_oblong(const, max(blocks, default=4))
    if const[1] != conv[3]:
        raise Refused(
            f"was made with fmap_const={const[1]}; only {conv[3]}, the width of its first layer, is supported"
        )


def shape_of(array: Record) -> list[int]:
    """The shape that the record declares; reading checks it against the data."""
    shape = array.state[1] if isinstance(array.state, tuple) else array.args[2]
    return integers(shape)


def convert(arrays: dict[str, Record], network: Record, card: Card) -> ParsedCheckpoint:
    """Names, layouts and configuration, from the arrays' shapes."""
    channels = {4: shape_of(arrays["synthesis/4x4/Conv/weight"])[3]}
    for path, array in arrays.items():
        if match := re.fullmatch(r"synthesis/(\d{1,4})x\1/Conv1/weight", path):
            channels[int(match[1])] = shape_of(array)[3]
    channels = dict(sorted(channels.items()))
    base, maximum = widths(channels)
    depth = sum(1 for path in arrays if re.fullmatch(r"mapping/Dense\d+/weight", path))
    inputs = shape_of(arrays["mapping/Dense0/weight"])[0]
    w_dim = shape_of(arrays["synthesis/4x4/Conv/mod_weight"])[0]
    check_settings(arrays, w_dim)
    c_dim = shape_of(arrays["mapping/LabelEmbed/weight"])[0] if "mapping/LabelEmbed/weight" in arrays else 0
    clamp = number(settings(network).get("conv_clamp"))
    config = checked_config(
        {
            "resolution": max(channels),
            "z_dim": inputs - (w_dim if c_dim else 0),
            "w_dim": w_dim,
            "c_dim": c_dim,
            "channel_base": base,
            "channel_max": maximum,
            "mapping_layers": depth,
            "img_channels": shape_of(arrays["synthesis/4x4/ToRGB/weight"])[3],
            "conv_clamp": None if clamp is None else float(clamp),
        }
    )
    names = our_names(list(channels), depth, bool(c_dim))
    known = {theirs for theirs, _ in names.values()}
    unknown = [path for path in arrays if path not in known and path not in GROWTH]
    if unknown:
        raise Refused(
            f"has the unknown variable {unknown[0][:80]!r}: it is a variant of StyleGAN2 that gansteer does not know"
        )
    readers: dict[str, Reader] = {
        ours: partial(_read, arrays[theirs], layout) for ours, (theirs, layout) in names.items() if theirs in arrays
    }
    tensors, silences = with_noise(readers, config)
    return in_colour(ParsedCheckpoint(KIND, config, card, tensors, notes=silences), "num_channels")


Layout = Callable[[Tensor], Tensor]


def _read(array: Record, layout: Layout) -> Tensor:
    return layout(read_array(array)).contiguous()


def _same(x: Tensor) -> Tensor:
    return x


def _dense(x: Tensor) -> Tensor:
    """`(in, out)` to `(out, in)`."""
    return x.t()


def _conv(x: Tensor) -> Tensor:
    """`(height, width, in, out)` to `(out, in, height, width)`."""
    return x.permute(3, 2, 0, 1)


def _up_conv(x: Tensor) -> Tensor:
    return _conv(x).flip(2, 3)


def _plus_one(x: Tensor) -> Tensor:
    return x + 1


def _first(x: Tensor) -> Tensor:
    return x[0]


def our_names(resolutions: list[int], depth: int, embed: bool) -> dict[str, tuple[str, Layout]]:
    """Our name of every tensor to their variable and how to lay it out our way."""
    names: dict[str, tuple[str, Layout]] = {
        "mapping.w_mean": ("dlatent_avg", _same),
        "synthesis.constant": ("synthesis/4x4/Const/const", _first),
    }
    if embed:
        names["mapping.embed.weight"] = ("mapping/LabelEmbed/weight", _dense)
        names["mapping.embed.bias"] = ("mapping/LabelEmbed/bias", _same)
    for i in range(depth):
        names[f"mapping.layers.{i}.weight"] = (f"mapping/Dense{i}/weight", _dense)
        names[f"mapping.layers.{i}.bias"] = (f"mapping/Dense{i}/bias", _same)
    noise = 0
    for ours, r, layer in layer_names(resolutions):
        theirs = {"conv0": "Conv0_up", "conv1": "Conv" if r == 4 else "Conv1", "torgb": "ToRGB"}[layer]
        path = f"synthesis/{r}x{r}/{theirs}"
        names[f"{ours}.weight"] = (f"{path}/weight", _up_conv if layer == "conv0" else _conv)
        names[f"{ours}.bias"] = (f"{path}/bias", _same)
        names[f"{ours}.affine.weight"] = (f"{path}/mod_weight", _dense)
        names[f"{ours}.affine.bias"] = (f"{path}/mod_bias", _plus_one)
        if layer != "torgb":
            names[f"{ours}.noise_strength"] = (f"{path}/noise_strength", _same)
            names[f"{ours}.noise_fixed"] = (f"synthesis/noise{noise}", lambda x: x[0, 0])
            noise += 1
    return names
