"""What the loop is handed: objectives, a conditioned generator of another kind, and an auxiliary term that learns along."""

import copy
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch
import torch.nn.functional as F
from test_run import same
from test_step import CPU, reals, trainer_for

from gansteer.models.code import Code
from gansteer.models.spatial.config import SpatialConfig
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.training.alignment import alignment_loss, target_maps
from gansteer.training.augmentations import AUGMENTATIONS
from gansteer.training.config import TrainConfig
from gansteer.training.distributed import ProcessGroup
from gansteer.training.generators import StyleGAN2Training
from gansteer.training.loop import Trainer
from gansteer.training.networks import build_networks
from gansteer.training.objectives import OBJECTIVES
from gansteer.training.terms import AuxiliaryTerm

LABELS = torch.zeros(4, dtype=torch.long)


def test_the_command_line_offers_what_there_is():
    hints = get_type_hints(TrainConfig)
    assert set(get_args(hints["loss"])) == set(OBJECTIVES)
    assert set(get_args(hints["augment"])) == {"auto", *AUGMENTATIONS}
    assert {objective.default_augmentation for objective in OBJECTIVES.values()} <= set(AUGMENTATIONS)


@pytest.mark.parametrize("loss", ["stylegan2", "projected"])
def test_an_objective_may_compare_drawn_pictures_with_real_ones(tiny, monkeypatch, loss):
    """`softplus(D(x) - D(G(z)))`, which pairs them; the discriminator is so slow that its logits are those reported."""

    def paired(judge, fake, real):
        return F.softplus(judge(real) - judge(fake)).mean()

    monkeypatch.setitem(OBJECTIVES, loss, replace(OBJECTIVES[loss], generator_loss=paired, regularisers=()))
    config = tiny(loss=loss, augment="none", d_lr=1e-12, style_mixing=0.0)
    trainer = trainer_for(config)
    g, d = (copy.deepcopy(net) for net in (trainer.nets.g, trainer.nets.d))
    report = trainer.step(reals(config), LABELS)
    with torch.no_grad():
        random = trainer_for(config).random(0, 4)
        ws = g.map(random.normal(config.z_dim))
        random.normal(config.z_dim)  # the w that others are mixed with
        fake = d(g.synthesize(Code(ws), noise=random.noise))
        gap = d(reals(config).float() / 127.5 - 1) - fake
    expected = torch.log1p(gap.double().exp()).mean()
    # A projected discriminator's power iteration goes on with each look.
    torch.testing.assert_close(report["loss/g"].double(), expected, rtol=1e-4 if loss == "stylegan2" else 0.1, atol=0)


class LayoutTraining(StyleGAN2Training):
    """SpatialGAN: layouts are drawn from the step's random numbers, after w and before the noise."""

    def build(self, c_dim):
        shape = self.config.generator_config(c_dim)
        return SpatialGenerator(SpatialConfig(**vars(shape), blobs=2, blob_dim=3, style_channels=4, hidden_channels=4))

    def with_layout(self, g, random, code):
        layout = g.sample_layout(random.batch, random.generator)
        return replace(code, layout=layout[random.group.rank :: random.group.size])

    def sample(self, g, random, labels):
        return self.with_layout(g, random, super().sample(g, random, labels))

    def sample_training(self, g, random, labels, targets):
        return self.with_layout(g, random, super().sample_training(g, random, labels, targets))


class Alignment(AuxiliaryTerm):
    """The discriminator's attention, which has to be asked for, against heatmaps that move along with the picture."""

    name = "alignment"

    def loss(self, drawn, discriminator, report):
        logits, attended = discriminator.attended(drawn.features)
        targets = target_maps(drawn.code.layout, 8, 8)
        moved = [drawn.seen.transform.maps(target[:, None])[:, 0] for target in targets]
        report["loss/alignment"] = alignment_loss(logits, attended, moved)
        return report["loss/alignment"]


