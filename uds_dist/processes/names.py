"""Atoms that BEAM nodes know, under this package's names for them."""

from __future__ import annotations

from typing import Literal, cast

from uds_dist.etf.terms import Atom

# -- why a process ends or is not available -----------------------------------------------------

NORMAL = Atom("normal")
SHUTDOWN = Atom("shutdown")
KILL = Atom("kill")
KILLED = Atom("killed")
BADARG = Atom("badarg")
NOPROC = Atom("noproc")
NOCONNECTION = Atom("noconnection")
NOTSUP = Atom("notsup")
SYSTEM_LIMIT = Atom("system_limit")

# -- the messages that a process gets from links and monitors --------------------------------------

DOWN = Atom("DOWN")
EXIT = Atom("EXIT")
PROCESS = Atom("process")

# -- options of a spawn request --------------------------------------------------------------------

LINK = Atom("link")
MONITOR = Atom("monitor")

# -- nodes that come and go ------------------------------------------------------------------------

NodeEvent = Literal["nodeup", "nodedown"]
# These are atoms too, so that a program can send them on.
NODEUP = cast("NodeEvent", Atom("nodeup"))
NODEDOWN = cast("NodeEvent", Atom("nodedown"))

# -- generic servers, and the one that every node has ----------------------------------------------

GEN_CALL = Atom("$gen_call")
GEN_CAST = Atom("$gen_cast")
ALIAS = Atom("alias")
NET_KERNEL = Atom("net_kernel")
IS_AUTH = Atom("is_auth")

# -- the I/O protocol ------------------------------------------------------------------------------

IO_REQUEST = Atom("io_request")
IO_REPLY = Atom("io_reply")
UNICODE = Atom("unicode")
EOF = Atom("eof")

# -- Python shells: the module that their clients, such as `uds-dist remote`, call -----------------

CONSOLE_MODULE = "uds_dist_console"

# -- answers ---------------------------------------------------------------------------------------

OK = Atom("ok")
YES = Atom("yes")
ERROR = Atom("error")
RETURN = Atom("return")


def is_atom(term: object, atom: Atom) -> bool:
    """True when a term is this atom, and not a binary or text that looks like it."""
    return isinstance(term, Atom) and term == atom
