"""Chromium for the tests of the page. Run as a program, it sees to it that there is one, or says how to get it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "there is no Chromium: `apt-get install chromium` or `playwright install chromium` brings it"


def find() -> str | None:
    """Debian's Chromium, another that is installed, or Playwright's own."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def wanted() -> bool:
    """Whether a missing browser is a failure: in continuous integration nobody reads what was skipped."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@contextmanager
def chromium(path: str) -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


def node() -> str:
    """Node: the one that comes with Playwright."""
    from playwright._impl._driver import compute_driver_executable

    return str(compute_driver_executable()[0])


def main() -> None:
    """Install Debian's Chromium where that is possible."""
    if find() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        print("Installing Chromium for the tests of the studio's page.")
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
        subprocess.run(command, env=quiet, check=False, stdout=subprocess.DEVNULL)
    if find() is None:
        if wanted():
            sys.exit(f"The tests of the studio's page cannot run: {HOW}.")
        print(f"The tests of the studio's page are skipped: {HOW}.")


if __name__ == "__main__":
    main()
