"""Training with layouts: what steps draw, what the terms say, runs that are continued, grown and refused."""

from dataclasses import replace

import pytest
import torch
from test_run import carry_out, same, state_of
from test_step import CPU, asked_in_a_step, reals, trainer_for

from gansteer.checkpoints.native import save_model
from gansteer.checkpoints.registry import load
from gansteer.errors import UserError
from gansteer.models.layout import Layout, heatmaps
from gansteer.models.layout_laws import HierarchicalLaw
from gansteer.models.spatial.generator import SpatialGenerator
from gansteer.models.stylegan2.generator import StyleGAN2Generator
from gansteer.subject import Card, Model
from gansteer.training.alignment import alignment_loss, target_maps
from gansteer.training.codes import LatentTargets
from gansteer.training.distributed import ProcessGroup, StepRandom
from gansteer.training.layouts import READ_NUMBERS, Alignment, LayoutReader, SpatialTraining

LABELS = torch.zeros(4, dtype=torch.long)
PROJECTED = {"loss": "projected", "augment": "diffaugment", "augment_colour": 0.0}


def test_a_step_draws_layouts_after_z_and_blobs_stand_alone_in_a_share(tiny):
    config = tiny(layout="objects:3", resolution=64, channel_base=64, batch=200, blobs_alone=0.7)
    training = SpatialTraining(config)
    g = training.build(0)
    g.mapping.w_mean.fill_(7.0)
    code = training.sample_training(g, StepRandom(0, 0, 0, 200, ProcessGroup(), CPU), None, None)
    g.check(code[0])
    assert len(code.layout) == 3
    still = (code.ws[:, :5] == g.mean_w()).all(dim=2)
    assert bool((still.all(dim=1) == still.any(dim=1)).all())
    assert 0.6 < still[:, 0].float().mean() < 0.8
    assert not bool((code.ws[:, 5:] == g.mean_w()).all(dim=2).any())
    constant = g.synthesis.constant
    assert torch.equal(constant, constant[..., :1].expand_as(constant))
    assert not torch.equal(constant[:, :1], constant[:, 1:2])
    new = training.sample(g, StepRandom(0, 0, 0, 200, ProcessGroup(), CPU), None)
    torch.testing.assert_close(new.ws[0], g.mapping(code.z)[0].expand_as(new.ws[0]))  # type: ignore[attr-defined]


def test_known_pictures_are_drawn_where_they_are(tiny):
    """The first pictures of a step come from near their latents, in their layouts; the others as without them."""
    training = SpatialTraining(tiny(layout="hierarchical", loss="projected", anchor=0.5))
    g = training.build(0)
    known = g.sample_layout(2, torch.Generator().manual_seed(9))
    targets = LatentTargets(torch.randn(2, g.config.z_dim), None, known)
    random = [StepRandom(0, 0, 0, 5, ProcessGroup(), CPU) for _ in range(2)]
    plain, code = (training.sample_training(g, r, None, t) for r, t in zip(random, (None, targets), strict=True))
    near = (targets.codes + 0.1 * plain.z[:2]) / 1.01**0.5  # type: ignore[attr-defined]
    torch.testing.assert_close(code.z, torch.cat([near, plain.z[2:]]))  # type: ignore[attr-defined]
    torch.testing.assert_close(code.ws[:2, 0], g.mapping(near))
    for name, x in code.layout.tensors().items():
        assert torch.equal(x, torch.cat([known.tensors()[name], plain.layout.tensors()[name][2:]]))


class Alone(ProcessGroup):
    """A process that does not wait for the others' means."""

    def mean(self, x):
        return x


def test_processes_share_the_layouts(tiny):
    config = tiny(layout="objects:2")
    training = SpatialTraining(config)
    g = training.build(0)
    whole, *shares = (
        training.sample_training(g, StepRandom(0, 5, 0, 4, group, CPU), None, None).layout
        for group in (ProcessGroup(), Alone(0, 2), Alone(1, 2))
    )
    for rank, share in enumerate(shares):
        assert torch.equal(share.centres, whole.centres[rank::2])
        assert torch.equal(share.styles, whole.styles[rank::2])


class Seen(Alignment):
    """The alignment term, with what it was shown."""

    def loss(self, drawn, discriminator, report):
        self.drawn, self.discriminator = drawn, discriminator
        self.found = super().loss(drawn, discriminator, report)
        return self.found


