"""NVIDIA's PyTorch pickles: StyleGAN2 networks of the stylegan2-ada-pytorch and stylegan3 releases.

Their up-convolution, FIR filter, equalised learning rates and normalisations are ours, so only names change.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from gansteer.checkpoints.allowed import CONTAINERS, PERSISTENT_OBJECT
from gansteer.checkpoints.assemble import ParsedCheckpoint, Reader, checked_config, layer_names, widths
from gansteer.checkpoints.pickle_reader import Record, Refused, shown
from gansteer.checkpoints.unpickle import (
    dictionary,
    integers,
    is_tensor,
    number,
    read_tensor,
)
from gansteer.subject import Card

KIND = "NVIDIA PyTorch pickle"
MAX_DEPTH = 8
MAX_MODULES = 2000
MAX_ENTRIES = 500
SUPPORTED = "gansteer opens StyleGAN2 generators of the skip architecture"

Modules = dict[str, "Module"]


class Module:
    """One module of the file: its class's name, attributes, tensors and children. Its embedded source is ignored."""

    def __init__(self, record: object) -> None:
        if not isinstance(record, Record) or record.name not in {PERSISTENT_OBJECT, *CONTAINERS}:
            raise Refused("holds something else where a network is expected")
        if record.name == PERSISTENT_OBJECT:
            meta = dictionary(record.args[0])
            self.class_name = shown(meta.get("class_name"))
            state = meta.get("state")
        else:
            self.class_name = record.name
            state = record.state
        self.attributes = dictionary(state)
        self.children = dictionary(self.attributes.get("_modules", {}))
        if len(self.attributes) > MAX_ENTRIES or len(self.children) > MAX_ENTRIES:
            raise Refused("has more modules than any network does")
        self.tensors = {
            str(name): value
            for group in ("_parameters", "_buffers")
            for name, value in dictionary(self.attributes.get(group, {})).items()
            if value is not None
        }
        if len(self.tensors) > MAX_ENTRIES:
            raise Refused("has more tensors in a module than any network does")

    def walk(self, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, with their dotted paths."""
        if depth > MAX_DEPTH:
            raise Refused("nests modules deeper than any network does")
        yield prefix, self
        for name, child in self.children.items():
            if child is not None:
                yield from Module(child).walk(f"{prefix}{name}.", depth + 1)


def is_network(value: object) -> bool:
    """Whether the value is an object that NVIDIA's persistence made."""
    return isinstance(value, Record) and value.name == PERSISTENT_OBJECT


def networks(root: object) -> dict[str, Record]:
    """The networks at the top of the file by their key (`G`, `D`, `G_ema`), or the one that is the file."""
    if isinstance(root, Record) and is_network(root):
        return {"network": root}
    if not isinstance(root, dict):
        return {}
    return {str(key): value for key, value in root.items() if isinstance(value, Record) and is_network(value)}


def contents(found: Mapping[str, Record]) -> tuple[str, ...]:
    """Key and class name of some networks, for people."""
    return tuple(f"{shown(key)} ({Module(found[key]).class_name})" for key in list(found)[:20])


def find(root: object, name: str) -> ParsedCheckpoint:
    """The generator (`G_ema` before `G`) among the records of the pickle; `name` is for its card."""
    found = networks(root)
    key = next((key for key in ("G_ema", "G", "network") if key in found), None)
    if key is None:
        held = ", ".join(contents(found)[:4])
        raise Refused(f"holds no generator, only {held or 'other objects'}; {SUPPORTED}")
    modules: Modules = {}
    for path, module in Module(found[key]).walk():
        if len(modules) == MAX_MODULES:
            raise Refused("has more modules than any network does")
        modules[path] = module
    tensors = {f"{path}{name}": value for path, module in modules.items() for name, value in module.tensors.items()}
    refuse_others(modules, tensors)
    return convert(modules, tensors, Card(name, description=f"Read from the {key} of an {KIND}"))


def refuse_others(modules: Modules, tensors: Mapping[str, object]) -> None:
    """Say what a network is that isn't a StyleGAN2 generator as we know it."""
    top = modules[""].class_name
    if any(path.endswith("fromrgb.") or path == "b4.mbstd." for path in modules):
        raise Refused(f"holds a discriminator ({top}) where a generator is wanted; {SUPPORTED}")
    if "synthesis.input.freqs" in tensors:
        raise Refused(f"holds a StyleGAN3 generator, whose layers are other ones; {SUPPORTED}")
    if "synthesis.b4.const" not in tensors or "mapping.fc0.weight" not in tensors:
        raise Refused(f"holds a network of class {top!r} that is no StyleGAN2 generator; {SUPPORTED}")
    if any(path.endswith(".skip.") for path in modules) or "synthesis.b4.torgb." not in modules:
        raise Refused(f"holds a StyleGAN2 generator of the resnet or orig architecture; {SUPPORTED}")


def convert(modules: Modules, tensors: Mapping[str, object], card: Card) -> ParsedCheckpoint:
    """Names and configuration; shapes are believed rather than the arguments the network was made with."""
    shapes = {name: integers(unwrapped(value).args[2]) for name, value in tensors.items()}
    resolutions = sorted(
        int(m[1]) for name in shapes if (m := re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name))
    )
    depth = sum(1 for name in shapes if re.fullmatch(r"mapping\.fc\d+\.weight", name))
    arguments = modules["synthesis."].attributes.get("_init_kwargs", {})
    declared = {key: value for key, value in dictionary(arguments).items() if isinstance(value, int)}
    base, maximum = widths(
        {r: shapes[f"synthesis.b{r}.conv1.weight"][0] for r in resolutions},
        declared.get("channel_base"),
        declared.get("channel_max"),
    )
    w_dim, inputs = shapes["mapping.fc0.weight"]
    c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
    config = checked_config(
        {
            "resolution": max(resolutions, default=0),
            "z_dim": inputs - (w_dim if c_dim else 0),
            "w_dim": w_dim,
            "c_dim": c_dim,
            "channel_base": base,
            "channel_max": maximum,
            "mapping_layers": depth,
            "img_channels": shapes["synthesis.b4.torgb.weight"][0],
            "conv_clamp": clamp(modules),
        }
    )
    check_conventions(modules, tensors)
    names = our_names(resolutions, depth, bool(c_dim), "mapping.w_avg" in tensors)
    known = set(names.values())
    unknown = [name for name in tensors if name not in known and not name.endswith("resample_filter")]
    if unknown:
        raise Refused(
            f"has the unknown tensor {unknown[0][:80]!r}: it is a variant of StyleGAN2 that gansteer does not know"
        )
    readers: dict[str, Reader] = {
        ours: partial(read_tensor, tensors[theirs], {}) for ours, theirs in names.items() if theirs in tensors
    }
    return ParsedCheckpoint(KIND, config, card, readers)


