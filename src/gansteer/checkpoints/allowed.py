"""The names that a pickle may mention: those that the supported releases write. None of them is ever looked up."""

import torch

DICTS = {"collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict"}
SETS = {"builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset"}
PERSISTENT_OBJECT = "torch_utils.persistence._reconstruct_persistent_obj"
TF_NETWORK = "dnnlib.tflib.network.Network"
CONTAINERS = {f"torch.nn.modules.container.{name}" for name in ("ModuleList", "ModuleDict", "Sequential")}
LOAD_BYTES = "torch.storage._load_from_bytes"
STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
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

ALLOWED = frozenset(
    {PERSISTENT_OBJECT, TF_NETWORK, LOAD_BYTES, *DICTS, *SETS, *CONTAINERS, *STORAGES, *ARRAYS, *SCALARS, *BUFFERS}
    | {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size", "torch.device"}
    | {"numpy.ndarray", "numpy.dtype", "_codecs.encode", "argparse.Namespace"}
)
