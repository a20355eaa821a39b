"""The latent transformer: its network and training step against their equations, its file, and a drag by it."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gansteer.checkpoints.latent_transformer import TRANSFORMERS, find_transformer, read_transformer, save_transformer
from gansteer.checkpoints.native import save_model
from gansteer.cli import main
from gansteer.edits.drag import transformer as drags
from gansteer.edits.drag.edit import Drag
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.latent_transformer import Block, LatentTransformer, LatentTransformerConfig
from gansteer.training import latent_transformer as training
from gansteer.training.config import TransformerTraining
from support.tiny import tiny_model

CONFIG = LatentTransformerConfig(rows=6, w_dim=8, features=8, layer="b16.conv1", dim=16, heads=2, blocks=2)


def seeded(config: LatentTransformerConfig = CONFIG) -> LatentTransformer:
    torch.manual_seed(0)
    network = LatentTransformer(config).double().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    network.spread.fill_(0.3)
    network.flow_scale.fill_(0.7)
    network.centre.normal_()
    network.feature_mean.normal_()
    network.feature_std.uniform_(0.5, 2)
    return network


def linear(x: list[float], layer: nn.Linear) -> list[float]:
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def normed(x: list[float], layer: nn.LayerNorm) -> list[float]:
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    scale = zip(x, layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [(v - mean) / math.sqrt(variance + layer.eps) * w + b for v, w, b in scale]


def attention(xs: list[list[float]], context: list[list[float]], part: nn.Module, heads: int) -> list[list[float]]:
    """Loops over heads, queries and keys."""
    queries, keys, values = ([linear(x, layer) for x in of] for of, layer in (  # type: ignore[arg-type]
        (xs, part.query), (context, part.key), (context, part.value)))  # fmt: skip
    size = len(xs[0]) // heads
    found = []
    for q in queries:
        together: list[float] = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            logits = [sum(a * b for a, b in zip(q[own], k[own], strict=True)) / math.sqrt(size) for k in keys]
            shares = [math.exp(l - max(logits)) for l in logits]
            total = sum(shares)
            together += [sum(s * v[own][i] for s, v in zip(shares, values, strict=True)) / total for i in range(size)]
        found.append(linear(together, part.out))  # type: ignore[arg-type]
    return found


def add(xs: list[list[float]], ys: list[list[float]]) -> list[list[float]]:
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(xs, ys, strict=True)]


def block(xs: list[list[float]], part: Block, heads: int, context: list[list[float]] | None) -> list[list[float]]:
    inner = [normed(x, part.norm1) for x in xs]
    xs = add(xs, attention(inner, inner, part.itself, heads))
    if context is not None:
        xs = add(xs, attention([normed(x, part.norm2) for x in xs], context, part.crossed, heads))
    up = [linear(normed(x, part.norm3), part.up) for x in xs]
    gelu = [[0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x] for x in up]
    return add(xs, [linear(x, part.down) for x in gelu])


def slow(network: LatentTransformer, w: Tensor, motion: Tensor, features: Tensor) -> Tensor:
    """The published network in loops: motion tokens, encoder, latent tokens, decoder, head."""

    def relu(x: list[float]) -> list[float]:
        return [max(v, 0.0) for v in x]

    heads = network.config.heads
    scaled = (features - network.feature_mean) / network.feature_std
    tokens = [
        relu(linear(relu(linear(m, network.motion)) + relu(linear(f, network.feature)), network.token))
        for m, f in zip(motion.tolist(), scaled.tolist(), strict=True)
    ]
    for part in network.encoder:
        tokens = block(tokens, part, heads, None)  # type: ignore[arg-type]
    latents = [relu(linear(row, network.latent)) for row in ((w - network.centre) / network.spread).tolist()]
    latents = add(latents, network.position.tolist())
    for part in network.decoder:
        latents = block(latents, part, heads, tokens)  # type: ignore[arg-type]
    out = [linear(normed(x, network.norm), network.head) for x in latents]
    return torch.tensor(out, dtype=torch.float64) * network.spread


def test_the_network_by_loops() -> None:
    network = seeded()
    rng = torch.Generator().manual_seed(1)
    w, motion, features = (torch.randn(*s, generator=rng, dtype=torch.float64) for s in ((6, 8), (3, 2), (3, 8)))
    expected = slow(network, w, motion, features)
    assert torch.allclose(network(w[None], motion[None], features[None])[0], expected, atol=1e-10)
    longest = float(motion.norm(dim=1).max())
    predicted = w + longest / 0.7 * slow(network, w, motion / longest, features)  # alpha takes the length up again
    assert torch.allclose(network.predict(w, motion, features), predicted, atol=1e-9)
    order = torch.tensor([2, 0, 1])  # motion tokens have no position
    assert torch.allclose(network.predict(w, motion[order], features[order]), predicted, atol=1e-9)


def test_the_pairs_and_the_error_of_a_step() -> None:
    pytest.importorskip("cv2")
    model = tiny_model(32)
    one, two = training.make_pairs(model, 2, "b16.conv1", seed=3)
    again = next(iter(training.make_pairs(model, 1, "b16.conv1", seed=3)))
    assert torch.equal(one.move, again.move)
    assert not torch.equal(one.move, two.move)
    assert one.motion.shape == (1, 256, 2)
    assert one.features.shape == (1, 256, 8)
    pairs = training.joined([one, two])
    network = seeded()
    expected = 0.0
    for i in range(2):
        h = slow(network, pairs.w[i], pairs.motion[i] / network.flow_scale, pairs.features[i])
        expected += float(((pairs.w[i] + h - (pairs.w[i] + pairs.move[i])) / 0.3).square().mean()) / 2
    found = training.motion_error(network, pairs, network.spread)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_training_learns_what_can_be_learnt() -> None:
    """Moves that are a fixed function of the motion."""
    rng = torch.Generator().manual_seed(0)
    points = 24
    motion = torch.randn(64, 1, 2, generator=rng).expand(64, points, 2).contiguous()
    w = torch.randn(64, 6, 8, generator=rng)
    move = torch.einsum("nm,mrd->nrd", motion[:, 0], torch.randn(2, 6, 8, generator=rng))
    pairs = training.Pairs(
        w,
        move,
        motion,
        torch.randn(1, 1, 8, generator=rng).expand(64, points, 8) + torch.randn(64, 1, 8, generator=rng),
    )
    model = tiny_model(32, dtype=torch.float32)
    settings = TransformerTraining(steps=500, batch=16, dim=32, heads=2, blocks=1, learning_rate=3e-3)
    losses = [now.loss for now in training.TransformerTrainer(model, settings, pairs, "b16.conv1")]
    assert losses[0] > 0.8
    assert sum(losses[-10:]) / 10 < 0.4
    again = training.TransformerTrainer(model, settings, pairs, "b16.conv1")
    assert [now.loss for now in islice(again, 50)] == losses[:50]


def test_a_file_belongs_to_its_weights(tmp_path: Path) -> None:
    model, other = tiny_model(32), tiny_model(32, seed=1)
    network = seeded()
    save_transformer(network, model, tmp_path / "t.safetensors", {"steps": 1})
    found = find_transformer(model, (tmp_path,))
    for name, x in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], x.half().double())
    with pytest.raises(UserError, match="train-transformer"):
        find_transformer(other, (tmp_path,))
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="is no latent transformer"):
        read_transformer(tmp_path / "no.safetensors")


def test_a_drag_is_one_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(64)
    network = seeded()
    monkeypatch.setenv("HOME", str(tmp_path))
    TRANSFORMERS.own_folder().mkdir(parents=True)
    save_transformer(network, model, TRANSFORMERS.out(model, None), {})
    network = find_transformer(model)
    subject = model.sample(4)
    mask = torch.ones(64, 64, dtype=torch.bool)
    mask[:, :16] = False
    drag = Drag([(30, 20), (40, 41)], [(33, 22), (40, 38)], method="transformer", mask=mask)
    run = start(subject, drag)
    *_, last = run
    assert (last.step, last.stop_reason) == (1, "predicted in one pass, which is its end")
    anchors = drags.held(mask)
    assert len(anchors) == 4 * 16  # columns 0 to 15 of 64 hold 4 of 16
    assert anchors[:, 0].max() < 16
    points = torch.cat([torch.tensor(drag.handles), anchors])
    motion = torch.cat([torch.tensor([[3.0, 2.0], [0.0, -3.0]]), torch.zeros(len(anchors), 2)]).double()
    features = model.generator.features(subject.code, ["b16.conv1"])["b16.conv1"]
    resized = torch.nn.functional.interpolate(features, (64, 64), mode="bilinear", align_corners=False)
    grid = (2 * points + 1) / 64 - 1
    sampled = torch.nn.functional.grid_sample(
        resized, grid.view(1, 1, -1, 2), padding_mode="border", align_corners=False
    )[0, :, 0].t()
    expected = network.predict(subject.code.ws[:6], motion, sampled)
    assert torch.allclose(last.subject.code.ws[:6], expected, atol=1e-6)
    assert torch.equal(last.subject.code.ws[6:], subject.code.ws[6:])
    with pytest.raises(UserError, match="moves 6 rows"):
        list(start(subject, replace(drag, rows=3)))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2")
    model = tiny_model(32, dtype=torch.float32)
    save_model(model, tmp_path / "m.safetensors")
    words = [
        "train-transformer",
        "--model",
        str(tmp_path / "m.safetensors"),
        "--device",
        "cpu",
        "--pairs",
        "2",
        "--batch",
        "2",
    ]
    assert main([*words, "--steps", "2", "--dim", "8", "--heads", "2", "--out", str(tmp_path / "t.safetensors")]) == 0
    assert "2 steps" in capsys.readouterr().out
    assert read_transformer(tmp_path / "t.safetensors").config.dim == 8
    for more, said in (
        (["--dim", "9"], "multiple"),
        (["--out", "t.txt"], "ends in .safetensors"),
        (["--steps", "0"], "at least 1"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
