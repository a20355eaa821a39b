"""Encoders: trained on a tiny generator, written, found again for just that model."""

from copy import deepcopy

import pytest
import torch
from inverting import picture_of, short, tiny_model

from gansteer.checkpoints import inverter as files
from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.inverter import ENCODERS, find_inverter, load_inverter, save_inverter
from gansteer.cli import main
from gansteer.edits.registry import start
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.inverter import Curvature, Inverter, InverterConfig, InverterHead, descend, two_loops
from gansteer.training.inverter import InverterTrainer, InverterTraining

OLD_FIELDS = ("num_ws", "w_dim", "size", "widths", "hidden")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of a person's own encoders, empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return ENCODERS.own_folder()


def head_of(model, seed=0, **config):
    """A head whose guess is not the mean."""
    torch.manual_seed(seed)
    head = InverterHead(InverterConfig(model.generator.config.num_ws, model.generator.config.w_dim, 32, **config))
    torch.nn.init.normal_(head.rows.weight, std=0.05)
    if head.curvature is not None:
        head.curvature.directions.copy_(torch.linalg.qr(torch.randn(64, config["rank"])).Q.t())
        head.curvature.stiffness.copy_(torch.linspace(2, 0.1, config["rank"]))
    return head.requires_grad_(False)


def inverter_of(model, head):
    return Inverter(load_efficientnet().to(head.spread), head, model.generator)


def plain_distance(model, w, pictures):
    """What the looks measure, from the equations: unit features at four scales, and ten times the squared difference."""
    network = load_efficientnet().to(w)
    drawn, total = model.generator.synthesize(Code(w.unflatten(1, (-1, model.generator.config.w_dim)))), 0.0
    for y, y0 in zip(network.taps(drawn), network.taps(pictures), strict=True):
        unit = y / (y**2).sum(dim=1, keepdim=True).sqrt() - y0 / (y0**2).sum(dim=1, keepdim=True).sqrt()
        total = total + (unit**2).sum(dim=1).mean(dim=(1, 2)) / 4  # type: ignore[assignment]
    return total + 10 * ((drawn - pictures) ** 2).mean(dim=(1, 2, 3))


def test_an_untrained_encoder_guesses_the_mean(model):
    trainer = InverterTrainer(model, InverterTraining(steps=1))
    found = trainer.head(load_efficientnet().taps(torch.zeros(2, 3, 32, 32))).detach()
    w = model.generator.mapping(torch.randn(20000, 8))
    assert (found.unflatten(1, (-1, 8)) - w.mean(dim=0)).abs().max() < 0.1
    assert float(trainer.head.spread) == pytest.approx(float((w - w.mean(0)).square().mean().sqrt()), rel=0.1)


def test_pictures_are_described_as_vectors(model):
    inverter = inverter_of(model, head_of(model))
    pictures = torch.stack([model.sample(seed, 1.0).render().clamp(-1, 1) for seed in (1, 2)])
    w = torch.stack([model.sample(seed, 1.0).code.ws for seed in (3, 4)]).flatten(1)
    wanted = inverter.described(pictures, inverter.trunk.taps(pictures))
    torch.testing.assert_close((inverter.drawn(w) - wanted).square().sum(dim=1), plain_distance(model, w, pictures))


def quadratic(seed, n):
    """`(u - m)^T A (u - m) / 2` of three u at once, its gradient, and where it is least."""
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(3, n, n, generator=rng, dtype=torch.float64)
    A = torch.eye(n).double() + 0.2 * root @ root.mT / n
    m = torch.randn(3, n, generator=rng, dtype=torch.float64)

    def gradient(u):
        return torch.einsum("bij,bj->bi", A, u - m)

    return lambda u: ((u - m) * gradient(u)).sum(dim=1) / 2, gradient, m


def test_descent_finds_the_least_of_each():
    n = 6
    distance, gradient, m = quadratic(0, n)
    nowhere = torch.zeros(3, n, dtype=torch.float64)
    near = descend(distance, nowhere, 20)
    torch.testing.assert_close(near, m, rtol=0, atol=1e-5)
    plain = nowhere
    for _ in range(6):
        plain = plain - gradient(plain)
    assert (distance(descend(distance, nowhere, 6)) < 0.5 * distance(plain)).all()
    torch.testing.assert_close(descend(distance, nowhere, 1), nowhere - gradient(nowhere))


