"""`gansteer package` and `gansteer push`: a model for others."""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import tyro

from gansteer.errors import UserError
from gansteer.output import check_writable

if TYPE_CHECKING:
    from gansteer.subject import Model


@dataclass(frozen=True, kw_only=True)
class Licensed:
    """What both commands are told."""

    licence: str | None = None
    """The licence of the weights, such as MIT or CC-BY-4.0; by default what the model's card says."""
    licence_text: Path | None = None
    """A file with what it says in full."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""

    def text(self) -> str | None:
        """What the licence says, if a file of it is given. Raises UserError."""
        try:
            return None if self.licence_text is None else self.licence_text.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--licence-text {self.licence_text} cannot be read: {error}") from error

    def packed(self, model: "Model", folder: Path) -> list[str]:
        """Write the package to an empty folder."""
        from gansteer.checkpoints.package import write_package

        return write_package(model, folder, self.licence, self.text())


@dataclass(frozen=True, kw_only=True)
class Package(Licensed):
    """Write a model with its card for people, licence, some pictures and checksums, for others to open with --model."""

    source: tyro.conf.Positional[str]
    """The model: a name, a checkpoint's file, or a hub id."""
    target: tyro.conf.Positional[Path]
    """The file to write, NAME.zip; or a folder that is empty or not there."""

    def run(self) -> None:
        is_zip = self.target.suffix.lower() == ".zip"
        if is_zip:
            check_writable(self.target)
        elif not self.target.parent.is_dir():
            raise UserError(f"there is no folder {self.target.parent}: make it first")
        elif self.target.exists() and (not self.target.is_dir() or any(self.target.iterdir())):
            raise UserError(f"{self.target} is there already: name a new folder, or a file that ends in .zip")
        self.text()
        from gansteer.checkpoints.package import zipped
        from gansteer.commands.starting import open_model

        model = open_model(self.source, "cpu", self.network)
        with TemporaryDirectory(dir=self.target.parent, prefix=".package-") as text:
            folder = Path(text) / "package"
            folder.mkdir()
            names = self.packed(model, folder)
            if is_zip:
                zipped(folder, self.target)
            else:
                folder.rename(self.target)
        print(f"wrote {self.target}: {model.card.name}, {model.resolution} px ({', '.join(names)})")


@dataclass(frozen=True, kw_only=True)
class Push(Licensed):
    """Put a model on the Hugging Face hub, with card, licence and checksums; `hf auth login` comes first."""

    source: tyro.conf.Positional[str]
    """The model: a name, a checkpoint's file, or a hub id."""
    to: str
    """Where: hf:owner/name. It is made if it is not there."""
    private: bool = False
    """Show a new one to its owner only."""

    def run(self) -> None:
        match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)", self.to)
        if match is None:
            raise UserError(f"--to {self.to}: write hf:owner/name")
        self.text()
        from gansteer.checkpoints.hub import push
        from gansteer.commands.starting import open_model

        model = open_model(self.source, "cpu", self.network)
        with TemporaryDirectory() as text:
            self.packed(model, Path(text))
            where = push(Path(text), match[1], self.private)
        print(f"{where}: gansteer sample --model hf:{match[1]} opens it")
