"""`gansteer edit`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gansteer.commands.results import Carried, Results, told
from gansteer.commands.starting import Beginning, read_mask
from gansteer.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from gansteer.edits.attribute.edit import Attribute
    from gansteer.edits.intervention.edit import Intervention
    from gansteer.subject import Model, Subject


@dataclass(frozen=True, kw_only=True)
class Edit(Beginning, Results):
    """Turn attributes of a picture, as a whole or inside a region only."""

    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Attribute and deviations, such as smile=+2 or smile=+2,age=-1; see `gansteer directions list`."""
    hold: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Attributes that must stay, such as age,gender."""
    region: str | None = None
    """Change this region only: mouth, eyes, brows, nose, face, hair; a point x,y, for all that is like it; or a picture,
    white where it may change."""
    channels: int | None = None
    """With --region: how many style channels move, those that act there most and elsewhere least."""
    layers: str | None = None
    """The rows of w+ that move, such as 0-4: the first carry pose and shape, the last colour."""
    absolute: bool = False
    """Go to these values instead of by these amounts."""
    space: Literal["w", "s", "z"] = "w"
    """w, s (style offsets), or z (for a picture that is that of its seed)."""
    directions: Path | None = None
    """A file of `gansteer directions fit`, besides the model's own."""

    def run(self) -> None:
        change = parse_changes(self.set)
        if bool(change) == bool(self.replay):
            raise UserError("say what to change, such as --set smile=+2, or --replay with a record")
        self.check()
        if self.replay is not None:
            model, _ = self.opened()
            print(self.run_again(self.replay, model))
            return
        model, subject = self.begin()
        edit = self._edit(model, subject, change)
        carried = self.carry_out(subject, edit, "editing", self.source)
        told(carried, f"wrote {self.out}: {edit.title}; {self._outcome(carried, edit)}")

    def check(self) -> None:
        """Raise UserError for flags that contradict each other, and where a result could not be written."""
        super().check()
        parse_rows(self.layers)
        if self.region is not None and (self.absolute or self.space != "w"):
            raise UserError("--region changes by deviations in w and s together: leave out --absolute and --space")
        if self.region is None and self.channels is not None:
            raise UserError("--channels needs a --region for them to act in")
        if self.subject is not None and self.space == "z":
            raise UserError("--space z needs the picture of a seed: leave out --subject, or take --space w")

    def _edit(self, model: "Model", subject: "Subject", change: dict[str, float]) -> "Attribute | Intervention":
        """The edit that the flags describe."""
        from gansteer.checkpoints.directions import directions_for
        from gansteer.edits.attribute.edit import Attribute
        from gansteer.edits.intervention.edit import Intervention

        hold, rows, directions = parse_names(self.hold), parse_rows(self.layers), directions_for(model, self.directions)
        if self.region is not None:
            region = read_region(subject, self.region)
            return Intervention(change, region, hold, rows, self.channels, directions=directions)
        z, label = None, None
        if self.space == "z":
            from gansteer.edits.attribute.fitting import seeded_z

            if self.seeds_like == "numpy":
                raise UserError("--space z goes by gansteer's own seeds: leave out --seeds-like, or take --space w")
            z, label = seeded_z(model, 1, self.seed)[0], self.label
        return Attribute(change, hold, rows, self.absolute, self.space, z, self.psi, directions, label)

    def _outcome(self, carried: Carried, edit: "Attribute | Intervention") -> str:
        """What came of it, in a few words."""
        from gansteer.edits.attribute.edit import Attribute, sliders

        if isinstance(edit, Attribute) and edit.space == "w":
            found = sliders(carried.run.subject, edit.directions)
            return "now " + ", ".join(f"{slider.name} {slider.value:+.2f}" for slider in found)
        return carried.run.stop_reason or "stopped"


def parse_changes(words: tuple[str, ...]) -> dict[str, float]:
    """`("smile=+2,age=-1",)` to a mapping. Raises UserError for anything else."""
    changes: dict[str, float] = {}
    for word in (part for text in words for part in text.split(",")):
        name, _, amount = word.partition("=")
        try:
            value = float(amount)
        except ValueError as error:
            raise UserError(f"--set {word!r}: write name=deviations, such as smile=+2") from error
        if name.strip() in changes:
            raise UserError(f"--set names {name.strip()} twice: give it once")
        changes[name.strip()] = value
    return changes


def parse_names(words: tuple[str, ...]) -> tuple[str, ...]:
    """`("age,gender", "yaw")` to the three names."""
    return tuple(name.strip() for text in words for name in text.split(",") if name.strip())


def parse_rows(text: str | None) -> tuple[int, int] | None:
    """`0-4` or `3` to the first and last row. Raises UserError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", text.strip(), re.ASCII)
    if match is None:
        raise UserError(f"--layers {text}: write the first and last row of w+, such as 0-4")
    return int(match[1]), int(match[2] or match[1])


def read_region(subject: "Subject", text: str) -> "Tensor":
    """The region that a part's name, a point x,y or a picture's file means, `[H, W]`. Raises UserError."""
    from gansteer.edits.intervention.parts import cluster_mask, part_of

    point = re.fullmatch(r"(\d{1,5}(?:\.\d+)?),(\d{1,5}(?:\.\d+)?)", text, re.ASCII)
    if point is not None:
        return cluster_mask(subject, (float(point[1]), float(point[2])))
    if Path(text).suffix:
        return read_mask(Path(text), "--region")
    return part_of(subject, text)
