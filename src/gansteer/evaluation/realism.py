"""How real a picture looks: the score of a linear discriminator between real pictures and those of one model."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansteer.errors import UserError
from gansteer.evaluation.features import extract, extractor
from gansteer.evaluation.samples import BATCH_PIXELS, draw, from_levels
from gansteer.subject import Model
from gansteer.training.data import Pictures

STRENGTH = 1e-3
"""Inverse regularisation (C) of the logistic regression: so little that a thousand features do not learn by heart."""
FEWEST = 50
"""Real pictures, below which none is fitted."""


def realism(
    model: Model,
    data: Path,
    name: str = "quality",
    count: int = 1000,
    *,
    seed: int = 3000,
    label: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Callable[[Tensor], Mapping[str, Tensor]]:
    """A scorer of pictures `[B, 3, H, W]`: the log-odds that one is real rather than drawn by the model, `[B]`.

    A logistic regression on frozen EfficientNet-Lite0 features of `count` pictures of either kind (as many real ones as
    the folder or zip `data` has). It says which of the model's pictures look least like its own mistakes. Differentiable.
    `label` is the class that is drawn of a conditional model; by default all of them are.
    Raises UserError if there are too few pictures.
    """
    from sklearn.linear_model import LogisticRegression

    reals = Pictures(data, model.resolution)
    chosen = np.random.default_rng(seed).permutation(len(reals))[:count]
    if len(chosen) < FEWEST:
        raise UserError(f"{data} has {len(reals)} pictures: give at least {FEWEST}")
    features = extractor("efficientnet-lite0", model.device)
    batch = max(1, BATCH_PIXELS // model.resolution**2)

    def real() -> Iterator[Tensor]:
        for i in range(0, len(chosen), batch):
            levels = torch.stack([reals[int(j)][0] for j in chosen[i : i + batch]])
            yield from_levels(levels.to(model.device))

    total = 2 * len(chosen)
    a = extract(real(), features, lambda done: report(done, total))
    drawn = draw(model, len(chosen), seed=seed, labels=None if label is None else [label])
    b = extract(drawn, features, lambda done: report(len(chosen) + done, total))
    x = torch.cat([a, b]).numpy()
    mean, std = x.mean(axis=0), x.std(axis=0).clip(1e-6)
    found = LogisticRegression(C=STRENGTH, max_iter=2000).fit((x - mean) / std, np.repeat([1, 0], len(chosen)))
    weight = torch.from_numpy(found.coef_[0] / std)
    bias = float(found.intercept_[0] - (found.coef_[0] / std) @ mean)

    def score(pictures: Tensor) -> dict[str, Tensor]:
        return {name: features(pictures) @ weight.to(pictures) + bias}

    return score
