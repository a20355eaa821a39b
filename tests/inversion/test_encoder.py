"""Encoders: trained on a tiny generator, written, found again for just that model."""

import pytest
import torch
from inverting import picture_of, short, tiny_model

from gansteer.checkpoints import inverter as files
from gansteer.checkpoints.efficientnet import load_efficientnet
from gansteer.checkpoints.inverter import find_inverter, load_inverter, save_inverter
from gansteer.cli import main
from gansteer.errors import UserError
from gansteer.models.efficientnet import unit_taps
from gansteer.models.inverter import Inverter, InverterConfig, InverterHead, Look
from gansteer.training.inverter import InverterTrainer, InverterTraining

OLD_FIELDS = ("num_ws", "w_dim", "size", "widths", "hidden")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of a person's own encoders, empty."""
    monkeypatch.setattr(files, "own_folder", lambda: tmp_path / "own")
    return tmp_path / "own"


def head_of(model, seed=0, **config):
    """A head whose guess and corrections are not nothing."""
    torch.manual_seed(seed)
    head = InverterHead(InverterConfig(model.generator.config.num_ws, model.generator.config.w_dim, 32, **config))
    torch.nn.init.normal_(head.rows.weight, std=0.05)
    if head.corrector is not None:
        torch.nn.init.normal_(head.corrector.leave.weight, std=0.02)
    return head


def inverter_of(model, head):
    return Inverter(load_efficientnet(), head, model.generator).requires_grad_(False)


def plain_distance(model, w, pictures):
    """What the looks measure, from the equations: unit features at four scales, and ten times the squared difference."""
    network = load_efficientnet().to(w)
    drawn, total = model.generator.synthesize(w), 0.0
    for y, y0 in zip(network.taps(drawn), network.taps(pictures), strict=True):
        unit = y / (y**2).sum(dim=1, keepdim=True).sqrt() - y0 / (y0**2).sum(dim=1, keepdim=True).sqrt()
        total = total + (unit**2).sum(dim=1).mean(dim=(1, 2)) / 4
    return total + 10 * ((drawn - pictures) ** 2).mean(dim=(1, 2, 3))


def test_an_untrained_encoder_guesses_the_mean(model):
    trainer = InverterTrainer(model, InverterTraining(steps=1))
    found = trainer.head(load_efficientnet().taps(torch.zeros(2, 3, 32, 32))).detach()
    w = model.generator.mapping(torch.randn(20000, 8))
    assert (found - w.mean(dim=0)).abs().max() < 0.1
    assert float(trainer.head.spread) == pytest.approx(float((w - w.mean(0)).square().mean().sqrt()), rel=0.1)


