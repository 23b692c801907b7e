"""The one exception for mistakes that a user can put right, and how to tell that memory ran out."""

from __future__ import annotations

import errno
import sys


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line: what is wrong, where, and what to do about it.

    The commands print that line and end with exit code 2; from Python it is an ordinary exception.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


# Not all allocators have an exception of their own: PyTorch's on the CPU, cuBLAS, MPS, safetensors.
_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
)


def reason_of(error: BaseException) -> str:
    """The first line of what an error of another library says; its name where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory or the machine's was not enough."""
    torch = sys.modules.get("torch")  # not imported for this: a typo is answered at once
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    from_an_allocator = isinstance(error, RuntimeError | OSError) or type(error).__name__ == "SafetensorError"
    return from_an_allocator and any(words in str(error).lower() for words in _NO_MEMORY)
