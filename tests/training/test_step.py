"""One training step against the same step written out plainly, and what it keeps between steps."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from gansteer.models.code import Code
from gansteer.training.augment import diffaugment
from gansteer.training.choice import generator_training
from gansteer.training.distributed import ProcessGroup, StepRandom
from gansteer.training.loop import Trainer, adam
from gansteer.training.networks import build_networks

CPU = torch.device("cpu")


def reals(config, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(
        0, 256, (config.batch, 3, config.resolution, config.resolution), generator=rng, dtype=torch.uint8
    )


def trainer_for(config, c_dim=0):
    training = generator_training(config)
    return Trainer(config, training, build_networks(config, training, c_dim, CPU), CPU, ProcessGroup())


class PlainAdam:
    """Adam from the paper, with the constants of lazy regularisation; what a loss does not touch stays as it is.

    The parameters whose places are in `slow` learn at a tenth of the rate.
    """

    def __init__(self, lr, interval, slow=()):
        c = interval / (interval + 1) if interval else 1
        self.lr, self.beta, self.slow = lr * c, 0.99**c, slow
        self.t, self.v = {}, {}

    def __call__(self, parameters, loss):
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        for i, (p, g) in enumerate(zip(parameters, grads, strict=True)):
            if g is not None:
                self.t[i] = self.t.get(i, 0) + 1
                self.v[i] = self.beta * self.v.get(i, 0) + (1 - self.beta) * g * g
                lr = self.lr / 10 if i in self.slow else self.lr
                p.data.sub_(lr * g / ((self.v[i] / (1 - self.beta ** self.t[i])).sqrt() + 1e-8))


def asked_in_a_step(trainer, config, before=lambda drawn: None):
    """What the trainer's only term is asked in one step, what it answers and what it reports; `before` sees the first of these first."""
    (term,) = trainer.terms
    asked, seen = term.loss, []

    def loss(drawn, d, report):
        before(drawn)
        seen.append((drawn, asked(drawn, d, report), report))
        return seen[-1][1]

    term.loss = loss
    trainer.step(reals(config), torch.zeros(config.batch, dtype=torch.long))
    (one,) = seen
    return one


def noise_places(g):
    return [i for i, (name, _) in enumerate(g.named_parameters()) if "noise" in name]


