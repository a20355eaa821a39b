"""Any picture that Pillow reads, upright and in plain 8-bit RGB."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from gansteer.errors import UserError

SMALLEST, LARGEST = 32, 100_000_000
"""Pixels: of the shorter side, and of the whole picture."""

PROGRAMS = {"EPS", "WMF"}
"""Formats that are drawn by running what is in them; they are refused."""
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def read_photo(source: Path | bytes | Image.Image, name: str = "the photo") -> Image.Image:
    """The picture in a file, in the bytes of one, or as Pillow has it: `RGB`, as a person sees it.

    Turned as EXIF says, colours brought to sRGB, transparent parts on white, 16 bits rounded to 8, the first of several
    frames; nothing but pixels is kept. `name` is what messages call bytes and pictures. Raises UserError for what is no
    picture, damaged, smaller than 32 px or larger than 100 megapixels.
    """
    if isinstance(source, Path):
        name = str(source)
        try:
            source = source.read_bytes()
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which we judge ourselves, and of odd metadata
        try:
            picture = _opened(source, name) if isinstance(source, bytes) else source
            width, height = picture.size
            if min(width, height) < SMALLEST:
                raise UserError(f"{name} is only {width}x{height}: give one of at least {SMALLEST} px")
            if width * height > LARGEST:
                raise UserError(
                    f"{name} is {width}x{height}, more than {LARGEST / 1e6:.0f} megapixels: make it smaller"
                )
            return _plain(picture)
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


def _plain(picture: Image.Image) -> Image.Image:
    """Upright 8-bit RGB."""
    picture.load()
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _from_deep(upright)
    if upright.mode in ("LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
    if profile and upright.mode in ("RGB", "RGBA", "CMYK", "L"):
        upright = _to_srgb(upright, profile)
    if upright.mode == "RGBA":
        white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, upright)
    return Image.fromarray(np.asarray(upright.convert("RGB")))  # without where and when it was taken


def _from_deep(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits, or of wider integers or floats, to 8 bits. Floats up to 1 are shares, all else counts as 16 bits."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    most = values.max()
    scale = 255.0 if most <= 1 and picture.mode == "F" else 1.0 if most <= 255 and "16" not in picture.mode else 1 / 257
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Wide-gamut and print colours as a screen shows them; a profile that is damaged or does not fit is left out."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return picture
    return picture if converted is None else converted
