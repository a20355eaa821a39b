"""Directions from scores of sampled pictures, or from a few marked ones, by a linear SVM (InterFaceGAN)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gansteer.directions import Direction, Space, style_code
from gansteer.errors import UserError
from gansteer.models.code import Code
from gansteer.models.layout import Layout
from gansteer.subject import MAX_SEED, Model

Scorer = Callable[[Tensor], Mapping[str, Tensor]]
"""Pictures `[B, 3, H, W]` in [-1, 1] to scores `[B]` by name; higher is more."""

FEWEST = 8
"""Examples of each kind, below which no boundary is fitted."""
FITTED = 0.1
"""Share of the samples at either end of the scores between which the boundary is fitted. The paper's is 0.02, of 500k: of
some thousands that leaves too few for this many coordinates, and the boundary follows the score's noise."""
RAREST = 0.01
"""Share of the highest scores that is taken to have the attribute, also where few pictures have it."""
EXTREME = 0.05
"""Share at either end that a boundary is measured on."""
GRADIENTS = 128
"""Pictures over which the gradient of a score is averaged."""
VALIDATION = 0.3
"""Share of the extremes that is kept for measuring, as in the paper."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Codes of sampled pictures in every space, and what the pictures scored."""

    z: Tensor
    """`[N, z_dim]`."""
    w: Tensor
    """`[N, w_dim]`."""
    s: Tensor
    """`[N, S]`: style codes."""
    scores: Mapping[str, np.ndarray]
    """By name, `[N]` each."""
    layout: Layout | None = None
    """Of all N pictures, for a model that has layouts."""

    def codes(self, space: Space) -> Tensor:
        """Those of one space, `[N, D]`."""
        return {"z": self.z, "w": self.w, "s": self.s}[space]


def seeded_z(model: Model, count: int, seed: int) -> Tensor:
    """`[count, z_dim]` of one seed."""
    return model.generator.sample_z(count, torch.Generator().manual_seed(seed))


def sample(
    model: Model,
    count: int,
    scorer: Scorer | None = None,
    *,
    seed: int = 0,
    psi: float = 1.0,
    label: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Samples:
    """Sample `count` pictures and score them (without a scorer, only the codes). `label` is a conditional model's class.

    Raises UserError for a label that the model does not have and for a scorer that gives no finite scores.
    """
    return of_codes(model, seeded_z(model, count, seed), scorer, psi=psi, label=label, report=report)


def of_seeds(model: Model, seeds: Sequence[int], psi: float = 1.0, label: int | None = None) -> Samples:
    """The codes of the pictures that `model.sample` gives for these seeds."""
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"a seed is from 0 to {MAX_SEED}, not {seed}")
    return of_codes(model, torch.cat([seeded_z(model, 1, seed) for seed in seeds]), None, psi=psi, label=label)