@pytest.mark.parametrize("loss", ["projected", "stylegan2"])
def test_alignment_moves_the_heatmaps_along_with_the_picture(tiny, loss):
    config = tiny(layout="objects:2", loss=loss, augment="diffaugment", augment_colour=0.0, alignment=0.0)
    trainer = trainer_for(config)
    trainer.terms = [Seen(2.0, 100, 1.0)]
    trainer.step(reals(config), LABELS)  # of weight 0
    report = trainer.step(reals(config), LABELS)
    term = trainer.terms[0]
    drawn, layout = term.drawn, term.drawn.code.layout
    shift = -drawn.seen.transform.source[:, :, 2] * 4  # [B, 2] pixels of eight
    assert bool((shift != 0).any())
    maps = target_maps(layout, 8, 8)[0]
    moved = torch.zeros_like(maps)
    for b, (dx, dy) in enumerate(shift.round().int().tolist()):
        for y in range(8):
            for x in range(8):
                if 0 <= y - dy < 8 and 0 <= x - dx < 8:
                    moved[b, y, x] = maps[b, y - dy, x - dx]
    if loss == "stylegan2":  # a projected one's power iteration would go on
        logits, levels = term.discriminator.attended(drawn.features)
        expected = alignment_loss(logits, levels, [moved] * 3)
        torch.testing.assert_close(report["alignment"], expected, rtol=1e-4, atol=0)
    assert term.found.item() / report["alignment"].item() == pytest.approx(2 * 4 / 100, rel=1e-4)


