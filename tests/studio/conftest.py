"""What the tests of the studio share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import HOW, chromium, find, wanted
from client import Nursery, Page, Server, make_models, studio
from visitor import Visitor

WEIGHTS = Path(__file__).parents[2] / "src" / "gansteer" / "weights" / "portraits.safetensors"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")  # no longer: other tests run event loops of their own
def browser() -> Iterator[Any]:
    """Chromium."""
    path = find()
    if path is None and wanted():
        pytest.fail(HOW)
    if path is None:
        pytest.skip(HOW)
    with chromium(path) as running:
        yield running


@pytest.fixture(scope="session")
def portraits(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio with the shipped model."""
    folder = tmp_path_factory.mktemp("portraits")
    (folder / "portraits.safetensors").symlink_to(WEIGHTS)
    with studio(nursery, tmp_path_factory.mktemp("sessions"), folder) as server:
        yield server


@pytest.fixture(scope="module")
def tab(browser: Any, portraits: Server) -> Iterator[Visitor]:
    """A tab for the tests of a file: opening another for each would take longer than most of them."""
    with Visitor(browser, portraits) as tab:
        yield tab


@pytest.fixture
def visitor(tab: Visitor) -> Iterator[Visitor]:
    """Somebody who has just come."""
    yield tab.anew()
    assert tab.problems == []


@pytest.fixture(scope="module")
def server(nursery: Nursery, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--most-upload", "1", "--most-pixels", "1", "--most-edits", "6", "--max-concurrent-edits", "4")
    with studio(nursery, tmp_path_factory.mktemp("sessions"), models, *flags) as server:
        yield server
        assert server.alive, "no test may end it"


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    page = Page(server)
    page.settled()
    yield page
    for each in list(server.pages):
        if each.state["run"]:
            each.send("stop")
            each.until(lambda each=each: each.state["run"] is None)
    for each in list(server.pages):
        each.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the browser needs it."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
