"""What all workspaces of a studio share."""

import asyncio
from dataclasses import dataclass, field

from gansteer.errors import UserError
from gansteer.memory import give_back_memory, used_memory
from gansteer.studio.catalogue import Catalogue
from gansteer.studio.preview import Previews
from gansteer.studio.store import Store
from gansteer.studio.workers import EditScheduler, RenderWorker


@dataclass(frozen=True)
class Services:
    """The models, the threads that compute, and the folder of sessions."""

    catalogue: Catalogue
    scheduler: EditScheduler
    renderer: RenderWorker
    store: Store
    loop: asyncio.AbstractEventLoop
    most_memory: int | None = None
    """Bytes in use from which on nothing is begun."""
    previews: Previews = field(default_factory=Previews)

    def check_memory(self) -> None:
        """Raise UserError if too much memory is in use."""
        if self.most_memory is None or used_memory() <= self.most_memory:
            return
        give_back_memory()  # what was freed is kept for the next step, and counts as used
        if used_memory() > self.most_memory:
            raise UserError("the studio has no memory left for this: try again when fewer people are here")