def test_the_reader_sees_what_the_picture_was_drawn_from(tiny):
    config = tiny(layout="objects:2", layout_reader=3.0, alignment=0.0, **PROJECTED | {"augment": "none"})
    trainer = trainer_for(config)
    (term,) = trainer.terms
    assert isinstance(term, LayoutReader)
    asked = term.loss
    before = [p.clone() for p in term.network.parameters()]
    drawn, _, _ = asked_in_a_step(trainer, config)
    layout = drawn.code.layout
    term.network.load_state_dict(dict(zip(term.network.state_dict(), before, strict=True)))
    with torch.no_grad():
        found = asked(drawn, trainer.nets.d, report := {})
        maps, z = term.network(drawn.features[1], drawn.seen.pictures)
    size = maps.shape[-1]
    heat = heatmaps(
        Layout(layout.centres, layout.sizes, layout.styles, layout.present, layout.levels, layout.parents), size, 8
    )
    styles = torch.einsum("bkhw,bkc->bchw", heat, layout.styles[..., :READ_NUMBERS])
    wrong = ((maps[:, :-1] - styles) ** 2).mean() / (styles**2).mean()
    places = (maps[:, -1] - heat.sum(dim=1).clamp(max=1)).abs().mean()
    about = ((z - drawn.code.z[:, :READ_NUMBERS]) ** 2).mean()
    torch.testing.assert_close(report["reader/styles"], wrong, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(report["reader/places"], places, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found, 3 * (2 * places + 3 * wrong + about), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "flags",
    [
        {
            "layout": "objects:2",
            "layout_reader": 1.0,
            "composition": 1.0,
            "blobs_alone": 0.5,
            "spread": True,
            "layout_noise": False,
            **PROJECTED,
        },
        {
            "layout": "hierarchical",
            "encoding": "published",
            "alignment_ramp": 16,
            "augment": "ada",
            "discriminator_images": 4,
        },
    ],
    ids=["ours", "published"],
)
def test_a_continued_run_is_as_if_never_stopped(tiny, flags):
    whole = tiny("whole", images=16, **flags)
    carry_out(whole)
    halves = tiny("halves", images=8, **flags)
    carry_out(halves)
    carry_out(tiny("halves", images=16, **flags))
    same(state_of(whole), state_of(halves))
    assert (whole.out / "layout-000000016.png").exists()


def test_a_run_goes_on_from_a_trained_stylegan2_with_its_pictures(tiny, tmp_path):
    torch.manual_seed(0)
    start = StyleGAN2Generator(tiny().generator_config()).eval()
    save_model(Model(Card(name="plain"), start), tmp_path / "plain.safetensors")
    training = SpatialTraining(tiny(layout="objects:2"))
    g = training.adopt(start, "plain")
    assert isinstance(g, SpatialGenerator)
    code = g.sample_code(torch.Generator().manual_seed(0))
    torch.testing.assert_close(g.synthesize(code)[0], start.synthesize(type(code)(code.ws))[0])
    grown = tiny("grown", layout="objects:2", grow=tmp_path / "plain.safetensors", images=4, resolution=8)
    carry_out(grown)
    carry_out(more := tiny("more", layout="objects:2", grow=newest(grown), images=4, resolution=8, channel_max=6))
    wider = load(newest(more), device="cpu").generator
    assert isinstance(wider, SpatialGenerator)
    assert wider.config.channels(4) == 6
    with pytest.raises(UserError, match="noise maps"):
        carry_out(tiny("quiet", layout="objects:2", layout_noise=False, grow=tmp_path / "plain.safetensors"))
    with pytest.raises(UserError, match="--encoding local"):
        carry_out(tiny("other", layout="objects:2", encoding="published", grow=newest(grown)))
    with pytest.raises(UserError, match="spatial"):
        carry_out(tiny("back", grow=newest(grown)))
    for start in (newest(grown), grown.out):
        with pytest.raises(UserError, match="has --layout objects"):
            carry_out(tiny("law", layout="hierarchical", grow=start))
    carry_out(without := tiny("without", images=4))
    with pytest.raises(UserError, match=r"the run \S+ has no layout: --grow from one of its snapshots"):
        carry_out(tiny("within", layout="objects:2", grow=without.out))


@pytest.mark.parametrize("start", ["file", "folder"])
def test_a_run_takes_the_numbers_of_the_law_that_it_is_told(tiny, start):
    def drawn_by(path):
        g = load(path, device="cpu").generator
        assert isinstance(g, SpatialGenerator)
        return g

    first = tiny("first", layout="hierarchical:0.2", images=4)
    carry_out(first)
    assert drawn_by(newest(first)).config.deviation == 0.2
    grow = newest(first) if start == "file" else first.out
    carry_out(nearer := tiny("nearer", layout="hierarchical:0.1", grow=grow, images=4))
    g = drawn_by(newest(nearer))
    assert g.config.deviation == 0.1
    drawn = g.sample_layout(100, torch.Generator().manual_seed(0)).centres[:, 0]
    law = (
        HierarchicalLaw(0.1)
        .sample(100, g.config.resolution, g.config.blob_dim, torch.Generator().manual_seed(0))
        .centres[:, 0]
    )
    torch.testing.assert_close(drawn, law.float())


def test_features_look_at_the_size_that_they_are_told(tiny):
    flags = {"layout": "objects:2", "alignment": 0.0, "images": 8, **PROJECTED}
    small, same_size, wider = (
        tiny("small", feature_size=64, **flags),
        tiny("same", feature_size=64, **flags),
        tiny("wider", feature_size=128, **flags),
    )
    for config in (small, replace(same_size, grow=small.out), replace(wider, grow=small.out)):
        carry_out(config)
    seen = [state_of(config)["d"] for config in (small, same_size, wider)]
    assert seen[0].keys() == seen[1].keys()
    assert set(seen[0]) < set(seen[2])  # at twice the size each level is halved once more: another discriminator


def newest(config):
    return max(config.out.glob("snapshot-*.safetensors"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"layout": "blobs"}, "objects:N such as objects:6, hierarchical"),
        ({"layout": "objects:0"}, "from 1 to 64"),
        ({"layout": "objects:1000"}, "from 1 to 64"),
        ({"layout": "hierarchical:2"}, "hierarchical:D such as hierarchical:0.2"),
        ({"layout": "hierarchical:0.0"}, "a D above 0"),
        ({"layout": "objects:2", "layout_reader": 1.0}, "--loss projected"),
        ({"layout": "objects:2", "composition": 1.0}, "--no-layout-noise"),
        ({"layout": "hierarchical", "equivariance": 1.0}, "--layout hierarchical and --grow"),
        ({"layout": "objects:2", "alignment": -1.0}, "must not be negative"),
        ({"layout": "objects:2", "blobs_alone": 1.5}, "share from 0 to 1"),
        ({"spread": True}, "--loss projected"),
        ({"feature_size": 96}, "--feature-size is one of 64, 128, 256"),
    ],
)
def test_flags_that_cannot_be_are_refused(tiny, flags, message):
    with pytest.raises(UserError, match=message):
        tiny(**flags)
