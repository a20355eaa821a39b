"""The file of a session: a zip of `session.json` and `tensors.safetensors`, named `.steer`.

It opens with the same pictures bit for bit, on the same model. The same file holds a single subject, such as a photo that
was brought in.
"""

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from torch import Tensor

from gansteer.edits.api import Edit, StepRecord
from gansteer.edits.record import edit_to_json, stored_edit
from gansteer.errors import UserError
from gansteer.json_limits import JsonLimits
from gansteer.models.code import Code, flat, nested
from gansteer.models.tuning import Tuning
from gansteer.output import replacing
from gansteer.session import Node, Session
from gansteer.subject import Model, Subject

FORMAT = 1
SUFFIX = ".steer"
MAX_BYTES = 1 << 31
"""No file may unpack to more."""
MAX_INFLATION = 4
"""The tensors may unpack to this many times their bytes in the file; we store them as they are."""
MAX_ENTRIES = 10_000
JSON = JsonLimits(size=1 << 26, values=1 << 22)
"""Of a session's tree. A thousand entries of 300 steps each are 30 MB and 3 million values."""
ENTRY = JsonLimits(size=1 << 22, values=1 << 18)
"""Of one entry of the tree."""
MAX_STEPS = 4096
"""Of an entry; those that a session keeps are thinned to a few hundred."""
MAX_SOURCE = 10_000
"""Bytes of what says where a tree began."""
MAX_MEMBERS = 100
"""A zip file with more members is no session."""

Load = Callable[[str], Model]
"""The model of a name. Raises UserError if there is none."""


class Picture(msgspec.Struct):
    """A subject; tensors by their names in the safetensors part."""

    model: str
    w: str
    offsets: dict[str, str] = {}
    tuning: dict[str, str] | None = None
    rest: dict[str, str] = {}
    """The subject's `rounding`."""
    other: dict[str, dict[str, str]] | msgspec.UnsetType = msgspec.UNSET
    """What else its code has, by group; left out if there is nothing."""


class _Entry(msgspec.Struct):
    id: int
    subject: Picture
    parent: int | None
    before: int | None
    edit: dict[str, Any] | None
    source: dict[str, Any]
    steps: tuple[StepRecord, ...] = msgspec.field(name="trail")
    stop_reason: str | None = msgspec.field(name="ended")


class _Tree(msgspec.Struct):
    format: int
    models: dict[str, str]
    """Name to the digest of the weights."""
    nodes: list[_Entry]
    current: int | None
    last: int


class _RoughTree(msgspec.Struct):
    """A tree whose entries are not read yet."""

    format: int
    models: dict[str, str]
    nodes: list[msgspec.Raw]
    current: int | None
    last: int


class Shelf:
    """Tensors by name; what is shared is stored once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}

    def put(self, x: Tensor) -> str:
        """Its name; the same again for the same tensor."""
        name = self._names.setdefault(id(x), f"t{len(self._names)}")
        if name not in self.tensors:
            self.tensors[name] = x.detach().cpu().clone(memory_format=torch.contiguous_format)
        return name

    def subject(self, subject: Subject) -> Picture:
        """Put a subject's tensors there; what the session says of it."""
        tuning = subject.tuning
        groups = nested({name: self.put(x) for name, x in subject.code.tensors().items()})
        w, offsets = groups.pop("w"), groups.pop("offsets")
        return Picture(
            subject.model.card.name, w, offsets,
            None if tuning is None else {name: self.put(x) for name, x in tuning.changes.items()},
            {name: self.put(x) for name, x in subject.rounding.items()},
            groups or msgspec.UNSET,
        )  # fmt: skip


