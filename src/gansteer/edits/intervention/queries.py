"""What the page may ask about the regions of a picture."""

from typing import Any

from gansteer.edits.intervention.parts import PARTS, cluster_mask, feature_clusters, part_of, parts_of
from gansteer.edits.record import tensor_to_json
from gansteer.errors import UserError
from gansteer.subject import Subject

COARSE = ("face",)
"""Parts that clusters of features divide further."""


def parts(subject: Subject, arguments: dict[str, Any]) -> list[str]:
    """What `region` knows by name. No arguments."""
    return list(PARTS)


def region(subject: Subject, arguments: dict[str, Any]) -> dict[str, Any]:
    """A region of the picture as a mask `{"shape", "packed"}`: of `{"part": "mouth"}`, or of all like `{"point": [x, y]}`."""
    part, point = arguments.get("part"), arguments.get("point")
    if isinstance(part, str):
        mask = part_of(subject, part)
    elif isinstance(point, list) and len(point) == 2 and all(isinstance(v, int | float) for v in point):
        mask = cluster_mask(subject, (float(point[0]), float(point[1])))
    else:
        raise UserError("name a part of the picture, or point at it")
    return tensor_to_json(mask, compressed=False)


def regions(subject: Subject, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """All that one can point at: `[{"name", "mask"}]`, where they overlap the finer first. No arguments.

    First the parts of the face that are found, then the clusters of features, which have no names.
    """
    found = list(parts_of(subject).items())
    clusters = feature_clusters(subject)
    found += [("", clusters == k) for k in range(int(clusters.max()) + 1)]
    found.sort(key=lambda one: (one[0] in COARSE, not one[0], int(one[1].sum())))
    return [{"name": name, "mask": tensor_to_json(mask, compressed=False)} for name, mask in found if bool(mask.any())]
