"""From what a release's reader found to a Generator, reading one tensor at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_type_hints

import msgspec
import torch
from torch import Tensor

from gansteer.checkpoints.pickle_reader import Refused, shown
from gansteer.models.generator import Generator
from gansteer.models.registry import ARCHITECTURES, FIRST
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.subject import Card

LIMITS = {
    "z_dim": 8192, "w_dim": 8192, "c_dim": 100_000, "channel_max": 8192, "mapping_layers": 64, "img_channels": 16,
    "blob_dim": 1024, "style_channels": 1024, "hidden_channels": 1024, "encoded": 1024, "apart": 64,
}  # fmt: skip
MEAN = "mapping.w_mean"
"""The mean of w, which not every release of StyleGAN2 stores."""
MEAN_SAMPLES = 10_000

Reader = Callable[[], Tensor]
"""Reads one tensor of the file, when it is its turn."""


@dataclass(frozen=True)
class ParsedCheckpoint:
    """A generator in a file, in our names; the tensors are still in the file."""

    kind: str
    """The release's name for people."""
    config: Any
    """Of the architecture's class."""
    card: Card
    tensors: Mapping[str, Reader]
    """Our name of every tensor to its reader; without `mapping.w_mean` where the release doesn't store it."""
    architecture: str = FIRST
    """One of `ARCHITECTURES`."""
    notes: tuple[str, ...] = ()
    """What was chosen, filled in or left out on the way, each as a sentence without its subject: "holds no noise maps
    ..."."""


def checked_config(fields: Mapping[str, object], architecture: str = FIRST) -> Any:
    """The configuration of these fields, once they are of the right type and of a size that exists."""
    config = ARCHITECTURES[architecture].config_class
    hints = get_type_hints(config)
    for name, value in fields.items():
        if not _fits(value, hints.get(name, int)):
            raise Refused(f"has a damaged configuration: {name} is {shown(value)}")
        if isinstance(value, int) and value > LIMITS.get(name, 2**31):
            raise Refused(f"declares {name} {value}, more than the {LIMITS[name]} that gansteer accepts")
    try:
        return config(**fields)
    except (TypeError, ValueError) as error:
        raise Refused(f"has an unusable configuration: {error}") from error


