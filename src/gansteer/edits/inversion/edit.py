"""The edit `Inversion`: find the subject whose picture is a given photo."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gansteer.edits.api import Edit
from gansteer.edits.inversion.config import InversionSettings
from gansteer.edits.inversion.crop import Crop
from gansteer.errors import UserError
from gansteer.subject import Subject


@dataclass(frozen=True, eq=False, repr=False)
class Inversion(InversionSettings, Edit):
    """Reconstruct a photo: a first guess, projection into the latent space, then tuning of the weights around it."""

    picture: Tensor
    """`uint8 [R, R, 3]` RGB, R being the model's resolution: what `crop.cut` gives."""
    crop: Crop | None = None
    """Where in the photo it was, for putting it back."""

    __repr__ = Edit.__repr__

    def __post_init__(self) -> None:
        super().__post_init__()
        picture = torch.as_tensor(self.picture)
        if picture.dim() != 3 or picture.shape[2] != 3 or picture.shape[0] != picture.shape[1]:
            raise UserError(f"the picture must be square, [R, R, 3], not {list(picture.shape)}")
        if picture.dtype != torch.uint8:
            raise UserError(f"the picture must be of 8 bits (uint8), not {picture.dtype}")
        object.__setattr__(self, "picture", picture.cpu().contiguous())

    @property
    def title(self) -> str:
        """For a history."""
        return "Photo"

    @property
    def step_limit(self) -> int:
        """Steps of all stages together."""
        return self.steps

    def check(self, subject: Subject) -> None:
        """Raise UserError if the picture does not fit the subject's model."""
        model = subject.model
        if self.picture.shape[0] != model.resolution:
            raise UserError(
                f"the picture is {self.picture.shape[0]} px but {model.card.name} draws {model.resolution} px: cut it to that"
            )

    def film_frame(self, picture: Image.Image) -> Image.Image:
        """The photo on the left, what was reached on the right, each at least 256 px."""
        side = max(256, picture.width)
        page = Image.new("RGB", (2 * side, side))
        for place, each in enumerate((Image.fromarray(self.picture.numpy()), picture.convert("RGB"))):
            page.paste(each.resize((side, side), Image.Resampling.BICUBIC), (place * side, 0))
        return page

    def command_line(self, area: str) -> list[str]:
        """Raises UserError: the photo's own file is not known."""
        raise UserError("for photos there is gansteer invert: this file's own name is not known here")