def to_bytes(session: Session) -> bytes:
    """The `.steer` file of a session."""
    shelf, nodes = Shelf(), sorted(session.nodes.values(), key=lambda node: node.id)
    models = {node.subject.model.card.name: node.subject.model.digest for node in nodes}
    entries = [
        _Entry(
            node.id, shelf.subject(node.subject), node.parent, node.before,
            None if node.edit is None else edit_to_json(node.edit, lambda x: {"tensor": shelf.put(x)}),
            dict(node.source), node.steps, node.stop_reason,
        )
        for node in nodes
    ]  # fmt: skip
    tree = msgspec.json.encode(_Tree(FORMAT, models, entries, session.current, session.last))
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(_stamp("session.json"), tree, zipfile.ZIP_DEFLATED, 1)
        archive.writestr(_stamp("tensors.safetensors"), safetensors.torch.save(shelf.tensors))
    return packed.getvalue()


def _stamp(name: str) -> zipfile.ZipInfo:
    """The same session gives the same bytes."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def from_bytes(data: bytes, load: Load) -> Session:
    """The session of a `.steer` file, which may come from anywhere. `load` gives the models that it names.

    Raises UserError if it is damaged, or was made with weights that aren't there.
    """
    try:
        if data.count(b"PK\x01\x02") > MAX_MEMBERS:  # each becomes an object, before anybody looks at it
            raise UserError("this is no .steer file: it holds far too many files")
        with zipfile.ZipFile(BytesIO(data)) as archive:
            parts = {info.filename: info for info in archive.infolist()}
            if set(parts) != {"session.json", "tensors.safetensors"}:
                raise UserError("this is no .steer file: it must hold session.json and tensors.safetensors")
            _check_sizes(parts["session.json"], parts["tensors.safetensors"])
            tree = _tree(archive.read("session.json"))
            tensors = safetensors.torch.load(archive.read("tensors.safetensors"))
        if tree.format != FORMAT:
            raise UserError(f"this session has format {tree.format}; this gansteer reads {FORMAT}: update it")
        return Opener(tree.models, tensors, load).session(tree)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file can make the three readers say
        raise UserError(f"this session is damaged: {' '.join(str(error).split())[:200]}") from error


def _check_sizes(tree: zipfile.ZipInfo, tensors: zipfile.ZipInfo) -> None:
    """Raise UserError before anything is unpacked if it would be too much."""
    if tree.file_size + tensors.file_size > MAX_BYTES:
        raise UserError(f"this session is larger than {MAX_BYTES >> 20} MB: it is not opened")
    if tree.file_size > JSON.size:
        raise UserError(f"the tree of this session is larger than {JSON.size >> 20} MB: it is not opened")
    if tensors.file_size > MAX_INFLATION * tensors.compress_size:
        raise UserError("the tensors of this session unpack to far more than the file holds: it is not opened")


def _tree(text: bytes) -> _Tree:
    """The tree of a session. It is read entry by entry, so that other threads have their turns in between."""
    JSON.check(text)
    rough = msgspec.json.decode(text, type=_RoughTree)
    if len(rough.nodes) > MAX_ENTRIES:
        raise UserError(f"this session has more than {MAX_ENTRIES} entries: it is not opened")
    nodes = [_entry(bytes(raw)) for raw in rough.nodes]
    return _Tree(rough.format, rough.models, nodes, rough.current, rough.last)


def _entry(text: bytes) -> _Entry:
    """An entry of the tree. What of it is told again and again, to every page that shows it, is bounded too."""
    ENTRY.check(text)
    entry = msgspec.json.decode(text, type=_Entry)
    if len(entry.steps) > MAX_STEPS:
        raise UserError(f"entry {entry.id} of this session has more than {MAX_STEPS} steps: it is not opened")
    if len(msgspec.json.encode(entry.source)) > MAX_SOURCE:
        raise UserError(f"where entry {entry.id} of this session began takes more than {MAX_SOURCE} bytes to say")
    return entry


class Opener:
    """Subjects of what a file says of them. `digests` are those of the weights that it was made with, by model."""

    def __init__(self, models: Mapping[str, str], tensors: Mapping[str, Tensor], load: Load) -> None:
        self._digests, self._tensors, self._load = models, tensors, load
        self._models: dict[str, Model] = {}
        self._tunings: dict[str, Tuning] = {}

    def session(self, tree: _Tree) -> Session:
        """All of a session. Raises UserError if its nodes are no tree."""
        session = Session()
        for entry in tree.nodes:
            for earlier in (entry.parent, entry.before):
                if earlier is not None and earlier not in session.nodes:
                    raise UserError(f"this session is damaged: entry {entry.id} comes before entry {earlier}")
            if entry.id in session.nodes or entry.id < 1:
                raise UserError(f"this session is damaged: two entries {entry.id}")
            edit = None if entry.edit is None else stored_edit(entry.edit, lambda x: self._tensors[x["tensor"]])
            session.nodes[entry.id] = Node(
                entry.id, self.subject(entry.subject), entry.parent, entry.before, edit, entry.source, entry.steps,
                entry.stop_reason,
            )  # fmt: skip
            if entry.before is not None:
                session.forward[entry.before] = entry.id
        session.last = max([tree.last, *session.nodes])
        if tree.current is not None:
            session.go(tree.current)
        return session

    def model(self, name: str) -> Model:
        """The model of that name. Raises UserError if its weights are others than those of the file."""
        if name not in self._models:
            model = self._load(name)
            if model.digest != self._digests[name]:
                raise UserError(f"this was made with other weights of the model {name!r} than those that are here")
            self._models[name] = model
        return self._models[name]

    def subject(self, picture: Picture) -> Subject:
        """The subject, on the model's device and in its type. Raises UserError if it does not fit the model."""
        model = self.model(picture.model)
        other = {} if isinstance(picture.other, msgspec.UnsetType) else picture.other
        names = flat({**other, "w": picture.w, "offsets": picture.offsets})
        code = Code.from_tensors({name: self._tensors[key] for name, key in names.items()})
        try:
            model.generator.check(code)
        except ValueError as error:
            raise UserError(f"this session is damaged: a picture of {picture.model} in it: {error}") from error
        rest = {name: self._tensors[key].double() for name, key in picture.rest.items()}
        rounded = {**code.tensors(), **code.style_offsets}
        if not all(name in rounded and x.shape == rounded[name].shape for name, x in rest.items()):
            raise UserError(f"this session is damaged: what was rounded does not fit {picture.model}")
        tuning = None if picture.tuning is None else self.tuning(model, picture.tuning)
        return Subject(model, code.to(model.device, model.generator.dtype), tuning, rest)

    def tuning(self, model: Model, names: Mapping[str, str]) -> Tuning:
        """The tuning of these tensors; subjects that share it share its generator."""
        key = json.dumps([model.card.name, sorted(names.items())])
        if key not in self._tunings:
            device = model.device
            changes = {name: self._tensors[tensor].to(device) for name, tensor in names.items()}
            self._tunings[key] = Tuning(model.generator, changes)
        return self._tunings[key]


def write(data: bytes, path: Path) -> None:
    """Put a file there whole: what stood there is as it was until this is on the disk. Raises UserError."""
    with replacing(path) as new, new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def save_session(session: Session, path: Path) -> None:
    """Write the session to a `.steer` file, complete or not at all. Raises UserError."""
    write(to_bytes(session), path)


def open_session(path: Path, load: Load | None = None) -> Session:
    """Open a `.steer` file. `load` gives the models; by default as `gansteer.load`. Raises UserError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if load is None:
        from gansteer.checkpoints.registry import load as from_registry

        load = from_registry
    try:
        return from_bytes(data, load)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def save_subject(
    subject: Subject, path: Path, source: Mapping[str, Any] | None = None, edit: Edit | None = None
) -> None:
    """Write one subject as a session of one node. `source` says where it came from, `edit` what made it."""
    session = Session()
    session.add(subject, edit=edit, source=source)
    save_session(session, path)


def open_subject(path: Path, load: Load | None = None) -> Subject:
    """The picture that was looked at last in a `.steer` file. Raises UserError."""
    return open_session(path, load).node.subject
