"""The log of a run: a line of JSON for every report, and TensorBoard's events."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gansteer.errors import UserError


class Log:
    """One line of JSON, and one point in TensorBoard if it is installed, for every report."""

    def __init__(self, out: Path) -> None:
        self.lines = (out / "log.jsonl").open("a", buffering=1)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: Any = SummaryWriter(str(out))
        except ImportError:
            self.board = None

    def write(self, images: int, rate: float, values: dict[str, float]) -> None:
        line = {"time": round(time.time(), 1), "images": images, "images_per_second": round(rate, 2), **values}
        try:
            self.lines.write(json.dumps(line) + "\n")
            if self.board is not None:
                for name, value in values.items():
                    self.board.add_scalar(name, value, images)
        except OSError as error:
            raise UserError(f"{self.lines.name} could not be written ({error.strerror})") from error

    def close(self) -> None:
        with suppress(OSError):  # what could not be written was said by then
            self.lines.close()
            if self.board is not None:
                self.board.close()