def test_the_last_look_costs_no_gradient():
    distance, *_ = quadratic(0, 6)
    seen = []

    def watched(u):
        seen.append(torch.is_grad_enabled())
        return distance(u)

    with torch.no_grad():
        descend(watched, torch.zeros(3, 6, dtype=torch.float64), 3)
    assert seen == [True, True, True, False]


def test_two_loops_are_the_inverse_hessian_of_bfgs():
    """Against the matrix that the same pairs give by its recursion (Nocedal and Wright 2006, eq. 7.16)."""
    rng = torch.Generator().manual_seed(1)
    n, pairs, H = 4, [], None
    for _ in range(3):
        s = torch.randn(1, n, generator=rng, dtype=torch.float64)
        y = 0.9 * s + 0.1 * torch.randn(1, n, generator=rng, dtype=torch.float64)
        pairs.append((s, y, 1 / (s * y).sum(dim=1, keepdim=True)))
    s, y, _ = pairs[-1]
    H = (s @ y.t()) / (y @ y.t()) * torch.eye(n).double()
    for s, y, rho in pairs:
        V = torch.eye(n).double() - rho * y.t() @ s
        H = V.t() @ H @ V + rho * s.t() @ s
    g = torch.randn(1, n, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(two_loops(g, pairs), g @ H)
    torch.testing.assert_close(two_loops(g, []), g)


def test_what_makes_it_worse_is_not_taken():
    """A function that curves down: no pair counts, and the best place is the first."""

    def distance(u):
        return (2 * u.detach().square() - u.square()).sum(dim=1)  # u^2, but the gradient lies: -2 u

    start = torch.ones(2, 3, dtype=torch.float64)
    torch.testing.assert_close(descend(distance, start, 3), start)


def test_curvature_whitens():
    curvature = Curvature(3, 7).double()
    curvature.directions.copy_(torch.linalg.qr(torch.randn(7, 3, dtype=torch.float64)).Q.t())
    curvature.stiffness.copy_(torch.tensor([2.0, 1.0, 0.1]))
    H = curvature.directions.t() @ torch.diag(curvature.stiffness) @ curvature.directions
    H = H + 0.02 * 2.0 * torch.eye(7).double()
    W = curvature.whitened(torch.eye(7).double())
    torch.testing.assert_close(W, W.t())
    torch.testing.assert_close(W @ H @ W, torch.eye(7).double())


def test_the_curvature_is_that_of_the_distance():
    """Against `2 J^T J` by central differences, at the guess that an untrained encoder makes of every picture."""
    model = tiny_model(resolution=16)
    trainer = InverterTrainer(model, InverterTraining(steps=1, passes=2, looks=320))
    trainer.see_curvature()
    inverter = Inverter(trainer.inverter.trunk, trainer.head, model.generator)
    guess = trainer.head.centre.repeat(6)[None]
    steps = 5e-3 * torch.eye(48)
    with torch.no_grad():
        J = ((inverter.drawn(guess + steps) - inverter.drawn(guess - steps)) / 1e-2).t()
    H = 2 * J.t() @ J
    found = trainer.head.curvature
    assert trainer.head.config.rank == len(found.stiffness) == H.shape[0]
    seen = found.directions.t() @ torch.diag(found.stiffness) @ found.directions
    assert (seen - H).norm() < 0.3 * H.norm()
    assert (found.stiffness.diff() <= 0).all()


def test_each_pass_is_a_look(model):
    """With what the trainer measured, corrections come nearer; without passes the guess is as it was."""
    trainer = InverterTrainer(model, InverterTraining(steps=1, passes=4, looks=160))
    pictures = torch.stack([model.sample(seed, 1.0).render().clamp(-1, 1) for seed in range(1000, 1008)])
    guess = trainer.head(trainer.inverter.trunk.taps(pictures))
    trainer.see_curvature()
    torch.testing.assert_close(trainer.head(trainer.inverter.trunk.taps(pictures)), guess)
    found = inverter_of(model, trainer.head)(pictures)
    assert not found.ws.requires_grad
    before, after = (plain_distance(model, w, pictures) for w in (guess, found.ws.flatten(1)))
    assert (after <= before).all()
    assert after.mean() < 0.7 * before.mean()


def test_training_learns_the_models_own_pictures(model):
    trainer = InverterTrainer(model, InverterTraining(steps=30, batch=8, learning_rate=3e-3))
    assert [p.step for p in trainer] == list(range(1, 31))
    pictures = torch.stack([model.sample(seed, 1.0).render().clamp(-1, 1) for seed in range(1000, 1020)])
    guess = model.generator.synthesize(trainer.inverter.code(trainer.head(load_efficientnet().taps(pictures))))
    mean = model.generator.synthesize(Code(model.generator.mean_w().expand(1, 8, 8)))
    assert (guess - pictures).square().mean() < 0.8 * (mean - pictures).square().mean()


def test_the_loss_of_training(model):
    trainer = InverterTrainer(model, InverterTraining(steps=2, batch=6, latent=0.4, flat=0.2))
    head = deepcopy(trainer.inverter.head)
    torch.nn.init.normal_(head.rows.weight, std=0.05)
    trainer.inverter.head.load_state_dict(head.state_dict())
    small, w = trainer._batch(3)
    w[2] = torch.nan
    trainer._batch = lambda count: (small, w)
    found = head(load_efficientnet().taps(small))
    rows = found.view(3, 8, 8)
    pixels = (model.generator.synthesize(Code(rows)) - small).square().mean(dim=(1, 2, 3))
    apart = ((rows - rows.mean(dim=1, keepdim=True)) / head.spread) ** 2
    loss = plain_distance(model, found, small).mean() + 0.2 * apart.mean()
    loss = loss + 0.4 * (((found - w) / head.spread)[:2] ** 2).sum() / found.numel()
    said = trainer._step(1)
    assert said.loss == pytest.approx(float(loss.detach()), rel=1e-4)
    assert said.psnr == pytest.approx(float((-10 * torch.log10(pixels / 4)).mean().detach()), rel=1e-4)
    for parameter, wanted in zip(
        trainer.inverter.head.parameters(), torch.autograd.grad(loss, list(head.parameters())), strict=True
    ):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-2, atol=1e-3 * float(wanted.abs().max()) + 1e-7)