def plain_steps(config, nets, pictures, count):
    """`count` steps of training, each loss differentiated with respect to the network it trains and to nothing else."""
    g, d = nets.g, nets.d
    g.requires_grad_(True)
    g_parameters = list(g.parameters())
    d_parameters = list((d if config.loss == "stylegan2" else d.levels).parameters())
    for p in d_parameters:
        p.requires_grad_(True)
    logistic = config.loss == "stylegan2"
    g_adam, d_adam = (
        PlainAdam(config.g_lr, 4 if config.path_length else None, noise_places(g)),
        PlainAdam(config.d_lr, 16 if logistic else None),
    )
    mean_length = 0.0
    for step in range(count):
        random = StepRandom(config.seed, step, 0, config.batch, ProcessGroup(), CPU)
        x = pictures.float() / 127.5 - 1
        z, other = random.normal(config.z_dim), random.normal(config.z_dim)
        chance, place = random.coin()
        ws = g.map(z)
        mean = g.mapping.w_mean
        mean.copy_(0.995 * mean + 0.005 * ws[:, 0].detach().mean(dim=0))
        if chance < config.style_mixing:
            row = 1 + int(place * (g.config.num_ws - 1))
            ws = torch.cat([ws[:, :row], g.map(other)[:, row:]], dim=1)
        fakes = g.synthesize(Code(ws), noise=lambda batch, r, random=random: random.normal(1, r, r))
        if config.augment == "diffaugment" or config.loss == "projected":
            fakes, x = diffaugment(fakes, random).pictures, diffaugment(x, random).pictures

        real_logits, fake_logits = d(x), d(fakes.detach())
        if logistic:
            d_loss = (torch.log1p(fake_logits.exp()) + torch.log1p((-real_logits).exp())).mean()
        else:
            d_loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        d_adam(d_parameters, d_loss)
        if logistic and step % 16 == 0:
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(d(leaf).sum(), leaf, create_graph=True)
            gamma = config.gamma
            penalty = 16 * gamma / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
            d_adam(d_parameters, penalty)

        judged = d(fakes)
        g_loss = torch.log1p((-judged).exp()).mean() if logistic else -judged.mean()
        g_adam(g_parameters, g_loss)
        if config.path_length and step % 4 == 0:
            random = StepRandom(config.seed, step, 1, config.batch // 2, ProcessGroup(), CPU)
            ws = g.map(random.normal(config.z_dim))
            images = g.synthesize(Code(ws), noise=lambda batch, r, random=random: random.normal(1, r, r))
            y = random.normal(*images.shape[1:]) / config.resolution
            (slope,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
            lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
            mean_length = mean_length + 0.01 * (float(lengths.detach().mean()) - mean_length)
            penalty = 4 * config.path_length * (lengths - mean_length).square().mean()
            g_adam(g_parameters, penalty)


@pytest.mark.parametrize(
    "flags",
    [
        {"augment": "none"},
        {"augment": "diffaugment", "path_length": 2.0, "style_mixing": 1.0},
        {"loss": "projected", "style_mixing": 0.0},
    ],
    ids=["stylegan2", "path length", "projected"],
)
def test_steps_written_out(tiny, flags):
    config = tiny(**flags, g_lr=1e-4, d_lr=1e-4)
    trainer = trainer_for(config)
    plain = copy.deepcopy(trainer.nets)
    start = copy.deepcopy(trainer.nets)
    pictures, count = reals(config), 2 if config.loss == "projected" else 5
    for _ in range(count):
        trainer.step(pictures, torch.zeros(config.batch, dtype=torch.long))
    plain_steps(config, plain, pictures, count)
    for name in ("g", "d"):
        ours, theirs, before = (dict(getattr(nets, name).state_dict()) for nets in (trainer.nets, plain, start))
        changed = 0
        for key, value in ours.items():
            # Adam's first steps look at the gradient's sign, so a rounded zero may go either way: not many do.
            off = (value - theirs[key]).abs() > 2e-6 + 1e-4 * theirs[key].abs()
            assert off.float().mean() < 0.02, key
            changed += not torch.equal(value, before[key])
        assert changed > 0.5 * len(ours) or config.loss == "projected"


def test_only_what_should_train_does(tiny):
    config = tiny(loss="projected")
    trainer = trainer_for(config)
    before = copy.deepcopy(trainer.nets.d.state_dict())
    for _ in range(2):
        trainer.step(reals(config), torch.zeros(config.batch, dtype=torch.long))
    for name, value in trainer.nets.d.state_dict().items():
        frozen = name.startswith(("backbone", "mix_"))
        if not name.endswith(("_u", "_v")):  # the power iteration's vectors; one of length 1 cannot move
            assert torch.equal(value, before[name]) == frozen, name
    assert not any(p.requires_grad for p in trainer.nets.ema.parameters())
    assert all(p.grad is None for p in trainer.nets.ema.parameters())


def test_lazy_adam():
    p = torch.nn.Parameter(torch.zeros(1))
    (group,) = adam([[p, torch.nn.Parameter(torch.zeros(1), requires_grad=False)]], 0.002, [16]).param_groups
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))
    assert group["params"] == [p]
    assert adam([[p]], 0.002, []).param_groups[0]["lr"] == 0.002
    assert adam([[p]], 0.002, [4, 16]).param_groups[0]["lr"] == pytest.approx(0.002 * 4 / 5 * 16 / 17)


def test_no_single_step_turns_the_sign_of_the_grain(tiny):
    """After quiet steps one of Adam's is ten times the rate: 0.012 here, where a strength of 0.01 is much."""
    trainer = trainer_for(tiny(g_lr=1.2e-3))
    trainer.pace_generator()
    strengths = [p for name, p in trainer.nets.g.named_parameters() if name.endswith("noise_strength")]
    assert len(strengths) == 2 * len(trainer.nets.g.synthesis.blocks) - 1
    for gradient in (1e-6,) * 200 + (1.0,):
        before = [float(p.detach()) for p in strengths]
        for p in strengths:
            p.grad = torch.full_like(p, gradient)
        trainer.g_opt.step()
    steps = [abs(float(p.detach()) - b) for p, b in zip(strengths, before, strict=True)]
    assert max(steps) < 0.0015
    assert min(steps) > 0.0005


