"""One person's session, the edit in progress, and the page that shows it.

Everything here runs on the event loop, except what is handed to the scheduler (edits) and the renderer (pictures).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from gansteer.edits.api import Progress as Found
from gansteer.edits.api import Run
from gansteer.edits.record import edit_from_json
from gansteer.edits.registry import queries, query, start
from gansteer.errors import UserError
from gansteer.mixing import blend, mix
from gansteer.session import Node, Session
from gansteer.studio import protocol
from gansteer.studio.catalogue import sampled
from gansteer.studio.connection import Connection
from gansteer.studio.frame_stream import FrameStream, Showing
from gansteer.studio.running_edit import RunningEdit
from gansteer.studio.services import Services
from gansteer.studio.state_encoder import StateEncoder
from gansteer.studio.workers import Draw, Job, explained
from gansteer.subject import Subject

MAX_NODES = 1000
MAX_POINTS = 100
"""Of a drag: a step takes the longer the more there are, and stops only at its end."""
FILMS = 4
"""Edits whose steps are kept for a film."""
GONE = 16
"""Nodes that are remembered for a while when others have taken their place."""


class Workspace:
    """One person's place in the studio."""

    def __init__(self, services: Services, key: str, session: Session | None = None) -> None:
        self.services, self.key = services, key
        self.session = session or Session()
        self.restored = session is not None
        self.frames = FrameStream(self.draw, self._sketch, self.fault, services.previews)
        self._encoder = StateEncoder()
        self.work: RunningEdit | None = None
        self.left_at = services.loop.time()
        """When the page went away; only of interest while there is no connection."""
        self.lock = asyncio.Lock()
        """Held while the session is changed: the page's messages and its files come on different ways."""
        self.saved = True
        self.touched = self.restored
        """Whether there is anything that anybody would miss."""
        self.films: OrderedDict[int, tuple[Found, ...]] = OrderedDict()
        """Node to the steps that its film is made of."""
        self._gone: OrderedDict[int, Node] = OrderedDict()
        self._stopped: tuple[int, Job] | None = None
        """The node whose edit can be resumed, with its run."""
        self._changes = 0
        self._saving: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connection(self) -> Connection | None:
        """The socket of the page that shows this session."""
        return self.frames.connection

    # --- The page -----------------------------------------------------------------------------------------------------

    async def attach(self, connection: Connection, welcome: protocol.Welcome) -> None:
        """Show this session on a page; the page that showed it before is hung up."""
        if self.connection is not None:
            self.connection.hang_up(1008, "this session was opened in another tab")
        self.frames.connection = connection
        connection.post(welcome)
        if self.session.current is None:
            try:
                first = self.services.catalogue.first(self.services.catalogue.default)
                await self._sample(protocol.Sample(seed=first))
            except Exception as error:
                self.fault(explained(error))
        self.tell()
        self.show()

    @property
    def free(self) -> bool:
        """Whether it could leave the memory without anybody missing it."""
        return (
            self.connection is None and self.work is None and self._saving is None and (self.saved or not self.touched)
        )

    def detach(self, connection: Connection) -> None:
        """The page went away; whatever runs goes on."""
        if self.connection is connection:
            self.frames.connection, self.left_at = None, self.services.loop.time()

    async def carefully(self, message: protocol.FromPage) -> None:
        """Do what the page asks; what goes wrong is told to it in one line."""
        try:
            async with self.lock:
                await self._do(message)
        except Exception as error:
            self.fault(explained(error), message.id if isinstance(message, protocol.Ask) else None)

    def fault(self, text: str, id: int | None = None) -> None:
        """Tell the page that something went wrong."""
        self._post(protocol.Fault(" ".join(text.split()), id))

    def _post(self, message: protocol.FromServer, key: object = None) -> None:
        if self.connection is not None:
            self.connection.post(message, key)

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
            case protocol.Undo() | protocol.Redo():
                await self.stop()
                (self.session.undo if isinstance(message, protocol.Undo) else self.session.redo)()
                self.changed()
            case protocol.Go():
                self.session.find(message.node)
                await self.stop()
                self.session.go(message.node)
                self.changed()
            case protocol.Interpolate():
                await self._between(message)
            case protocol.Mix():
                await self._mix(message)
            case protocol.Ask():
                self._background(self._answer(message))
            case protocol.Shown():
                if self.connection is not None and not self.connection.shown(message.frame):
                    raise UserError(f"there was no frame {message.frame}")
                self.frames.paint()
            case protocol.Leave():
                raise AssertionError("the server sees to this")

    def _background(self, work: Any) -> None:
        task = self.services.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def draw(self, draw: Draw, key: object = None) -> Any:
        """What `draw` makes, on the renderer's thread."""
        return await asyncio.wrap_future(self.services.renderer.draw(self, draw, key))

    async def _sketch(self, draw: Draw) -> Any:
        """What `draw` makes, on the scheduler's thread."""
        return await asyncio.wrap_future(self.services.scheduler.draw(draw))

    def find(self, id: int) -> Node:
        """The node of that id, even if another took its place a moment ago, sooner than the page asks. Raises NoEntry."""
        return self._gone.get(id) or self.session.find(id)

    # --- What can be done ---------------------------------------------------------------------------------------------

    def _drop(self, id: int) -> None:
        """Forget a node that nothing was made of. Raises UserError."""
        node = self.session.find(id)
        self.session.drop(id)
        self._gone[id] = node
        while len(self._gone) > GONE:
            self._gone.popitem(last=False)

    def room(self) -> None:
        """Raise UserError if the history is full."""
        if len(self.session.nodes) >= MAX_NODES:
            raise UserError(f"the history is full after {MAX_NODES} entries: begin a new session, this one is saved")

    async def _sample(self, message: protocol.Sample) -> None:
        self.room()
        present = self.session.current
        default = self.session.node.subject.model.card.name if present else self.services.catalogue.default
        name = message.model or default
        subject = await self.draw(
            lambda: sampled(self.services.catalogue.load(name), message.seed, message.psi, message.label)
        )
        await self.stop()
        if message.replacing is not None:
            self._drop(message.replacing)
        self.session.add(subject, source={"seed": message.seed, "psi": message.psi, "label": message.label})

    async def _between(self, message: protocol.Interpolate) -> None:
        if not 0 <= message.t <= 1:
            raise UserError(f"t must be from 0 to 1, not {message.t}")
        a, b = self.session.find(message.a), self.session.find(message.b)
        subject = blend(a.subject, b.subject, message.t)
        if not message.keep:
            self.frames.show(Showing(subject, None, None, final=False))
            return
        self.room()
        await self.stop()
        self.session.add(subject, source={"between": [a.id, b.id], "t": message.t})
        self.changed()

    async def _mix(self, message: protocol.Mix) -> None:
        self.room()
        here = self.session.node
        given: Subject = await self.draw(lambda: sampled(here.subject.model, message.seed, message.psi, message.label))
        mixed = mix(here.subject, given) if message.takes == "fine" else mix(given, here.subject)
        await self.stop()
        told = {"of": here.id, "seed": message.seed, "psi": message.psi, "takes": message.takes}
        self.session.add(mixed, source={"mix": told})
        self.changed()

    async def _answer(self, message: protocol.Ask) -> None:
        try:
            answer = query(message.about)
            if answer is None:
                raise UserError(f"nobody knows about {message.about!r}; ask about {', '.join(queries())}")
            node = self.session.find(message.node)
            value = await self.draw(lambda: answer(node.subject, message.arguments), f"ask {message.about}")
        except asyncio.CancelledError:
            self.fault("a newer question took the place of this one", message.id)
        except Exception as error:
            self.fault(explained(error), message.id)
        else:
            self._post(protocol.Answer(message.id, value))

    async def _start(self, message: protocol.Start) -> None:
        self.room()
        edit = edit_from_json(message.edit)
        parent, replaced = self.session.find(message.node), message.replacing
        if replaced is not None and self.session.find(replaced) is parent:
            raise UserError("an edit cannot replace the picture that it begins with")
        if len(edit.points()[0]) > MAX_POINTS:
            raise UserError(f"there are more than {MAX_POINTS} points: place fewer")
        edit.check(parent.subject)  # so that a mistake is told before anything is stopped
        await self.stop()
        parent = self.session.find(parent.id)  # as the stopped edit left it
        if replaced in self.session.nodes:  # and did not go when it was stopped before its first step
            self._drop(replaced)
        await self.begin(edit, parent.id, parent.subject)

    async def adopt(self, session: Session) -> Node:
        """Take in the nodes of another session, and show its present one."""
        if len(self.session.nodes) + len(session.nodes) > MAX_NODES:
            raise UserError(f"the history would have more than {MAX_NODES} entries: begin a new session first")
        if session.current is None:
            raise UserError("this session is empty")
        await self.stop()
        node = self.session.graft(session)
        self.changed()
        return node

    async def begin(
        self, edit: Any, parent: int | None, subject: Subject, source: Mapping[str, Any] | None = None
    ) -> Node:
        """Put an edit of `subject` into the queue; a new node will have the result."""
        self.services.check_memory()
        node = self.session.add(subject, parent, edit, source)
        await self._launch(node, lambda: start(subject, edit))
        return node

    async def _resume(self) -> None:
        node = self.session.node
        if self.work is not None:
            raise UserError("an edit is running: stop it first")
        if node.done:
            raise UserError("there is nothing to go on with: start an edit")
        leaf = all(other.parent != node.id for other in self.session.nodes.values())
        if leaf and self._stopped is not None and self._stopped[0] == node.id:
            job = self._stopped[1]
            run = job.run or job.begin()  # one that was resumed, and stopped before its turn came
            await self._launch(node, lambda: run, job.seconds)
            return
        assert node.edit is not None
        self.room()
        onwards = node.edit.resumed(node.steps[-1]) if node.steps else None
        if onwards is not None:
            await self.begin(onwards, node.id, node.subject)
        else:  # it begins anew
            parent = self.session.nodes[node.parent] if node.parent else node
            await self.begin(node.edit, node.parent, parent.subject)

    # --- The edit in progress -----------------------------------------------------------------------------------------

    async def _launch(self, node: Node, begin: Callable[[], Run], seconds: float = 0.0) -> None:
        """Put the edit into the queue, after the disk knows of it."""
        self._stopped = None
        work = self.work = RunningEdit(
            node, begin, self.services.store.journal(self.key), seconds=seconds, film=self.films.get(node.id, ()),
            stepped=self._stepped, left=self._left,
        )  # fmt: skip
        self.changed()
        if self._saving is not None:
            await asyncio.shield(self._saving)
        if work.job.stopped:
            self._left(work, None)
            return
        try:
            self.services.scheduler.add(work.job)
        except UserError as error:
            self._left(work, str(error))
        self.tell()

    async def stop(self) -> None:
        """Stop the edit in progress, if there is one, and wait for the step that it is in."""
        work = self.work
        if work is not None:
            self.services.scheduler.stop(work.job)
            await work.over.wait()

    def _stepped(self, work: RunningEdit) -> None:
        if self.work is not work or work.node is work.told:  # two calls that came late find the same step
            return
        node = work.told = self._take(work)
        if work.problem and self.saved:
            self.saved = False
            self.fault(work.problem)
        self.frames.show(Showing(node.subject, node.id, node.steps[-1], final=False))
        self._post(protocol.Progress(node.id, node.steps[-1], node.stop_reason), "progress")

    def _take(self, work: RunningEdit) -> Node:
        """What the edit has reached."""
        node = work.node
        self.session.put(node)
        self.films[node.id] = work.film
        return node

    def _left(self, work: RunningEdit, problem: str | None) -> None:
        if self.work is not work:
            return
        self.work, node = None, self._take(work)
        if problem is not None:
            self.fault(problem)
        if not node.steps:
            self._drop(node.id)  # it never came to anything
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
        self.frames.show(Showing(node.subject, node.id, node.steps[-1] if node.steps else None, final=not running))

    def tell(self) -> None:
        """Send the page all that there is to know."""
        if self.connection is not None:
            self.connection.post(self._encoder.state(self.session, self.saved, self._run()), "state")

    def _run(self) -> protocol.RunInfo | None:
        if self.work is None or self.work.node.edit is None:
            return None
        position = self.services.scheduler.position(self.work.job)
        edit = self._encoder.edit(self.work.node.edit)
        return protocol.RunInfo(self.work.node.id, edit, "waiting" if position else "running", position)

    def exporting(self, node: int, what: str, done: int, of: int) -> None:
        """Tell the page how far a file is."""
        self._post(protocol.Exporting(node, what, done, of), "exporting")

    def save(self) -> None:
        """Keep the session on the disk, as soon as the disk is ready; of several changes the last is written."""
        self.saved, self.touched, self._changes = False, True, self._changes + 1
        if self._saving is None:
            self._saving = self.services.loop.create_task(self._save())

    async def _save(self) -> None:
        try:
            while not self.saved:
                changes, running = self._changes, self.work is not None
                await asyncio.wrap_future(self.services.store.save(self.key, self.session, running))
                self.saved = changes == self._changes
        except Exception as error:
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
