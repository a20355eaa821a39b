"""Reading any picture: what a person sees is what comes in, and what is no picture is refused in one line."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from gansteer.edits.inversion.photo import read_photo
from gansteer.errors import UserError

HEIC = Path(__file__).parent.parent / "data" / "photos" / "quarters.heic"


def quarters(width=64, height=48):
    """Red, blue, and white below: no rotation or mirroring leaves it as it is."""
    pixels = np.full((height, width, 3), 240, np.uint8)
    pixels[: height // 2, : width // 2] = (220, 40, 30)
    pixels[: height // 2, width // 2 :] = (30, 60, 200)
    return Image.fromarray(pixels)


def file_of(picture, kind, **options):
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def near(found, expected, most=3.0):
    assert found.mode == "RGB"
    assert found.size == expected.size
    assert np.abs(np.asarray(found, float) - np.asarray(expected, float)).mean() < most


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_it_upright(orientation):
    back = {  # what undoes each of the eight, by its definition
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = quarters() if back is None else quarters().transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    near(read_photo(file_of(stored, "JPEG", quality=95, exif=exif)), quarters())
    assert not read_photo(file_of(stored, "JPEG", exif=exif)).getexif()  # nor is anything else known of it


def test_kinds_of_colour():
    near(read_photo(file_of(quarters().convert("CMYK"), "JPEG", quality=95)), quarters(), 6)
    near(read_photo(file_of(quarters().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")), quarters())
    grey = quarters().convert("L")
    near(read_photo(file_of(grey, "PNG")), grey.convert("RGB"))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    near(read_photo(file_of(deep, "PNG")), grey.convert("RGB"), 0.5)
    near(read_photo(file_of(deep, "TIFF")), grey.convert("RGB"), 0.5)
    shares = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    near(read_photo(file_of(shares, "TIFF")), grey.convert("RGB"), 0.5)
    near(read_photo(file_of(quarters().convert("1"), "PNG")), quarters().convert("1").convert("RGB"))


def test_what_is_transparent_is_white():
    picture = quarters().convert("RGBA")
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:24, :32], alpha[24:] = 0, 128
    picture.putalpha(Image.fromarray(alpha))
    found = np.asarray(read_photo(file_of(picture, "PNG")), float)
    np.testing.assert_allclose(found[10, 10], 255)  # red, but not there
    np.testing.assert_allclose(found[10, 50], (30, 60, 200))
    np.testing.assert_allclose(found[40, 10], 255 - (255 - 240) * 128 / 255, atol=1)
    grey = Image.merge("LA", [Image.new("L", (40, 40), 9), Image.new("L", (40, 40), 0)])
    np.testing.assert_allclose(np.asarray(read_photo(file_of(grey, "PNG"))), 255)


def test_profiles_are_brought_to_srgb():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    near(read_photo(file_of(quarters(), "PNG", icc_profile=lab.tobytes())), quarters(), 0.6)
    near(read_photo(file_of(quarters(), "PNG", icc_profile=b"nonsense")), quarters(), 0.6)


def test_the_first_frame():
    data = file_of(quarters(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    near(read_photo(data), quarters(), 8)


def test_heic():
    near(read_photo(HEIC), quarters(), 6)


def test_heic_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UserError, match=r"HEIC, which needs an extra: pip install 'gansteer\[photos\]'"):
        read_photo(HEIC)


def bomb(width, height):
    """A PNG that says it is huge."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (file_of(quarters(), "EPS"), "not a picture"),  # a program for Ghostscript
        (file_of(quarters(), "JPEG")[:400], "damaged"),
        (file_of(quarters(), "PNG")[:80], "damaged"),
        (file_of(quarters(8, 8), "PNG"), "only 8x8"),
        (file_of(quarters(500, 20), "PNG"), "only 500x20"),
        (bomb(12_000, 12_000), "more than 100 megapixels"),
        (bomb(200_000, 200_000), "larger than 100 megapixels"),
        (HEIC.read_bytes()[:300], "damaged|not a picture"),
    ],
)
def test_what_is_no_photo_is_refused(data, complaint, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(UserError, match=complaint) as caught:
            read_photo(source)
        assert "\n" not in str(caught.value)
        assert (str(path) in str(caught.value)) == (source is path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_photo(tmp_path / "missing.jpg")
    with pytest.raises(UserError, match="cannot be read"):
        read_photo(tmp_path)
