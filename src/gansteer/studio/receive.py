"""What becomes of a file that is dropped on the page."""

from io import BytesIO

from PIL import Image, UnidentifiedImageError

from gansteer.errors import UserError
from gansteer.steerfile import from_bytes
from gansteer.studio.desk import Desk
from gansteer.studio.export import settings
from gansteer.studio.protocol import Received

FORMATS = ("PNG", "JPEG", "WEBP")


async def receive(desk: Desk, data: bytes, most_pixels: int) -> Received:
    """Take in a `.steer` file, a picture with settings, or a photo. Raises UserError for anything else."""
    inside = None if data.startswith(b"PK") else settings(data)
    if inside is not None or data.startswith(b"PK"):
        session = await desk.draw(lambda: from_bytes(inside or data, desk.tools.catalogue.load))
        await desk.adopt(session)
        assert desk.session.current is not None
        return Received(desk.session.current, "session" if inside is None else "settings")
    await desk.draw(lambda: photo(data, most_pixels))
    raise UserError("this picture has no settings inside, and photos cannot be brought in yet")


def photo(data: bytes, most_pixels: int) -> Image.Image:
    """The photo in a file, stripped of everything but its pixels. Raises UserError if it is none, or too large."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > most_pixels:
                raise UserError(
                    f"this picture has more than {most_pixels // 1_000_000} million pixels: make it smaller"
                )
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("this file is no picture that can be read: take a PNG, JPEG or WebP") from error