def test_training_is_told_by_its_seed_and_takes_real_pictures(model, tmp_path):
    for seed in range(4):
        model.sample(seed).image.save(tmp_path / f"{seed}.png")

    def losses(seed):
        return [p.loss for p in InverterTrainer(model, InverterTraining(steps=3, batch=8, seed=seed), tmp_path)]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
    small, w = InverterTrainer(model, InverterTraining(steps=1, real=0.5), tmp_path)._batch(40)
    drawn = ~w.isnan().any(dim=1)
    assert 8 < int(drawn.sum()) < 32
    torch.testing.assert_close(small[drawn], model.generator.synthesize(Code(w[drawn].view(-1, 8, 8))).clamp(-1, 1))
    reals = [picture_of(model.sample(seed)).permute(2, 0, 1).float() for seed in range(4)]
    for picture in small[~drawn]:
        assert any(torch.allclose(picture, turned / 127.5 - 1) for x in reals for turned in (x, x.flip(2)))


def test_training_begins_with_another_encoder(model, tmp_path):
    for passes in (0, 3):  # corrections go by the weights that they were measured on, so they are not taken
        head = head_of(model, passes=passes, rank=5 * passes)
        save_inverter(head, model, tmp_path / "old.safetensors", {})
        trainer = InverterTrainer(model, InverterTraining(steps=9), None, tmp_path / "old.safetensors")
        torch.testing.assert_close(trainer.head.rows.weight, head.rows.weight.half().float())
        assert trainer.head.curvature is None
    with pytest.raises(UserError, match="has another shape than tiny needs"):
        InverterTrainer(tiny_model(resolution=16), InverterTraining(), None, tmp_path / "old.safetensors")
    with pytest.raises(UserError, match="is no encoder"):
        InverterTrainer(model, InverterTraining(), None, tmp_path / "none.safetensors")


