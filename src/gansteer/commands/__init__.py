"""One file per command of the shell: a frozen dataclass whose fields are the flags, and its `run`.

These modules import torch, and what needs it, inside `run` only: `gansteer --help` must answer at once.
"""
