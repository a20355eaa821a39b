"""rosinality's stylegan2-pytorch: state dicts of its generator, alone, in its own `.pt` files, and in those of others.

Its equalised learning rates, up-convolution and filter are ours; several tensors carry a leading axis of 1. The mean of
w is stored (`latent_avg`) only in files converted from NVIDIA's and by pSp and e4e; else it is measured.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
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
from gansteer.checkpoints.nvidia import check_filter, refuse_oblong
from gansteer.checkpoints.pickle_reader import Refused
from gansteer.checkpoints.unpickle import is_array, is_tensor, read_array, read_tensor, shape_of
from gansteer.subject import Card

KIND = "rosinality PyTorch file"
MAX_ROWS = 64


def convert(tensors: Mapping[str, object], mean: object, blobs: Blobs, card: Card) -> ParsedCheckpoint:
    """Names and configuration, from the tensors' shapes."""
    shapes = {name: shape_of(value) for name, value in tensors.items()}
    channels = {4: shapes["conv1.conv.weight"][1]}
    while (upper := f"convs.{2 * len(channels) - 1}.conv.weight") in shapes:
        channels[4 << len(channels)] = shapes[upper][1]
    base, maximum = widths(channels)
    depth = sum(1 for name in shapes if re.fullmatch(r"style\.\d+\.weight", name))
    w_dim, z_dim = shapes["style.1.weight"]
    refuse_oblong(shapes["input.input"], max(channels))
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
            # The filter has gain 4, which doubling the size needs.
            check_filter(read_tensor(tensors[name], blobs).double(), 4, "blur_kernel")
        elif name not in known:
            raise Refused(
                f"has the unknown tensor {name[:80]!r}: it is a variant of StyleGAN2 that gansteer does not know"
            )
    readers: dict[str, Reader] = {
        ours: partial(_read, tensors[theirs], blobs, layout)
        for ours, (theirs, layout) in names.items()
        if theirs in tensors
    }
    notes: tuple[str, ...] = ()
    if mean is not None:
        rows = mean_rows(mean, blobs, w_dim)
        if not bool((rows == rows[0]).all()):
            notes = (f"has a latent_avg of {len(rows)} different rows: the mean of w is their mean",)
        readers["mapping.w_mean"] = partial(_mean, rows)
    tensors_with_noise, silences = with_noise(readers, config)
    parsed = ParsedCheckpoint(KIND, config, card, tensors_with_noise, notes=(*notes, *silences))
    return in_colour(parsed, "to_rgb channels")


def mean_rows(value: object, blobs: Blobs, w_dim: int) -> Tensor:
    """The mean of w as a file keeps it, `[rows, w_dim]`: one row, all rows of w+, or a list of either or of numbers.

    Raises Refused for anything else.
    """
    if isinstance(value, list | tuple) and 0 < len(value) <= MAX_ROWS and not isinstance(value[0], int | float):
        return torch.cat([mean_rows(each, blobs, w_dim) for each in value])
    if isinstance(value, list | tuple) and len(value) == w_dim and all(isinstance(x, int | float) for x in value):
        return torch.tensor(value, dtype=torch.float32)[None]
    if is_tensor(value):
        found = read_tensor(value, blobs)
    elif is_array(value):
        found = read_array(value)
    else:
        raise Refused("has a latent_avg that is neither a tensor nor a list of numbers")
    if not found.is_floating_point() or found.shape[-1:] != (w_dim,) or found.numel() > MAX_ROWS * w_dim:
        raise Refused(f"has a latent_avg of shape {list(found.shape)}; it must be [{w_dim}] or [rows, {w_dim}]")
    return found.reshape(-1, w_dim)


def _mean(rows: Tensor) -> Tensor:
    """`[rows, w_dim]` to `[w_dim]`; equal rows give theirs, without a rounding."""
    return rows[0].clone() if bool((rows == rows[0]).all()) else rows.double().mean(dim=0).float()


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
