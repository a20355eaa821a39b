"""The models that the studio offers: those that come with gansteer and those of one folder."""

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from gansteer.checkpoints.files import Description, describe, load_file
from gansteer.checkpoints.shipped import shipped
from gansteer.errors import UserError
from gansteer.studio.protocol import ModelInfo
from gansteer.subject import Model, Subject

FIRST_SEEDS = {"portraits": 214, "rooms": 25}
"""The pictures to begin with, chosen by recipes/first_picture.py."""
USUAL_SEED = 214
"""Of other models."""


@dataclass(frozen=True)
class Entry:
    """A model that can be chosen."""

    path: Path
    info: ModelInfo
    network: str | None
    """Which of several in the file."""


class Catalogue:
    """Names to models. Opened when first wanted; forgotten when no picture needs them any more, but for the last one.

    The names are those that were found at the start: nothing that is asked for later becomes a path.
    """

    def __init__(
        self, folder: Path | None = None, device: str = "auto", shipped_folder: Path | None = None,
        network: str | None = None,
    ) -> None:  # fmt: skip
        """`folder` is looked through for checkpoints once, now; `shipped_folder` stands for the package's own.

        `network` names one of several in a file, such as G instead of G_ema; files that hold one only are not asked.
        """
        self._device = device
        self._entries: dict[str, Entry] = {}
        self._open: WeakValueDictionary[str, Model] = WeakValueDictionary()
        self._last: Model | None = None
        self._lock = threading.Lock()
        self.skipped: list[str] = []
        """Files of the folder that are no models, and why, one line each."""
        if folder is not None and not folder.is_dir():
            raise UserError(f"--models {folder}: there is no such folder")
        found = [*shipped(shipped_folder).values(), *(sorted(folder.iterdir()) if folder else ())]
        for path in found:
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                one_of = network if network and len(describe(path, thorough=False).held) > 1 else None
                about = describe(path, one_of)
            except UserError as error:
                self.skipped.append(str(error))
                continue
            if about.config is None or about.problem:
                self.skipped.append(about.problem or f"{path} is no generator")
                continue
            info = _info(about)
            if info.name in self._entries:
                self.skipped.append(f"{path}: there is a model {info.name!r} already")
                continue
            self._entries[info.name] = Entry(path, info, one_of)
        if not self._entries:
            raise UserError("there is no model: give a folder of checkpoints with --models")

    @property
    def infos(self) -> tuple[ModelInfo, ...]:
        """What there is to choose from; the first is the default."""
        return tuple(entry.info for entry in self._entries.values())

    @property
    def default(self) -> str:
        """The name of the model that a new session begins with."""
        return next(iter(self._entries))

    def first(self, name: str) -> int:
        """The seed of the picture that a model begins with."""
        return self._entries[name].info.first

    def load(self, name: str) -> Model:
        """The model of a name in `infos`. Raises UserError for others. May be called on any thread."""
        with self._lock:
            if name not in self._entries:
                raise UserError(f"there is no model {name!r} here; there are {', '.join(self._entries)}")
            model = self._open.get(name)
            if model is None:
                model = self._open[name] = load_file(
                    self._entries[name].path, self._device, network=self._entries[name].network
                )
                _ = model.digest  # once, now: sessions ask for it when they are saved
            self._last = model
            return model


def _info(about: Description) -> ModelInfo:
    card, config = about.card, about.config
    assert card is not None
    assert config is not None
    return ModelInfo(
        card.name, config.resolution, card.domain, card.licence, card.description, card.limits, dict(card.training),
        dict(card.metrics), config.c_dim, FIRST_SEEDS.get(card.name, USUAL_SEED),
    )  # fmt: skip


def sampled(model: Model, seed: int, psi: float, label: int | None) -> Subject:
    """The subject of a seed as a page asks for it; of a model with classes the first, if none is asked for.

    Raises UserError.
    """
    if not (math.isfinite(psi) and -2 <= psi <= 2):
        raise UserError(f"psi must be from -2 to 2, not {psi}")
    return model.sample(seed, psi, 0 if label is None and model.generator.config.c_dim else label)
