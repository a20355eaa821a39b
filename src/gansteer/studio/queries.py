"""What panels of the page may ask about a picture."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from gansteer.edits.attribute.edit import sliders
from gansteer.edits.intervention.parts import PARTS, cluster_mask, feature_clusters, part_of, parts_of
from gansteer.errors import UserError
from gansteer.subject import Subject

Query = Callable[[Subject, dict[str, Any]], Any]


def directions(subject: Subject, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The attributes that can be turned: `[{"name", "value", "low", "high", "method"}]`, in deviations. No arguments."""
    return [asdict(slider) for slider in sliders(subject)]


def parts(subject: Subject, arguments: dict[str, Any]) -> list[str]:
    """What `region` knows by name. No arguments."""
    return list(PARTS) if subject.model.generator.config.img_channels == 3 else []


def region(subject: Subject, arguments: dict[str, Any]) -> dict[str, Any]:
    """A region of the picture as a mask `{"shape", "packed"}`: of `{"part": "mouth"}`, or of all like `{"point": [x, y]}`."""
    part, point = arguments.get("part"), arguments.get("point")
    if isinstance(part, str):
        mask = part_of(subject, part)
    elif isinstance(point, list) and len(point) == 2 and all(isinstance(v, int | float) for v in point):
        mask = cluster_mask(subject, (float(point[0]), float(point[1])))
    else:
        raise UserError("name a part of the picture, or point at it")
    return _packed(mask)


def regions(subject: Subject, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """All that one can point at: `[{"name", "mask"}]`, where they overlap the finer first. No arguments.

    First the parts of the face that are found, then the clusters of features, which have no names.
    """
    found = list(parts_of(subject).items())
    clusters = feature_clusters(subject)
    found += [("", clusters == k) for k in range(int(clusters.max()) + 1)]
    found.sort(key=lambda one: (one[0] in COARSE, not one[0], int(one[1].sum())))
    return [{"name": name, "mask": _packed(mask)} for name, mask in found if bool(mask.any())]


def _packed(mask: Tensor) -> dict[str, Any]:
    bits = np.packbits(mask.cpu().numpy()).tobytes()
    return {"shape": list(mask.shape), "packed": base64.b64encode(bits).decode()}


COARSE = ("face",)
"""Parts that clusters of features divide further."""

QUERIES: Mapping[str, Query] = {"directions": directions, "parts": parts, "region": region, "regions": regions}
"""What `Ask` may be about, to the function of the node's subject and the arguments that gives the answer (as JSON can hold
it). Called on the renderer's thread; raises UserError for arguments that make no sense."""
