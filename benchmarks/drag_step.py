"""How much CPU one drag step costs, against the plain form, in one process, interleaved.

The plain form is written here from the published description: modulated convolution as a grouped convolution with
per-sample weights, a full forward pass to RGB, the whole feature map resized to the picture, gradients through the
generator's parameters left on. Networks have the standard size (base 32768, at most 512 channels) and random weights:
the cost of a step does not depend on what they draw.

    python benchmarks/drag_step.py --resolutions 256 512 1024 --json out.json --document docs/drag.md
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.edits.drag.edit import Drag
from gansteer.edits.drag.features import default_layer
from gansteer.edits.drag.run import PointRun
from gansteer.edits.drag.tracking import disc, inside, square
from gansteer.edits.registry import start
from gansteer.evaluation.document import fill, table
from gansteer.memory import keep_freed_memory
from gansteer.models.code import Code
from gansteer.models.layers import upsample
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.models.stylegan2.network import SynthesisLayer
from gansteer.subject import Card, Model, Subject

TARGETS = {
    512: {"1": 60, "5": 30, "68": 17, "mask": 10, "exact mask": 6},
    1024: {"1": 100, "5": 55, "68": 50, "mask": 12},
}
SCENARIOS = ("1", "5", "68", "mask", "exact mask")
IN_WORDS = {"mask": "1, all but a centre square masked", "exact mask": "the same, every pixel held (`exact_mask`)"}


def subject_of(resolution: int) -> Subject:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(GeneratorConfig(resolution)).eval().requires_grad_(False)
    for layer in generator.synthesis.layers():
        layer.noise_strength.fill_(0.1)
    return Model(Card("random"), generator).sample(1, psi=1.0)


def edit_of(scenario: str, size: int) -> Drag:
    """Handles spread over the middle 60 % of the picture, targets a tenth of its width away, never quite reached."""
    rng = torch.Generator().manual_seed(3)
    masked = scenario.endswith("mask")
    count = 1 if masked else int(scenario)
    handles = (torch.rand(count, 2, generator=rng) * 0.6 + 0.2) * size
    while len(handles.round().unique(dim=0)) < count:  # no two on one pixel, as may be where it is small
        handles = (torch.rand(count, 2, generator=rng) * 0.6 + 0.2) * size
    if masked:
        handles = torch.tensor([[0.45 * size, 0.55 * size]])
    angle = torch.rand(count, generator=rng) * 2 * math.pi
    targets = handles.round() + 0.1 * size * torch.stack([angle.cos(), angle.sin()], dim=1) + 0.123
    mask = None
    if masked:
        mask = torch.zeros(size, size)
        mask[size // 4 : -size // 4, size // 4 : -size // 4] = 1
    return Drag(
        handles=[(x, y) for x, y in handles.round().tolist()],
        targets=[(x, y) for x, y in targets.tolist()],
        mask=mask, exact_mask=scenario == "exact mask", tolerance=0.0,
        method="draggan", learning_rate=5e-3, steps=10**6, patience=10**6, space="w+", metric="plain", reach=0.0,
    )  # fmt: skip


# --- the plain form -----------------------------------------------------------------------------------------------------


def plain_layer(layer: SynthesisLayer, x: Tensor, style: Tensor) -> Tensor:
    weight = layer.weight[None] * style[:, None, :, None, None]  # [B, O, I, 3, 3]
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    batch, out, _, _, _ = weight.shape
    x = x.reshape(1, -1, *x.shape[2:])
    if layer.up:
        weight = weight.transpose(1, 2).reshape(-1, out, 3, 3)
        x = F.conv_transpose2d(x, weight, stride=2, groups=batch)
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        kernel = (torch.outer(taps, taps) / 16).expand(x.shape[1], 1, 4, 4)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)), kernel, groups=x.shape[1])
    else:
        x = F.conv2d(x, weight.reshape(-1, *weight.shape[2:]), padding=1, groups=batch)
    x = x.reshape(batch, out, *x.shape[2:]) + layer.noise_fixed * layer.noise_strength
    return F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)


def plain_forward(generator: StyleGAN2Generator, ws: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """`ws [1, num_ws, w_dim]` to the picture and the features after layer `name`."""
    synthesis = generator.synthesis
    styles = synthesis.styles(ws)
    x, image, features = synthesis.constant[None], None, None
    for block in synthesis.each_block():
        for layer in block.layers():
            x = plain_layer(layer, x, styles[layer.name])
            features = x if layer.name == name else features
        weight = block.torgb.weight * (styles[block.torgb.name] * block.torgb.weight_gain)[:, :, None, None]
        rgb = F.conv2d(x, weight) + block.torgb.bias[:, None, None]
        image = rgb if image is None else upsample(image) + rgb
    assert image is not None
    assert features is not None
    return image, features


def bilinear(resized: Tensor, points: Tensor) -> Tensor:
    """`resized [C, H, W]` at `points [..., 2]`: `[C, ...]`."""
    grid = (points.view(1, 1, -1, 2) / (resized.shape[-1] - 1) * 2 - 1).to(resized)
    sampled = F.grid_sample(resized[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled[0, :, 0].view(-1, *points.shape[:-1])


class PlainRun:
    """The published loop: forward, track, loss, backward, Adam."""

    def __init__(self, subject: Subject, edit: Drag) -> None:
        self.generator = subject.model.generator.requires_grad_(True)
        self.edit = edit.fitted(subject)
        self.w = subject.code.ws[:6].clone().requires_grad_()
        self.rest = subject.code.ws[6:]
        self.adam = torch.optim.Adam([self.w], lr=edit.learning_rate)
        self.points = torch.tensor(self.edit.handles, dtype=torch.float64)
        self.targets = torch.tensor(self.edit.targets, dtype=torch.float64)
        self.first: Tensor | None = None

    def step(self) -> None:
        edit, size = self.edit, self.generator.config.resolution
        ws = torch.cat([self.w, self.rest])[None]
        _, features = plain_forward(self.generator, ws, edit.layer or "")
        resized = F.interpolate(features, (size, size), mode="bilinear", align_corners=False)[0]
        now = resized.detach()
        if self.first is None:
            self.first = now if edit.mask is not None else now[:0]
            self.templates = bilinear(now, self.points)  # [C, n]
        for i, p in enumerate(self.points.clone()):
            q = p + square(edit.r2 or 0)
            q = q[inside(q, size)]
            x, y = q.round().long().unbind(dim=1)
            box = now[:, y.min() : y.max() + 1, x.min() : x.max() + 1]
            nearest = int((box - self.templates[:, i, None, None]).abs().sum(dim=0).argmin())
            width = box.shape[2]
            self.points[i] = torch.stack([x.min() + nearest % width, y.min() + nearest // width]).double()
        way = self.targets - self.points
        d = way / way.norm(dim=1, keepdim=True).clamp_min(1)
        loss = resized.new_zeros(())
        for p, di in zip(self.points, d, strict=True):  # handle by handle, as published
            q = p + disc(edit.r1 or 0)
            loss = loss + (bilinear(now, q) - bilinear(resized, q + di)).abs().mean()
        if edit.mask is not None:
            loss = loss + edit.lambda_mask * ((resized - self.first).abs() * (1 - edit.mask.float())).mean()
        self.adam.zero_grad()
        loss.backward()  # also into the generator's parameters, as they are left trainable
        self.adam.step()


# --- measuring ----------------------------------------------------------------------------------------------------------


def seconds(step: object) -> float:
    before = time.process_time()
    step()  # type: ignore[operator]
    return time.process_time() - before


def measure(resolution: int, scenario: str, rounds: int, per_round: int) -> dict[str, object]:
    subject = subject_of(resolution)
    edit = edit_of(scenario, resolution)
    ours: PointRun = start(subject, edit)
    plain = PlainRun(subject_of(resolution), edit)
    for _ in range(3):
        ours.step()
    plain.step()
    fast, slow = [], []
    for _ in range(rounds):
        slow.append(seconds(plain.step))
        fast += [seconds(ours.step) for _ in range(per_round)]
    assert ours.stop_reason is None, "a run that has ended costs nothing: the measurement would be void"
    a, b = statistics.median(slow), statistics.median(fast)
    target = TARGETS.get(resolution, {}).get(scenario)
    return {"resolution": resolution, "scenario": scenario, "plain_s": a, "ours_s": b, "ratio": a / b,
            "target": target, "plain_runs": slow, "ours_runs": fast}  # fmt: skip


def exactness(resolution: int, scenario: str) -> dict[str, object]:
    """The region engine against the plain form in float64, with a fixed random cotangent; and float32 against that."""
    subject = subject_of(resolution)
    model = Model(subject.model.card, subject.model.generator.double())
    subject = Subject(model, Code(subject.code.ws.double()))
    edit = edit_of(scenario, resolution)
    run = start(subject, edit)
    need = run._needed(run._points)  # type: ignore[attr-defined]
    if run._mask is not None:
        need = need | run._mask.need
    rows = subject.code.ws[:6].clone().requires_grad_()
    layer = default_layer(model.generator)
    dense = plain_forward_features(model.generator, torch.cat([rows, subject.code.ws[6:]])[None], layer)
    dense = dense[0].permute(1, 2, 0)[need]
    cotangent = torch.randn(dense.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (expected,) = torch.autograd.grad((dense * cotangent).sum(), rows)
    features = run._extract(rows, need).at(need)
    (got,) = torch.autograd.grad((features * cotangent).sum(), rows)
    return {
        "resolution": resolution, "scenario": scenario, "cells": int(need.sum()),
        "feature_error": float((features - dense).detach().abs().max()),
        "gradient_error": float((got - expected).abs().max()),
        "gradient_size": float(expected.abs().max()),
    }  # fmt: skip


def plain_forward_features(generator: StyleGAN2Generator, ws: Tensor, name: str) -> Tensor:
    """As `plain_forward`, without the layers above and RGB: only to compare with."""
    return generator.features(Code(ws), [name])[name]


def peak_memory(resolution: int, side: str) -> float:
    """GiB of resident memory at most, of a process that takes three one-handle steps."""
    command = [sys.executable, __file__, "--steps-only", side, "--resolutions", str(resolution)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(out.stdout.strip().splitlines()[-1])


def steps_only(resolution: int, side: str) -> None:
    subject = subject_of(resolution)
    run = start(subject, edit_of("1", resolution)) if side == "ours" else PlainRun(subject, edit_of("1", resolution))
    for _ in range(3):
        run.step()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would start from the parent's peak
        print(int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**20)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "load": os.getloadavg()[0],
    }  # fmt: skip


def in_words(report: dict[str, list[dict[str, object]]], about: dict[str, object]) -> str:
    """The figures as tables."""

    def named(row: dict[str, object]) -> list[str]:
        return [f"{row['resolution']} px", IN_WORDS.get(str(row["scenario"]), str(row["scenario"]))]

    steps = [
        [*named(row), f"{row['plain_s']:.2f}", f"{row['ours_s']:.3f}", f"{row['ratio']:.1f}", row["target"] or ""]
        for row in report["steps"]
    ]
    exact = [
        [
            *named(row),
            row["cells"],
            *(f"{row[name]:.1g}" for name in ("feature_error", "gradient_error", "gradient_size")),
        ]
        for row in report["exactness"]
    ]
    memory = [[f"{row['resolution']} px", row["side"], f"{row['peak_gib']:.2f}"] for row in report["memory"]]
    parts = [
        f"Medians, in CPU seconds per step of {about['threads']} thread, on {about['cpu']} ({about['capability']}), "
        f"PyTorch {about['torch']}, load average {about['load']:.1f}:",
        table(["picture", "handles", "plain, s", "gansteer, s", "ratio", "aimed at"], steps),
        "Against the dense network in float64:",
        table(["picture", "handles", "cells computed", "features within", "gradients within", "of a greatest"], exact),
        "Peak memory with one handle:",
        table(["picture", "side", "GiB"], memory),
    ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--rounds", type=int, default=5, help="plain steps measured per scenario")
    parser.add_argument("--per-round", type=int, default=5, help="of our steps after each plain one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fresh-memory", action="store_true", help="let the allocator give memory back, as by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--document", type=Path, help="put the tables there, between <!-- MARK --> and <!-- end of MARK -->"
    )
    parser.add_argument("--mark", default="speed", help="the comment in --document whose tables are replaced")
    parser.add_argument("--steps-only", choices=["ours", "plain"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.steps_only:
        steps_only(args.resolutions[0], args.steps_only)
        return
    if not args.fresh_memory:
        # Else the plain form spends half its time on page faults, which tells of the system and not of the method.
        keep_freed_memory()
    report: dict[str, list[dict[str, object]]] = {"steps": [], "exactness": [], "memory": []}
    print(machine())
    for resolution in args.resolutions:
        for scenario in args.scenarios:
            row = measure(resolution, scenario, args.rounds, args.per_round)
            report["steps"].append(row)
            goal = "" if row["target"] is None else f"  (target {row['target']})"
            print(f"{resolution:5} px  {scenario:>4}: plain {row['plain_s']:6.2f} s  ours {row['ours_s']:7.4f} s  "
                  f"{row['ratio']:6.1f} times{goal}", flush=True)  # fmt: skip
        for scenario in args.scenarios:
            row = exactness(resolution, scenario)
            report["exactness"].append(row)
            print(f"{resolution:5} px  {scenario:>4}: {row['cells']} cells, float64: features within "
                  f"{row['feature_error']:.1e}, gradients within {row['gradient_error']:.1e} of "
                  f"{row['gradient_size']:.1e}", flush=True)  # fmt: skip
        for side in ("ours", "plain"):
            gib = peak_memory(resolution, side)
            report["memory"].append({"resolution": resolution, "side": side, "peak_gib": gib})
            print(f"{resolution:5} px  peak memory, {side}: {gib:.2f} GiB", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **report}, indent=1))
    if args.document:
        fill(args.document, args.mark, in_words(report, machine()))


if __name__ == "__main__":
    main()
