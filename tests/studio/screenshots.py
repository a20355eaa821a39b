"""Pictures of the studio's page, to be looked at: `python tests/studio/screenshots.py FOLDER`.

Four sizes of the window, light and dark, each with a drag that was stopped, every panel, and the dialogs.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from browser import HOW, chromium, find
from client import Nursery, studio
from visitor import Visitor

WEIGHTS = Path(__file__).parents[2] / "src" / "gansteer" / "weights" / "portraits.safetensors"
SIZES = [(360, 740), (844, 390), (1024, 768), (1440, 900)]
TABS = ("drag", "sliders", "area", "layout", "photo", "gallery")


def shots(browser: Any, server: Any, folder: Path, width: int, height: int, scheme: str) -> None:
    """All pictures of one size and one scheme of colours."""
    with Visitor(browser, server, width, height, color_scheme=scheme) as visitor:

        def shot(name: str) -> None:
            visitor.page.wait_for_timeout(300)
            visitor.page.screenshot(path=folder / f"{width}x{height}-{scheme}-{name}.png")

        shot("first")
        visitor.drag((64, 76), (84, 60))
        visitor.start()
        shot("running")
        visitor.stop()
        visitor.page.click("text=Advanced")
        shot("advanced")
        visitor.press("h")
        visitor.drag((30, 110), (96, 110))
        for tab in TABS:
            visitor.page.click(f"#tab-{tab}")
            shot(tab)
        for name in ("Export", "Hot keys", "Sessions and files"):
            visitor.page.click(f"[aria-label='{name}']")
            shot(name.split()[0].lower())
            visitor.press("Escape")
        visitor.page.click("[aria-label='Sessions and files']")
        visitor.page.click("text=Sessions …")
        visitor.page.wait_for_selector(".session img")
        shot("kept")


def main(folder: Path) -> None:
    """Start a studio with the shipped model, and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    path = find()
    if path is None:
        sys.exit(HOW)
    nursery = Nursery()
    with tempfile.TemporaryDirectory() as sessions, tempfile.TemporaryDirectory() as models:
        (Path(models) / "portraits.safetensors").symlink_to(WEIGHTS)
        with studio(nursery, Path(sessions), Path(models)) as server, chromium(path) as browser:
            for scheme in ("light", "dark"):
                for width, height in SIZES:
                    shots(browser, server, folder, width, height, scheme)
                    print(f"{width}x{height} {scheme}", flush=True)
    nursery.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