def test_a_look_measures_and_differentiates():
    model = tiny_model(dtype=torch.float64)
    inverter = inverter_of(model, head_of(model)).double()
    wanted = model.sample(3, 1.0).render()[None].clamp(-1, 1)
    w = model.sample(4, 1.0).w[None]
    taps = unit_taps(inverter.trunk.taps(wanted))
    still = torch.zeros_like(w)
    look = inverter.look(w, still, wanted, taps)
    torch.testing.assert_close(look.distance, plain_distance(model, w, wanted), rtol=1e-6, atol=1e-8)
    along = torch.randn(w.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = [inverter.look(w + step * along, still, wanted, taps).distance for step in (1e-6, -1e-6)]
    assert float((look.gradient * along).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-6, rel=1e-4)
    assert not look.gradient.requires_grad
    twice = [torch.cat([x, x]) for x in (w, along, wanted)]
    for part in inverter.look(*twice, [x.expand(2, -1, -1, -1) for x in taps]).split([1, 1]):
        torch.testing.assert_close(part.step, along)
        torch.testing.assert_close(part.gradient, look.gradient)
        torch.testing.assert_close(part.taps[2], look.taps[2])


def test_the_nearest_pass_is_given(model):
    head = head_of(model, passes=2)
    pictures = torch.stack([model.sample(seed, 1.0).render().clamp(-1, 1) for seed in (1, 2, 3)])
    inverter = inverter_of(model, head)
    taps = inverter.trunk.taps(pictures)
    w, step, tried = head(taps), torch.zeros(3, 8, 8), []
    for _ in range(3):
        tried.append(w)
        step = head.corrector(unit_taps(taps), inverter.look(w, step, pictures, unit_taps(taps)))
        w = w + step
    distances = torch.stack([plain_distance(model, w, pictures) for w in tried])
    assert float((tried[0] - tried[2]).detach().abs().max()) > 1e-3
    expected = torch.stack([tried[int(best)][i] for i, best in enumerate(distances.argmin(dim=0))])
    torch.testing.assert_close(inverter(pictures), expected)


def test_a_correction_is_descent_with_momentum_and_what_was_learnt(model):
    head = head_of(model, passes=1).double()
    corrector = head.corrector
    torch.nn.init.zeros_(corrector.leave.weight)
    corrector.axes.copy_(torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q)
    corrector.spread.fill_(2.0)
    corrector.log_usual.uniform_(-1, 1)
    taps = unit_taps([torch.randn(2, c, 8, 8).double() for c in (24, 40, 112, 320)])
    w, step, gradient = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    look = Look(w, step, taps, torch.zeros(2), torch.zeros(2), gradient)
    for row in range(8):
        along = torch.stack([gradient[:, row] @ axis for axis in corrector.axes.t()], dim=1)
        before = torch.stack([step[:, row] @ axis for axis in corrector.axes.t()], dim=1)
        move = 0.5 * before - 0.1 * 2.0 * 0.6 * along / corrector.log_usual[row].exp()
        expected = sum(move[:, i, None] * axis for i, axis in enumerate(corrector.axes.t()))
        torch.testing.assert_close(corrector(taps, look)[:, row], expected)
    corrector.leave.bias.data.fill_(1.0)
    with_more = corrector(taps, look)
    corrector.leave.bias.data.zero_()
    torch.testing.assert_close(with_more - corrector(taps, look), (0.2 * corrector.axes.sum(dim=1)).expand(2, 8, 8))


def test_training_learns_the_models_own_pictures_and_passes_come_nearer(model):
    training = InverterTraining(steps=60, batch=9, passes=2, learning_rate=3e-3)
    trainer = InverterTrainer(model, training)
    assert [p.step for p in trainer] == list(range(1, 61))
    inverter = inverter_of(model, trainer.head)
    pictures = torch.stack([model.sample(seed, 1.0).render().clamp(-1, 1) for seed in range(1000, 1024)])
    taps = inverter.trunk.taps(pictures)
    guess = trainer.head(taps)
    look = inverter.look(guess, torch.zeros_like(guess), pictures, unit_taps(taps))
    floor = ((model.generator.synthesize(model.generator.mapping.w_mean.expand(1, 8, 8)) - pictures) ** 2).mean()
    assert look.error.mean() < 0.8 * floor
    nearest = plain_distance(model, inverter(pictures), pictures)
    assert nearest.mean() < 0.85 * look.distance.mean()


def test_the_gradient_of_training_is_that_of_the_loss(model):
    """The heads learn by a gradient that the look found; here the whole is differentiated at once."""
    trainer = InverterTrainer(model, InverterTraining(steps=2, batch=6, passes=1, latent=0.4, flat=0.2))
    trainer._step(1)
    head, old = trainer.inverter.head, trainer._ages[0]
    torch.nn.init.normal_(head.corrector.leave.weight, std=0.02)
    new = trainer._new(3)
    trainer._new = lambda count: new
    found = torch.cat([head(new.taps), old.look.w + head.corrector(unit_taps(old.taps), old.look)])
    w = torch.cat([new.w, old.w])
    deviations = (found - w) / head.spread, (found - found.mean(dim=1, keepdim=True)) / head.spread
    loss = plain_distance(model, found, torch.cat([new.small, old.small])).mean()
    loss = loss + 0.4 * (deviations[0] ** 2).mean() + 0.2 * (deviations[1] ** 2).mean()
    expected = torch.autograd.grad(loss, list(head.parameters()))
    said = trainer._step(2)
    assert said.loss == pytest.approx(float(loss.detach()), rel=1e-4)
    for parameter, wanted in zip(head.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-2, atol=1e-3 * float(wanted.abs().max()) + 1e-7)


def test_guesses_alone_come_first(model):
    trainer = InverterTrainer(model, InverterTraining(steps=9, batch=8, passes=3))
    sizes = []
    for step in range(1, 10):
        trainer._step(step)
        sizes.append([len(some.w) for some in trainer._ages])
    assert sizes == [[8]] * 3 + [[2], [2, 2], [2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]]
    usual = trainer.head.corrector.log_usual
    assert usual.unique().numel() == usual.numel()
    torch.testing.assert_close(usual, trainer.inverter.head.corrector.log_usual)


def test_training_is_told_by_its_seed_and_takes_real_pictures(model, tmp_path):
    for seed in range(4):
        model.sample(seed).image.save(tmp_path / f"{seed}.png")

    def losses(seed):
        return [p.loss for p in InverterTrainer(model, InverterTraining(steps=3, batch=8, seed=seed), tmp_path)]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
    new = InverterTrainer(model, InverterTraining(steps=1, real=0.5), tmp_path)._new(40)
    drawn = ~new.w.isnan().flatten(1).any(dim=1)
    assert 8 < int(drawn.sum()) < 32
    torch.testing.assert_close(new.small[drawn], model.generator.synthesize(new.w[drawn]).clamp(-1, 1))
    reals = [picture_of(model.sample(seed)).permute(2, 0, 1).float() for seed in range(4)]
    for picture in new.small[~drawn]:
        assert any(torch.allclose(picture, turned / 127.5 - 1) for x in reals for turned in (x, x.flip(2)))


def test_training_begins_with_another_encoder(model, tmp_path):
    guess_only = head_of(model)
    save_inverter(guess_only, model, tmp_path / "old.safetensors", {})
    trainer = InverterTrainer(model, InverterTraining(steps=9), None, tmp_path / "old.safetensors")
    trainer._step(1)
    assert len(trainer._ages[0].w) == 1  # no guesses alone: they are known
    trainer = InverterTrainer(model, InverterTraining(steps=9), None, tmp_path / "old.safetensors")
    torch.testing.assert_close(trainer.head.rows.weight, guess_only.rows.weight.half().float())
    assert not trainer.head.corrector.leave.weight.any()
    whole = head_of(model, passes=7).requires_grad_(False)
    whole.corrector.axes.copy_(torch.linalg.qr(torch.randn(8, 8)).Q)
    save_inverter(whole, model, tmp_path / "whole.safetensors", {})
    trainer = InverterTrainer(model, InverterTraining(steps=1), None, tmp_path / "whole.safetensors")
    for name, x in trainer.head.state_dict().items():
        torch.testing.assert_close(x, whole.state_dict()[name].half().float())
    with pytest.raises(UserError, match="has another shape than tiny needs"):
        InverterTrainer(tiny_model(resolution=16), InverterTraining(), None, tmp_path / "old.safetensors")
    with pytest.raises(UserError, match="is no encoder"):
        InverterTrainer(model, InverterTraining(), None, tmp_path / "none.safetensors")


@pytest.mark.parametrize("passes", [0, 2])
def test_it_is_written_and_found_for_its_model_alone(model, own, tmp_path, passes):
    head = head_of(model, passes=passes)
    assert find_inverter(model, (tmp_path,)) is None
    save_inverter(head, model, tmp_path / "one.safetensors", {"steps": 3})
    found = find_inverter(model, (tmp_path,))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = inverter_of(model, head.half().float())(pictures)
    torch.testing.assert_close(found(pictures), expected)
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


def test_the_command_and_the_first_guess(own, tmp_path, capsys):
    from gansteer.checkpoints.native import save_model
    from gansteer.checkpoints.registry import load

    save_model(tiny_model(), tmp_path / "tiny.safetensors")
    args = ["train-encoder", "--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu"]
    assert main([*args, "--steps", "3", "--batch", "1"]) == 0
    assert "3 steps" in capsys.readouterr().out
    model = load(tmp_path / "tiny.safetensors", "cpu")
    (path,) = own.glob("*.safetensors")
    assert path.stat().st_size < 6e6
    again = ["--begin", str(path), "--steps", "1", "--batch", "1", "--out", str(tmp_path / "again.safetensors")]
    assert main([*args, *again]) == 0
    encoder = find_inverter(model)
    edit = short(model, start="auto", projection=1, tuning="none")
    first = edit.begin(model.sample(0)).step()
    target = edit.picture.permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(first.subject.w, encoder(target)[0])
    assert main([*args, "--steps", "0"]) == 2
    assert "steps must be at least 1" in capsys.readouterr().err
    assert main([*args, "--out", str(tmp_path / "x.bin")]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err


def test_any_size_of_picture_is_encoded(model):
    inverter = inverter_of(model, head_of(model, passes=1))
    assert inverter(torch.zeros(1, 3, 200, 200)).shape == (1, 8, 8)
    assert inverter(torch.zeros(1, 3, 16, 16)).shape == (1, 8, 8)
