"""Keeps what `edits/drag/picture_metric.py` has measured of a model, so that only its first drag waits for it."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from gansteer.checkpoints.companions import Companions, read_tensors
from gansteer.checkpoints.native import write_tensors
from gansteer.errors import UserError
from gansteer.subject import Model

METRICS = Companions("gansteer-picture-metric", "picture metric", "metrics", "drag")


def kept_slopes(model: Model, measure: Callable[[Model], Tensor]) -> Tensor:
    """What `measure` finds of the model, `[N, num_ws, w_dim]` in float64: read if it was found before, else found and kept.

    Rounded to float16 either way, so that it is the same. Where nothing can be written, it is measured again the next time.
    """
    for path in METRICS.files(model):
        with suppress(OSError, SafetensorError, KeyError):
            kept = read_tensors(path)["slopes"]
            if kept.shape[1:] == (model.generator.config.num_ws, model.generator.config.w_dim) and bool(
                kept.isfinite().all()
            ):
                return kept.double()
    found = measure(model).to(torch.float16)
    with suppress(OSError, UserError):
        save_slopes(found, model, METRICS.out(model, None))
    return found.double()


def save_slopes(slopes: Tensor, model: Model, path: Path) -> None:
    """Write what was found; the file appears complete or not at all. Raises UserError if it can't be written."""
    about = {"format": 1, "kind": METRICS.kind, "model_digest": model.digest}
    write_tensors({"slopes": slopes.to(torch.float16).contiguous()}, json.dumps(about), path)
