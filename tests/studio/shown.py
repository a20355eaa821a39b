"""What a page is shown."""

import io

import safetensors.torch
import torch
from client import Page
from PIL import Image


def picture(page: Page, node: int) -> Image.Image:
    status, _, data = page.file(f"node/{node}")
    assert status == 200
    return Image.open(io.BytesIO(data))


def latent(page: Page, node: int) -> torch.Tensor:
    return safetensors.torch.load(page.file(f"export/{node}/latent")[2])["w"]


def titles(page: Page) -> list[str]:
    return [node["title"] for node in page.state["nodes"]]
