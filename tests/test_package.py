"""The wheel holds all that is needed to run without a download."""

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


def test_the_wheel_has_the_command_and_the_licence(wheel):
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "gansteer = gansteer.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "MIT License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    needs = [line for line in wheel.read(f"{info}/METADATA").decode().splitlines() if line.startswith("Requires-Dist")]
    assert not [line for line in needs if "torchvision" in line]
