"""The wheel holds all that is needed to run without a download; the modules keep to the layout."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_package_whole(wheel):
    names = wheel.namelist()
    assert len(names) == len(set(names))
    here = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "gansteer").rglob("*.*")}
    wanted = {name for name in here if name.endswith((".py", ".safetensors", "py.typed"))}
    assert {"gansteer/py.typed", "gansteer/cli.py"} <= wanted
    assert wanted <= set(names)
    assert not [name for name in names if "tests" in name or name.endswith(".pyc")]


def test_the_wheel_holds_the_shipped_model(wheel):
    data = (ROOT / "src/gansteer/weights/portraits.safetensors").read_bytes()
    assert wheel.read("gansteer/weights/portraits.safetensors") == data


def test_the_wheel_has_the_command_and_the_licence(wheel):
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "gansteer = gansteer.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "MIT License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    needs = [line for line in wheel.read(f"{info}/METADATA").decode().splitlines() if line.startswith("Requires-Dist")]
    assert not [line for line in needs if "torchvision" in line]


# --- The layout that docs/architecture.md promises --------------------------------------------------------------------


def imports(path):
    """The modules of ours that a file imports as it is imported itself (not within functions)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gansteer"):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("gansteer.")}
    return found


SOURCES = {
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "src" / "gansteer").rglob("*.py")
}
IMPORTS = {module: imports(path) for module, path in SOURCES.items()}


def test_networks_know_nothing_of_the_rest():
    for module, imported in IMPORTS.items():
        if module.startswith("gansteer.models"):
            assert all(name.startswith("gansteer.models") for name in imported), module


def test_no_module_imports_itself_in_a_circle():
    open_, closed = [], set()

    def visit(module):
        assert module not in open_, " -> ".join([*open_, module])
        if module in closed or module not in IMPORTS:
            return
        open_.append(module)
        for name in sorted(IMPORTS[module]):
            visit(name)
        closed.add(open_.pop())

    for module in IMPORTS:
        visit(module)
    assert len(closed) == len(SOURCES)


def test_the_layout_names_every_part():
    text = (ROOT / "docs" / "architecture.md").read_text()
    missing = [path.name for path in SOURCES.values() if path.parent.name != "commands" and path.stem not in text]
    assert [name for name in missing if not name.startswith("__")] == []
