"""Reading any picture: what a person sees is what comes in, and what is no picture is refused in one line."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from gansteer.colours import parse_colour
from gansteer.errors import UserError
from gansteer.pictures import read_mask, read_photo

HEIC = Path(__file__).parent / "data" / "photos" / "quarters.heic"


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


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([0, 1, 0.5], np.float32), "TIFF", [0, 255, 128]),
        (np.array([0, 1.25, 0.5], np.float32), "TIFF", [0, 255, 128]),  # a little brighter than white
        (np.array([0, 255, 128], np.float32), "TIFF", [0, 255, 128]),
        (np.array([0, 65535, 257 * 128], np.float32), "TIFF", [0, 255, 128]),
        (np.array([0, 65535, 257 * 128], np.uint16), "PNG", [0, 255, 128]),
        (np.array([0, 257, 514], np.uint16), "PNG", [0, 1, 2]),  # dark, but of 16 bits
        (np.array([0, 255, 128], np.int32), "TIFF", [0, 255, 128]),
        (np.array([0, 65535, 257 * 128], np.int32), "TIFF", [0, 255, 128]),
    ],
    ids=str,
)
def test_depths_are_scaled(values, kind, expected):
    deep = np.tile(values, (40, 20))
    found = np.asarray(read_photo(file_of(Image.fromarray(deep), kind)))
    np.testing.assert_array_equal(found, np.tile(np.array(expected, np.uint8), (40, 20))[..., None].repeat(3, axis=2))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.array([-1, 1], np.float32), "values from -1 to 1: save it from 0 to 255"),
        (np.array([0, 1e6], np.float32), "values from 0 to 1e.06"),
        (np.array([0, 70000], np.int32), "values from 0 to 7e.04"),
        (np.array([0, np.nan], np.float32), "not finite"),
    ],
    ids=str,
)
def test_values_that_are_no_brightness(values, complaint):
    data = file_of(Image.fromarray(np.tile(values, (40, 20))), "TIFF")
    with pytest.raises(UserError, match=complaint):
        read_photo(data)


def test_a_chosen_background():
    clear = Image.new("RGBA", (40, 40), (255, 0, 255, 0))
    found = np.asarray(read_photo(file_of(clear, "PNG"), background=(10, 20, 30)))
    np.testing.assert_array_equal(found, np.tile(np.array([10, 20, 30], np.uint8), (40, 40, 1)))
    with pytest.raises(UserError, match="give a colour such as"):
        parse_colour("reddish", "--background")


def test_a_palette_with_a_profile():
    """A profile that swaps red and blue, on a palette: it applies to the palette's colours."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    palette = quarters().convert("P", palette=Image.Palette.ADAPTIVE)
    swapped = srgb.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
    straight = np.asarray(read_photo(file_of(quarters(), "PNG", icc_profile=swapped)), float)
    found = np.asarray(read_photo(file_of(palette, "PNG", icc_profile=swapped)), float)
    assert np.abs(straight - np.asarray(quarters(), float)).mean() > 20
    assert np.abs(found - straight).mean() < 3


# --- masks ---------------------------------------------------------------------------------------------------------------


def painted(height=48, width=64):
    where = np.zeros((height, width), bool)
    where[10:30, 20:50] = True
    return where


def layer(colour, where=None, hidden=(255, 255, 255)):
    """A transparent layer, painted with a colour where it says."""
    where = painted() if where is None else where
    pixels = np.zeros((*where.shape, 4), np.uint8)
    pixels[..., :3] = np.where(where[..., None], colour, hidden)
    pixels[..., 3] = where * 255
    return Image.fromarray(pixels)


