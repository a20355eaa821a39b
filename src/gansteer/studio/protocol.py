"""What the page and the server say to each other.

One WebSocket at `/socket?session=KEY&token=TOKEN` (both optional). Text messages are JSON, one of the classes below; the
field `type` holds the class's name in small letters (`{"type": "sample", "seed": 3, "psi": 0.7}`). Unknown types,
unknown fields and values of the wrong kind close the socket with a reason. Binary messages, always from the server, are
pictures: see `pack_frame`.

An edit is the library's own frozen dataclass as JSON with its name as `kind`, such as
`{"kind": "drag", "handles": [[60, 70]], "targets": [[78, 68]]}` (`edits/record.py`). A mask in it is
`{"shape": [height, width], "packed": BASE64}`: one bit for each pixel, row by row without gaps, the first pixel in the
highest bit of the first byte, 1 = may move. Points are (x, y) in pixels of the picture, the centre of the top-left one (0, 0).

Files go by HTTP, under the session's key (which nobody can guess) and with `?token=TOKEN` where there is one:

    GET  /session/KEY/node/ID      the picture of a node as PNG, the same once it is done         ?size=96 for a small one
    GET  /session/KEY/seed/SEED    the picture of a seed as JPEG                            ?model=NAME&psi=0.7&size=96
    GET  /session/KEY/change/A/B   where two nodes' pictures differ: PNG, grey, white = most
    GET  /session/KEY/photo/ID     what was cut out of the photo that a node began with: PNG
    GET  /session/KEY/export/ID/WHAT   a file to keep, one of `EXPORTS`; ?marks=0 for films without points, ?size=512 for
                                   pictures and films of that side, drawn larger by a good filter
    GET  /session/KEY/walk/webp    a film (or gif, mp4) from the node 3 to seeds  ?stops=n3,5,9&psi=0.7&frames=60&loop=1
    POST /session/KEY/file         the body is a picture (PNG with settings, photo) or a .steer file; ?look=1 only looks;
                                   for photos ?face=2 (by size), ?crop=x,y,size,angle or ?whole=1, ?tuning=none
    POST /session/KEY/paste/ID     the body is the photo that a node began with: the whole of it as JPEG (?kind=png) with
                                   the node's picture where it was cut out
    GET  /sessions                 the sessions on the disk as a list of `SessionInfo`, the newest first
    GET  /session/KEY              {"kept": whether there is such a session on the disk}
    GET  /session/KEY/picture      the picture that it shows, small, as JPEG
    POST /session/KEY/name         the body, in UTF-8, is its name from now on; an empty one takes it away
    DELETE /session/KEY            delete a session that no page shows; 204, or 404 if there is none

The answer of `file` is JSON: a `Received`, a `Sight`, or `{"error": ...}` with status 400 or above, as everywhere.
"""

import struct
from typing import Any, Literal

import msgspec

from gansteer.edits.api import StepRecord
from gansteer.json_limits import JsonLimits

VERSION = 1
"""Of this protocol. The page reloads when the server's is another."""

EXPORTS = {
    "png": "the picture, with all that made it inside",
    "jpeg": "the picture",
    "latent": "w+ and style offsets as .safetensors",
    "mask": "the edit's mask as PNG, white = may move",
    "points": "the edit's handles, targets and trails as JSON",
    "webp": "the film of the edit",
    "gif": "the film of the edit",
    "mp4": "the film of the edit",
    "python": "the edit as a Python script",
    "shell": "the edit as command lines",
    "steer": "the session, to be opened again",
}

# --- From the page ----------------------------------------------------------------------------------------------------


class Message(msgspec.Struct, tag_field="type", tag=str.lower, forbid_unknown_fields=True):
    """What all messages have in common: a name in `type`, and no fields but their own."""


class Sample(Message):
    """Draw a seed, by the present node's model or another; it becomes the root of a new tree of the session."""

    seed: int
    psi: float = 0.7
    model: str | None = None
    label: int | None = None
    replacing: int | None = None
    """A seed that nothing was made of, whose place this one takes."""


class Start(Message):
    """Begin an edit. What runs now is stopped first."""

    edit: dict[str, Any]
    node: int | None = None
    """The node whose picture is edited; None: the present one."""
    replacing: int | None = None
    """A leaf that the result takes the place of: what a slider made a moment ago."""


