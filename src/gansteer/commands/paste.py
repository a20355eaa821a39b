"""`gansteer paste`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from gansteer.errors import UserError
from gansteer.output import check_picture, save_picture


@dataclass(frozen=True)
class Paste:
    """Put an edited picture back into the whole photo that it was cut from, its edge fading."""

    picture: tyro.conf.Positional[Path]
    """What became of the photo: a picture of the other commands."""
    photo: Path
    """The whole photo that was brought in."""
    subject: Path
    """The .steer file of `gansteer invert`, which knows where it was cut."""
    out: Path
    """The picture to write (.png, .jpg or .webp)."""
    model: str | None = None
    """The model, if it is none of those that come with gansteer."""
    network: str | None = None
    """Which network of a file that holds several, such as G instead of G_ema."""
    feather: float = 0.1
    """How wide the fading edge is, as a share of the crop's side, up to 0.5."""

    def run(self) -> None:
        check_picture(self.out)
        if not 0 <= self.feather <= 0.5:
            raise UserError(f"--feather is from 0 to 0.5, not {self.feather}")
        from gansteer.checkpoints.registry import load
        from gansteer.edits.inversion.crop import paste
        from gansteer.edits.inversion.edit import Inversion
        from gansteer.pictures import read_photo
        from gansteer.steerfile import open_session

        session = open_session(self.subject, lambda name: load(self.model or name, network=self.network))
        edits = [node.edit for node in session.path(session.node.id) if isinstance(node.edit, Inversion)]
        crop = edits[-1].crop if edits else None
        if crop is None:
            raise UserError(f"{self.subject} is no photo: give the file that gansteer invert wrote")
        save_picture(paste(read_photo(self.photo), crop, read_photo(self.picture), self.feather), self.out)
        print(f"wrote {self.out}: {self.picture} in {self.photo}")
