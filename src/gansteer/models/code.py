"""The code of a picture: all that a generator takes to draw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from gansteer.models.layout import PREFIX, Layout

Styles = dict[str, Tensor]
"""Layer name to the style `s [B, style_dim]` of that layer: a point of StyleSpace."""

OFFSETS = "offsets."
"""How the names of offsets begin among a code's tensors."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Code:
    """All that a generator takes to draw one picture; or, with a leading dimension B everywhere, several pictures."""

    ws: Tensor
    """w+ `[num_ws, w_dim]`."""
    style_offsets: Mapping[str, Tensor] = field(default_factory=dict)
    """What is added to the styles of some layers, by layer name, `[style_dim]` each."""
    layout: Layout | None = None
    """The blobs that arrange the picture, for a generator that is conditioned on them."""

    def __getitem__(self, which: int | slice) -> "Code":
        """One of several pictures, or some of them."""
        offsets = {name: x[which] for name, x in self.style_offsets.items()}
        return Code(self.ws[which], offsets, None if self.layout is None else self.layout[which])

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Code":
        """The same on another device and, if given, in another type."""
        offsets = {name: x.to(device, dtype) for name, x in self.style_offsets.items()}
        layout = None if self.layout is None else self.layout.to(device, dtype)
        return Code(self.ws.to(device, dtype), offsets, layout)

    @staticmethod
    def batch(codes: Sequence["Code"]) -> "Code":
        """Codes, of one picture or of several each, to the code of all their pictures. An offset that one lacks is zero.

        Raises ValueError if only some of them have a layout.
        """
        rows = [code.ws if code.ws.dim() == 3 else code.ws[None] for code in codes]
        offsets: dict[str, Tensor] = {}
        for name in dict.fromkeys(name for code in codes for name in code.style_offsets):
            like = next(code.style_offsets[name] for code in codes if name in code.style_offsets)
            none = like.new_zeros(like.shape[-1])
            parts = zip(codes, rows, strict=True)
            offsets[name] = torch.cat([code.style_offsets.get(name, none).expand(len(ws), -1) for code, ws in parts])
        layouts = [code.layout for code in codes if code.layout is not None]
        if layouts and len(layouts) < len(codes):
            raise ValueError("pictures with a layout and without one make no batch")
        return Code(torch.cat(rows), offsets, Layout.batch(layouts) if layouts else None)

    def lerp(self, other: "Code", t: float) -> "Code":
        """`(1 - t) self + t other`; an offset that one of them lacks is zero, a layout that only one has stays."""
        offsets = {}
        for name, like in {**self.style_offsets, **other.style_offsets}.items():
            zero = torch.zeros_like(like)
            offsets[name] = torch.lerp(self.style_offsets.get(name, zero), other.style_offsets.get(name, zero), t)
        layout = other.layout if self.layout is None else self.layout
        if self.layout is not None and other.layout is not None:
            layout = self.layout.lerp(other.layout, t)
        return Code(torch.lerp(self.ws, other.ws, t), offsets, layout)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, as files keep it: `w`, `offsets.b8.conv0` for the layer b8.conv0, `layout.centres` ..."""
        layout = {} if self.layout is None else self.layout.tensors()
        return {"w": self.ws, **{OFFSETS + name: x for name, x in self.style_offsets.items()}, **layout}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "Code":
        """The code of `tensors()`. Raises ValueError if they are no code; whether it fits a generator tells `check`."""
        unknown = [name for name in tensors if name != "w" and not name.startswith((OFFSETS, PREFIX))]
        if unknown:
            raise ValueError(f"a picture has a part {unknown[0]!r} that this gansteer doesn't know: update it")
        if "w" not in tensors:
            raise ValueError("a picture lacks its w")
        offsets = {name.removeprefix(OFFSETS): x for name, x in tensors.items() if name.startswith(OFFSETS)}
        return Code(tensors["w"], offsets, Layout.from_tensors(tensors))


def nested(parts: Mapping[str, T]) -> dict[str, Any]:
    """What belongs to a code's tensors (`Code.tensors`), by group: `{"w": ..., "offsets": {"b8.conv0": ...}}`.

    So sessions and records have always kept them; the group of offsets is there even if it is empty.
    """
    found: dict[str, Any] = {"w": parts["w"], "offsets": {}}
    for name, part in parts.items():
        group, dot, rest = name.partition(".")
        if dot:
            found.setdefault(group, {})[rest] = part
    return found


def flat(groups: Mapping[str, Any]) -> dict[str, Any]:
    """What `nested` took, again. Raises KeyError or AttributeError if `groups` can't be its result."""
    found = {"w": groups["w"]}
    for group, parts in groups.items():
        if group != "w":
            found.update({f"{group}.{name}": part for name, part in parts.items()})
    return found