class Stop(Message):
    """Stop the run within one step (or take it out of the queue). What was reached stays."""


class Resume(Message):
    """Go on with the edit of the present node from where it was stopped."""


class Undo(Message):
    """Back to the parent of the present node."""


class Redo(Message):
    """Forward again to the child that was left by the last undo."""


class Go(Message):
    """Make any node the present one. A new edit there begins a branch."""

    node: int


class Interpolate(Message):
    """A picture between two nodes of one model: `(1 - t) a + t b`. Shown as a frame; with `keep`, made a node."""

    a: int
    b: int
    t: float
    keep: bool = False


class Mix(Message):
    """The present picture with some styles of a seed's; it becomes a root of the session (`gansteer.mix`)."""

    seed: int
    psi: float = 0.7
    label: int | None = None
    takes: Literal["fine", "coarse"] = "fine"
    """Those for colours and detail, or those for pose and shape."""


class Ask(Message):
    """A question of a panel about a node (None: the present one), such as `directions`; answered by `Answer` of the same `id`."""

    id: int
    about: str
    node: int | None = None
    arguments: dict[str, Any] = {}


class Shown(Message):
    """The page has drawn this frame. No more than two frames are ever on their way."""

    frame: int


class Leave(Message):
    """Begin an empty session in this tab; the old one stays on the disk."""


FromPage = Sample | Start | Stop | Resume | Undo | Redo | Go | Interpolate | Mix | Ask | Shown | Leave

# --- From the server --------------------------------------------------------------------------------------------------


class Part(msgspec.Struct):
    """A part of a message to the page."""


class ModelInfo(Part):
    """A model to choose, with its card."""

    name: str
    resolution: int
    domain: str
    licence: str
    description: str
    limits: tuple[str, ...]
    training: dict[str, Any]
    metrics: dict[str, Any]
    classes: int
    """Labels go from 0 to `classes - 1`; 0: this model has none."""
    first: int
    """The seed of the picture to begin with."""


class Welcome(Message):
    """The first message. It is followed by `State` and the frame of the present node."""

    protocol: int
    version: str
    session: str
    """The key. Give it when connecting again (after a reload, say) to have this session back."""
    restored: bool
    """Whether the session is an old one."""
    models: tuple[ModelInfo, ...]
    edits: tuple[str, ...]
    """Kinds of edits that `Start` takes."""
    answers: tuple[str, ...]
    """What `Ask` may be about."""
    exports: dict[str, str]
    """What can be exported: name to description. Films in MP4 need an extra package."""
    upload_bytes: int
    upload_pixels: int
    keep_days: float | None
    """Days after which a session that nobody opens is deleted; None: never."""


class MixInfo(Part):
    """The picture `(1 - t) a + t b` of two nodes; or `a` with some styles of a seed's, and then b is a, and t is 0."""

    a: int
    b: int
    t: float


class NodeInfo(Part):
    """One entry of the history."""

    id: int
    parent: int | None
    title: str
    """In a few plain words, such as `Seed 3` or `Drag 2 points`."""
    kind: str
    """The kind of edit that made it, or `seed`, `photo`, `between`, `mix`."""
    model: str
    steps: int
    done: bool
    """False while the edit runs or could be resumed."""
    mixed: MixInfo | None
    """What it was mixed of, if it was."""


class RunInfo(Part):
    """The edit in progress."""

    node: int
    """The node that the result will be."""
    edit: dict[str, Any]
    state: Literal["waiting", "running"]
    position: int
    """How many edits of other people come first; 0 when running."""


class State(Message):
    """All that there is to know, sent whenever any of it changed. An older one may be left out."""

    nodes: tuple[NodeInfo, ...]
    current: int | None
    can_undo: bool
    can_redo: bool
    can_resume: bool
    saved: bool
    """Whether all of this is on the disk."""
    run: RunInfo | None
    edit: dict[str, Any] | None
    """The edit that made the present node, mask and all."""
    trail: tuple[StepRecord, ...]
    """Its steps; at most some hundred, evenly spaced."""
    source: dict[str, Any]
    """Where the present tree began: `{"seed": 3, "psi": 0.7, "label": null}`, say."""
    resolution: int
    """Of the present node's picture: width and height in pixels."""
    ended: str | None
    """Why the edit that made the present node ended, in one line."""


