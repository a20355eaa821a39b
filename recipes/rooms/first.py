"""Train SpatialGAN on the rooms, one stage (resolution) per folder; interrupted, it goes on."""

import argparse
import io
import json
import signal
import time
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gansteer.models.layout_maps import Blobs, ObjectsLaw, splat
from PIL import Image
from torch import Tensor, nn

from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.models.projected import ProjectedDiscriminator
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.network import SpatialGenerator, grown

DATA = Path("/work/shared/data/rooms/images")
RENDERED = Path("/work/main/runs/rooms")
COARSE = 5
"""Rows of w+ that drive the layers up to 16 px."""


def add_pictures(cache: dict[str, np.ndarray], resolution: int) -> None:
    for path in [*sorted(DATA.glob("*.jpg")), *sorted(RENDERED.glob("[ab]/??????.png"))]:
        seed = int(path.stem)
        if path.stem in cache or seed % 13 == 7:
            continue
        try:
            picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        except Exception:
            continue  # still being written
        if picture.width != 128:
            picture = picture.resize((128, 128), Image.Resampling.LANCZOS)
        if resolution != 128:
            picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS)
        cache[path.stem] = np.asarray(picture).transpose(2, 0, 1).copy()


class Reader(nn.Module):
    """Frozen features to the map of blobs and of their codes."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, 96, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(96, 96, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(96, out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x / x.detach().std())


def augment(x: Tensor, rng: torch.Generator, colour: float) -> tuple[Tensor, Tensor]:
    """Colour, shift by up to 1/8, cutout; also returns the shift `[B, 2]` in units of half a picture."""
    b, _, n, _ = x.shape

    def u(low: float, high: float) -> Tensor:
        return (torch.rand(b, generator=rng) * (high - low) + low)[:, None, None, None]

    x = x + u(-0.5, 0.5) * colour
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (1 + u(-1, 1) * colour) + grey
    mid = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - mid) * (1 + u(-0.5, 0.5) * colour) + mid
    dx, dy = (torch.randint(-(n // 8), n // 8 + 1, (b,), generator=rng) for _ in range(2))
    at = torch.arange(n)
    rows, cols = at - dy[:, None], at - dx[:, None]
    inside = ((rows >= 0) & (rows < n))[:, None, :, None] & ((cols >= 0) & (cols < n))[:, None, None, :]
    x = x.permute(0, 2, 3, 1)[
        torch.arange(b)[:, None, None], rows.clamp(0, n - 1)[:, :, None], cols.clamp(0, n - 1)[:, None]
    ]
    x = x.permute(0, 3, 1, 2) * inside
    cx, cy = (torch.rand(b, 1, generator=rng) * n for _ in range(2))
    hole = ((at - cy.floor()).abs() <= 0.1 * n)[:, None, :, None] & ((at - cx.floor()).abs() <= 0.1 * n)[
        :, None, None, :
    ]
    return x * ~hole, torch.stack([dx, dy], dim=1) * (2 / n)


class Run:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.law = ObjectsLaw(args.blobs)
        torch.manual_seed(args.seed)
        if args.grow:
            old = torch.load(args.grow, weights_only=True)
            small = SpatialGenerator(SpatialConfig(**old["config"]))
            small.load_state_dict(old["ema"])
            self.g = small if small.config.resolution == args.resolution else grown(small)
        else:
            config = SpatialConfig(
                resolution=args.resolution,
                z_dim=16,
                w_dim=128,
                channel_base=3072,
                channel_max=128,
                mapping_layers=2,
                blobs=args.blobs,
            )
            self.g = SpatialGenerator(config)
            with torch.no_grad():
                for block in self.g.synthesis.each_block():
                    block.torgb.weight.mul_(0.2)
        self.d = ProjectedDiscriminator(load_efficientnet(torch.device("cpu")), args.input).train()
        self.reader = Reader(64, 1 + self.g.config.blob_dim)
        if args.grow:
            self.d.load_state_dict(old["d"], strict=False)
            self.reader.load_state_dict(old["reader"])
        for net in (self.g, self.d, self.reader):
            net.to(memory_format=torch.channels_last)
        for name, p in self.g.named_parameters():
            p.requires_grad_(not name.endswith("noise_strength"))
        for m in (self.d.mix_channels, self.d.mix_levels):
            m.requires_grad_(False)
        self.ema = deepcopy(self.g).eval().requires_grad_(False)
        self.g_params = [p for p in self.g.parameters() if p.requires_grad]
        self.d_params = [p for p in self.d.parameters() if p.requires_grad]
        self.g_opt = torch.optim.Adam(self.g_params, lr=args.lr, betas=(0.0, 0.99))
        self.d_opt = torch.optim.Adam(self.d_params, lr=args.lr, betas=(0.0, 0.99))
        self.r_opt = torch.optim.Adam(self.reader.parameters(), lr=1e-3, betas=(0.5, 0.99))
        self.images = 0
        self.start = args.start
        self.ramp = not args.grow

    def state(self) -> dict:
        d = {k: v for k, v in self.d.state_dict().items() if not k.startswith("backbone.")}
        return {
            "config": asdict(self.g.config), "images": self.images, "start": self.start, "g": self.g.state_dict(), "ema": self.ema.state_dict(), "d": d,
            "reader": self.reader.state_dict(), "g_opt": self.g_opt.state_dict(), "d_opt": self.d_opt.state_dict(),
            "r_opt": self.r_opt.state_dict(), "args": {k: str(v) if isinstance(v, Path) else v for k, v in vars(self.args).items()}, "law": asdict(self.law),
        }  # fmt: skip

    def load(self, s: dict) -> None:
        self.images, self.start = s["images"], s["start"]
        self.g.load_state_dict(s["g"])
        self.ema.load_state_dict(s["ema"])
        self.d.load_state_dict(s["d"], strict=False)
        self.reader.load_state_dict(s["reader"])
        for name in ("g_opt", "d_opt", "r_opt"):
            getattr(self, name).load_state_dict(s[name])

    def save(self) -> None:
        path = self.args.out / "checkpoint.tmp"
        torch.save(self.state(), path)
        path.rename(self.args.out / "checkpoint.pt")

    def ws(self, g: SpatialGenerator, z: Tensor, coarse: Tensor) -> Tensor:
        """w+ of z; pictures with `coarse` false have the mean in the rows of the coarse layers."""
        w = g.mapping(z)
        if g.training:
            g.mapping.w_mean.lerp_(w.detach().mean(dim=0), 0.005)
        rows = torch.arange(g.config.num_ws) < COARSE
        still = (~coarse)[:, None] & rows[None]
        return torch.where(still[..., None], g.mapping.w_mean, w[:, None])

    def step(self, pool: Tensor) -> dict[str, float]:
        a = self.args
        b = a.batch
        rng = torch.Generator().manual_seed(a.seed * 1_000_003 + self.start + self.images)
        items = torch.randint(len(pool), (b,), generator=rng)
        x = pool[items].float() / 127.5 - 1
        flip = torch.rand(b, generator=rng) < 0.5
        x = torch.where(flip[:, None, None, None], x.flip(3), x)
        z = torch.randn(b, self.g.config.z_dim, generator=rng)
        blobs = self.law.sample(b, self.g.config.blob_dim, rng)
        self.g.train()
        coarse = torch.rand(b, generator=rng) >= a.coarse_drop
        fakes = self.g(self.g.synthesis.styles(self.ws(self.g, z, coarse)), blobs)
        changed, shift = augment(fakes, rng, a.colour)
        fake_features = self.d.features(changed.contiguous(memory_format=torch.channels_last))
        with torch.no_grad():
            real_features = self.d.features(augment(x, rng, a.colour)[0].contiguous(memory_format=torch.channels_last))
        self.d.levels.requires_grad_(True)
        real = self.d.judge(real_features)
        fake = self.d.judge([f.detach() for f in fake_features])
        d_loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        self.d_opt.zero_grad()
        d_loss.backward()
        self.d_opt.step()
        self.d.levels.requires_grad_(False)
        g_loss = -self.d.judge(fake_features).mean()
        read = self.reader(fake_features[1])
        target = splat(blobs.shifted(shift), blobs.codes, read.shape[-1], self.g.config.resolution)
        place = (read[:, -1] - target[:, -1].clamp(max=1)).abs().mean()
        code = (read[:, :-1] - target[:, :-1]).square().mean() / target[:, :-1].square().mean()
        total = g_loss + a.reader * (4 * place + code) if a.reader else g_loss
        self.g_opt.zero_grad()
        self.r_opt.zero_grad()
        total.backward()
        self.g_opt.step()
        if a.reader:
            self.r_opt.step()
        self.images += b
        half = a.ema if not self.ramp else min(a.ema, 0.05 * self.images)
        beta = 0.5 ** (b / half)
        with torch.no_grad():
            for p, q in zip(self.ema.parameters(), self.g.parameters(), strict=True):
                p.lerp_(q, 1 - beta)
            self.ema.mapping.w_mean.copy_(self.g.mapping.w_mean)
        return {
            "d": d_loss.item(),
            "g": g_loss.item(),
            "real": real.mean().item(),
            "fake": fake.mean().item(),
            "place": place.item(),
            "code": code.item(),
        }

    @torch.no_grad()
    def sheet(self) -> None:
        """16 samples none picked; then five rooms: base, one blob moved, without it, restyled, without any blob, other z."""
        rng = torch.Generator().manual_seed(1)
        g = self.ema
        n = 16 + 16
        z = torch.randn(n, g.config.z_dim, generator=rng)
        blobs = self.law.sample(n, g.config.blob_dim, rng)
        none = torch.zeros(n, dtype=torch.bool)
        pictures = [self.draw(z, blobs, none)]
        few = [0, 1, 2, 3, 4, 5, 6, 7]
        base = blobs[few]
        k = base.present.argmax(dim=1)
        here = F.one_hot(k, base.present.shape[1]).float()
        moved = Blobs(
            base.centres + here[..., None] * torch.tensor([0.4, 0.0]) * -base.centres[..., :1].sign(),
            base.sigma,
            base.present,
            base.codes,
        )
        gone = Blobs(base.centres, base.sigma, base.present * (1 - here), base.codes)
        restyled = Blobs(
            base.centres,
            base.sigma,
            base.present,
            torch.where(here[..., None] > 0, torch.randn(base.codes.shape, generator=rng), base.codes),
        )
        empty = Blobs(base.centres, base.sigma, base.present * 0, base.codes)
        other = torch.randn(8, g.config.z_dim, generator=rng)
        marks = self.draw(z[few], base, none[few])
        heat = splat(base, base.codes[..., :0], g.config.resolution)[:, :1].expand(-1, 3, -1, -1) * 2 - 1
        marks = marks * 0.5 + heat.clamp(-1, 1) * 0.5
        for zz, bb in ((z[few], moved), (z[few], gone), (z[few], restyled), (z[few], empty), (other, base)):
            pictures.append(self.draw(zz, bb, none[few]))
        x = torch.cat([pictures[0], marks, *pictures[1:]]).clamp(-1, 1)
        x = x.unflatten(0, (-1, 8)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
        Image.fromarray(((x + 1) * 127.5).round().byte().numpy()).save(self.args.out / f"sheet-{self.images:07d}.png")

    def draw(self, z: Tensor, blobs: Blobs, coarse: Tensor) -> Tensor:
        return self.ema(self.ema.synthesis.styles(self.ws(self.ema, z, coarse)), blobs)


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--resolution", type=int, default=32)
    p.add_argument("--input", type=int, default=64)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--blobs", type=int, default=6)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--colour", type=float, default=0.3)
    p.add_argument("--coarse-drop", type=float, default=0.7)
    p.add_argument("--reader", type=float, default=1.0)
    p.add_argument("--ema", type=float, default=4000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--start", type=int, default=0)
    p.add_argument("--images", type=int, default=10**9)
    p.add_argument("--grow", type=Path)
    p.add_argument("--sheet", type=int, default=4000)
    args = p.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    if (args.out / "checkpoint.pt").exists():
        run.load(torch.load(args.out / "checkpoint.pt", weights_only=True))
    cache: dict[str, np.ndarray] = {}
    add_pictures(cache, args.resolution)
    pool = torch.from_numpy(np.stack([cache[k] for k in sorted(cache)]))
    stop = False

    def ask(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    log = (args.out / "log.jsonl").open("a", buffering=1)
    saved = since = time.time()
    shown, sums, n = run.images, {}, 0
    while not stop and run.images < args.images:
        for k, v in run.step(pool).items():
            sums[k] = sums.get(k, 0) + v
        n += 1
        if n == 25:
            now = time.time()
            log.write(
                json.dumps(
                    {
                        "images": run.images,
                        "rate": round((run.images - shown) / (now - since), 2),
                        "pool": len(pool),
                        **{k: round(v / n, 3) for k, v in sums.items()},
                    }
                )
                + "\n"
            )
            since, shown, sums, n = now, run.images, {}, 0
            if not all(p.isfinite().all() for p in run.g_params):
                raise SystemExit("diverged")
            if now - saved > 300:
                run.save()
                add_pictures(cache, args.resolution)
                pool = torch.from_numpy(np.stack([cache[k] for k in sorted(cache)]))
                saved = now
        if run.images % args.sheet < args.batch:
            run.sheet()
    run.save()
    run.sheet()


main()
