"""`gansteer models`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Models:
    """List the models that come with gansteer, with size, domain and licence."""

    def run(self) -> None:
        from rich.console import Console
        from rich.table import Table

        from gansteer.checkpoints.registry import installed

        models = installed()
        if not models:
            print("no models are installed; --model also takes a file, or a hub id as hf:owner/name")
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("name", "picture", "file", "domain", "licence"):
            table.add_column(heading)
        for model in models:
            size = f"{model.resolution} px", f"{model.size / 1e6:.1f} MB"
            table.add_row(model.name, *size, model.card.domain, model.card.licence)
        Console().print(table)
