"""The site builds without a warning, fetches nothing, and has every module; the other tools run what `make test` runs."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


class Loads(HTMLParser):
    """The addresses that a browser fetches to show a page, and the ids in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if id := found.get("id"):
            self.ids.add(id)
        name = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}.get(tag)
        if name is not None and (address := found.get(name)) and found.get("rel") != "canonical":
            self.addresses.append(address)


@pytest.mark.slow
def test_the_site_is_whole_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).as_posix(): Loads(path.read_text()) for path in site.rglob("*.html")}
    for name in ("index", "drag/index", "contributing/index", "changelog/index", "reference/edits.drag/index"):
        assert f"{name}.html" in pages
    for name, page in pages.items():
        elsewhere = [address for address in page.addresses if re.match(r"(?:\w+:)?//", address)]
        assert not elsewhere, f"{name} loads {elsewhere}"
    for path in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text()), path
    assert (site / "images" / "drag.png").read_bytes() == (ROOT / "docs" / "images" / "drag.png").read_bytes()
    assert not list(site.rglob("site_pages*"))


@pytest.mark.slow
def test_every_module_stands_in_the_reference(site: Path) -> None:
    ids = set().union(*(Loads(path.read_text()).ids for path in (site / "reference").rglob("index.html")))
    modules = [path.relative_to(SOURCE).with_suffix("").parts for path in (SOURCE / "gansteer").rglob("*.py")]
    wanted = {".".join(parts) for parts in modules if not parts[-1].startswith("_")}
    assert len(wanted) > 100
    assert wanted <= ids
    assert {"gansteer.subject.Subject.render", "gansteer.edits.drag.edit.Drag", "gansteer.cli.main"} <= ids


def test_other_tools_run_the_same_checks() -> None:
    """Each hook is a line of `make test`, and the forge runs `.ci/run` alone."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    words = [line.strip().replace("$(BIN)", ".venv/bin") for line in lines]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["language"] for hook in hooks] == ["system"] * len(hooks), "nothing is fetched to run them"
    for hook in hooks:
        assert any(line.startswith(hook["entry"].removesuffix(" --force-exclude")) for line in words), hook["entry"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["test"]["steps"][-1] == {"run": ".ci/run"}
