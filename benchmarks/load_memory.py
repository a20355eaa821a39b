"""Peak memory of opening a 1024 px checkpoint, as a multiple of its weights' size. Target: below 2.5.

    python benchmarks/load_memory.py

Writes a file in each supported layout with random weights, opens each in a process of its own, and subtracts what the
process took after importing PyTorch. Takes about 1 GB of temporary files.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "checkpoints"))

MEASURE = """
import resource, sys
from pathlib import Path
from gansteer.checkpoints.files import load_file

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

before = peak()
model = load_file(Path(sys.argv[1]), "cpu")
after = peak()
weights = sum(t.numel() * t.element_size() for t in model.generator.state_dict().values())
print(weights, after - before)
"""


def measure(path: Path) -> tuple[int, int]:
    """Bytes of the generator's weights, and the peak of memory in bytes while the file is opened."""
    run = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    weights, peak = run.stdout.split()
    return int(weights), int(peak)


def write_all(folder: Path, resolution: int, base: int, maximum: int) -> list[Path]:
    """One file for each layout: the PyTorch release with G, D and G_ema, as it is shared."""
    import numpy as np
    from checkpoint_files import (
        dump_nvidia,
        dump_tensorflow,
        nvidia_generator,
        rosinality_tensors,
        tensorflow_arrays,
        tensorflow_generator,
        torch_bytes,
    )

    from gansteer.checkpoints.files import load_file
    from gansteer.checkpoints.native import save_model

    paths = [folder / name for name in ("nvidia.pkl", "tensorflow.pkl", "rosinality.pt", "gansteer.safetensors")]
    sizes = {"resolution": resolution, "base": base, "maximum": maximum, "depth": 8}
    g = nvidia_generator(z_dim=maximum, w_dim=maximum, **sizes)
    dump_nvidia(paths[0], G=g, D=nvidia_generator(z_dim=maximum, w_dim=maximum, **sizes), G_ema=g)
    t = tensorflow_arrays(np.random.default_rng(0), z_dim=maximum, w_dim=maximum, **sizes)
    dump_tensorflow(paths[1], (tensorflow_generator(t, "G"), tensorflow_generator(t, "Gs")))
    paths[2].write_bytes(torch_bytes({"g_ema": rosinality_tensors(style_dim=maximum, **sizes)}))
    save_model(load_file(paths[0], "cpu"), paths[3])
    return paths


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # In another process, because a child's peak counts from its parent's.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            paths = pool.submit(write_all, Path(folder), 1024, 32768, 512).result()
        for path in paths:
            weights, peak = measure(path)
            print(
                f"{path.name:22} file {path.stat().st_size / 1e6:6.1f} MB   weights {weights / 1e6:6.1f} MB   "
                f"peak {peak / 1e6:6.1f} MB   ratio {peak / weights:.2f}"
            )


if __name__ == "__main__":
    main()
