"""LPIPS (Zhang et al. 2018): distances of AlexNet's features, whose channels were weighted by what people said."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansteer.models.layers import as_channels

WIDTHS = (64, 192, 384, 256, 256)
"""Channels after each of AlexNet's convolutions."""
CONVOLUTIONS = (0, 3, 6, 8, 10)
"""Their numbers among the layers of torchvision's `alexnet().features`."""
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of ImageNet's colours, for pictures in [-1, 1]."""


class LPIPS(nn.Module):
    """Frozen: every weight is a buffer."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, alexnet: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> None:
        """`alexnet` is torchvision's state of an AlexNet, `heads` that of the package lpips (version 0.1).

        Raises KeyError if a weight is missing, ValueError if one has another shape.
        """
        super().__init__()
        inputs = 3
        for i, (number, width) in enumerate(zip(CONVOLUTIONS, WIDTHS, strict=True)):
            kernel = 11 if i == 0 else 5 if i == 1 else 3
            wanted = {
                f"weight{i}": (alexnet[f"features.{number}.weight"], (width, inputs, kernel, kernel)),
                f"bias{i}": (alexnet[f"features.{number}.bias"], (width,)),
                f"head{i}": (heads[f"lin{i}.model.1.weight"], (1, width, 1, 1)),
            }
            for name, (tensor, shape) in wanted.items():
                if tuple(tensor.shape) != shape:
                    raise ValueError(f"{name} is {list(tensor.shape)}, not {list(shape)}")
                self.register_buffer(name, tensor.detach().clone())
            inputs = width
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Pictures `[B, 3 or 1, H, W]` in [-1, 1] to five maps `[B, C_l, H_l, W_l]`, of unit length along the channels."""
        x, found = (as_channels(pictures, 3) - self.mean) / self.deviation, []
        for i in range(len(WIDTHS)):
            if i in (1, 2):
                x = F.max_pool2d(x, 3, stride=2)
            stride, padding = (4, 2) if i == 0 else (1, 2) if i == 1 else (1, 1)
            x = F.relu(F.conv2d(x, self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}"), stride, padding))
            found.append(x / (x.square().sum(dim=1, keepdim=True) + 1e-20).sqrt())  # finite gradient where all are 0
        return found

    def distance(self, found: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Equation 1, `d = sum_l mean_hw w_l . (y_l - y0_l)^2`, of two results of `features`: `[B]`."""
        each = [
            F.conv2d((y - y0).square(), self.get_buffer(f"head{i}")).mean(dim=(1, 2, 3))
            for i, (y, y0) in enumerate(zip(found, wanted, strict=True))
        ]
        return torch.stack(each).sum(dim=0)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two batches `[B, 3, H, W]` in [-1, 1], of 64 px or more, to their distances `[B]`."""
        return self.distance(self.features(a), self.features(b))