def test_the_average_follows_with_a_ramp(tiny):
    config = tiny(batch=4, ema_images=0.3)
    trainer = trainer_for(config)
    expected = [p.clone() for p in trainer.nets.ema.parameters()]
    for step in range(1, 4):
        trainer.step(reals(config, step), torch.zeros(4, dtype=torch.long))
        half_life = min(0.3, 0.05 * 4 * step)  # 0.2, then 0.3
        keep = 0.5 ** (4 / half_life)
        expected = [
            keep * e + (1 - keep) * p.detach() for e, p in zip(expected, trainer.nets.g.parameters(), strict=True)
        ]
        for mine, theirs in zip(expected, trainer.nets.ema.parameters(), strict=True):
            torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
    assert torch.equal(trainer.nets.ema.mapping.w_mean, trainer.nets.g.mapping.w_mean)


@pytest.mark.parametrize(("signs", "direction"), [([1, 1, 1, 1], 1), ([1, 1, 1, -1], -1), ([-1, -1, 1, 1], -1)])
def test_the_controller_of_ada(tiny, signs, direction):
    """r = mean sign(D(x)) above the target 0.6: up by batch * 4 / 500,000 every 4 steps; below: down."""
    config = tiny(augment="ada")
    trainer = trainer_for(config)
    trainer.augmentation.p.fill_(0.5)
    logits = 3.0 * torch.tensor(signs, dtype=torch.float32)[:, None]
    for step in range(8):
        trainer.augmentation.adapt(logits, step)
        changes = (step + 1) // 4
        assert float(trainer.augmentation.p) == pytest.approx(0.5 + direction * changes * 16 / 500_000, abs=1e-7)


def test_the_strength_stays_a_probability(tiny):
    trainer = trainer_for(tiny(augment="ada"))
    trainer.augmentation.adapt(-torch.ones(4, 1), 3)
    assert float(trainer.augmentation.p) == 0.0


def test_labels_reach_both_networks(tiny):
    config = tiny(conditional=True)
    outcomes = []
    for label in (0, 2):
        trainer = trainer_for(config, c_dim=3)
        report = trainer.step(reals(config), torch.full((4,), label))
        outcomes.append(report)
    for name in ("logits/real", "logits/fake"):
        assert not math.isclose(float(outcomes[0][name]), float(outcomes[1][name]), rel_tol=1e-3)


def test_draws_depend_on_step_and_purpose_alone():
    def numbers(seed, step, purpose, group=ProcessGroup()):  # noqa: B008
        random = StepRandom(seed, step, purpose, 8, group, CPU)
        return random.normal(3), random.uniform(-1, 2), random.noise(4, 2), random.coin()

    whole = numbers(0, 5, 0)
    assert whole[0].shape == (8, 3)
    assert whole[2].shape == (8, 1, 2, 2)
    assert (whole[1] >= -1).all()
    assert (whole[1] < 2).all()
    parts = [numbers(0, 5, 0, ProcessGroup(rank, 2)) for rank in range(2)]
    for rank in range(2):
        assert all(torch.equal(a, b[rank::2]) for a, b in zip(parts[rank][:3], whole[:3], strict=True))
        assert parts[rank][3] == whole[3]
    seen = {
        float(numbers(seed, step, purpose)[0][0, 0]) for seed in range(3) for step in range(50) for purpose in (0, 1)
    }
    assert len(seen) == 300


@pytest.mark.parametrize("loss", ["stylegan2", "projected"])
def test_the_discriminator_learns_alone_at_first(tiny, loss):
    """It learns what it learns beside the generator, which stays meanwhile."""
    beside = trainer_for(tiny(loss=loss))
    alone = trainer_for(tiny(loss=loss, discriminator_images=8))
    before = copy.deepcopy(dict(alone.nets.g.named_parameters()))
    pictures = reals(alone.config)
    for trainer in (beside, alone):
        trainer.step(pictures, torch.zeros(4, dtype=torch.long))
    for name, value in beside.nets.d.state_dict().items():
        assert torch.equal(alone.nets.d.state_dict()[name], value), name
    alone.step(pictures, torch.zeros(4, dtype=torch.long))
    assert alone.images == 8
    for g in (alone.nets.g, alone.nets.ema):
        assert all(torch.equal(p, before[name]) for name, p in g.named_parameters())

    alone.step(pictures, torch.zeros(4, dtype=torch.long))
    assert sum(not torch.equal(p, before[name]) for name, p in alone.nets.g.named_parameters()) > 0.5 * len(before)
