"""The models that come with gansteer: which files they are, and whether another file holds one of them."""

from importlib import resources
from pathlib import Path

from gansteer.checkpoints import native
from gansteer.checkpoints.unpickle import reading
from gansteer.models.generator import GeneratorShape
from gansteer.models.stylegan2.config import GeneratorConfig


def shipped(folder: Path | None = None) -> dict[str, Path]:
    """Name to file of the models that come with gansteer, or that lie in another folder."""
    folder = folder or Path(str(resources.files("gansteer") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def of_shape(config: GeneratorShape) -> list[Path]:
    """The files of those StyleGAN2 models whose tensors have the shapes of this configuration."""
    alike: list[Path] = []
    if not isinstance(config, GeneratorConfig):
        return alike
    for path in shipped().values():
        with reading(path), path.open("rb") as file:
            known = native.find(file, path.stat().st_size).config
        if isinstance(known, GeneratorConfig) and known.shapes == config.shapes:
            alike.append(path)
    return alike
