"""Latents of a run's training pictures: read from its folder or that of the run it grew from, or found and written there."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.native import write_tensors
from gansteer.checkpoints.readers import FACES
from gansteer.errors import UserError
from gansteer.training.codes import (
    Describe,
    LatentCoder,
    LatentTargets,
    describe_faces,
    describe_features,
    described,
    face_landmarks,
    fit_coder,
)
from gansteer.training.config import TrainConfig
from gansteer.training.data import Pictures
from gansteer.training.distributed import ProcessGroup

SAME_LANDMARKS = 1e-3
"""Pictures whose landmarks are no farther apart, all 136 numbers together and in shares of the side, are the same one."""
SAME_CODE = 0.01
"""Mean squared difference up to which a latent is the coder's own; two of different pictures are 2 apart."""


def latent_targets(
    config: TrainConfig,
    data: Pictures,
    device: torch.device,
    group: ProcessGroup,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LatentTargets:
    """Every picture's latent, and landmarks of portraits: as this run, or the one it grew from, found them, or new.

    The first process writes new ones to the run's folder. Raises UserError for a file that is damaged or of another kind, and
    where pictures were added to a run whose latents did not come from its coder, as new ones would be strangers to them.
    """
    own = config.out / "codes.safetensors"
    before = own if own.exists() or config.grow is None else config.grow / "codes.safetensors"
    coder, kept = _read(before, config.z_dim, device) if before.exists() else (None, None)
    if config.layout != "none" and (kept is None or kept.layout is None):
        raise UserError(
            f"--anchor with --layout needs the layouts of the known pictures in {before}, and a recipe finds them: see "
            f"recipes/portraits/known_heads.py, or leave one of the two out"
        )
    if kept is not None and len(kept) == len(data) and (kept.landmarks is not None or not config.anchor_faces):
        found, new = kept, before != own
    else:
        if kept is not None and (coder is None or kept.layout is not None):
            raise UserError(_foreign(before, len(kept), config.data, len(data)))
        descriptions = described(data, _describe(config, device), device, progress)
        coder = coder or fit_coder(descriptions, config.z_dim, config.seed)
        if len(coder.mean) != sum(d.shape[1] for d in descriptions):
            raise UserError(
                f"{before} holds latents of another kind: use --anchor-faces as the run that it is from did"
            )
        found = LatentTargets(coder(descriptions), face_landmarks(descriptions) if config.anchor_faces else None)
        new = True
        if kept is not None and not _agree(kept, found):
            raise UserError(_foreign(before, len(kept), config.data, len(data)))
    if group.rank == 0 and new:
        tensors = {**(vars(coder) if coder else {}), **found.tensors()}
        write_tensors(
            {name: x.cpu().contiguous() for name, x in tensors.items()}, "latents of the training pictures", own
        )
    return found.to(torch.device("cpu"))


def _foreign(path: Path, kept: int, data: Path, count: int) -> str:
    return (
        f"{path} holds latents of {kept} pictures (mirrored ones counted) that a recipe found, and {data} has {count}: train on "
        f"the pictures that they are of, or find the latents of all of them by that recipe"
    )


def _agree(kept: LatentTargets, found: LatentTargets) -> bool:
    """Whether pictures that both know by their landmarks have the same latents in both."""
    if kept.landmarks is None or found.landmarks is None:
        return True  # recipes that change latents keep landmarks
    places = found.landmarks.flatten(1)
    nearest = [torch.cdist(some, places).min(dim=1) for some in torch.split(kept.landmarks.flatten(1), 256)]
    same = torch.cat([near.values for near in nearest]) < SAME_LANDMARKS
    apart = (kept.codes - found.codes[torch.cat([near.indices for near in nearest])]).square().mean(dim=1)[same]
    return not len(apart) or bool(apart.median() < SAME_CODE)


def _describe(config: TrainConfig, device: torch.device) -> Describe:
    if config.anchor_faces:
        return partial(describe_faces, reader=FACES.load(device))
    return partial(describe_features, backbone=load_efficientnet(device))


def _read(path: Path, z_dim: int, device: torch.device) -> tuple[LatentCoder | None, LatentTargets]:
    """The coder and the latents in a file; a recipe that finds latents in another way leaves the coder out."""
    try:
        found: dict[str, Tensor] = {name: x.to(device) for name, x in load_file(path).items()}
        names = [field.name for field in fields(LatentCoder)]
        coder = LatentCoder(*(found[name] for name in names)) if found.keys() & set(names) else None
        targets = LatentTargets.from_tensors(found)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: remove it, and the latents are found anew") from error
    if targets.codes.shape[1] != z_dim:
        raise UserError(f"{path} holds latents of {targets.codes.shape[1]} dimensions, not --z-dim {z_dim}")
    return coder, targets
