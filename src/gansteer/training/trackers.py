"""Training of the flow network and the point network on a generator's own pictures, warped in known ways.

A warp says for each pixel of the new picture where in the old one it comes from: `new(q) = old(q + b(q))`, b being an affine map plus
a smooth random field. So the flow from the new picture to the old one is b itself, and a point p of the old one is at the q
of the new one where `q + b(q) = p`. The pictures' brightness and contrast differ a little, as between steps of an edit.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.errors import UserError
from gansteer.models.correlation import sample_map
from gansteer.models.flow_network import FlowNetwork, FlowNetworkConfig
from gansteer.models.point_network import WINDOW, PointNetwork, PointNetworkConfig
from gansteer.subject import Model
from gansteer.training.config import TrackerTraining

GAMMA = 0.8
"""Weight of an iteration relative to the next (Teed and Deng 2020)."""
TURN, STRETCH, SHIFT, BEND = 0.06, 0.06, 0.02, 0.02
"""Deviations of a warp: radians, shares of length, and two shares of the picture's width, of the shift and the smooth field."""
KNOTS = 5
"""Random numbers of the smooth field along each axis."""
POINTS = 24
"""Points that are followed in each picture."""


@dataclass(frozen=True)
class TrackerProgress:
    """What one step did."""

    step: int
    """Counted from 1."""
    error: float
    """Mean distance from the truth after the last iteration, in pixels."""
    motion: float
    """How far it was to go, in pixels."""


def random_warp(size: int, rng: torch.Generator, least: float) -> Tensor:
    """`b [2, size, size]` (x, y) in pixels: `A (q - c) + s` about the middle c, and a smooth random field.

    All of it times a random share from `least` to 1, whose logarithm is uniform.
    """
    turn, stretch_x, stretch_y, *shift = (
        torch.randn(5, generator=rng) * torch.tensor([TURN, STRETCH, STRETCH, SHIFT, SHIFT])
    ).tolist()
    axis = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    linear = torch.stack([
        stretch_x * x - turn * y + shift[0] * size,
        turn * x + stretch_y * y + shift[1] * size,
    ])  # fmt: skip
    knots = torch.randn(1, 2, KNOTS, KNOTS, generator=rng) * BEND * size
    smooth = F.interpolate(knots, (size, size), mode="bicubic", align_corners=True)[0]
    share: Tensor = least ** torch.rand((), generator=rng)
    return (linear + smooth) * share


def warped(picture: Tensor, b: Tensor, q: Tensor) -> Tensor:
    """`picture(q + b(q))`: `picture [3, H, W]`, `b [2, H, W]` in pixels, `q [h, w, 2]` whole pixels, to `[3, h, w]`."""
    column, row = q.long().unbind(dim=2)
    places = q + b[:, row, column].permute(1, 2, 0)
    found = sample_map(picture[None], places.view(1, -1, 2))
    return found[0].t().view(len(picture), *q.shape[:2])


def where_to(points: Tensor, b: Tensor, iterations: int = 20) -> Tensor:
    """The q at which `q + b(q) = p` for `points [N, 2]` (x, y): where points of the old picture are in the new one.

    By `q <- p - b(q)`, which converges as b changes by less than a pixel from pixel to pixel.
    """
    q = points
    for _ in range(iterations):
        q = points - sample_map(b[None], q[None])[0]
    return q


def sequence_loss(found: list[Tensor], true: Tensor, valid: Tensor) -> Tensor:
    """`sum_i gamma^(N - i) mean |found_i - true|_1`, over what is `valid`; the last of N iterations counts most."""
    weights = [GAMMA ** (len(found) - i) for i in range(1, len(found) + 1)]
    errors = torch.stack(
        [((each - true).abs() * valid).sum() / valid.expand_as(true).sum().clamp_min(1) for each in found]
    )
    return (errors * torch.tensor(weights).to(errors)).sum()


@torch.no_grad()
def draw_pictures(model: Model, count: int, seed: int, psi: float = 0.7) -> Iterator[Tensor]:
    """`count` pictures `[3, H, W]` of the model, one after another, from seeds that no evaluation takes."""
    for number in range(count):
        label = number % model.generator.config.c_dim if model.generator.config.c_dim else None
        picture = model.sample(10_000_000 + 100_000 * seed + number, psi, label).render()
        yield F.interpolate(picture[None].float().clamp(-1, 1), working_size(model), mode="area")[0].cpu()


def working_size(model: Model) -> tuple[int, int]:
    """Pictures are looked at with at most 128 px a side: to compare all pairs of cells of a larger one takes gigabytes."""
    size = min(model.resolution, 128)
    return size, size


