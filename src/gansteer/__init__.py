"""Steer what a GAN draws: drag points, turn attributes, edit regions, arrange layouts.

    import gansteer

    model = gansteer.load("portraits")
    subject = model.sample(seed=3, psi=0.7)
    subject.image.save("portrait.png")

The names are imported when they are first used, so that `import gansteer` is instant.
"""

TYPE_CHECKING = False  # as of `typing`, which takes longer to import than all that is here
if TYPE_CHECKING:
    from gansteer.bars import watch
    from gansteer.checkpoints.registry import load
    from gansteer.edits.api import Progress, Run
    from gansteer.edits.arrangement.edit import Arrangement, NewBlob
    from gansteer.edits.attribute.edit import Attribute, sliders
    from gansteer.edits.drag.edit import Drag
    from gansteer.edits.intervention.edit import Intervention
    from gansteer.edits.inversion.edit import Inversion
    from gansteer.edits.registry import start
    from gansteer.errors import UserError
    from gansteer.mixing import mix, walk
    from gansteer.subject import Card, Model, Subject

    __version__: str

__all__ = [
    "Arrangement",
    "Attribute",
    "Card",
    "Drag",
    "Intervention",
    "Inversion",
    "Model",
    "NewBlob",
    "Progress",
    "Run",
    "Subject",
    "UserError",
    "__version__",
    "load",
    "mix",
    "sliders",
    "start",
    "walk",
    "watch",
]

HOMES = {
    "Arrangement": "gansteer.edits.arrangement.edit",
    "Attribute": "gansteer.edits.attribute.edit",
    "Card": "gansteer.subject",
    "Drag": "gansteer.edits.drag.edit",
    "Intervention": "gansteer.edits.intervention.edit",
    "Inversion": "gansteer.edits.inversion.edit",
    "Model": "gansteer.subject",
    "NewBlob": "gansteer.edits.arrangement.edit",
    "Progress": "gansteer.edits.api",
    "Run": "gansteer.edits.api",
    "Subject": "gansteer.subject",
    "UserError": "gansteer.errors",
    "load": "gansteer.checkpoints.registry",
    "mix": "gansteer.mixing",
    "sliders": "gansteer.edits.attribute.edit",
    "start": "gansteer.edits.registry",
    "walk": "gansteer.mixing",
    "watch": "gansteer.bars",
}
"""Where each public name lives."""


def __getattr__(name: str) -> object:
    # Imported here, so that Ctrl-C is looked after (__main__.py) before anything takes its time.
    if name == "__version__":
        from importlib.metadata import version

        return version("gansteer")
    if name not in HOMES:
        raise AttributeError(f"module 'gansteer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
