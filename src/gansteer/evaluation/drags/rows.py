"""The rows of the tables: names of ways to drag, and what each changes in `Drag`. Does not import torch."""

from collections.abc import Mapping, Sequence

from gansteer.errors import UserError

Settings = Mapping[str, object] | None
"""What a row changes in `Drag`; None is no edit. `free` is a mask: what is that near a handle's way, as a share of the width, may move."""

COUNTS = (1, 5, 68)
"""Numbers of points of the landmark protocol."""

PAIRED_POINTS = 32
"""Points of the paired reconstruction (Pan et al. 2023, section 4.2)."""

PUBLISHED: Mapping[str, object] = {
    "method": "draggan", "tracker": "nearest", "learning_rate": 2e-3, "lambda_mask": 20.0,
}  # fmt: skip
"""DragGAN with the paper's constants (Pan et al. 2023, section 3.4)."""

ROWS: dict[str, Settings] = {
    "no edit": None,
    "latent transformer": {"method": "transformer"},
    "no tracking": {**PUBLISHED, "tracker": "none"},
    "DragGAN, published": PUBLISHED,
    "DragGAN, larger rate": {"method": "draggan"},
    "natural": {"method": "natural"},
    "adaptive": {"method": "adaptive"},
    "Lucas-Kanade tracking": {**PUBLISHED, "tracker": "lucas-kanade"},
    "dense flow tracking": {**PUBLISHED, "tracker": "dense-flow"},
    "learned flow tracking": {**PUBLISHED, "tracker": "learned-flow"},
    "learned point tracking": {**PUBLISHED, "tracker": "learned-points"},
    "confident tracker": {**PUBLISHED, "tracker": "confident"},
    "FreeDrag": {"method": "freedrag", "learning_rate": 2e-3},
    "Gauss-Newton": {"method": "gauss-newton"},
}
"""What is run unless rows are named."""

OWN = "b32.conv1"
"""The layer that `portraits` is dragged in; the ablations change it for others."""
LAYERS = ("b16.conv1", OWN, "b64.conv1", f"b16.conv1+{OWN}", f"{OWN}+b64.conv1")

ABLATIONS: dict[str, Settings] = {
    **{f"layer {layer}": {**PUBLISHED, "layer": layer} for layer in LAYERS},
    **{f"pulled in {layer}": {**PUBLISHED, "layer": layer, "tracking_layer": OWN} for layer in LAYERS if layer != OWN},
    **{f"tracked in {layer}": {**PUBLISHED, "layer": OWN, "tracking_layer": layer} for layer in LAYERS if layer != OWN},
    **{f"mask, {free:g} of the width free": {**PUBLISHED, "free": free} for free in (0.1, 0.2, 0.3)},
    **{f"r1 {r1} px": {**PUBLISHED, "r1": float(r1)} for r1 in (1, 2, 3, 4, 6, 8)},
    **{f"r2 {r2} px": {**PUBLISHED, "r2": float(r2)} for r2 in (4, 6, 9, 12)},
    "rate 5e-3": {**PUBLISHED, "learning_rate": 5e-3},
    "rate 1e-2": {**PUBLISHED, "learning_rate": 1e-2},
}
"""One constant of the published form changed at a time; run when they are named."""


def chosen(words: Sequence[str], every: Mapping[str, Settings] | None = None) -> dict[str, Settings]:
    """The rows whose name contains one of `words`, in the order of the tables; without words those of `ROWS`.

    Raises UserError if a word is in no name.
    """
    every = {**ROWS, **ABLATIONS} if every is None else every
    if not words:
        return dict(ROWS)
    for word in words:
        if not any(word in name for name in every):
            raise UserError(f"no row contains {word!r}; there are {', '.join(every)}")
    return {name: settings for name, settings in every.items() if any(word in name for word in words)}