class TrackerTrainer:
    """Iterate to train; `network` is the result at any time."""

    network: FlowNetwork | PointNetwork

    def __init__(
        self, training: TrackerTraining, pictures: Tensor, begin: FlowNetwork | PointNetwork | None = None
    ) -> None:
        """`pictures [N, 3, R, R]` in [-1, 1]; `begin` is the network to go on with, instead of a random one.

        Raises UserError if that has another shape.
        """
        self.training, self.pictures = training, pictures
        torch.manual_seed(training.seed)
        size = pictures.shape[-1]
        self._crop = min(training.crop, size)
        self._loss: Callable[[], tuple[Tensor, float, float]]
        if training.kind == "flow":
            self.network, self._loss = FlowNetwork(FlowNetworkConfig(size)), self._flow_loss
        else:
            self.network, self._loss = PointNetwork(PointNetworkConfig(size)), self._point_loss
        if begin is not None:
            if begin.config != self.network.config:
                raise UserError(
                    f"the network to begin with has another shape: {begin.config}, not {self.network.config}"
                )
            self.network.load_state_dict(begin.state_dict())
        self._adam = torch.optim.AdamW(self.network.parameters(), lr=training.learning_rate, weight_decay=1e-4)
        self._rng = torch.Generator().manual_seed(training.seed)

    def __iter__(self) -> Iterator[TrackerProgress]:
        """All steps."""
        for step in range(1, self.training.steps + 1):
            share = (step - 1) / self.training.steps
            for group in self._adam.param_groups:
                rate = self.training.learning_rate * min(1.0, step / 50)
                group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * share))
            loss, error, motion = self._loss()
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self._adam.step()
            yield TrackerProgress(step, error, motion)

    def _flow_loss(self) -> tuple[Tensor, float, float]:
        """Of a batch of pairs: the flow from a warped picture to the one that it was made of."""
        assert isinstance(self.network, FlowNetwork)
        news, olds, flows = [], [], []
        for _ in range(self.training.batch):
            picture, q = self._picture(), self._window()
            b = random_warp(picture.shape[-1], self._rng, self.training.least)
            column, row = q.long().unbind(dim=2)
            news.append(self._relit(warped(picture, b, q)))
            olds.append(picture[:, row, column])
            flows.append(b[:, row, column])
        true = torch.stack(flows)
        found = self.network(torch.stack(news), torch.stack(olds))
        valid = _stays(self._at(true), self._crop)[:, None]
        return sequence_loss(found, true, valid), _mean_length(found[-1] - true, valid), _mean_length(true, valid)

    def _point_loss(self) -> tuple[Tensor, float, float]:
        """Of a batch of sequences: the points of a picture in more and more warped ones."""
        assert isinstance(self.network, PointNetwork)
        frames, starts, tracks = [], [], []
        for _ in range(self.training.batch):
            picture, q = self._picture(), self._window()
            size = picture.shape[-1]
            ways = [random_warp(size, self._rng, self.training.least) for _ in range(2)]
            # Not along a straight line, and not always with the same speed.
            speed = torch.rand(WINDOW - 1, generator=self._rng).cumsum(0)
            share = torch.cat([torch.zeros(1), speed / speed[-1]]).tolist()
            fields = [s * ways[0] + math.sin(math.pi * s) * 0.5 * ways[1] for s in share]
            frames.append(torch.stack([self._relit(warped(picture, b, q)) for b in fields]))
            points = torch.rand(POINTS, 2, generator=self._rng) * (self._crop - 1)
            corner = q[0, 0]
            tracks.append(torch.stack([where_to(points + corner, b) - corner for b in fields], dim=1))  # [N, WINDOW, 2]
            starts.append(points)
        true = torch.stack(tracks)
        pictures = torch.stack(frames)  # [B, WINDOW, 3, h, w]
        maps = self.network.encoder(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2]).unbind(dim=1)
        found = self.network(maps, torch.stack(starts))
        valid = ((true >= 0) & (true <= self._crop - 1)).all(dim=3, keepdim=True).to(true)
        error = _mean_length((found[-1] - true).movedim(3, 1)[..., 1:], valid.movedim(3, 1)[..., 1:])
        way = _mean_length((true - true[:, :, :1]).movedim(3, 1)[..., 1:], valid.movedim(3, 1)[..., 1:])
        return sequence_loss(found, true, valid), error, way

    def _picture(self) -> Tensor:
        return self.pictures[int(torch.randint(len(self.pictures), (), generator=self._rng))]

    def _window(self) -> Tensor:
        """The pixels `[crop, crop, 2]` (x, y) of a random part of a picture."""
        room = self.pictures.shape[-1] - self._crop + 1
        left, top = torch.randint(room, (2,), generator=self._rng).tolist()
        axis = torch.arange(self._crop, dtype=torch.float32)
        y, x = torch.meshgrid(axis + top, axis + left, indexing="ij")
        return torch.stack([x, y], dim=-1)

    def _relit(self, picture: Tensor) -> Tensor:
        """Brightness and contrast a little changed, and some noise."""
        gain, lift = (torch.randn(2, generator=self._rng) * torch.tensor([0.05, 0.04])).tolist()
        noise = torch.randn(picture.shape, generator=self._rng) * 0.01
        found: Tensor = picture * (1 + gain) + lift + noise
        return found.clamp(-1, 1)

    def _at(self, flow: Tensor) -> Tensor:
        """Where the pixels of `flow [B, 2, h, w]` go, in pixels of the part."""
        axis = torch.arange(self._crop).to(flow)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return flow + torch.stack([x, y])


def _stays(at: Tensor, size: int) -> Tensor:
    """Which of `at [B, 2, h, w]` lie within the part `[B, h, w]`, as numbers."""
    inside: Tensor = (at >= 0) & (at <= size - 1)
    return inside.all(dim=1).to(at)


def _mean_length(x: Tensor, valid: Tensor) -> float:
    """Of vectors `[B, 2, ...]`, over what is `valid [B, 1, ...]`."""
    length = x.detach().norm(dim=1, keepdim=True) * valid
    return float(length.sum() / valid.sum().clamp_min(1))
