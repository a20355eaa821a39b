"""An edit that goes on for ever takes no more memory than one that goes on for long."""

import gc
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import uvicorn
from client import Page, Server
from PIL import Image

from gansteer.studio.catalogue import Catalogue
from gansteer.studio.pictures import MOST
from gansteer.studio.server import application
from gansteer.studio.store import Store
from support.waiting import PATIENCE, until

STEPS = 250
"""What is kept of an edit's steps is thinned to as many at STEPS as at twice that."""


@pytest.fixture
def studio(models: Path, tmp_path: Path) -> Iterator[Server]:
    """A studio on a thread of this process, so that its objects can be counted."""
    catalogue = Catalogue(models, "cpu", tmp_path / "none")
    app = application(catalogue, Store(tmp_path), names=frozenset({"127.0.0.1"}))
    config = uvicorn.Config(
        app, ws="websockets-sansio", http="h11", loop="asyncio", log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started or not thread.is_alive())
        assert server.started
        yield Server(os.getpid(), f"http://127.0.0.1:{listener.getsockname()[1]}/")
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


def step_to(page: Page, step: int) -> int:
    """Let the edit take its steps up to that one; how many objects of ours, and tensors, there are then."""
    page.until(lambda: page.progress and page.progress[-1]["trace"]["step"] >= step)
    page.send("stop")
    page.settled()
    for kept in (page.frames, page.progress):
        kept.clear()
    gc.collect()
    # A class may have a descriptor of that name, so the module is not always a string.
    return sum(str(type(each).__module__).partition(".")[0] in ("gansteer", "torch") for each in gc.get_objects())


@pytest.mark.slow
def test_long_edits_take_no_more_memory(studio: Server) -> None:
    page = Page(studio)
    page.settled()
    page.start(learning_rate=0.0)  # the handle stays, and with it what is planned for the features around it
    before = step_to(page, STEPS)
    page.send("resume")
    page.until(lambda: page.state["run"])
    after = step_to(page, 2 * STEPS)
    page.close()
    assert after - before < STEPS // 4, "one more for each step would be as many as steps"


def kept(page: Page) -> tuple[int, int]:
    """How many pictures there are in this process, and how many bytes all tensors have."""
    for heard in (page.frames, page.progress):
        heard.clear()
    gc.collect()
    every = gc.get_objects()
    pictures = sum(issubclass(type(each), Image.Image) for each in every)
    stores = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in every
        if type(each) in (torch.Tensor, torch.nn.Parameter)  # one that an exporter left traces has no storage
    }
    return pictures, sum(stores.values())


def test_a_long_history_keeps_no_pictures(studio: Server) -> None:
    """Each entry is looked at, small and whole, and compared with the one before, as the page does."""
    page = Page(studio)

    def more(count: int) -> tuple[int, int]:
        for seed in range(count):
            before = page.state["current"]
            page.act("sample", seed=seed)
            now = page.state["current"]
            for what in (f"node/{now}?size=96", f"node/{now}", f"change/{before}/{now}", f"export/{now}/png"):
                assert page.file(what)[0] == 200
        return kept(page)

    more(MOST)
    pictures, tensors = more(10)
    pictures_later, tensors_later = more(10)
    assert pictures_later <= pictures, "the pictures that are kept are as many, however long the history"
    side = page.state["resolution"]
    w = 14 * 8 * 4  # bytes of w+ of the largest of the models here
    assert tensors_later - tensors <= 10 * w * 4, f"an entry keeps its code, no picture of {side} px"
    page.close()
