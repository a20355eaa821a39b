"""The architectures there are: the name in native checkpoints to the classes of configuration and generator.

The classes are imported when they are first used, so that reading this doesn't import torch.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gansteer.models.generator import Generator, GeneratorShape
    from gansteer.models.layers import Fill

FIRST = "stylegan2"
"""That of checkpoints which tell none: those of earlier releases."""


@dataclass(frozen=True)
class Architecture:
    """Where an architecture's classes live, as `module:name`."""

    config: str
    """A frozen dataclass of numbers, texts and None that is a `GeneratorShape`."""
    generator: str
    """A `Generator`, made from its configuration and a `Fill`."""
    layouts: bool = False
    """Whether its pictures are arranged by the blobs of a layout."""

    @property
    def config_class(self) -> "type[GeneratorShape]":
        """The dataclass itself. Making one raises TypeError or ValueError for fields that make no generator."""
        return _import(self.config)

    def build(self, config: "GeneratorShape", fill: "Fill") -> "Generator":
        """A generator whose weights `fill` made."""
        built: Generator = _import(self.generator)(config, fill)
        return built


ARCHITECTURES = {
    "stylegan2": Architecture(
        "gansteer.models.stylegan2.config:GeneratorConfig", "gansteer.models.stylegan2.generator:StyleGAN2Generator"
    ),
    "spatial": Architecture(
        "gansteer.models.spatial.config:SpatialConfig",
        "gansteer.models.spatial.generator:SpatialGenerator",
        layouts=True,
    ),
}


def _import(where: str) -> type:
    module, name = where.split(":")
    found: type = getattr(import_module(module), name)
    return found
