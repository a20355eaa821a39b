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
    assert "gansteer = gansteer.__main__:run" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "MIT License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    needs = [line for line in wheel.read(f"{info}/METADATA").decode().splitlines() if line.startswith("Requires-Dist")]
    assert not [line for line in needs if "torchvision" in line]


# --- The layout that docs/architecture.md promises --------------------------------------------------------------------


def imports(path):
    """The modules of ours that a file imports, at its head or within functions; those for types only are never imported."""
    found = set()
    tree = ast.parse(path.read_text())
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gansteer"):
            found |= {f"{node.module}.{each.name}" for each in node.names} & set(SOURCES) or {node.module}
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


def circle(graph):
    """Some circle of a graph, node by node; None if there is none."""
    way, closed = [], set()

    def visit(node):
        if node in way:
            return [*way[way.index(node) :], node]
        if node in closed:
            return None
        way.append(node)
        found = next((found for each in sorted(graph.get(node, ())) if (found := visit(each))), None)
        closed.add(way.pop())
        return found

    return next((found for node in graph if (found := visit(node))), None)


def package(module):
    """The folder that a module is in, below `gansteer`; the module itself where it stands beside the folders."""
    return module.split(".")[1] if "." in module else module


def test_no_module_imports_itself_in_a_circle():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle(IMPORTS) is None


def test_no_package_imports_itself_in_a_circle():
    graph = {}
    for module, imported in IMPORTS.items():
        graph.setdefault(package(module), set()).update({package(name) for name in imported} - {package(module)})
    assert len(graph) > 10
    assert circle(graph) is None


def test_the_layout_names_every_part():
    text = (ROOT / "docs" / "architecture.md").read_text()
    missing = [path.name for path in SOURCES.values() if path.parent.name != "commands" and path.stem not in text]
    assert [name for name in missing if not name.startswith("__")] == []
