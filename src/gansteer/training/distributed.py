"""Several processes that act as one: who we are, and the few sums that make their steps equal one joint step."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of the run. Process r of n takes every n-th picture of the global batch, from r on."""

    rank: int = 0
    size: int = 1

    def share(self, x: Tensor) -> Tensor:
        """The rows of a global batch `[B, ...]` that this process works on: `[B / size, ...]`."""
        return x[self.rank :: self.size]

    def mean(self, x: Tensor) -> Tensor:
        """The mean of `x` over the processes."""
        if self.size == 1:
            return x
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x / self.size

    def agrees(self, x: Tensor) -> bool:
        """Whether the whole numbers `x` are the same in all processes; at least one of them is told if not."""
        x = x.float()
        return torch.equal(self.mean(x), x)

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one message."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not grads:
            return
        flat = self.mean(torch.cat([g.flatten() for g in grads]))
        for grad, part in zip(grads, torch.split(flat, [g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))


def join_processes(device: torch.device) -> ProcessGroup:
    """Join the processes that `torchrun` started, if it did."""
    if "LOCAL_RANK" not in os.environ:
        return ProcessGroup()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def leave_processes() -> None:
    """Leave what `join_processes` joined."""
    if "LOCAL_RANK" in os.environ and dist.is_initialized():
        dist.destroy_process_group()


class StepRandom:
    """Random numbers of one step: drawn for the global batch from (seed, step, purpose), of which we take our share.

    So a step's randomness depends neither on the number of processes nor on what happened before, and a resumed run
    draws what an uninterrupted one would have.
    """

    def __init__(
        self, seed: int, step: int, purpose: int, batch: int, group: ProcessGroup, device: torch.device
    ) -> None:
        mixed = (seed * 1_000_003 + step * 8 + purpose) % 2**63
        self.generator = torch.Generator(device).manual_seed(mixed)
        self.batch = batch
        self.group = group
        self.device = device

    def normal(self, *size: int) -> Tensor:
        """Standard normal `[B, *size]`."""
        return self.group.share(torch.randn(self.batch, *size, generator=self.generator, device=self.device))

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        """Uniform in [low, high) `[B, *size]`."""
        unit = torch.rand(self.batch, *size, generator=self.generator, device=self.device)
        return self.group.share(unit) * (high - low) + low

    def noise(self, batch: int, resolution: int) -> Tensor:
        """A `NoiseSource` for the generator."""
        return self.normal(1, resolution, resolution)

    def coin(self) -> tuple[float, float]:
        """Two uniform numbers common to all processes, on the host."""
        host = torch.Generator().manual_seed(self.generator.initial_seed() ^ 0x5DEECE66D)
        a, b = torch.rand(2, generator=host).tolist()
        return a, b
