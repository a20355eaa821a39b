"""NVIDIA's PyTorch networks: StyleGAN2 generators of the stylegan2-ada-pytorch and stylegan3 releases.

They come as pickles of whole networks, as what `torch.save` makes of one (PTI's tuned generators), and as bare state
dicts. Their up-convolution, FIR filter, equalised learning rates and normalisations are ours, so only names change.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from torch import Tensor

from gansteer.checkpoints.archive import Blobs
from gansteer.checkpoints.assemble import (
    ParsedCheckpoint,
    Reader,
    checked_config,
    in_colour,
    layer_names,
    widths,
    with_noise,
)
from gansteer.checkpoints.choosing import named, preferred
from gansteer.checkpoints.names import CONTAINERS, PERSISTENT_OBJECT, WRAPPERS
from gansteer.checkpoints.pickle_reader import Record, Refused, shown
from gansteer.checkpoints.unpickle import dictionary, is_tensor, number, read_tensor, shape_of
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.subject import Card

KIND = "NVIDIA PyTorch pickle"
STATE_DICT = "state dict with NVIDIA's names"
MAX_DEPTH = 8
MAX_MODULES = 2000
MAX_ENTRIES = 500
SUPPORTED = "gansteer opens StyleGAN2 generators of the skip architecture"
USUAL_CLAMP = 256.0
"""`conv_clamp` of every generator that the release's own training script makes; a bare state dict doesn't tell it."""

Modules = dict[str, "Module"]


class Module:
    """One module of the file: its class's name, attributes, tensors and children. Its embedded source is ignored."""

    def __init__(self, record: object) -> None:
        if not isinstance(record, Record):
            raise Refused("holds something else where a network is expected")
        if record.name == PERSISTENT_OBJECT:
            meta = dictionary(record.args[0])
            self.class_name = shown(meta.get("class_name"))
            state = meta.get("state")
        else:
            self.class_name = shown(record.name, 80)
            state = record.state
        self.known = record.name == PERSISTENT_OBJECT or record.name in CONTAINERS
        """Whether its class is one of the release's, or only holds others."""
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


def network_of(value: object) -> Record | None:
    """The network that the value is or, in a wrapper of PyTorch's for several devices, holds; None for another object."""
    if isinstance(value, Record) and value.name in WRAPPERS and value.state is not None:
        value = Module(value).children.get("module")
    return value if isinstance(value, Record) and value.name == PERSISTENT_OBJECT else None


def networks(root: object) -> dict[str, Record]:
    """The networks at the top of the file by their key (`G`, `D`, `G_ema`), or the one that is the file."""
    alone = network_of(root)
    if alone is not None:
        return {"network": alone}
    if not isinstance(root, dict):
        return {}
    found = {str(key): network_of(value) for key, value in root.items() if not is_tensor(value)}
    return {key: network for key, network in found.items() if network is not None}


def contents(found: Mapping[str, Record]) -> tuple[str, ...]:
    """Key and class name of some networks, for people."""
    return tuple(f"{shown(key)} ({Module(found[key]).class_name})" for key in list(found)[:20])


def is_generator(network: Record) -> bool:
    """Whether the network has the two parts of a generator."""
    return {"mapping", "synthesis"} <= set(Module(network).children)


def find(root: object, blobs: Blobs, name: str, network: str | None = None) -> ParsedCheckpoint:
    """The generator among the records of the pickle: the one called `network`, else `G_ema` before `G` before others.

    `name` is for its card.
    """
    found = networks(root)
    generators = {key: value for key, value in found.items() if is_generator(value)}
    key = (
        named(found, network)
        if network is not None
        else preferred(generators) or next((key for key in ("G_ema", "G", "network") if key in found), None)
    )
    if key is None:
        held = ", ".join(contents(found)[:4])
        raise Refused(f"holds no generator, only {held or 'other objects'}; {SUPPORTED}")
    modules, tensors = parts(found[key])
    refuse_others(modules, tensors)
    card = Card(name, description=f"Read from the {shown(key)} of an {KIND}")
    notes: tuple[str, ...] = ()
    others = [other for other in generators if other != key]
    if network is None and any(differ(found[other], tensors, blobs) for other in others):
        listed = " and ".join([shown(key), *map(shown, others[:4])])
        notes = (f"holds {listed} with different weights: {shown(key)} was taken, --network takes another",)
    return convert(modules, tensors, blobs, card, KIND, notes)


