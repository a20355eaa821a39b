"""One person's session, the edit in progress, and the page that shows it.

Everything here runs on the event loop, except what is handed to the stepper (edits) and the painter (pictures).
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from gansteer.edits import kind_of
from gansteer.edits.drag import Drag
from gansteer.edits.record import edit_from_json, edit_to_json, tensor_to_json
from gansteer.edits.run import Progress as Found
from gansteer.edits.run import Run
from gansteer.errors import UserError
from gansteer.memory import used_memory
from gansteer.session import Node, Session, Trace, between, spaced
from gansteer.steerfile import save_step
from gansteer.studio import protocol
from gansteer.studio.answers import ANSWERS
from gansteer.studio.catalogue import Catalogue
from gansteer.studio.line import Line
from gansteer.studio.store import Store
from gansteer.studio.work import Job, Painter, Stepper, explained
from gansteer.subject import Subject, to_image

FIRST_SEED = 3
MAX_NODES = 1000
FRAMES_PER_SECOND = 15.0
PAINTING = 0.6
"""The painter spends at most this part of its time on the previews of one edit."""
PROGRESS_PER_SECOND = 25.0
FILM, FILMS = 120, 4
"""Steps that are kept for a film, and edits of which they are kept."""
LARGE = 1 << 16
"""The page is sent no tensor of more elements, but for masks."""


@dataclass(frozen=True)
class Tools:
    """What all desks share."""

    catalogue: Catalogue
    stepper: Stepper
    painter: Painter
    store: Store
    loop: asyncio.AbstractEventLoop
    most_memory: int | None = None
    """Bytes in use from which on nothing is begun."""

    def check_memory(self) -> None:
        """Raise UserError if too much memory is in use."""
        if self.most_memory is not None and used_memory() > self.most_memory:
            raise UserError("the studio has no memory left for this: try again when fewer people are here")


@dataclass(eq=False)
class Work:
    """The edit in progress."""

    node: Node
    """As of the last step that the loop knows of."""
    job: Job
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, eq=False)
class Showing:
    """What the page shall see."""

    subject: Subject
    node: int | None
    trace: Trace | None
    final: bool


class Desk:
    """One person's place in the studio."""

    def __init__(self, tools: Tools, key: str, session: Session | None = None) -> None:
        self.tools, self.key = tools, key
        self.session = session or Session()
        self.restored = session is not None
        self.line: Line | None = None
        self.work: Work | None = None
        self.left_at = tools.loop.time()
        """When the page went away; only of interest while there is no line."""
        self.saved = True
        self.touched = self.restored
        """Whether there is anything that anybody would miss."""
        self.films: OrderedDict[int, tuple[Found, ...]] = OrderedDict()
        """Node to the steps that its film is made of."""
        self._stopped: tuple[int, Job] | None = None
        """The node whose edit can be resumed, with its run."""
        self._showing: Showing | None = None
        self._painting: Showing | None = None
        self._last_frame = 0.0
        self._last_progress = 0.0
        self._pause = 1 / FRAMES_PER_SECOND
        self._saving: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._edit_json: tuple[Any, dict[str, Any]] | None = None

    # --- The page -----------------------------------------------------------------------------------------------------

    async def attach(self, line: Line, welcome: protocol.Welcome) -> None:
        """Show this session on a page; the page that showed it before is hung up."""
        if self.line is not None:
            self.line.hang_up(1008, "this session was opened in another tab")
        self.line = line
        line.post(welcome)
        if self.session.current is None:
            try:
                await self._sample(protocol.Sample(seed=FIRST_SEED))
            except Exception as error:
                self.fault(explained(error))
        self.tell()
        self.show()

    @property
    def free(self) -> bool:
        """Whether it could leave the memory without anybody missing it."""
        return self.line is None and self.work is None and self._saving is None and (self.saved or not self.touched)

    def detach(self, line: Line) -> None:
        """The page went away; whatever runs goes on."""
        if self.line is line:
            self.line, self.left_at = None, self.tools.loop.time()

    async def carefully(self, message: protocol.FromPage) -> None:
        """Do what the page asks; what goes wrong is told to it in one line."""
        try:
            await self._do(message)
        except Exception as error:
            self.fault(explained(error), message.id if isinstance(message, protocol.Ask) else None)

    def fault(self, text: str, id: int | None = None) -> None:
        """Tell the page that something went wrong."""
        if self.line is not None:
            self.line.post(protocol.Fault(" ".join(text.split()), id))

    async def _do(self, message: protocol.FromPage) -> None:
        match message:
            case protocol.Sample():
                await self._sample(message)
                self.changed()
            case protocol.Start():
                await self._start(message)
            case protocol.Stop():
                await self.stop()
            case protocol.Resume():
                await self._resume()
            case protocol.Undo():
                await self.stop()
                self.session.undo()
                self.changed()
            case protocol.Redo():
                await self.stop()
                self.session.redo()
                self.changed()
            case protocol.Go():
                self.session.find(message.node)
                await self.stop()
                self.session.go(message.node)
                self.changed()
            case protocol.Interpolate():
                await self._between(message)
            case protocol.Ask():
                self._background(self._answer(message))
            case protocol.Shown():
                if self.line is not None and not self.line.shown(message.frame):
                    raise UserError(f"there was no frame {message.frame}")
                self._paint()
            case protocol.Leave():
                raise AssertionError("the server sees to this")

    def _background(self, work: Any) -> None:
        task = self.tools.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def draw(self, draw: Callable[[], Any], key: object = None) -> Any:
        """What `draw` makes, on the painter's thread."""
        return await asyncio.wrap_future(self.tools.painter.draw(self, draw, key))

    # --- What can be done ---------------------------------------------------------------------------------------------

    def room(self) -> None:
        """Raise UserError if the history is full."""
        if len(self.session.nodes) >= MAX_NODES:
            raise UserError(f"the history is full after {MAX_NODES} entries: begin a new session, this one is saved")

    async def _sample(self, message: protocol.Sample) -> None:
        self.room()
        present = self.session.current
        name = message.model or (self.session.node.subject.model.card.name if present else self.tools.catalogue.default)
        if not (math.isfinite(message.psi) and -2 <= message.psi <= 2):
            raise UserError(f"psi must be from -2 to 2, not {message.psi}")
        label = message.label

        def draw() -> Subject:
            model = self.tools.catalogue.load(name)
            classes = model.generator.config.c_dim
            return model.sample(message.seed, message.psi, 0 if label is None and classes else label)

        subject = await self.draw(draw)
        await self.stop()
        if message.replacing is not None:
            self.session.drop(message.replacing)
        self.session.add(subject, source={"seed": message.seed, "psi": message.psi, "label": label})

    async def _between(self, message: protocol.Interpolate) -> None:
        if not 0 <= message.t <= 1:
            raise UserError(f"t must be from 0 to 1, not {message.t}")
        a, b = self.session.find(message.a), self.session.find(message.b)
        subject = between(a.subject, b.subject, message.t)
        if not message.keep:
            self._showing = Showing(subject, None, None, final=False)
            self._paint()
            return
        self.room()
        await self.stop()
        self.session.add(subject, source={"between": [a.id, b.id], "t": message.t})
        self.changed()

    async def _answer(self, message: protocol.Ask) -> None:
        try:
            if message.about not in ANSWERS:
                raise UserError(f"nobody knows about {message.about!r}; ask about {', '.join(ANSWERS) or 'nothing'}")
            node, answer = self.session.find(message.node), ANSWERS[message.about]
            value = await self.draw(lambda: answer(node.subject, message.arguments), f"ask {message.about}")
        except asyncio.CancelledError:
            self.fault("a newer question took the place of this one", message.id)
        except Exception as error:
            self.fault(explained(error), message.id)
        else:
            if self.line is not None:
                self.line.post(protocol.Answer(message.id, value))

    async def _start(self, message: protocol.Start) -> None:
        self.room()
        edit = edit_from_json(message.edit)
        parent, replaced = self.session.find(message.node), message.replacing
        if replaced is not None and self.session.find(replaced) is parent:
            raise UserError("an edit cannot replace the picture that it begins with")
        await self.stop()
        parent = self.session.find(parent.id)  # as the stopped edit left it
        if replaced in self.session.nodes:  # and did not go when it was stopped before its first step
            self.session.drop(replaced)
        await self.begin(edit, parent.id, parent.subject)

    async def adopt(self, session: Session) -> None:
        """Take in the nodes of another session, and show its present one."""
        if len(self.session.nodes) + len(session.nodes) > MAX_NODES:
            raise UserError(f"the history would have more than {MAX_NODES} entries: begin a new session first")
        if session.current is None:
            raise UserError("this session is empty")
        await self.stop()
        self.session.graft(session)
        self.changed()

    async def begin(self, edit: Any, parent: int | None, subject: Subject) -> None:
        """Put an edit of `subject` into the queue; a new node will have the result."""
        self.tools.check_memory()
        node = self.session.add(subject, parent, edit)
        await self._launch(node, lambda: edit.begin(subject))

    async def _resume(self) -> None:
        node = self.session.node
        if self.work is not None:
            raise UserError("an edit is running: stop it first")
        if node.done:
            raise UserError("there is nothing to go on with: start an edit")
        leaf = all(other.parent != node.id for other in self.session.nodes.values())
        if leaf and self._stopped is not None and self._stopped[0] == node.id:
            run, seconds = self._stopped[1].run, self._stopped[1].seconds
            assert run is not None
            await self._launch(node, lambda: run, seconds)
        elif isinstance(node.edit, Drag) and node.trail:
            self.room()
            await self.begin(replace(node.edit, handles=node.trail[-1].points), node.id, node.subject)
        else:  # it begins anew
            assert node.edit is not None
            self.room()
            parent = self.session.nodes[node.parent] if node.parent else node
            await self.begin(node.edit, node.parent, parent.subject)

    # --- The edit in progress -----------------------------------------------------------------------------------------

    async def _launch(self, node: Node, begin: Callable[[], Run], seconds: float = 0.0) -> None:
        """Put the edit into the queue, after the disk knows of it."""
        self._stopped = None
        latest, film, path, loop = (
            node,
            self.films.get(node.id, ()),
            self.tools.store.step_path(self.key),
            self.tools.loop,
        )

        def stepped(found: Found, seconds: float) -> None:  # on the stepper's thread
            nonlocal latest, film
            loss = found.loss if math.isfinite(found.loss) else None
            trace = Trace(found.step, loss, found.points, found.distances, round(seconds, 3))
            latest = latest.stepped(found.subject, trace, found.ended)
            if found.subject.tuning is node.subject.tuning:
                film = spaced(film, found, FILM)
            problem = None
            try:
                save_step(latest, path)
            except UserError as error:
                problem = str(error)
            loop.call_soon_threadsafe(self._stepped, work, latest, film, problem)

        def left(problem: str | None) -> None:
            loop.call_soon_threadsafe(self._left, work, problem)

        work = self.work = Work(node, Job(begin, stepped, left, seconds=seconds))
        self.changed()
        if self._saving is not None:
            await asyncio.shield(self._saving)
        if work.job.stopped:
            self._left(work, None)
            return
        try:
            self.tools.stepper.add(work.job)
        except UserError as error:
            self._left(work, str(error))
        self.tell()

    async def stop(self) -> None:
        """Stop the edit in progress, if there is one, and wait for the step that it is in."""
        work = self.work
        if work is not None:
            self.tools.stepper.stop(work.job)
            await work.over.wait()

    def _stepped(self, work: Work, node: Node, film: tuple[Found, ...], problem: str | None) -> None:
        if self.work is not work:
            return
        work.node = node
        self.session.put(node)
        self.films[node.id] = film
        if problem and self.saved:
            self.saved = False
            self.fault(problem)
        self._showing = Showing(node.subject, node.id, node.trail[-1], final=False)
        now = self.tools.loop.time()
        if self.line is not None and (node.ended or now - self._last_progress >= 1 / PROGRESS_PER_SECOND):
            self._last_progress = now
            self.line.post(protocol.Progress(node.id, node.trail[-1], node.ended), "progress")
        self._paint()

    def _left(self, work: Work, problem: str | None) -> None:
        if self.work is not work:
            return
        self.work = None
        node = self.session.nodes[work.node.id]
        if problem is not None:
            self.fault(problem)
        if not node.trail:
            self.session.drop(node.id)  # it never came to anything
        elif not node.done:
            self._stopped = (node.id, work.job)
        while len(self.films) > FILMS:
            self.films.popitem(last=False)
        work.over.set()
        self.changed()

    # --- Telling, showing, saving -------------------------------------------------------------------------------------

    def changed(self) -> None:
        """The session is another now: tell the page, show the picture, keep it on the disk."""
        self.save()
        self.tell()
        self.show()

    def show(self) -> None:
        """Show the picture of the present node."""
        if self.session.current is None:
            return
        node = self.session.node
        running = self.work is not None and self.work.node.id == node.id
        self._showing = Showing(node.subject, node.id, node.trail[-1] if node.trail else None, final=not running)
        self._paint()

    def _paint(self) -> None:
        """Have the painter draw what is to be shown, unless it is at it, or the page isn't ready, or it is too soon."""
        what, line, now = self._showing, self.line, self.tools.loop.time()
        if what is None or line is None or self._painting is not None or not (what.final or line.ready):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self._last_frame + self._pause - now
        if not what.final and wait > 0:
            self._timer = self.tools.loop.call_later(wait, self._paint)
            return
        self._painting, self._showing, self._last_frame = what, None, now
        self._background(self._painted(what, line))

    async def _painted(self, what: Showing, line: Line) -> None:
        begun = self.tools.loop.time()
        try:
            head, data = await self.draw(lambda: picture(what), "frame")
            line.frame(head, data)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.fault(explained(error))
        finally:
            self._painting = None
        took = self.tools.loop.time() - begun
        self._pause = max(1 / FRAMES_PER_SECOND, took / PAINTING)
        self._paint()

    def tell(self) -> None:
        """Send the page all that there is to know."""
        if self.line is not None:
            self.line.post(self.state(), "state")

    def state(self) -> protocol.State:
        """All that there is to know."""
        session, work = self.session, self.work
        node = session.nodes.get(session.current or 0)
        root = node
        while root is not None and root.parent is not None:
            root = session.nodes[root.parent]
        run = None
        if work is not None and work.node.edit is not None:
            position = self.tools.stepper.position(work.job)
            run = protocol.RunInfo(work.node.id, self._json(work.node), "waiting" if position else "running", position)
        return protocol.State(
            nodes=tuple(info(each) for each in session.nodes.values()),
            current=session.current,
            can_undo=session.can_undo,
            can_redo=session.can_redo,
            can_resume=node is not None and not node.done and work is None,
            saved=self.saved,
            run=run,
            edit=None if node is None or node.edit is None else self._json(node),
            trail=() if node is None else node.trail,
            source={} if root is None else dict(root.source),
            resolution=0 if node is None else node.subject.model.resolution,
            ended=None if node is None else node.ended,
        )

    def _json(self, node: Node) -> dict[str, Any]:
        if self._edit_json is None or self._edit_json[0] is not node.edit:
            assert node.edit is not None
            self._edit_json = (node.edit, edit_to_json(node.edit, pack))
        return self._edit_json[1]

    def save(self) -> None:
        """Keep the session on the disk, as soon as the disk is ready; of several changes the last is written."""
        self.saved, self.touched = False, True
        if self._saving is None:
            self._saving = self.tools.loop.create_task(self._save())

    async def _save(self) -> None:
        try:
            while not self.saved:
                self.saved = True
                running = self.work is not None
                await asyncio.wrap_future(self.tools.store.save(self.key, self.session, running))
        except Exception as error:
            self.saved = False
            self.fault(explained(error))
        finally:
            self._saving = None
        self.tell()

    async def close(self) -> None:
        """Stop, and wait until all is written or cannot be."""
        await self.stop()
        if not self.saved:
            self.save()
        if self._saving is not None:
            await self._saving