@pytest.mark.parametrize("passes", [0, 2])
def test_it_is_written_and_found_for_its_model_alone(model, own, tmp_path, passes):
    head = head_of(model, passes=passes, rank=6)
    assert find_inverter(model, (tmp_path,)) is None
    save_inverter(head, model, tmp_path / "one.safetensors", {"steps": 3})
    found = find_inverter(model, (tmp_path,))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = inverter_of(model, head.half().float())(pictures)
    torch.testing.assert_close(found(pictures).ws, expected.ws)
    other = tiny_model(seed=3)
    assert find_inverter(other, (tmp_path,)) is None
    with pytest.raises(UserError, match="belongs to other weights than tiny's: run gansteer train-encoder"):
        load_inverter(tmp_path / "one.safetensors", other)
    (tmp_path / "two.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is no encoder"):
        load_inverter(tmp_path / "two.safetensors", model)
    assert find_inverter(model, (tmp_path,)) is not None  # what is none is passed over
    with torch.no_grad():
        head.rows.bias.fill_(1e9)
    with pytest.raises(UserError, match="not finite in float16"):
        save_inverter(head.float(), model, tmp_path / "three.safetensors", {})


def test_a_file_of_before_there_were_passes_is_read(model, tmp_path, monkeypatch):
    head = head_of(model)
    monkeypatch.setattr(files, "asdict", lambda config: {n: getattr(config, n) for n in OLD_FIELDS})
    save_inverter(head, model, tmp_path / "old.safetensors", {})
    found = load_inverter(tmp_path / "old.safetensors", model)
    assert found.head.config.passes == 0
    torch.testing.assert_close(found.head.rows.weight, head.rows.weight.half().float())


def test_ctrl_c_while_the_curvature_is_looked_at_keeps_the_guess(own, tmp_path, capsys, monkeypatch):
    from gansteer.checkpoints.native import save_model

    save_model(tiny_model(), tmp_path / "tiny.safetensors")
    looked = []

    def interrupted(self, report):
        looked.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(InverterTrainer, "see_curvature", interrupted)
    args = ["train-encoder", "--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--batch", "1"]
    assert main([*args, "--steps", "2"]) == 130
    (path,) = own.glob("*.safetensors")
    assert "2 steps, " in (said := capsys.readouterr().err)
    assert f"train on with --begin {path}" in said
    assert files.read_head(path).config.passes == 0

    def stopped(self, step):
        if step == 2:
            raise KeyboardInterrupt
        return first(self, step)

    first = InverterTrainer._step
    monkeypatch.setattr(InverterTrainer, "_step", stopped)
    assert main([*args, "--steps", "3"]) == 130
    assert "wrote" in capsys.readouterr().err
    assert len(looked) == 1  # a person who stops the training does not wait for more


def test_the_command_and_the_first_guess(own, tmp_path, capsys):
    from gansteer.checkpoints.native import save_model
    from gansteer.checkpoints.registry import load

    save_model(tiny_model(), tmp_path / "tiny.safetensors")
    args = ["train-encoder", "--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu"]
    assert main([*args, "--steps", "3", "--batch", "1", "--looks", "16"]) == 0
    assert "3 steps" in capsys.readouterr().out
    model = load(tmp_path / "tiny.safetensors", "cpu")
    (path,) = own.glob("*.safetensors")
    assert path.stat().st_size < 6e6
    again = [
        "--begin",
        str(path),
        "--steps",
        "1",
        "--batch",
        "1",
        "--passes",
        "0",
        "--out",
        str(tmp_path / "again.safetensors"),
    ]
    assert main([*args, *again]) == 0
    encoder = find_inverter(model)
    edit = short(model, start="auto", projection=1, tuning="none")
    first = start(model.sample(0), edit).step()
    target = edit.picture.permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(first.subject.code.ws, encoder(target)[0].ws)
    assert main([*args, "--steps", "0"]) == 2
    assert "steps must be at least 1" in capsys.readouterr().err
    assert main([*args, "--out", str(tmp_path / "x.bin")]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err


def test_any_size_of_picture_is_encoded(model):
    inverter = inverter_of(model, head_of(model, passes=1, rank=4))
    assert inverter(torch.zeros(1, 3, 200, 200)).ws.shape == (1, 8, 8)
    assert inverter(torch.zeros(1, 3, 16, 16)).ws.shape == (1, 8, 8)
