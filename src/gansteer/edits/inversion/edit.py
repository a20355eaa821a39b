"""The edit `Inversion`: find the subject whose picture is a given photo."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gansteer.edits.inversion.config import InversionSettings
from gansteer.edits.inversion.crop import Crop
from gansteer.errors import UserError
from gansteer.subject import Subject

if TYPE_CHECKING:
    from gansteer.edits.inversion.run import InversionRun


@dataclass(frozen=True, eq=False)
class Inversion(InversionSettings):
    """Reconstruct a photo: a first guess, projection into the latent space, then tuning of the weights around it."""

    picture: Tensor
    """`uint8 [R, R, 3]` RGB, R being the model's resolution: what `crop.cut` gives."""
    crop: Crop | None = None
    """Where in the photo it was, for putting it back."""

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

    def begin(self, subject: Subject) -> "InversionRun":
        """The run for the subject's model. Raises UserError if the picture does not fit it."""
        from gansteer.edits.inversion.run import InversionRun

        return InversionRun(subject, self)
