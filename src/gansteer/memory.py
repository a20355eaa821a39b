"""Keep freed memory for the next step instead of giving it back to the system after every tensor."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Tell glibc's allocator to serve large tensors from a heap that never shrinks.

    By default every tensor above 32 MB is a fresh mapping whose pages are zeroed on first touch; training on a CPU then
    spends about half its time in page faults. Does nothing on other systems.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def machine_memory() -> int:
    """Bytes of memory that the machine has; 0 where that is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def used_memory() -> int:
    """Bytes of memory that this process uses now; 0 where that is unknown (it is known on Linux)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return 0


def give_back_memory() -> None:
    """Return what was kept to the system, where that can be asked for."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):  # another C library
            return
