"""The names that the supported releases write into a pickle, and those that only a harmful file writes.

None of them is ever looked up: they are compared with what stands in the file.
"""

import re

import torch

DICTS = {"collections.OrderedDict", "collections.defaultdict", "dnnlib.util.EasyDict", "dnnlib.EasyDict"}
PERSISTENT_OBJECT = "torch_utils.persistence._reconstruct_persistent_obj"
TF_NETWORK = "dnnlib.tflib.network.Network"
CONTAINERS = {f"torch.nn.modules.container.{name}" for name in ("ModuleList", "ModuleDict", "Sequential")}
WRAPPERS = {
    "torch.nn.parallel.data_parallel.DataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
}
"""Modules that only stand around another one, which they call `module`."""
LOAD_BYTES = "torch.storage._load_from_bytes"
STORAGE_KINDS = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
STORAGES = {
    **{f"{place}.{name}": kind for place in ("torch", "torch.cuda") for name, kind in STORAGE_KINDS.items()},
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.UntypedStorage": torch.uint8,
}
TENSOR, OLD_TENSOR = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"
PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
OF_TYPE = "torch._tensor._rebuild_from_type_v2"
"""A tensor with attributes of its own, or of a class of its own."""
ARRAYS = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
SCALARS = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}
BUFFERS = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
KINDS = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}

HARMFUL_MODULE = re.compile(
    r"(_pickle|asyncio|bdb|cProfile|ctypes|ftplib|http|imp|importlib|joblib|linecache|marshal|multiprocessing|nt|os|pdb"
    r"|pickle|pip|pkgutil|popen2|posix|pty|pydoc|requests|runpy|shelve|shutil|signal|smtplib|socket|sqlite3|subprocess"
    r"|sys|tempfile|threading|timeit|urllib|venv|webbrowser|zipimport"
    r"|torch\.hub|torch\.jit|torch\.package|torch\.serialization|torch\.utils\.cpp_extension)(\.|$)"
)
"""Modules that reach for the system or for other code; no network needs one of their names."""
HARMFUL_NAME = re.compile(
    r"(builtins|__builtin__)\.(__import__|breakpoint|compile|delattr|eval|exec|execfile|exit|input|open|quit|setattr)(\.|$)"
    r"|(_io|io)\.(open|FileIO)$|types\.(CodeType|FunctionType)$|(torch|numpy)\.load$"
    r"|code\.Interactive|code\.interact$|(profile|trace)\.|commands\.getoutput|functools\.reduce$"
)


def is_harmful(module: str, attribute: str) -> bool:
    """Whether the global could only be meant to run something. What isn't harmful is still never run."""
    # A dotted attribute reaches through one module into another: `shutil.os.system`.
    within = any(HARMFUL_MODULE.match(part) for part in attribute.split(".")[:-1])
    return within or bool(HARMFUL_MODULE.match(module) or HARMFUL_NAME.match(f"{module}.{attribute}"))
