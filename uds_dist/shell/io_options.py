"""The options of a shell's group leader, as ``io:setopts`` and ``io:getopts`` know them."""

from __future__ import annotations

from uds_dist.etf.terms import Atom
from uds_dist.processes.names import ERROR, OK, UNICODE

LATIN1 = Atom("latin1")
REQUEST_ERROR = (ERROR, Atom("request"))


class Options:
    """The options that a shell has set.

    ``binary``: lines are binaries, not lists of code points; ``echo``: what is typed is shown;
    ``line_history``: lines are kept in the history.
    """

    def __init__(self) -> None:
        self._values: dict[str, object] = {
            "binary": False,
            "echo": True,
            "encoding": UNICODE,
            "expand_fun": False,
            "line_history": True,
        }

    @property
    def binary(self) -> bool:
        """Whether lines are binaries."""
        return self._values["binary"] is True

    @property
    def echo(self) -> bool:
        """Whether what is typed is shown."""
        return self._values["echo"] is True

    @property
    def line_history(self) -> bool:
        """Whether lines are kept in the history."""
        return self._values["line_history"] is True

    def all(self, terminal: bool) -> list[object]:
        """The answer to ``getopts``; `terminal` says whether there is a terminal here."""
        fixed = {
            "terminal": terminal,
            "log": Atom("none"),
            "stdin": True,
            "stdout": True,
            "stderr": True,
        }
        return [(Atom(name), value) for name, value in {**self._values, **fixed}.items()]

    def set(self, options: list[object]) -> object:
        """Set the known options; shells send back all of `getopts`, so others are ignored."""
        changed: dict[str, object] = {}
        for option in options:
            match option:
                case (Atom("binary" | "echo" | "line_history") as name, bool() as value):
                    changed[name] = value
                case (Atom("encoding"), Atom("unicode" | "utf8")):
                    changed["encoding"] = UNICODE
                case (Atom("encoding"), Atom("latin1")):
                    changed["encoding"] = LATIN1
                case (Atom("expand_fun"), value):
                    changed["expand_fun"] = value
                case Atom("binary"):
                    changed["binary"] = True
                case Atom("list"):
                    changed["binary"] = False
                case (Atom(), _) | Atom():
                    pass
                case _:
                    return REQUEST_ERROR
        self._values.update(changed)
        return OK
