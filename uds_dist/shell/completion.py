"""Completion at a remote shell's prompt, which asks the shell's own node.

Source: the modules edlin_expand of OTP 27 and 29, and IEx.Autocomplete of Elixir 1.18 and 1.20.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from uds_dist.errors import UdsDistError
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import CONSOLE_MODULE
from uds_dist.services.group_leader import chardata_text
from uds_dist.shell.layout import in_columns
from uds_dist.transport.loop import EventLoop


# A name of Python, with dots, at the end of a text.
NAME = r"[\w.]*\Z"
# Seconds to wait for a completion.
TIMEOUT = 2.0
# Longer lists are cut: nobody reads them.
MAX_MATCHES = 1000

# Runs a function at the shell's node: (module, function, arguments).
Ask = Callable[[str, str, Sequence[object]], Future[object]]
# Gets the text to insert, and the text to show.
Then = Callable[[str, str], object]


class Completer:
    """Asks one node for completions.

    Args:
        loop: keeps the time limit.
        ask: runs a function there.
        kind: ``iex``, ``erl`` or ``python``.
        shell: the shell's process, which knows the variables.
        columns: gives the width of the terminal.
    """

    def __init__(
        self, loop: EventLoop, ask: Ask, kind: str, shell: Pid, columns: Callable[[], int]
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._kind = kind
        self._shell = shell
        self._columns = columns

    def complete(self, before: str, then: Then) -> None:
        """Complete a text; `then` is called exactly once, with nothing if nothing came in time.

        Args:
            before: the line up to the cursor.
            then: gets the insertion and the list to show.
        """
        backwards = [ord(character) for character in reversed(before)]
        if self._kind == "iex":
            future = self._ask("Elixir.IEx.Autocomplete", "expand", [backwards, self._shell])
        elif self._kind == "erl":
            future = self._ask("edlin_expand", "expand", [backwards, []])
        else:
            self._complete_python(before, then)
            return
        self._await(future, lambda found: self._completed(found, then))

    def _complete_python(self, before: str, then: Then) -> None:
        """Complete the dotted name at the end of a text."""
        found = re.search(NAME, before)
        name = "" if found is None else found.group()
        future = self._ask(CONSOLE_MODULE, "complete", [self._shell, name])

        def completed(found: object) -> None:
            listed = found if isinstance(found, list) else []
            matches = [chardata_text(match) or "" for match in listed]
            common = os.path.commonprefix(matches)
            insertion = common[len(name) :] if common.startswith(name) else ""
            show = "" if insertion else in_columns(matches[:MAX_MATCHES], self._columns())
            then(insertion, show)

        self._await(future, completed)

    def _await(self, future: Future[object], then: Callable[[object], object]) -> None:
        def give_up() -> None:
            if future.remove_done_callback(done):
                then(None)

        def done(future: Future[object]) -> None:
            timer.cancel()
            try:
                found = future.result()
            except UdsDistError:
                found = None
            then(found)

        timer = self._loop.call_later(TIMEOUT, give_up)
        future.add_done_callback(done)

    def _completed(self, found: object, then: Then) -> None:
        match found:
            case (Atom("yes" | "no") as answer, insertion, list() as matches):
                text = chardata_text(insertion) if answer == "yes" else ""
                self._show(text or "", matches, then)
            case _:
                then("", "")

    def _show(self, insertion: str, matches: list[object], then: Then) -> None:
        if insertion or not matches:
            then(insertion, "")
        elif self._kind == "iex":
            words = [chardata_text(match) or "" for match in matches[:MAX_MATCHES]]
            then("", in_columns(words, self._columns()))
        else:
            columns = self._columns()
            future = self._ask("edlin_expand", "format_matches", [matches, columns])
            self._await(future, lambda text: then("", _lines(text)))


def _lines(text: object) -> str:
    lines = chardata_text(text) if text is not None else None
    return "" if not lines else lines.rstrip("\n") + "\n"
