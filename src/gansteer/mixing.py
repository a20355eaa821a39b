"""Pictures between pictures: a walk through several of them, and style mixing (Karras et al. 2019, section 3.1)."""

from collections.abc import Iterator, Sequence

import torch

from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.generator import Generator
from gansteer.models.tuning import Tuning
from gansteer.subject import Subject

COARSE = 16
"""Pixels of the side of the largest map whose styles count as coarse."""


def blend(a: Subject, b: Subject, t: float) -> Subject:
    """`(1 - t) a + t b` of all that determines the two: their codes and, for photos, what was added to the weights.

    `t` is from 0, which gives `a` itself, to 1, which gives `b`. Raises UserError unless both are of one model.
    """
    _check_model([a, b])
    if t in (0, 1):
        return b if t else a
    return Subject(a.model, a.code.lerp(b.code, t), Tuning.lerp(a.tuning, b.tuning, t))


def walk(stops: Sequence[Subject], count: int = 60, loop: bool = False) -> Iterator[Subject]:
    """`count` subjects along the way from each of `stops` to the next, evenly spaced; with `loop`, and back to the first.

    Without `loop` the first and the last of them are the ends themselves. With it, the one after the last would be the
    first again. Raises UserError for fewer than two stops or pictures, and for stops of several models.
    """
    if len(stops) < 2:
        raise UserError("a walk leads from one picture to another: give two or more")
    if count < 2:
        raise UserError("a walk has two pictures or more")
    _check_model(stops)
    return _steps(stops, count, loop)


def _steps(stops: Sequence[Subject], count: int, loop: bool) -> Iterator[Subject]:
    legs = len(stops) - (not loop)
    for i in range(count):
        # Whole numbers, so that a stop that is met is met exactly.
        leg, rest = divmod(i * legs, count if loop else count - 1)
        here, there = stops[leg % len(stops)], stops[(leg + 1) % len(stops)]
        yield blend(here, there, rest / (count if loop else count - 1))


def mix(coarse: Subject, fine: Subject, coarse_up_to: int = COARSE) -> Subject:
    """A picture with the coarse styles of one and the fine styles of another.

    Layers whose maps have sides of `coarse_up_to` pixels or fewer (4 to half the model's resolution) take the styles of
    `coarse`: pose, shape and, at 16, most of who it is. The others take those of `fine`: colours, light, texture. A layout
    is that of `coarse`; weights tuned for a photo are those of `coarse` or, if it has none, of `fine`. Raises UserError.
    """
    _check_model([coarse, fine])
    generator = coarse.model.generator
    sizes = sorted({layer.frame.inner for layer in generator.styled})
    if coarse_up_to not in sizes[:-1]:
        raise UserError(
            f"{coarse.model.card.name} has maps of {', '.join(map(str, sizes))} px: "
            f"coarse is up to one of them but the last, not up to {coarse_up_to}"
        )
    rows = _coarse_rows(generator, coarse_up_to)
    names = {layer.name for layer in generator.styled if layer.latent_index in rows}
    inside = torch.tensor([row in rows for row in range(generator.config.num_ws)], device=coarse.code.ws.device)
    offsets = {name: x for name, x in fine.code.style_offsets.items() if name not in names}
    offsets |= {name: x for name, x in coarse.code.style_offsets.items() if name in names}
    ws = torch.where(inside[:, None], coarse.code.ws, fine.code.ws)
    return Subject(coarse.model, Code(ws, offsets, coarse.code.layout), coarse.tuning or fine.tuning)


def _coarse_rows(generator: Generator, up_to: int) -> set[int]:
    """The rows of w+ that drive convolutions whose maps have at most so many pixels.

    A row also drives what turns the map before into colours: that counts only where it drives nothing else.
    """
    first: dict[int, int] = {}
    for layer in sorted(generator.styled, key=lambda layer: layer.kind == "to_rgb"):
        first.setdefault(layer.latent_index, layer.frame.inner)
    return {row for row, size in first.items() if size <= up_to}


def sheet_of_mixes(
    coarse: Sequence[Subject], fine: Sequence[Subject], coarse_up_to: int = COARSE
) -> Iterator[Subject | None]:
    """All mixes of several, for a sheet of `len(coarse) + 1` columns, row by row.

    Its first row shows those of `coarse`, its first column those of `fine`; nothing stands in the corner.
    """
    yield None
    yield from coarse
    for below in fine:
        yield below
        for above in coarse:
            yield mix(above, below, coarse_up_to)


def _check_model(subjects: Sequence[Subject]) -> None:
    """Raise UserError unless all are of one model."""
    for other in subjects[1:]:
        if other.model is not subjects[0].model:
            raise UserError("only pictures of one model have pictures between them")