class PlaceReader(AuxiliaryTerm):
    """A network reads from the discriminator's features where the blobs are, in the augmented picture."""

    name = "place"

    def __init__(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = torch.nn.Linear(3 * 8 * 8, 4)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        self.seen = []

    def loss(self, drawn, discriminator, report):
        assert not any(p.requires_grad for p in discriminator.parameters())
        places = (2 * drawn.code.layout.centres + 1) / 8 - 1
        wanted = drawn.seen.transform.points(places)
        self.seen.append((places, wanted, drawn.real.images))
        report["place/error"] = F.mse_loss(self.network(drawn.features[0].flatten(1)), wanted.flatten(1))
        return 5 * report["place/error"]


def layout_trainer(config, terms, group=None):
    training = LayoutTraining(config)
    return Trainer(
        config, training, build_networks(config, training, 0, CPU), CPU, group or ProcessGroup(), terms=terms
    )


def test_another_architecture_and_terms_of_it(tiny):
    config = tiny(augment="diffaugment", augment_colour=0.0, path_length=2.0)
    term = PlaceReader()
    trainer = layout_trainer(config, [term, Alignment()])
    assert isinstance(trainer.nets.ema, SpatialGenerator)
    before = copy.deepcopy([*trainer.nets.g.synthesis.conditioning.parameters(), *term.network.parameters()])
    report = trainer.step(reals(config), LABELS)
    assert {"place/error", "loss/alignment", "loss/d", "loss/g", "loss/path_length"} <= set(report)
    after = [*trainer.nets.g.synthesis.conditioning.parameters(), *term.network.parameters()]
    assert all(not torch.equal(x, y) for x, y in zip(before[-2:], after[-2:], strict=True))
    assert sum(not torch.equal(x, y) for x, y in zip(before, after, strict=True)) > 0.7 * len(before)
    alone = layout_trainer(config, [])
    alone.step(reals(config), LABELS)
    assert not torch.equal(alone.nets.g.synthesis.constant, trainer.nets.g.synthesis.constant)  # what the terms taught
    for _ in range(3):
        trainer.step(reals(config), LABELS)
    assert [images for *_, images in term.seen] == [0, 4, 8, 12]
    moved = torch.cat([wanted - places for places, wanted, _ in term.seen])
    assert moved.abs().max().item() == pytest.approx(0.25)  # one pixel of eight
    torch.testing.assert_close(moved, (moved * 4).round() / 4, atol=1e-6, rtol=0)


def test_processes_share_the_layouts(tiny):
    config = tiny()
    whole = layout_trainer(config, [])
    parts = [layout_trainer(config, [], ProcessGroup(rank, 2)) for rank in range(2)]
    joint, *shares = (
        t.training.sample(t.nets.g, t.random(0, config.batch), None).layout.centres for t in (whole, *parts)
    )
    for rank, share in enumerate(shares):
        assert torch.equal(share, joint[rank::2])


def test_a_term_is_kept_with_the_run(tiny):
    config = tiny(augment="ada")
    whole = layout_trainer(config, [PlaceReader()])
    for _ in range(4):
        whole.step(reals(config), LABELS)
    first = layout_trainer(config, [PlaceReader()])
    for _ in range(2):
        first.step(reals(config), LABELS)
    second = layout_trainer(config, [PlaceReader()])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        second.step(reals(config), LABELS)
    same(whole.state_dict(), second.state_dict())
    assert "terms" not in layout_trainer(config, []).state_dict()
    with pytest.raises(KeyError):
        second.load_state_dict(layout_trainer(config, []).state_dict())


def test_a_term_that_is_no_number_ends_the_run(tiny):
    trainer = layout_trainer(tiny(), [PlaceReader()])
    assert trainer.is_finite()
    with torch.no_grad():
        trainer.terms[0].network.bias.fill_(float("nan"))
    assert not trainer.is_finite()