def _fits(value: object, hint: Any) -> bool:
    """Whether a value, which may come from anywhere, is of a field's type; numbers from 0 to below 2^31."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value < 2**31:
        return False
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    try:
        msgspec.convert(value, hint)
    except (msgspec.ValidationError, TypeError):
        return False
    return True


def widths(channels: Mapping[int, int], base: float | None = None, maximum: float | None = None) -> tuple[int, int]:
    """`(channel_base, channel_max)` that give these channels by resolution: the declared ones if they do, else the least."""

    def fits(base: int, maximum: int) -> bool:
        return all(min(base // r, maximum) == n for r, n in channels.items())

    if base is not None and maximum is not None and fits(int(base), int(maximum)):
        return int(base), int(maximum)
    least = max(r * n for r, n in channels.items()), max(channels.values())
    if not fits(*least):
        raise Refused(f"has {list(channels.values())} channels from 4 px on, which no StyleGAN2 configuration gives")
    return least


def layer_names(resolutions: list[int]) -> Iterator[tuple[str, int, str]]:
    """Our prefix, resolution and name (`conv0`, `conv1` or `torgb`) of every layer."""
    for i, r in enumerate(resolutions):
        if r > 4:
            yield f"synthesis.blocks.{i}.convs.conv0", r, "conv0"
        yield f"synthesis.blocks.{i}.convs.conv1", r, "conv1"
        yield f"synthesis.blocks.{i}.torgb", r, "torgb"


def with_noise(tensors: Mapping[str, Reader], config: GeneratorConfig) -> tuple[dict[str, Reader], tuple[str, ...]]:
    """The readers of a release's file and those of the noise that it leaves out, with a note on what was left out.

    A layer without a strength was made with `use_noise=False`: its noise counts nothing. Where no layer has a map, as in
    rosinality's own files, maps are drawn from a seed, because the release draws new ones for every picture.
    """
    found = dict(tensors)
    layers = [(name, r) for name, r, layer in layer_names(config.block_resolutions) if layer != "torgb"]
    silent = [
        name for name, _ in layers if f"{name}.noise_strength" not in found and f"{name}.noise_fixed" not in found
    ]
    no_maps = all(f"{name}.noise_fixed" not in found for name, _ in layers)
    for index, (name, r) in enumerate(layers):
        if name in silent:
            found[f"{name}.noise_strength"] = partial(torch.zeros, ())
            found[f"{name}.noise_fixed"] = partial(torch.zeros, (r, r))
        elif no_maps:
            found[f"{name}.noise_fixed"] = partial(_seeded_noise, index, r)
    if no_maps and len(silent) < len(layers):
        return found, ("holds no noise maps: they were drawn from seed 0",)
    if silent:
        return found, (f"adds no noise in {len(silent)} of {len(layers)} layers (use_noise=False)",)
    return found, ()


def _seeded_noise(index: int, resolution: int) -> Tensor:
    return torch.randn(resolution, resolution, generator=torch.Generator().manual_seed(index))


def in_colour(parsed: ParsedCheckpoint, setting: str) -> ParsedCheckpoint:
    """The generator with pictures that can be shown: of RGBA the RGB. `setting` is the release's name of the number.

    Raises Refused for any other number of channels than 1, 3 and 4.
    """
    channels = parsed.config.img_channels
    if channels in (1, 3) or parsed.architecture != FIRST:
        return parsed
    if channels != 4:
        raise Refused(
            f"draws pictures of {channels} channels ({setting}={channels}): gansteer shows grey, RGB and RGBA"
        )
    tensors = dict(parsed.tensors)
    for name, read in parsed.tensors.items():
        if ".torgb." in name and ".affine." not in name:
            tensors[name] = partial(_first_three, read)
    note = "draws RGBA: its colours are shown, without the transparency"
    return replace(parsed, config=replace(parsed.config, img_channels=3), tensors=tensors, notes=(*parsed.notes, note))


def _first_three(read: Reader) -> Tensor:
    return read()[:3].clone()


def checked(found: ParsedCheckpoint, size: int) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that was found in a file of `size` bytes, read one at a time, once its shape and values are right.

    Raises Refused for what is missing, unknown, misshapen or not finite, and for a file that uses its bytes repeatedly.
    """
    # Memory that is not filled is not occupied. (The meta device imports for two seconds before its first operation.)
    wanted = ARCHITECTURES[found.architecture].build(found.config, torch.empty).state_dict()
    missing = [name for name in wanted if name not in found.tensors and name != MEAN]
    unknown = [name for name in found.tensors if name not in wanted]
    if missing or unknown:
        raise Refused(
            f"lacks the tensor {missing[0]}" if missing else f"has the unknown tensor {str(unknown[0])[:80]!r}"
        )
    total = 0
    for name, read in found.tensors.items():
        tensor = read()
        if tensor.shape != wanted[name].shape:
            raise Refused(f"has {name} of shape {list(tensor.shape)} where {list(wanted[name].shape)} is needed")
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise Refused(f"has values in {name} that are not finite numbers")
        total += tensor.numel() * tensor.element_size() if not is_drawn(name, found) else 0
        if total > size:
            raise Refused("uses the same bytes for several tensors: it is damaged or made to harm")
        yield name, tensor


def is_drawn(name: str, found: ParsedCheckpoint) -> bool:
    """Whether the tensor does not come from the file (`with_noise`)."""
    read = found.tensors[name]
    return isinstance(read, partial) and read.func in (torch.zeros, _seeded_noise)


def assemble(found: ParsedCheckpoint, size: int, dtype: torch.dtype) -> Generator:
    """The generator of what was found in a file of `size` bytes.

    The network is laid out without memory, then each tensor is read, checked and put in its place, so that the peak is
    little above the weights themselves.
    """
    generator = ARCHITECTURES[found.architecture].build(found.config, torch.empty)
    measure_mean = MEAN in generator.state_dict() and MEAN not in found.tensors
    state = {name: tensor.to(dtype) for name, tensor in checked(found, size)}
    if measure_mean:
        state[MEAN] = torch.zeros(found.config.w_dim, dtype=dtype)
    generator.load_state_dict(state, assign=True)
    generator.eval().requires_grad_(False)
    if measure_mean:
        generator.mean_w().copy_(measured_mean(generator))
    return generator


@torch.no_grad()
def measured_mean(generator: Generator) -> Tensor:
    """The mean `[w_dim]` of w over 10,000 seeded z (and classes), for releases that don't store it."""
    rng = torch.Generator().manual_seed(0)
    like = generator.mean_w()
    total = torch.zeros_like(like)
    for _ in range(10):
        z = torch.randn(MEAN_SAMPLES // 10, generator.config.z_dim, generator=rng).to(like)
        classes = generator.config.c_dim
        c = None
        if classes:
            drawn = torch.randint(classes, (len(z), 1), generator=rng)
            c = torch.zeros(len(z), classes).scatter_(1, drawn, 1.0).to(like)
        total += generator.map_z(z, c).sum(dim=0)
    return total / MEAN_SAMPLES