def unwrapped(value: object) -> Record:
    """The tensor's record inside a parameter's."""
    if not isinstance(value, Record) or not is_tensor(value):
        raise Refused("holds something else where a tensor is expected")
    inner = value.args[0]
    return inner if value.name.endswith("_parameter") and isinstance(inner, Record) else value


def clamp(modules: Modules) -> float | None:
    """The one `conv_clamp` of all layers."""
    values = {number(m.attributes["conv_clamp"]) for m in modules.values() if "conv_clamp" in m.attributes}
    if len(values) > 1:
        raise Refused("clamps its layers differently, which is not supported")
    value = values.pop() if values else None
    return None if value is None else float(value)


def check_conventions(modules: Modules, tensors: Mapping[str, object]) -> None:
    """What a network could have been trained with otherwise, and no tensor's shape shows."""
    for path, module in modules.items():
        activation = module.attributes.get("activation", "lrelu")
        if activation != "lrelu" and not (activation == "linear" and path.endswith(("affine.", "embed."))):
            raise Refused(f"uses the activation {shown(activation)}; only lrelu is supported")
        if re.fullmatch(r"mapping\.fc\d+\.", path):
            rate = number(module.attributes.get("bias_gain", 0.01))
            if rate is None or abs(rate - 0.01) > 1e-9:
                raise Refused(f"has a mapping learning rate multiplier of {rate}; only 0.01 is supported")
    for name, value in tensors.items():
        if name.endswith("resample_filter"):
            taps = read_tensor(value, {}).double()
            wanted = taps.new_tensor([1, 3, 3, 1]) / 8
            if taps.shape != (4, 4) or (taps - wanted.outer(wanted)).abs().max() > 1e-6:
                raise Refused("resamples with another filter than [1, 3, 3, 1], which is not supported")


def our_names(resolutions: list[int], depth: int, embed: bool, mean: bool) -> dict[str, str]:
    """Our name of every tensor to theirs."""
    names = {"synthesis.constant": "synthesis.b4.const"}
    if mean:
        names["mapping.w_mean"] = "mapping.w_avg"
    for part in ("weight", "bias"):
        if embed:
            names[f"mapping.embed.{part}"] = f"mapping.embed.{part}"
        for i in range(depth):
            names[f"mapping.layers.{i}.{part}"] = f"mapping.fc{i}.{part}"
    for ours, r, layer in layer_names(resolutions):
        theirs = f"synthesis.b{r}.{layer}"
        for part in ("weight", "bias", "affine.weight", "affine.bias"):
            names[f"{ours}.{part}"] = f"{theirs}.{part}"
        if layer != "torgb":
            names[f"{ours}.noise_strength"] = f"{theirs}.noise_strength"
            names[f"{ours}.noise_fixed"] = f"{theirs}.noise_const"
    return names