WHITE_ON_BLACK = painted().astype(np.uint8) * 255
MASKS = {
    "grey": Image.fromarray(WHITE_ON_BLACK),
    "one bit": Image.fromarray(WHITE_ON_BLACK).convert("1"),
    "colour": Image.fromarray(WHITE_ON_BLACK).convert("RGB"),
    "palette": Image.fromarray(WHITE_ON_BLACK).convert("P"),
    "opaque": Image.fromarray(WHITE_ON_BLACK).convert("RGBA"),
    "16 bits": Image.fromarray(WHITE_ON_BLACK.astype(np.uint16) * 257),
    "white on clear": layer((255, 255, 255)),
    "white on clear black": layer((255, 255, 255), hidden=(0, 0, 0)),
    "white and black on clear": Image.alpha_composite(
        layer((0, 0, 0), np.roll(painted(), 12, axis=0)), layer((255, 255, 255))
    ),
    "grey with alpha": Image.merge("LA", [Image.new("L", (64, 48), 255), Image.fromarray(WHITE_ON_BLACK)]),
}


@pytest.mark.parametrize("kind", MASKS)
def test_every_way_to_paint_a_mask(kind, tmp_path):
    path = tmp_path / "mask.png"
    MASKS[kind].save(path)
    np.testing.assert_array_equal(read_mask(path, "--mask mask.png"), painted())


def test_a_mask_of_shares(tmp_path):
    Image.fromarray(painted().astype(np.float32)).save(tmp_path / "mask.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif", "--mask"), painted())


def test_a_mask_is_turned_as_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(WHITE_ON_BLACK).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "m.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", "--mask"), painted())


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [
        (Image.fromarray(painted().astype(np.uint8)), r"the brightest value is 1 of 255\).*multiply its values by 255"),
        (
            Image.fromarray(painted().astype(np.uint16)),
            r"the brightest value is 1 of 65535\).*multiply its values by 65535",
        ),
        (
            Image.new("L", (64, 48)),
            r"black everywhere \(the brightest value is 0 of 255\): the mask is empty; paint white what may change",
        ),
        (Image.merge("RGB", [Image.fromarray(WHITE_ON_BLACK), *[Image.new("L", (64, 48))] * 2]), "painted in colours"),
        (layer((255, 0, 0)), "painted in colours"),
        (layer((0, 0, 0)), "painted in black on a transparent layer"),
        (Image.new("RGBA", (64, 48)), "transparent everywhere"),
    ],
    ids=["0 and 1", "16 bits of 0 and 1", "black", "red", "red layer", "black layer", "clear"],
)
def test_a_mask_in_which_nothing_is_white(picture, complaint, tmp_path):
    picture.save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=complaint) as caught:
        read_mask(tmp_path / "mask.png", "--mask mask.png")
    assert str(caught.value).startswith("--mask mask.png is ")
    assert "\n" not in str(caught.value)


# --- damage --------------------------------------------------------------------------------------------------------------

SMALL = {
    "png": file_of(quarters(), "PNG"),
    "16 bits": file_of(Image.fromarray(np.arange(3072, dtype=np.uint16).reshape(48, 64)), "PNG"),
    "layer": file_of(MASKS["white on clear"], "PNG"),
    "jpeg": file_of(quarters(), "JPEG"),
    "webp": file_of(quarters(), "WEBP", lossless=True),
    "tiff": file_of(quarters(), "TIFF"),
    "floats": file_of(Image.fromarray(np.ones((48, 64), np.float32)), "TIFF"),
    "gif": file_of(quarters(), "GIF"),
    "bmp": file_of(quarters(), "BMP"),
}


@pytest.mark.parametrize("kind", SMALL)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(choice=st.data())
def test_changed_bytes(kind, choice, tmp_path_factory):
    """A picture, or one line."""
    data = bytearray(SMALL[kind])
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(data) - 1))
        data[at : at + choice.draw(st.integers(0, 8))] = choice.draw(st.binary(max_size=8))
    data = data[: choice.draw(st.integers(1, len(data)))] if choice.draw(st.booleans()) else data
    for read in (lambda: read_photo(bytes(data)), lambda: read_mask(bytes(data), "--mask")):
        said = "read"
        try:
            assert np.asarray(read()).size <= 300_000_000
        except UserError as error:
            said = str(error)
        assert said.isprintable()
        assert "object at" not in said
