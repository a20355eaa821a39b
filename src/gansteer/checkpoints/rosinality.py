"""The `.pt` files of rosinality's stylegan2-pytorch: a dictionary with the state dict `g_ema`.

Its equalised learning rates, up-convolution and filter are ours; several tensors carry a leading axis of 1. The mean of
w is stored (`latent_avg`) only in files converted from NVIDIA's; else it is measured.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from gansteer.checkpoints.archive import Blobs
from gansteer.checkpoints.assemble import ParsedCheckpoint, Reader, checked_config, layer_names, widths
from gansteer.checkpoints.nvidia import SUPPORTED, unwrapped
from gansteer.checkpoints.pickle_reader import Refused, shown
from gansteer.checkpoints.unpickle import dictionary, integers, is_tensor, read_tensor
from gansteer.subject import Card

KIND = "rosinality PyTorch file"


def find(root: object, blobs: Blobs, name: str) -> ParsedCheckpoint:
    """The generator (`g_ema` before `g`) of the file; `name` is for its card."""
    if not isinstance(root, dict):
        raise Refused(f"is no checkpoint of a known release; {SUPPORTED}")
    key = next((key for key in ("g_ema", "g") if key in root), None)
    if key is None:
        held = ", ".join(shown(key) for key in list(root)[:4])
        what = "a discriminator, but no generator" if "d" in root else "neither g_ema nor g"
        raise Refused(f"holds {what} (only {held}); {SUPPORTED}")
    tensors = {str(name): value for name, value in dictionary(root[key]).items() if is_tensor(value)}
    if "input.input" not in tensors or "style.1.weight" not in tensors:
        raise Refused(f"holds a network under {key!r} that is no StyleGAN2 generator; {SUPPORTED}")
    return convert(tensors, root.get("latent_avg"), blobs, Card(name, description=f"Read from the {key} of a {KIND}"))


def convert(tensors: Mapping[str, object], mean: object, blobs: Blobs, card: Card) -> ParsedCheckpoint:
    """Names and configuration, from the tensors' shapes."""
    shapes = {name: integers(unwrapped(value).args[2]) for name, value in tensors.items()}
    channels = {4: shapes["conv1.conv.weight"][1]}
    while (upper := f"convs.{2 * len(channels) - 1}.conv.weight") in shapes:
        channels[4 << len(channels)] = shapes[upper][1]
    base, maximum = widths(channels)
    depth = sum(1 for name in shapes if re.fullmatch(r"style\.\d+\.weight", name))
    w_dim, z_dim = shapes["style.1.weight"]
    config = checked_config(
        {
            "resolution": max(channels),
            "z_dim": z_dim,
            "w_dim": w_dim,
            "channel_base": base,
            "channel_max": maximum,
            "mapping_layers": depth,
            "img_channels": shapes["to_rgb1.conv.weight"][1],
        }
    )
    names = our_names(list(channels), depth)
    known = {theirs for theirs, _ in names.values()}
    for name in tensors:
        if name.endswith("kernel"):
            check_filter(read_tensor(tensors[name], blobs))
        elif name not in known:
            raise Refused(
                f"has the unknown tensor {name[:80]!r}: it is a variant of StyleGAN2 that gansteer does not know"
            )
    readers: dict[str, Reader] = {
        ours: partial(_read, tensors[theirs], blobs, layout)
        for ours, (theirs, layout) in names.items()
        if theirs in tensors
    }
    if mean is not None:
        readers["mapping.w_mean"] = partial(_read, mean, blobs, torch.flatten)
    return ParsedCheckpoint(KIND, config, card, readers)


def check_filter(kernel: Tensor) -> None:
    """Refuse any other filter than the outer product of [1, 3, 3, 1] (with gain 4, which doubling the size needs)."""
    wanted = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    if kernel.shape != (4, 4) or (kernel - wanted.outer(wanted)).abs().max() > 1e-6:
        raise Refused("resamples with another filter than [1, 3, 3, 1], which is not supported")


Layout = Callable[[Tensor], Tensor]


def _read(value: object, blobs: Blobs, layout: Layout) -> Tensor:
    return layout(read_tensor(value, blobs))


def _same(x: Tensor) -> Tensor:
    return x


def _first(x: Tensor) -> Tensor:
    """Without the leading axis of 1."""
    return x.squeeze(0)


def our_names(resolutions: list[int], depth: int) -> dict[str, tuple[str, Layout]]:
    """Our name of every tensor to theirs and how to lay it out our way."""
    names: dict[str, tuple[str, Layout]] = {"synthesis.constant": ("input.input", _first)}
    for i in range(depth):
        for part in ("weight", "bias"):
            names[f"mapping.layers.{i}.{part}"] = (f"style.{i + 1}.{part}", _same)
    noise = 0
    for ours, r, layer in layer_names(resolutions):
        block = resolutions.index(r) - 1
        if layer == "torgb":
            theirs = "to_rgb1" if r == 4 else f"to_rgbs.{block}"
            names[f"{ours}.bias"] = (f"{theirs}.bias", torch.flatten)
        else:
            theirs = "conv1" if r == 4 else f"convs.{2 * block + (layer == 'conv1')}"
            names[f"{ours}.bias"] = (f"{theirs}.activate.bias", _same)
            names[f"{ours}.noise_strength"] = (f"{theirs}.noise.weight", _first)
            names[f"{ours}.noise_fixed"] = (f"noises.noise_{noise}", lambda x: x.squeeze(0).squeeze(0))
            noise += 1
        names[f"{ours}.weight"] = (f"{theirs}.conv.weight", _first)
        names[f"{ours}.affine.weight"] = (f"{theirs}.conv.modulation.weight", _same)
        names[f"{ours}.affine.bias"] = (f"{theirs}.conv.modulation.bias", _same)
    return names
