"""What the site has beside the files of this folder: the README as its first page, and the reference.

MkDocs calls these functions. The reference has one page for each package of `src/gansteer`, made of what is there, so
that a new module needs no line here.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository's top folder that are pages, and what the pages are called."""
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference at the end of the menu."""
    config.nav = [*config.nav, {"Reference": [f"reference/{page}.md" for page in _packages()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=_moved((ROOT / name).read_text(encoding="utf-8"))))
    files.append(File.generated(config, "images/favicon.svg", abs_src_path=str(_studio_page() / "favicon.svg")))
    for page, package in _packages().items():
        files.append(File.generated(config, f"reference/{page}.md", content=_reference(package)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that lead out of `docs/` lead to the file in the repository. Raises PluginError if there is none."""

    def replaced(link: re.Match[str]) -> str:
        target = (ROOT / "docs" / page.file.src_uri).parent.joinpath(link[1]).resolve()
        if target.is_relative_to(ROOT / "docs") or not target.is_relative_to(ROOT):
            return link[1]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri} links to {link[1]}, which is not there")
        return f"{config.extra['repository']}/blob/main/{target.relative_to(ROOT)}"

    return LINK.sub(replaced, markdown)


def _moved(markdown: str) -> str:
    """A page of the top folder as one of `docs/`: its links go from there."""

    def replaced(link: re.Match[str]) -> str:
        if link[1] in PAGES:
            return PAGES[link[1]]
        return link[1].removeprefix("docs/") if link[1].startswith("docs/") else f"../{link[1]}"

    return LINK.sub(replaced, markdown)


def _studio_page() -> Path:
    return SOURCE / "gansteer" / "studio" / "web"


def _packages() -> dict[str, Path]:
    """The pages of the reference and the folders of their packages."""
    top = SOURCE / "gansteer"
    folders = sorted(path.parent for path in top.rglob("__init__.py"))
    return {".".join(folder.relative_to(top).parts) or "index": folder for folder in folders}


def _reference(package: Path) -> str:
    """The page of a package: what it says of itself, then its modules."""
    name = ".".join(package.relative_to(SOURCE).parts)
    modules = sorted(path.stem for path in package.glob("*.py") if not path.stem.startswith("_"))
    parts = [f"# {name}", "", f"::: {name}", "    options: {show_root_heading: false, show_root_toc_entry: false}", ""]
    for module in modules:
        parts += [f"::: {name}.{module}", ""]
    return "\n".join(parts)
