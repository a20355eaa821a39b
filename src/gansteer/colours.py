"""Colours that people name. Importing it imports nothing slow, so that the command line starts quickly."""

from gansteer.errors import UserError

Colour = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""
WHITE: Colour = (255, 255, 255)


def parse_colour(text: str, flag: str) -> Colour:
    """A colour by its name or as `#rrggbb`; `flag` is where it was given. Raises UserError for anything else."""
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise UserError(f"{flag} {text}: give a colour such as white, black or #8080ff") from error
    return red, green, blue
