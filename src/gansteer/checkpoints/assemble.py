"""From what a release's reader found to a Generator, reading one tensor at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gansteer.checkpoints.pickle_reader import Refused, shown
from gansteer.models.stylegan2.network import Generator, GeneratorConfig
from gansteer.subject import Card

LIMITS = {"z_dim": 8192, "w_dim": 8192, "c_dim": 100_000, "channel_max": 8192, "mapping_layers": 64, "img_channels": 16}
MEAN_SAMPLES = 10_000

Reader = Callable[[], Tensor]
"""Reads one tensor of the file, when it is its turn."""


@dataclass(frozen=True)
class ParsedCheckpoint:
    """A generator in a file, in our names; the tensors are still in the file."""

    kind: str
    """The release's name for people."""
    config: GeneratorConfig
    card: Card
    tensors: Mapping[str, Reader]
    """Our name of every tensor to its reader; without `mapping.w_mean` where the release doesn't store it."""


def checked_config(fields: Mapping[str, object]) -> GeneratorConfig:
    """The configuration of these fields, once they are of the right type and of a size that exists."""
    for name, value in fields.items():
        if name == "conv_clamp" and value is None:
            continue
        kind = int | float if name == "conv_clamp" else int
        if not isinstance(value, kind) or isinstance(value, bool) or not 0 <= value < 2**31:
            raise Refused(f"has a damaged configuration: {name} is {shown(value)}")
        if value > LIMITS.get(name, 2**31):
            raise Refused(f"declares {name} {value}, more than the {LIMITS[name]} that gansteer accepts")
    try:
        return GeneratorConfig(**fields)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise Refused(f"has an unusable configuration: {error}") from error


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


class _Unfilled(TorchFunctionMode):
    """`torch.randn` gives memory that is not filled, hence not occupied: every weight is about to be replaced.

    The meta device would do the same, but imports for two seconds before its first operation.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def assemble(found: ParsedCheckpoint, size: int, dtype: torch.dtype) -> Generator:
    """The generator of what was found in a file of `size` bytes.

    The network is laid out without memory, then each tensor is read, checked and put in its place, so that the peak is
    little above the weights themselves.
    """
    with _Unfilled():
        generator = Generator(found.config)
    wanted = generator.state_dict()
    measure_mean = "mapping.w_mean" not in found.tensors
    missing = [name for name in wanted if name not in found.tensors and name != "mapping.w_mean"]
    unknown = [name for name in found.tensors if name not in wanted]
    if missing or unknown:
        raise Refused(
            f"lacks the tensor {missing[0]}" if missing else f"has the unknown tensor {str(unknown[0])[:80]!r}"
        )
    state: dict[str, Tensor] = {}
    total = 0
    for name, read in found.tensors.items():
        tensor = read()
        if tensor.shape != wanted[name].shape:
            raise Refused(f"has {name} of shape {list(tensor.shape)} where {list(wanted[name].shape)} is needed")
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise Refused(f"has values in {name} that are not finite numbers")
        total += tensor.numel() * tensor.element_size()
        if total > size:
            raise Refused("uses the same bytes for several tensors: it is damaged or made to harm")
        state[name] = tensor.to(dtype)
    if measure_mean:
        state["mapping.w_mean"] = torch.zeros(found.config.w_dim, dtype=dtype)
    generator.load_state_dict(state, assign=True)
    generator.eval().requires_grad_(False)
    if measure_mean:
        generator.mapping.w_mean.copy_(mean_of_w(generator))
    return generator


@torch.no_grad()
def mean_of_w(generator: Generator) -> Tensor:
    """The mean `[w_dim]` of w over 10,000 seeded z, for releases that don't store it."""
    rng = torch.Generator().manual_seed(0)
    like = generator.mapping.w_mean
    total = torch.zeros_like(like)
    for _ in range(10):
        z = torch.randn(MEAN_SAMPLES // 10, generator.config.z_dim, generator=rng).to(like)
        total += generator.mapping(z).sum(dim=0)
    return total / MEAN_SAMPLES
