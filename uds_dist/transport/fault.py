"""Whether the library or the program caused an exception.

A peer must not make `run_once` raise. If the library itself fails on a message, the connection ends
and the log says why. But an exception from the program's handlers goes to the program, and so does
one from its signal handlers while the library runs.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final

_LIBRARY: Final = __name__.partition(".")[0]


def is_own_fault(error: BaseException) -> bool:
    """True if only this library and Python's own modules took part in raising `error`."""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if module != _LIBRARY and module not in sys.stdlib_module_names:
            return False
        traceback = traceback.tb_next
    return True
