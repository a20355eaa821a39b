"""What becomes of a file that is dropped on the page."""

import asyncio
import base64
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from io import BytesIO
from weakref import WeakKeyDictionary

from PIL import Image, UnidentifiedImageError

from gansteer.edits.inversion.align import Aligner, parse_crop
from gansteer.edits.inversion.crop import Crop, cut, paste
from gansteer.edits.inversion.edit import Inversion
from gansteer.edits.inversion.estimate import estimate, seconds_of_a_look
from gansteer.edits.inversion.projection import mean_subject
from gansteer.errors import UserError
from gansteer.pictures import read_photo
from gansteer.steerfile import from_bytes
from gansteer.studio.export import Export, drawn, settings
from gansteer.studio.protocol import CostInfo, CropInfo, Received, Sight
from gansteer.studio.workspace import Workspace
from gansteer.subject import Model, Subject

FORMATS = ("PNG", "JPEG", "WEBP")
ALIKE = 12.0
"""Levels by which a photo may differ from what was cut out of it: it may have been saved anew since."""
PREVIEW = 1024
"""Pixels of the longer side of what the page is shown of a photo."""


UNREADABLE = "this file is no picture that can be read: take a JPEG, PNG or WebP, or a phone's HEIC"


class Receiver:
    """Takes files in."""

    def __init__(self, most_pixels: int) -> None:
        """`most_pixels` is how large a picture may be."""
        self._most_pixels = most_pixels
        self._aligners: WeakKeyDictionary[Model, Aligner] = WeakKeyDictionary()
        self._looks: WeakKeyDictionary[Model, float] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._opening = asyncio.Lock()
        """Held while a session is opened, beside the loop: several large ones at a time would need memory for all."""

    async def receive(self, workspace: Workspace, data: bytes, wishes: Mapping[str, str]) -> Received | Sight:
        """Take in a `.steer` file, a picture with settings, or a photo. Raises UserError for anything else.

        `wishes` concern photos: `face` (1 is the largest), `crop` (x,y,size,angle in its pixels), `whole`, `tuning`;
        with `look` a photo is only looked at.
        """
        inside = None if data.startswith(b"PK") else await asyncio.to_thread(settings, data)
        if inside is not None or data.startswith(b"PK"):
            async with self._opening:
                session = await asyncio.to_thread(from_bytes, inside or data, workspace.services.catalogue.load)
            async with workspace.lock:
                node = await workspace.adopt(session)
            return Received(node.id, "session" if inside is None else "settings")
        model = workspace.session.node.subject.model
        if wishes.get("look"):
            seen: Sight = await workspace.draw(lambda: self._look(data, model))
            return seen
        edit, note = await workspace.draw(lambda: self._photo(data, model, wishes))
        async with workspace.lock:
            await workspace.stop()
            node = await workspace.begin(edit, None, mean_subject(model), {"photo": True})
        return Received(node.id, "photo", note)

    def paste(self, data: bytes, edit: Inversion, subject: Subject, kind: str) -> Export:
        """The whole photo with the subject's picture where it was cut out. Raises UserError if it is another photo."""
        photo, crop, out = self._read(data), edit.crop, BytesIO()
        if crop is None:
            raise UserError("it is not known where this picture was in its photo")
        there = cut(photo, crop, edit.picture.shape[0])
        if float((there.float() - edit.picture.float()).abs().mean()) > ALIKE:
            raise UserError("this is not the photo that the picture began with: choose that one")
        whole = paste(photo, crop, drawn(subject).convert("RGB"))
        if kind == "png":
            whole.save(out, "PNG")
            return Export(out.getvalue(), "image/png", "gansteer-photo.png")
        whole.save(out, "JPEG", quality=95, subsampling=0)
        return Export(out.getvalue(), "image/jpeg", "gansteer-photo.jpg")

    def _photo(self, data: bytes, model: Model, wishes: Mapping[str, str]) -> tuple[Inversion, str]:
        photo = self._read(data)
        crop, note = self._crop(photo, model, wishes)
        edit = Inversion(
            cut(photo, crop, model.resolution), crop, tuning="none" if wishes.get("tuning") == "none" else "light"
        )
        return edit, f"{note}; this takes {estimate(model, edit, self._seconds(model))}"

    def _look(self, data: bytes, model: Model) -> Sight:
        """What there is in a photo, and what it would cost."""
        photo = self._read(data)
        try:
            found = self._aligner(model).align(photo)
            faces, note = found.faces, found.note
        except UserError as error:
            faces, note = (), str(error).partition(":")[0]
        middle = Crop.centred(photo)
        edit = Inversion(cut(photo, middle, model.resolution), middle, tuning="none")
        costs = {
            str(x.tuning): CostInfo(**asdict(estimate(model, x, self._seconds(model))))
            for x in (edit, replace(edit, tuning="light"))
        }
        small, jpeg = photo.copy(), BytesIO()
        small.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
        small.save(jpeg, "JPEG", quality=88)
        preview = f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
        crops = tuple(CropInfo(c.x, c.y, c.size, c.angle) for c in (*faces, middle))
        return Sight(photo.width, photo.height, preview, crops, len(faces), note, costs)

    def _seconds(self, model: Model) -> float:
        """Seconds of a look, measured once: an estimate is to follow the photo, not what else happens to run."""
        with self._lock:
            if model not in self._looks:
                self._looks[model] = seconds_of_a_look(model)
            return self._looks[model]

    def _aligner(self, model: Model) -> Aligner:
        with self._lock:
            if model not in self._aligners:
                self._aligners[model] = Aligner.of(model)
            return self._aligners[model]

    def _read(self, data: bytes) -> Image.Image:
        """The photo. Raises UserError, in words that fit what is taken here."""
        self._check(data)
        try:
            return read_photo(data, "this picture")
        except UserError as error:
            if isinstance(error.__cause__, UnidentifiedImageError):  # the library reads more formats than we let in
                raise UserError(UNREADABLE) from error
            raise

    def _check(self, data: bytes) -> None:
        """Raise UserError before anything is decoded unless this is a picture of a usual kind and size."""
        if data[4:8] == b"ftyp":
            return  # a phone's HEIC: its reader judges for itself
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(UNREADABLE) from error
        if width * height > self._most_pixels:
            raise UserError(
                f"this picture has more than {self._most_pixels // 1_000_000} million pixels: make it smaller"
            )

    def _crop(self, photo: Image.Image, model: Model, wishes: Mapping[str, str]) -> tuple[Crop, str]:
        """Which part of the photo is taken, and why."""
        if wishes.get("whole"):
            return Crop.centred(photo), "took the middle of the photo"
        if wishes.get("crop"):
            return parse_crop(wishes["crop"]), "took the part that was given"
        face = wishes.get("face", "")
        try:
            found = self._aligner(model).align(photo, int(face) if face.isdecimal() and len(face) < 4 else None)
        except UserError as error:
            what = str(error).partition(":")[0]
            raise UserError(f"{what}: take another photo, or the middle of this one as it is") from error
        return found.crop, found.note
