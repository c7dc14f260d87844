"""What runs on a node and answers for it.

The console is loaded at its first use: it needs more modules of the standard library than all other
services together, and most programs serve none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uds_dist.services import console as console
else:  # with this function, a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name != "console":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f"{__name__}.{name}")
