"""The film of an edit: its pictures with handles, targets and trails drawn on them, as WebP, GIF or MP4."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gansteer.edits.api import Edit, Point, Progress
from gansteer.errors import UserError
from gansteer.output import check_writable, replacing

SUFFIXES = (".webp", ".gif", ".mp4")
HANDLE, TARGET, TRAIL, EDGE = (229, 57, 53), (30, 136, 229), (255, 193, 7), (255, 255, 255)


def check_film(target: Path) -> None:
    """Raise UserError now if no film could be written to `target` later."""
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(f"{target}: a film's file ends in {', '.join(SUFFIXES)}")
    check_writable(target)
    if target.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise UserError(
                "MP4 needs the extra: pip install 'gansteer[video]', or name the film .webp or .gif"
            ) from error


def marked(
    picture: Image.Image, points: Sequence[Point], targets: Sequence[Point], trails: Sequence[Sequence[Point]]
) -> Image.Image:
    """`picture` at 512 px or more, with handles (red), targets (blue), the way left, and where the handles have been.

    `points`, `targets` and the points of `trails` (one per handle) are (x, y) in the picture's own pixels.
    """
    zoom = max(1, math.ceil(512 / picture.width))
    page = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(page)
    width = max(2, page.width // 256)

    def place(point: Point) -> Point:
        return (point[0] + 0.5) * zoom - 0.5, (point[1] + 0.5) * zoom - 0.5

    def dot(point: Point, colour: tuple[int, int, int]) -> None:
        x, y = place(point)
        radius = 2.5 * width
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=EDGE, width=width // 2)

    for trail in trails:
        if len(trail) > 1:
            draw.line([place(point) for point in trail], fill=TRAIL, width=width, joint="curve")
    for point, target in zip(points, targets, strict=True):
        draw.line([place(point), place(target)], fill=EDGE, width=width)
        dot(target, TARGET)
        dot(point, HANDLE)
    return page


def frames(
    progresses: Iterable[Progress],
    edit: Edit,
    *,
    marks: bool = True,
    most: int = 120,
    shots: Mapping[int, Image.Image] | None = None,
) -> Iterator[Image.Image]:
    """The pictures of `progresses`, steps of `edit`, at most `most` of them, evenly spaced; the last is always there.

    `shots` has the pictures of steps, by their place, whose subjects were not kept. With `marks`, handles, targets and trails are drawn on those of kinds that have points.
    """
    _, targets = edit.points()
    steps, shots = list(progresses), shots or {}
    count = min(len(steps), most)
    chosen = sorted({round(i * (len(steps) - 1) / max(count - 1, 1)) for i in range(count)})
    for i in chosen:
        now = steps[i]
        picture = edit.film_frame(shots.get(i, now.subject.image).convert("RGB"))
        if marks and now.points:
            trails = list(zip(*(p.points for p in steps[: i + 1]), strict=True))
            picture = marked(picture, now.points, targets, trails)
        yield picture


def save_film(pictures: Iterable[Image.Image], target: Path, fps: int = 15, rest: bool = True) -> None:
    """Write the pictures, all of one size, in the format of the target's ending; with `rest`, the last stays for a second.

    WebP and GIF repeat for ever. Raises UserError for other endings and for MP4 without the extra `video`.
    """
    check_film(target)
    shots = list(pictures)
    if (
        target.suffix.lower() == ".gif"
    ):  # colours by octree: Pillow's own choice takes seconds for a few pictures, and is hardly better
        shots = [shot.quantize(256, method=Image.Quantize.FASTOCTREE) for shot in shots]
    with replacing(target) as path:
        if target.suffix.lower() == ".mp4":
            _save_mp4([*shots, *[shots[-1]] * (fps * rest)], path, fps)
            return
        time = round(1000 / fps)
        times = [time] * (len(shots) - 1) + [1000 if rest else time]
        options: dict[str, object] = {"quality": 90} if target.suffix.lower() == ".webp" else {"optimize": False}
        kind = target.suffix[1:].upper()
        shots[0].save(
            path, kind, save_all=True, append_images=shots[1:], duration=times if len(shots) > 1 else times[-1],
            loop=0, **options,
        )  # fmt: skip


def _save_mp4(shots: Sequence[Image.Image], path: Path, fps: int) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = shots[0].width // 2 * 2, shots[0].height // 2 * 2, "yuv420p"
        for shot in shots:
            picture = np.asarray(shot.crop((0, 0, stream.width, stream.height)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