def parts(network: Record) -> tuple[Modules, dict[str, object]]:
    """The modules of a network by their dotted paths, and its tensors by their dotted names."""
    modules: Modules = {}
    for path, module in Module(network).walk():
        if len(modules) == MAX_MODULES:
            raise Refused("has more modules than any network does")
        modules[path] = module
    return modules, {
        f"{path}{name}": value for path, module in modules.items() for name, value in module.tensors.items()
    }


def differ(network: Record, tensors: Mapping[str, object], blobs: Blobs) -> bool:
    """Whether the network has other values than `tensors`; reads no further than to the first difference."""
    try:
        _, others = parts(network)
        if set(others) != set(tensors):
            return True
        pairs = ((others[name], value) for name, value in tensors.items())
        return any(not read_tensor(a, blobs).equal(read_tensor(b, blobs)) for a, b in pairs)
    except Refused:  # it isn't what was asked for, so it may be as odd as it likes
        return True


def refuse_others(modules: Modules, tensors: Mapping[str, object]) -> None:
    """Say what a network is that isn't a StyleGAN2 generator as we know it."""
    top = modules[""].class_name
    if any(path.endswith("fromrgb.") or path == "b4.mbstd." for path in modules):
        raise Refused(f"holds a discriminator ({top}) where a generator is wanted; {SUPPORTED}")
    refuse_other_tensors(tensors, f"a network of class {top!r}")
    foreign = next((path for path, module in modules.items() if not module.known), None)
    if foreign is not None:
        raise Refused(
            f"needs {modules[foreign].class_name} in its generator ({foreign[:-1][:60]}): that is no StyleGAN2"
        )


def refuse_other_tensors(tensors: Mapping[str, object], what: str) -> None:
    """Say what a network is, as far as the names of its tensors tell."""
    if "synthesis.input.freqs" in tensors:
        raise Refused(f"holds a StyleGAN3 generator, whose layers are other ones; {SUPPORTED}")
    if "synthesis.b4.const" not in tensors or "mapping.fc0.weight" not in tensors:
        raise Refused(f"holds {what} that is no StyleGAN2 generator; {SUPPORTED}")
    if any(".skip." in name for name in tensors) or "synthesis.b4.torgb.weight" not in tensors:
        raise Refused(f"holds a StyleGAN2 generator of the resnet or orig architecture (architecture=...); {SUPPORTED}")


def from_state_dict(tensors: Mapping[str, object], blobs: Blobs, card: Card) -> ParsedCheckpoint:
    """The generator of a state dict alone, whose layers' settings are taken to be the release's usual ones."""
    refuse_other_tensors(tensors, "a state dict")
    note = f"is a state dict, which does not tell conv_clamp: the release's {USUAL_CLAMP:g} was taken"
    return convert({}, tensors, blobs, card, STATE_DICT, (note,))


def convert(
    modules: Modules, tensors: Mapping[str, object], blobs: Blobs, card: Card, kind: str, notes: tuple[str, ...]
) -> ParsedCheckpoint:
    """Names and configuration; shapes are believed rather than the arguments the network was made with."""
    shapes = {name: shape_of(value) for name, value in tensors.items()}
    resolutions = sorted(
        int(m[1]) for name in shapes if (m := re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name))
    )
    depth = sum(1 for name in shapes if re.fullmatch(r"mapping\.fc\d+\.weight", name))
    check_settings(shapes)
    declared = dictionary(modules["synthesis."].attributes.get("_init_kwargs", {})) if "synthesis." in modules else {}
    whole = {key: value for key, value in declared.items() if isinstance(value, int)}
    base, maximum = widths(
        {r: shapes[f"synthesis.b{r}.conv1.weight"][0] for r in resolutions},
        whole.get("channel_base"),
        whole.get("channel_max"),
    )
    w_dim = shapes["synthesis.b4.conv1.affine.weight"][1]
    c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
    config = checked_config(
        {
            "resolution": max(resolutions, default=0),
            "z_dim": shapes["mapping.fc0.weight"][1] - (w_dim if c_dim else 0),
            "w_dim": w_dim,
            "c_dim": c_dim,
            "channel_base": base,
            "channel_max": maximum,
            "mapping_layers": depth,
            "img_channels": shapes["synthesis.b4.torgb.weight"][0],
            "conv_clamp": clamp(modules) if modules else USUAL_CLAMP,
        }
    )
    check_conventions(modules, tensors, blobs)
    names = our_names(resolutions, depth, bool(c_dim), "mapping.w_avg" in tensors)
    known = set(names.values())
    unknown = [name for name in tensors if name not in known and not name.endswith("resample_filter")]
    if unknown:
        raise Refused(
            f"has the unknown tensor {unknown[0][:80]!r}: it is a variant of StyleGAN2 that gansteer does not know"
        )
    return parsed(config, card, kind, notes, {
        ours: partial(read_tensor, tensors[theirs], blobs) for ours, theirs in names.items() if theirs in tensors
    })  # fmt: skip