def picture(what: Showing) -> tuple[protocol.Frame, bytes]:
    """The frame of what is to be shown: JPEG in between, PNG at the end."""
    image, data = to_image(what.subject.render()).convert("RGB"), BytesIO()
    lossless = what.final and image.width <= 512
    if lossless:
        image.save(data, "PNG", compress_level=1)
    else:
        image.save(data, "JPEG", quality=95 if what.final else 85)
    kind: Any = "image/png" if lossless else "image/jpeg"
    head = protocol.Frame(0, what.node, what.final, image.width, image.height, kind, what.trace)
    return head, data.getvalue()


def pack(x: Tensor) -> dict[str, Any]:
    """A tensor of an edit for the page: masks as plain bits, other large ones by their shape alone."""
    if x.dtype == torch.bool or x.numel() <= LARGE:
        return tensor_to_json(x, compressed=False)
    return {"shape": list(x.shape)}


def info(node: Node) -> protocol.NodeInfo:
    """A node in the history."""
    source = node.source
    if node.edit is not None:
        title, kind = node.edit.title, kind_of(node.edit)
    elif "between" in source:
        title, kind = "Between {} and {}".format(*source["between"]), "between"
    elif "seed" in source:
        title, kind = f"Seed {source['seed']}", "seed"
    else:
        title, kind = "Photo", "photo"
    return protocol.NodeInfo(node.id, node.parent, title, kind, node.subject.model.card.name, node.steps, node.done)
