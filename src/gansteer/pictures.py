"""The one reader of every picture that comes in: photos, training data, masks and regions.

Any picture that Pillow reads becomes what a person sees: upright, 8 bits, sRGB, transparent parts on a background.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from gansteer.colours import WHITE, Colour
from gansteer.errors import UserError

SMALLEST, LARGEST = 32, 100_000_000
"""Pixels: of a photo's shorter side, and of any whole picture."""

PROGRAMS = {"EPS", "WMF"}
"""Formats that are drawn by running what is in them; they are refused."""
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic")
"""Of the files in a folder that are taken for photos."""
SHARES_UP_TO = 2.0
"""Pictures of floats whose largest value is below are shares of white, some of them a little brighter than white."""


def is_theirs(name: str) -> bool:
    """Whether a file is the person's, not one that a system leaves beside them (`__MACOSX/._a.png`, `.thumbnails/`)."""
    return not any(part.startswith((".", "__MACOSX", "@eaDir")) for part in PurePosixPath(name).parts)


def read_photo(
    source: Path | bytes | Image.Image, name: str = "the photo", *, background: Colour = WHITE, smallest: int = SMALLEST
) -> Image.Image:
    """The picture in a file, in the bytes of one, or as Pillow has it: `RGB`, as a person sees it.

    Turned as EXIF says, colours brought to sRGB, transparent parts on `background`, 16 bits rounded to 8, the first of
    several frames; nothing but pixels is kept. `name` is what messages call bytes and pictures. Raises UserError for what
    is no picture, damaged, of values that are no brightness, smaller than `smallest` px or larger than 100 megapixels.
    """
    return _read(source, str(source) if isinstance(source, Path) else name, smallest).on(background)


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was read: upright, `RGB` or `RGBA` of 8 bits, in sRGB."""

    picture: Image.Image
    brightest: float
    full: int
    """The brightest value in the file before it was brought to 8 bits, and the one that would be white."""

    def on(self, background: Colour) -> Image.Image:
        """`RGB` on a background, without where and when it was taken."""
        picture = self.picture
        if picture.mode == "RGBA":
            below = Image.new("RGBA", picture.size, (*background, 255))
            picture = Image.alpha_composite(below, picture)
        return Image.fromarray(np.asarray(picture.convert("RGB")))


def _read(source: Path | bytes | Image.Image, name: str, smallest: int) -> Seen:
    if isinstance(source, Path):
        try:
            source = source.read_bytes()
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which we judge ourselves, and of odd metadata
        try:
            picture = _opened(source, name) if isinstance(source, bytes) else source
            width, height = picture.size
            if min(width, height) < smallest:
                raise UserError(f"{name} is only {width}x{height}: give one of at least {smallest} px")
            if width * height > LARGEST:
                raise UserError(
                    f"{name} is {width}x{height}, more than {LARGEST / 1e6:.0f} megapixels: make it smaller"
                )
            return _seen(picture, name)
        except Image.DecompressionBombError as error:
            raise UserError(f"{name} is larger than {LARGEST / 1e6:.0f} megapixels: make it smaller") from error
        except (UserError, MemoryError):
            raise
        except Exception as error:  # whatever a damaged file can make a dozen readers say
            raise UserError(f"{name} is damaged: it cannot be read to its end") from error


def _opened(data: bytes, name: str) -> Image.Image:
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        try:
            import pi_heif
        except ImportError as error:
            raise UserError(f"{name} is HEIC, which needs an extra: pip install 'gansteer[photos]'") from error
        pi_heif.register_heif_opener()
    Image.init()
    try:
        return Image.open(io.BytesIO(data), formats=sorted(set(Image.OPEN) - PROGRAMS))
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a picture: give a JPEG, PNG, WebP, TIFF or the like") from error


def _seen(picture: Image.Image, name: str) -> Seen:
    """Upright, 8 bits, sRGB."""
    picture.load()
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    brightest, full = -1.0, 255
    if upright.mode.startswith("I") or upright.mode == "F":
        upright, brightest, full = _from_deep(upright, name)
    if upright.mode in ("LAB", "HSV"):
        raise UserError(f"{name} is in the colours {upright.mode}: save it as RGB")
    if upright.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in upright.info:
        see_through = upright.mode != "P" or "transparency" in upright.info
        upright = upright.convert("RGBA" if see_through else "RGB")
    if profile and upright.mode in ("RGB", "RGBA", "CMYK", "L"):
        upright = _to_srgb(upright, profile)
    if upright.mode not in ("RGB", "RGBA"):
        upright = upright.convert("RGB")
    if brightest < 0:
        brightest = float(np.asarray(upright.convert("RGB")).max())
    return Seen(upright, brightest, full)


def _from_deep(picture: Image.Image, name: str) -> tuple[Image.Image, float, int]:
    """Grey of 16 bits, or of wider integers or floats, to 8 bits; its brightest value, and the one that is white.

    Floats up to about 1 are shares of white; values up to 255 in a file that is not of 16 bits are levels; all else, up
    to 65535, is of 16 bits. Raises UserError for values beyond, below zero, or not finite.
    """
    values = np.asarray(picture, dtype=np.float64)
    least, most = float(values.min()), float(values.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise UserError(f"{name} holds values that are not finite: save it with 8 or 16 bits")
    if least < (-0.1 if picture.mode == "F" else 0) or most > 65535.5:
        raise UserError(f"{name} holds values from {least:.4g} to {most:.4g}: save it from 0 to 255, or with 16 bits")
    if picture.mode == "F" and most <= SHARES_UP_TO:
        full = 1
    else:
        full = 255 if most <= 255.5 and "16" not in picture.mode else 65535
    levels = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
    return Image.fromarray(levels), most, full


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Wide-gamut and print colours as a screen shows them; a profile that is damaged or does not fit is left out."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return picture
    return picture if converted is None else converted


# --- masks ---------------------------------------------------------------------------------------------------------------

COLOURED = 64
"""Levels between the channels of a pixel from which it counts as coloured."""


def read_mask(source: Path | bytes, name: str, what: str = "mask") -> np.ndarray:
    """A picture of black and white as truth values `bool [H, W]`, white True; `name` begins messages, `what` it is.

    In a layer with transparent parts, what is painted in white is True and all else False. Raises UserError for what is no
    picture, and for one in which nothing is white, which says what was read instead and what would be right.
    """
    if isinstance(source, Path):
        try:
            source = source.read_bytes()
        except OSError as error:
            raise UserError(f"{name} cannot be read as a picture: {error.strerror}") from error
    seen = _read(source, name, 1)
    colours = np.asarray(seen.picture)  # [H, W, 3 or 4]
    there = colours[..., 3] >= 128 if colours.shape[2] == 4 else np.ones(colours.shape[:2], bool)
    grey = np.asarray(seen.picture.convert("RGB").convert("L"))
    found: np.ndarray = there & (grey >= 128)
    spread = colours[..., :3].max(axis=2).astype(int) - colours[..., :3].min(axis=2)
    right = "paint white what may change and black what must stay"
    if there.any() and (there & (spread > COLOURED)).sum() > 0.01 * there.sum():
        raise UserError(f"{name} is painted in colours, which are neither: {right}")
    if found.any():
        return found
    if not there.any():
        raise UserError(f"{name} is transparent everywhere: the {what} is empty; {right}")
    brightest = f"the brightest value is {seen.brightest:.4g} of {seen.full}"
    if not there.all():
        raise UserError(
            f"{name} is painted in black on a transparent layer ({brightest}): the {what} is empty; {right}"
        )
    scale = f"; multiply its values by {seen.full}" if 0 < seen.brightest <= 1 < seen.full else ""
    raise UserError(f"{name} is black everywhere ({brightest}): the {what} is empty; {right}{scale}")