def parsed(
    config: GeneratorConfig, card: Card, kind: str, notes: tuple[str, ...], readers: Mapping[str, Reader]
) -> ParsedCheckpoint:
    """What was found, with the noise that it leaves out, drawing pictures that can be shown."""
    tensors, silences = with_noise(readers, config)
    return in_colour(ParsedCheckpoint(kind, config, card, tensors, notes=(*notes, *silences)), "img_channels")


def check_settings(shapes: Mapping[str, list[int]]) -> None:
    """Refuse, by the release's own name of the setting, shapes that our generator doesn't have."""
    w_dim = shapes["synthesis.b4.conv1.affine.weight"][1]
    if "mapping.embed.weight" in shapes and shapes["mapping.embed.weight"][0] != w_dim:
        made = f"embed_features={shapes['mapping.embed.weight'][0]}"
        raise Refused(f"was made with {made}; only the size of w ({w_dim}) is supported")
    for name, shape in shapes.items():
        if re.fullmatch(r"mapping\.fc\d+\.weight", name) and shape[0] != w_dim:
            raise Refused(f"was made with layer_features={shape[0]}; only the size of w ({w_dim}) is supported")
        wanted = 1 if ".torgb." in name else 3
        if re.fullmatch(r"synthesis\.b\d+\.(conv[01]|torgb)\.weight", name) and shape[2:] != [wanted, wanted]:
            raise Refused(f"was made with kernel_size={max(shape[2:], default=0)}; only {wanted} is supported there")
    blocks = [int(m[1]) for name in shapes if (m := re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name))]
    refuse_oblong(shapes["synthesis.b4.const"], max(blocks, default=4))


def refuse_oblong(constant: Sequence[int], largest: int) -> None:
    """Refuse a generator whose pictures aren't square: `constant` is its constant's shape `[..., rows, columns]`.

    Its last block has `largest` of the more numerous.
    """
    height, width = constant[-2:]
    if height != width:
        high, wide = (side * largest // max(height, width) for side in (height, width))
        raise Refused(
            f"draws pictures of {wide} x {high} px (width x height); gansteer opens generators of square ones"
        )
    if height != 4:
        raise Refused(f"begins with a constant of {height} x {height} where StyleGAN2 has 4 x 4: it is a variant")


def clamp(modules: Modules) -> float | None:
    """The one `conv_clamp` of all layers."""
    values = {number(m.attributes["conv_clamp"]) for m in modules.values() if "conv_clamp" in m.attributes}
    if len(values) > 1:
        raise Refused("clamps its layers differently (conv_clamp), which is not supported")
    value = values.pop() if values else None
    return None if value is None else float(value)


def check_conventions(modules: Modules, tensors: Mapping[str, object], blobs: Blobs) -> None:
    """What a network could have been trained with otherwise, and no tensor's shape shows."""
    for path, module in modules.items():
        activation = module.attributes.get("activation", "lrelu")
        if activation != "lrelu" and not (activation == "linear" and path.endswith(("affine.", "embed."))):
            raise Refused(f"was made with activation={shown(activation)}; only lrelu is supported")
        if re.fullmatch(r"mapping\.fc\d+\.", path):
            rate = number(module.attributes.get("bias_gain", 0.01))
            if rate is None or abs(rate - 0.01) > 1e-9:
                raise Refused(f"has a mapping of lr_multiplier={rate}; only 0.01 is supported")
    for name, value in tensors.items():
        if name.endswith("resample_filter"):
            check_filter(read_tensor(value, blobs).double(), 1, "resample_filter")


def check_filter(taps: Tensor, gain: float, setting: str) -> None:
    """Refuse any other filter than the outer product of [1, 3, 3, 1], normalised, times `gain`."""
    wanted = taps.new_tensor([1, 3, 3, 1]) / 8
    if taps.shape == (4, 4) and (taps - gain * wanted.outer(wanted)).abs().max() <= 1e-6:
        return
    row = taps.reshape(len(taps), -1).sum(dim=1) if taps.dim() else taps.reshape(1)
    least = row.abs()[row.abs() > 0].min() if bool((row != 0).any()) else row.new_ones(())
    listed = ", ".join(f"{x:.3g}" for x in (row / least)[:8].tolist())
    raise Refused(f"was made with {setting}=[{listed}]; only [1, 3, 3, 1] is supported")


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
