"""Whose fault an exception is: the library's own, or the program's.

What a peer sends must not make `run_once` raise. Where the library itself fails at a message, the
connection ends and the log says why. What a handler of the program raises, though, is for the
program; and so is what a signal handler of the program raises while the library is at work.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final

_LIBRARY: Final = __name__.partition(".")[0]


def is_own_fault(error: BaseException) -> bool:
    """True when only code of this library, and of Python's own, took part in raising `error`."""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if module != _LIBRARY and module not in sys.stdlib_module_names:
            return False
        traceback = traceback.tb_next
    return True