class Progress(Message):
    """Where the edit in progress is. An older one may be left out; frames carry the one that belongs to them."""

    node: int
    trace: StepRecord
    ended: str | None = None


class Answer(Message):
    """What `Ask` asked for."""

    id: int
    value: Any


class Fault(Message):
    """Something went wrong, in one line that says what to do. The session goes on."""

    message: str
    id: int | None = None
    """Of the `Ask` that it answers."""


class Exporting(Message):
    """How far a file is that is being made for this session; sent while a film is drawn. An older one may be left out."""

    node: int
    what: str
    """One of `EXPORTS`."""
    done: int
    """Pictures that are drawn."""
    of: int
    """How many there will be."""


class SessionInfo(Part):
    """A session on the disk; its name is empty until a person gave it one."""

    key: str
    name: str
    pictures: int | None
    """How many there are in it; null where an earlier release wrote it."""
    changed: float
    """When it was opened or changed last, in milliseconds since 1970."""
    shown: bool
    """By a page, now."""


class Received(Message):
    """The answer to a file: what became of it."""

    node: int
    """The node that is now the present one."""
    what: Literal["session", "settings", "photo"]
    note: str = ""
    """What a person should know of it, in one line: `found one face; this takes about a minute`."""


class CropInfo(Part):
    """A square of a photo, in its pixels: the centre, the side, and the angle in degrees, clockwise."""

    x: float
    y: float
    size: float
    angle: float


class CostInfo(Part):
    """Roughly what bringing in a photo takes on this machine."""

    seconds: float
    memory: int
    """Bytes while it runs, beside the model."""
    size: int
    """Bytes in the session."""


class Sight(Message):
    """The other answer to a file: what there is in a photo, before anything is begun."""

    width: int
    height: int
    """Of the photo as a person sees it: turned as its EXIF says."""
    preview: str
    """The photo as a `data:` address, no side longer than 1024 px."""
    crops: tuple[CropInfo, ...]
    """What could be taken: a crop for every face, the largest first, and then the middle."""
    faces: int
    """How many of them are faces."""
    note: str
    """What was found, or why nothing was, in a few words."""
    costs: dict[str, CostInfo]
    """By the kind of tuning: `none` keeps the picture easy to edit, `light` comes nearest to the photo."""


FromServer = Welcome | State | Progress | Answer | Fault | Exporting

# --- Frames -----------------------------------------------------------------------------------------------------------


class Frame(msgspec.Struct):
    """The head of a binary message."""

    frame: int
    """A number for `Shown`, rising."""
    node: int | None
    """None: a picture between two nodes."""
    final: bool
    """Whether it is the whole picture without loss of size; False for a preview during an edit."""
    width: int
    height: int
    """Of the picture in this message; a preview may be smaller than the model's resolution."""
    format: Literal["image/jpeg", "image/webp", "image/png"]
    trace: StepRecord | None = None
    """The step that this picture belongs to."""


def pack_frame(head: Frame, picture: bytes) -> bytes:
    """A binary message: the length of the head (4 bytes, little-endian), the head as JSON in UTF-8, the picture's file."""
    text = msgspec.json.encode(head)
    return struct.pack("<I", len(text)) + text + picture


def unpack_frame(data: bytes) -> tuple[Frame, bytes]:
    """The inverse of `pack_frame`, for clients in Python."""
    (length,) = struct.unpack_from("<I", data)
    return msgspec.json.decode(data[4 : 4 + length], type=Frame), data[4 + length :]


_DECODER = msgspec.json.Decoder(FromPage)
LIMITS = JsonLimits(size=1 << 20, values=20_000, slow_numbers=64)
"""Of a message of the page. A drag of a hundred points has five hundred values; a mask is one."""


def decode(text: str | bytes) -> FromPage:
    """A message of the page.

    Raises msgspec.ValidationError or msgspec.DecodeError for anything else, and TooMuch for one that asks too much of
    the reader.
    """
    LIMITS.check(text.encode() if isinstance(text, str) else text)
    message: FromPage = _DECODER.decode(text)
    return message


def encode(message: FromServer | Received | Sight) -> str:
    """A message to the page. Numbers that are not finite become null."""
    return msgspec.json.encode(message).decode()
