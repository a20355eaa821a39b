"""Speed and memory of our generator beside the textbook form of StyleGAN2.

The textbook form is the paper's description taken literally: every sample's own modulated and demodulated weights, a
convolution grouped by sample, FIR filtering as zero insertion and a depthwise convolution. Both forms use the same
parameters, the same noise and one thread, take turns in one process, and are timed in CPU-seconds; the ratio is the
median over the turns. In the main comparison neither side's parameters need a gradient ("gradient" is with respect to
w alone, as in editing); `--train-weights` adds the case in which the textbook side's do, as in the usual edit loops.

    python benchmarks/generator.py [--resolutions 128 256] [--batch 1] [--repeats 5] [--json out.json]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from gansteer.memory import keep_freed_memory
from gansteer.models.stylegan2.config import GeneratorConfig
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.models.stylegan2.network import Synthesis

SQRT2 = 2**0.5


def fir(x: Tensor, up: int, before: int, after: int, gain: float) -> Tensor:
    """Zero insertion by `up`, padding, then the filter [1, 3, 3, 1] x [1, 3, 3, 1] as a depthwise convolution."""
    batch, channels, height, width = x.shape
    if up > 1:
        x = x.reshape(batch, channels, height, 1, width, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(batch, channels, height * up, width * up)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(taps, taps) * (gain / 64)
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), groups=channels)


def modulated(x: Tensor, weight: Tensor, style: Tensor, up: bool, demodulate: bool) -> Tensor:
    """Equations 1 to 3 of the paper: weights per sample, one group per sample."""
    batch, inputs, height, width = x.shape
    outputs, _, kernel, _ = weight.shape
    w = weight[None] * style[:, None, :, None, None]  # [B, O, I, k, k]
    if demodulate:
        w = w * (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, batch * inputs, height, width)
    if up:
        w = w.transpose(1, 2).reshape(batch * inputs, outputs, kernel, kernel)
        x = fir(F.conv_transpose2d(x, w, stride=2, groups=batch), 1, 1, 1, 4.0)
    else:
        x = F.conv2d(x, w.reshape(batch * outputs, inputs, kernel, kernel), padding=kernel // 2, groups=batch)
    return x.reshape(batch, outputs, *x.shape[2:])


def textbook(net: Synthesis, ws: Tensor) -> Tensor:
    """w+ to the picture with the parameters of `net`."""
    x = net.constant.expand(len(ws), -1, -1, -1)
    image = None
    for block in net.each_block():
        for layer in block.layers():
            x = modulated(x, layer.weight, layer.affine(ws[:, layer.latent_index]), layer.up, demodulate=True)
            x = x + layer.noise_fixed * layer.noise_strength
            x = F.leaky_relu(x + layer.bias[:, None, None], 0.2) * SQRT2
        rgb = block.torgb
        style = rgb.affine(ws[:, rgb.latent_index]) * rgb.weight_gain
        y = modulated(x, rgb.weight, style, up=False, demodulate=False) + rgb.bias[:, None, None]
        image = y if image is None else fir(image, 2, 2, 1, 4.0) + y
    assert image is not None
    return image


def ours(net: Synthesis, ws: Tensor) -> Tensor:
    picture: Tensor = net(net.styles(ws))
    return picture


SIDES = {"textbook": textbook, "ours": ours}


def network(resolution: int, batch: int) -> tuple[Synthesis, Tensor]:
    """The paper's widths, random weights, gradients off; and the w+ of `batch` pictures."""
    torch.manual_seed(0)
    g = StyleGAN2Generator(GeneratorConfig(resolution, channel_base=32768, channel_max=512, mapping_layers=1))
    g.eval().requires_grad_(False)
    return g.synthesis, g.map(torch.randn(batch, 512))


def forward(form: Callable[[Synthesis, Tensor], Tensor], net: Synthesis, ws: Tensor) -> Tensor:
    with torch.no_grad():
        return form(net, ws)


def gradient(form: Callable[[Synthesis, Tensor], Tensor], net: Synthesis, ws: Tensor) -> Tensor:
    ws = ws.detach().requires_grad_(True)
    form(net, ws).square().mean().backward()  # type: ignore[no-untyped-call]
    assert ws.grad is not None
    return ws.grad


CASES = {"forward": forward, "gradient": gradient}


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(resolution: int, batch: int, repeats: int, train_weights: bool) -> list[dict[str, object]]:
    """One row per case: CPU-seconds of both sides, the median ratio, and how closely they agree."""
    net, ws = network(resolution, batch)
    rows: list[dict[str, object]] = []
    for case, run in CASES.items():
        for weights in (False, True) if train_weights and case == "gradient" else (False,):

            def side(name: str, run: Callable[..., Tensor] = run, weights: bool = weights) -> Tensor:
                net.requires_grad_(weights and name == "textbook")
                result = run(SIDES[name], net, ws)
                for parameter in net.parameters():
                    parameter.grad = None
                return result

            a, b = side("textbook"), side("ours")  # also warms up
            turns = [
                (seconds(lambda side=side: side("textbook")), seconds(lambda side=side: side("ours")))  # type: ignore[misc]
                for _ in range(repeats)
            ]
            rows.append(
                {
                    "resolution": resolution,
                    "case": f"{case}, textbook also to weights" if weights else case,
                    "textbook_cpu_s": median(t for t, _ in turns),
                    "ours_cpu_s": median(o for _, o in turns),
                    "ratio": median(t / o for t, o in turns),
                    "agreement": float((a - b).abs().max() / a.abs().max()),
                }
            )
    return rows


def peak_mib(name: str, case: str, resolution: int, batch: int) -> float:
    """How far the peak of a fresh process rises above what it holds once the network is built."""
    code = f"import generator; generator.print_peak({name!r}, {case!r}, {resolution}, {batch})"
    # Every tensor in a mapping of its own, so that the peak is what is alive and not how the heap is cut up.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, env=env, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def print_peak(name: str, case: str, resolution: int, batch: int) -> None:
    torch.set_num_threads(1)
    net, ws = network(resolution, batch)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the network
    before = status_kib("VmRSS")
    CASES[case](SIDES[name], net, ws)
    print((status_kib("VmHWM") - before) / 1024)


def status_kib(field: str) -> int:
    """A field of this process's status, in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--batch", type=int, default=1, help="pictures at once; editing works on one")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--train-weights", action="store_true", help="also: textbook with gradients to its weights")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    report: dict[str, list[dict[str, object]]] = {"generator": [], "memory": []}

    print(f"{'px':>5} {'case':<32} {'textbook':>9} {'ours':>9} {'ratio':>6}   (CPU-seconds, medians of {args.repeats})")
    for resolution in args.resolutions:
        for row in compare(resolution, args.batch, args.repeats, args.train_weights):
            report["generator"].append(row)
            print(
                f"{resolution:>5} {row['case']:<32} {row['textbook_cpu_s']:>9.3f} {row['ours_cpu_s']:>9.3f} "
                f"{row['ratio']:>6.2f}   agree to {row['agreement']:.0e}",
                flush=True,
            )
    for resolution in () if args.skip_memory else args.resolutions:
        for case in CASES:
            theirs, mine = (peak_mib(name, case, resolution, args.batch) for name in SIDES)
            report["memory"].append(
                {
                    "resolution": resolution,
                    "case": case,
                    "textbook_mib": theirs,
                    "ours_mib": mine,
                    "ratio": theirs / mine,
                }
            )
            print(
                f"{resolution:>5} {case + ', peak MiB':<32} {theirs:>9.0f} {mine:>9.0f} {theirs / mine:>6.2f}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