def of_codes(
    model: Model,
    z: Tensor,
    scorer: Scorer | None = None,
    *,
    psi: float = 1.0,
    label: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Samples:
    """As `sample`, of the codes `z [N, z_dim]`."""
    generator = model.generator
    found: dict[str, list[Tensor]] = {}
    ws, styles, layouts = [], [], []
    with torch.no_grad():
        for start in range(0, len(z), 16):
            part = z[start : start + 16]
            code = _batch_code(model, part, start, label, psi)
            layers = generator.styles(code)
            ws.append(code.ws[:, 0])
            styles.append(style_code(generator, layers))
            layouts += [] if code.layout is None else [code.layout]
            if scorer is not None:
                for name, score in scorer(generator.synthesize(code, styles=layers).clamp(-1, 1)).items():
                    found.setdefault(name, []).append(score.detach().cpu().double())
            report(min(start + 16, len(z)), len(z))
    scores = {name: np.asarray(torch.cat(parts).numpy()) for name, parts in found.items()}
    for name, values in scores.items():
        if values.shape != (len(z),) or not np.isfinite(values).all():
            raise UserError(f"the scores of {name} must be one finite number per picture")
    return Samples(z, torch.cat(ws), torch.cat(styles), scores, Layout.batch(layouts) if layouts else None)


def _batch_code(model: Model, z: Tensor, start: int, label: int | None, psi: float = 1.0) -> Code:
    """The codes of `z [B, z_dim]`, of which the first is number `start` of all; what z does not determine follows from that."""
    rng = torch.Generator().manual_seed(start)
    return model.generator.code_of(z, model.condition(label, len(z)), psi=psi, rng=rng)


# --- Boundaries -------------------------------------------------------------------------------------------------------


def fit_scores(
    name: str, space: Space, codes: Tensor, scores: np.ndarray, gradient: Tensor | None = None, *, seed: int = 0
) -> Direction:
    """The normal of a linear SVM between the highest and the lowest `FITTED` of `scores [N]`, at `codes [N, D]`.

    Of an attribute that few pictures have, only those that have it are taken: see `ends`.
    `gradient [D]` is the mean gradient of the score, for holding; without it, least squares tell where the score rises.
    `about` tells the accuracy of a boundary fitted without `VALIDATION` of them: on those that it did not see of the
    highest and lowest `EXTREME`, and on all other samples, labelled by the middle between the least and the greatest
    score, as the paper does. Raises UserError if there are too few samples.
    """
    x = codes.detach().cpu().double().numpy()
    extreme = round(EXTREME * len(scores))
    if extreme < FEWEST:
        raise UserError(f"{len(scores)} scored pictures are too few: give at least {round(FEWEST / EXTREME)}")
    low, high = ends(scores)
    if scores[low].max() >= scores[high].min():
        raise UserError(f"the scores of {name} do not vary: give scores that do, or more pictures")
    rng = np.random.default_rng(seed)
    unseen_low, unseen_high = (rng.permutation(len(end)) < round(VALIDATION * len(end)) for end in (low, high))
    seen = np.concatenate([low[~unseen_low], high[~unseen_high]])
    labels = np.repeat([0, 1], [(~unseen_low).sum(), (~unseen_high).sum()])
    normal, intercept, scale = _boundary(space, x, seen, labels)
    decision = (x if scale is None else x / scale) @ normal + intercept
    right = np.r_[
        decision[low[:extreme][unseen_low[:extreme]]] < 0, decision[high[:extreme][unseen_high[:extreme]]] > 0
    ]
    rest = np.setdiff1d(np.arange(len(scores)), np.concatenate([low, high]))
    positive = scores > (scores.min() + scores.max()) / 2
    about = {
        "method": "svm",
        "samples": len(scores),
        "accuracy_validation": float(np.mean(right)),
        "accuracy_all": float(np.mean((decision[rest] > 0) == positive[rest])),
    }
    normal, intercept, scale = _boundary(
        space, x, np.concatenate([low, high]), np.repeat([0, 1], [len(low), len(high)])
    )
    decision = (x if scale is None else x / scale) @ normal + intercept
    about["correlation"] = float(np.corrcoef(decision, scores)[0, 1])
    if gradient is None:
        level = least_squares(x if scale is None else x / scale, scores)
    else:
        level = gradient.cpu().double().numpy() * (1.0 if scale is None else scale)
    return Direction(
        name, space, torch.from_numpy(normal), float(decision.std()), intercept,
        scale=_tensor(scale), level=torch.from_numpy(level / np.linalg.norm(level)), about=about,
    )  # fmt: skip


def ends(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `scores [N]` are the lowest and which the highest `FITTED`, the most extreme first.

    Where fewer than half of the highest are nearer to the mean of the topmost `RAREST` than to the median, hardly any
    picture has the attribute, the order of the others is noise, and only the near ones are taken.
    """
    order = np.argsort(scores, kind="stable")
    k, rarest = round(FITTED * len(scores)), max(1, round(RAREST * len(scores)))
    low, high = order[:k], order[::-1][:k]  # the most extreme first
    has = int((scores[high] > (scores[high[:rarest]].mean() + np.median(scores)) / 2).sum())
    return low, high[:has] if FEWEST <= has < k / 2 else high


def least_squares(x: np.ndarray, scores: np.ndarray, damping: float = 0.1) -> np.ndarray:
    """The direction in which a linear fit of `scores [N]` to `x [N, D]` rises; `damping` in mean variances of x."""
    x = x - x.mean(axis=0)
    covariance = x.T @ x / len(x)
    ridge = damping * float(np.trace(covariance)) / len(covariance)
    rise: np.ndarray = np.linalg.solve(
        covariance + ridge * np.eye(len(covariance)), x.T @ (scores - scores.mean()) / len(x)
    )
    return rise


def mean_gradients(
    model: Model, z: Tensor, scorer: Scorer, label: int | None = None, names: Collection[str] | None = None
) -> dict[str, dict[Space, Tensor]] | None:
    """By score (of `names`, or all) and space the mean gradient `[D]` of the score over pictures of `z [N, z_dim]`.

    None if the scorer cannot be differentiated.
    """
    sums: dict[str, dict[Space, Tensor]] = {}
    generator = model.generator
    for start in range(0, len(z), 16):
        leaf = z[start : start + 16].clone().requires_grad_()
        code = _batch_code(model, leaf, start, label)
        layers = generator.styles(code)
        scored = scorer(generator.synthesize(code, styles=layers)).items()
        scores = {name: score for name, score in scored if names is None or name in names}
        if any(not score.requires_grad for score in scores.values()):
            return None
        for i, (name, score) in enumerate(scores.items(), 1):
            keep = i < len(scores)
            found = torch.autograd.grad(score.sum(), [leaf, code.ws, *layers.values()], retain_graph=keep)
            by_space: dict[Space, Tensor] = {
                "z": found[0],
                "w": found[1].sum(dim=1),
                "s": style_code(generator, dict(zip(layers, found[2:], strict=True))),
            }
            total = sums.setdefault(name, {})
            for space, gradient in by_space.items():
                total[space] = total.get(space, 0.0) + gradient.cpu().double().sum(dim=0) / len(z)
    return sums


def fit_labels(name: str, space: Space, codes: Tensor, labels: Sequence[bool], population: Tensor) -> Direction:
    """The same from marked examples: `codes [N, D]`, liked or not; `population [M, D]` are samples of any kind.

    Twenty of each are enough for a usable direction: the SVM is held back the more, the fewer they are. `about` tells
    the accuracy with each example left out in turn (of ten groups). Raises UserError if there are too few of a kind.
    """
    marked = np.asarray(labels, bool)
    for kind, count in (("positive", int(marked.sum())), ("negative", int((~marked).sum()))):
        if count == 0:
            raise UserError(f"the labels of {name} are all alike: mark {kind} examples too")
        if count < FEWEST:
            raise UserError(f"only {count} {kind} examples of {name}: mark at least {FEWEST}, better 20")
    x = np.concatenate([codes.detach().cpu().double().numpy(), population.detach().cpu().double().numpy()])
    index = np.arange(len(marked))
    right = []
    for fold in range(10):
        out = np.zeros(len(marked), bool)
        for group in (index[marked], index[~marked]):
            out[group[fold::10]] = True
        if out.any():
            normal, intercept, scale = _boundary(space, x, index[~out], marked[~out])
            decision = x[index[out]] / (1.0 if scale is None else scale) @ normal + intercept
            right.extend((decision > 0) == marked[out])
    normal, intercept, scale = _boundary(space, x, index, marked)
    decision = (x if scale is None else x / scale) @ normal + intercept
    about = {"method": "svm", "examples": len(marked), "accuracy_left_out": float(np.mean(right))}
    std = float(decision[len(marked) :].std())
    return Direction(name, space, torch.from_numpy(normal), std, intercept, scale=_tensor(scale), about=about)


def _boundary(
    space: Space, x: np.ndarray, train: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray | None]:
    """Unit normal, intercept and scale of the coordinates that they are in, from the rows `train` of `x`."""
    from sklearn.svm import LinearSVC

    scale = channel_scale(x) if space == "s" else None
    y = x if scale is None else x / scale
    centre, size = y.mean(axis=0), float(np.sqrt(y.var(axis=0).mean()))
    # Few examples say little about each coordinate: a small C leaves the difference of the two means.
    strength = min(5e-3, 1e-5 * len(train))
    # Both kinds count alike, however few pictures have a rare attribute.
    svm = LinearSVC(C=strength, dual=False, tol=1e-6, max_iter=10_000, class_weight="balanced")
    svm.fit((y[train] - centre) / size, labels)
    normal = svm.coef_[0] / size
    length = float(np.linalg.norm(normal))
    if length == 0:
        raise UserError("the examples do not differ: mark others")
    return normal / length, float(svm.intercept_[0] - normal @ centre) / length, scale


def channel_scale(x: np.ndarray) -> np.ndarray:
    """Deviation of every style channel, `[S]`, with a floor for those that hardly vary."""
    std: np.ndarray = x.std(axis=0)
    floored: np.ndarray = np.maximum(std, 1e-3 * np.median(std))
    return floored


def _tensor(x: np.ndarray | None) -> Tensor | None:
    return None if x is None else torch.from_numpy(x)


# --- What the command and the studio ask for --------------------------------------------------------------------------


def fit_examples(
    model: Model, name: str, seeds: Sequence[int], labels: Sequence[float], *, space: Space = "w", psi: float = 0.7,
    label: int | None = None,
) -> Direction:  # fmt: skip
    """A direction from labelled seeds, drawn as `model.sample(seed, psi, label)` draws them.

    Two kinds of label are two classes; of scores, the upper and the lower third are. Raises UserError if there are too
    few of either kind, or only one.
    """
    twice = {seed for seed in seeds if seeds.count(seed) > 1} if len(seeds) < 10_000 else set()
    if twice:
        raise UserError(f"seed {min(twice)} is labelled twice: label it once")
    values = np.asarray(labels, float)
    kinds = np.unique(values)
    if len(kinds) == 1:
        raise UserError(f"the labels of {name} are all {kinds[0]:g}: label pictures of the other kind too")
    low, high = (kinds[0], kinds[-1]) if len(kinds) == 2 else np.quantile(values, [1 / 3, 2 / 3])
    kept = (values <= low) | (values >= high)
    codes = of_seeds(model, list(seeds), psi, label).codes(space)
    population = sample(model, 2000, label=label).codes(space)
    return fit_labels(name, space, codes[torch.from_numpy(kept)], list(values[kept] >= high), population)


def check_count(count: int) -> None:
    """Raise UserError if so few scored pictures make no boundary."""
    if round(EXTREME * count) < FEWEST:
        raise UserError(f"{count} scored pictures are too few: give at least {round(FEWEST / EXTREME)}")


def fit_model(
    model: Model,
    scorer: Scorer,
    names: Sequence[str] | None = None,
    *,
    count: int = 6000,
    spaces: Sequence[Space] = ("w", "s", "z"),
    seed: int = 0,
    label: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Direction]:
    """A direction in every one of `spaces` for each score (or for those of `names`), from `count` samples at psi 1.

    `label` is the class of a conditional model that the samples are of.
    """
    check_count(count)
    known = list(sample(model, 1, scorer, label=label).scores)
    for name in names or known:
        if name not in known:
            raise UserError(f"there is no score {name!r}; there are {', '.join(known)}")
    samples = sample(model, count, scorer, seed=seed, label=label, report=report)
    gradients = mean_gradients(model, samples.z[:GRADIENTS], scorer, label, names)
    found = []
    for name in names or known:
        for space in spaces:
            gradient = gradients[name][space] if gradients is not None else None
            found.append(fit_scores(name, space, samples.codes(space), samples.scores[name], gradient))
    return found
