"""Reads MTCNN's weights from the package that carries them.

That is `facenet-pytorch` (MIT licence), of which no code is used: importing it needs torchvision.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch

from gansteer.errors import UserError
from gansteer.models.mtcnn import FaceDetector, Stage


def load_face_detector(device: torch.device | str = "cpu") -> FaceDetector:
    """The detector, in eval mode, its weights without gradients. Raises UserError if their package is missing."""
    detector = FaceDetector()
    for name, stage in (("pnet", detector.pnet), ("rnet", detector.rnet), ("onet", detector.onet)):
        _fill(stage, name)
    return detector.eval().requires_grad_(False).to(device)


def _fill(stage: Stage, name: str) -> None:
    """Fill `stage` with the package's weights; its names are the layers' of the paper's figure."""
    try:
        listed = files("facenet-pytorch") or []
    except PackageNotFoundError:
        listed = []
    found = [Path(str(file.locate())) for file in listed if file.name == f"{name}.pt"]
    if not found:
        raise UserError("finding faces needs MTCNN's weights: run pip install --no-deps facenet-pytorch==2.6.0")
    state = torch.load(found[0], map_location="cpu", weights_only=True)
    depth = len(stage.convs)
    ours = {f"convs.{i}": f"conv{i + 1}" for i in range(depth)} | {f"prelus.{i}": f"prelu{i + 1}" for i in range(depth)}
    last = depth + 1 if stage.dense is None else depth + 2
    kind = "conv" if stage.dense is None else "dense"
    ours |= {"face": f"{kind}{last}_1", "box": f"{kind}{last}_2"}
    if stage.points is not None:
        ours |= {"points": f"{kind}{last}_3"}
    if stage.dense is not None:
        ours |= {"dense": f"dense{depth + 1}", "dense_prelu": f"prelu{depth + 1}"}
    renamed = {}
    for name_here, slot in stage.state_dict().items():
        layer, _, part = name_here.rpartition(".")
        value = state[f"{ours[layer]}.{part}"]
        renamed[name_here] = value.reshape(tuple(slot.shape))  # P-Net's are 1x1 convolutions
    stage.load_state_dict(renamed)
