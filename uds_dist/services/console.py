"""Python prompts for remote shells, from any BEAM and from `uds-dist remote`.

``erl -remsh`` and ``iex --remsh`` ask a node a few questions, make it start a shell, link to the
shell, and become its terminal: its group leader in Erlang's I/O protocol. If this node answers the
questions and its shell asks for lines, their line editing and history work with no further code.
They also ask the shell's node for completions, and end their shell if that function is undefined.

A user of a shell can do anything that the program can do. So a console exists only if the program
asks for it, and every input is logged.

Source: the modules user_drv, group and edlin_expand of OTP 27 and 29, and IEx, as observed.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from uds_dist.etf.shown import printable
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import CONSOLE_MODULE, ERROR, OK, SHUTDOWN, SYSTEM_LIMIT, YES
from uds_dist.processes.remote_node import RemoteNode, statistics
from uds_dist.processes.table import Processes
from uds_dist.services.console_helpers import stack, tasks, top, who
from uds_dist.services.console_shell import CONTINUATION, PROMPT, Shell
from uds_dist.services.evaluator import MAX_OUTPUT, Evaluator, Progress
from uds_dist.services.exposed import Caller
from uds_dist.services.group_leader import chardata_text
from uds_dist.services.outcome import Outcome, charlist, returned
from uds_dist.transport.signal_ticks import send_ticks

logger = logging.getLogger("uds_dist.console")

MODULE = Atom("module")
NO = Atom("no")

OTP_RELEASE = "27"  # older clients accept it too: they only check for 26 or more
INDENTATION = "    "  # inserted by the Tab key at the beginning of a line
MAX_SHELLS = 256  # open at the same time
MAX_MATCHES = 1000  # of a completion
NAME = r"[\w.]*\Z"  # a name with dots, at the end of a line

# Called with each input.
Audit = Callable[["ConsoleInput"], object]


class ConsoleInput(NamedTuple):
    """One input of a remote shell, for the audit.

    ``uid`` and ``pid`` identify the process at the other end of the connection; None where the
    system does not report them.
    """

    node: str
    uid: int | None
    pid: int | None
    text: str


class Connections(Protocol):
    """What a console needs to know about the node's connections."""

    nodes: dict[str, RemoteNode]

    def credentials(self, node: str) -> tuple[int | None, int | None]: ...


class Console:
    """Opens shells for other nodes.

    Args:
        processes: the node's process table.
        connections: the node's connections and their peers' processes.
        namespace: the program's names for the shells; each use looks them up again.
        own_names: more names for each shell.
        banner: the first line that a client prints.
        audit: called with each input; the log has it too.
        allow: the nodes that may open a shell; None for every connected node.
        time_limit: seconds that one input may take; None for no limit.
    """

    def __init__(
        self,
        processes: Processes,
        connections: Connections,
        namespace: Mapping[str, object],
        own_names: Mapping[str, object],
        *,
        banner: str | None,
        audit: Audit | None,
        allow: Collection[str] | None,
        time_limit: float | None,
    ) -> None:
        self.loop = processes.loop
        self.shells: dict[Pid, Shell] = {}
        self._namespace = namespace
        self._own_names = own_names
        self._time_limit = time_limit
        self._processes = processes
        self._connections = connections
        self._banner = banner
        self._audit = audit
        self._allow = None if allow is None else frozenset(allow)

    def close(self) -> None:
        """End every shell."""
        for shell in tuple(self.shells.values()):
            self._processes.terminate(shell.process, SHUTDOWN)

    # -- for a shell -----------------------------------------------------------------------

    def log(self, node: str, text: str) -> None:
        """Log an input of a node and pass it to the audit."""
        uid, pid = self._connections.credentials(node)
        logger.info("%s (uid %s, pid %s): %s", printable(node), uid, pid, printable(text, 10_000))
        if self._audit is not None:
            self._audit(ConsoleInput(node, uid, pid, text))

    def new_evaluator(
        self,
        write: Callable[[str], object],
        fail: Callable[[str], object] | None = None,
        write_value: Callable[[str], object] | None = None,
    ) -> Evaluator:
        """An evaluator with the names that every shell has."""
        evaluator = Evaluator(
            self._namespace, write, self._time_limit, self._send_ticks, fail, write_value
        )
        evaluator.add(
            **self._own_names,
            tasks=self._tasks,
            stack=stack,
            top=partial(top, self.loop),
            who=lambda: who(self.shells.values(), self._connections.credentials),
        )
        return evaluator

    def ended(self, shell: Shell) -> None:
        """Forget a shell that has ended."""
        self.shells.pop(shell.process.pid, None)

    def _send_ticks(self) -> None:
        if not self.loop.process.forked:
            send_ticks(self.loop.urgent, self.loop.time())

    def _tasks(self) -> object:
        return tasks(self._processes, statistics(self._connections.nodes))

    # -- requests of clients ---------------------------------------------------------------

    def answer(
        self, caller: Caller, module: str, function: str, arguments: list[object]
    ) -> Outcome | Future[object] | None:
        """Answer a call of a function that the program did not expose.

        Returns:
            None if a shell's client does not call this function, or may not open a shell.
        """
        if self._allow is not None and caller.node not in self._allow:
            return None
        if module == CONSOLE_MODULE:
            return self._answer_own(caller, function, arguments)
        match (module, function, arguments):
            case ("code", "ensure_loaded", [Atom("shell" | "iex") as name]):
                return returned((MODULE, name))
            case ("net_kernel", "get_net_ticktime", []):
                return returned(60)
            case ("erlang", "system_info", [Atom("system_version")]):
                return returned(charlist(self._version() + "\n"))
            case ("erlang", "system_info", [Atom("otp_release")]):
                return returned(charlist(OTP_RELEASE))
            case ("application", "get_env", [Atom("stdlib"), Atom("shell_slogan"), _]):
                return returned(charlist(self._banner or self._version()))
            case ("shell", "start", []) | ("iex", "start", [_, _]) | ("iex", "start", [_]):
                return self._open(caller, [])
            case ("edlin_expand", "expand", [before, *_]):
                return returned(self._expand(caller, before))
        return None

    def _answer_own(
        self, caller: Caller, function: str, arguments: list[object]
    ) -> Outcome | Future[object] | None:
        """Answer a client of Python shells."""
        match (function, arguments):
            case ("start", []):
                return self._open(caller, [])
            case ("start", [list() as options]):
                return self._open(caller, options)
            case ("version", []):
                return returned(self._version().encode())
            case ("complete", [Pid() as pid, text]):
                return returned(self._complete(self._shell_of(caller, pid), text))
            case ("failures", [Pid() as pid]):
                shell = self._shell_of(caller, pid)
                return returned(0 if shell is None else shell.evaluator.failures)
            case ("eval", [text]):
                source = chardata_text(text)
                return None if source is None else self._evaluate(caller, source)
        return None

    def _version(self) -> str:
        return f"Python {sys.version.split()[0]} at {self._processes.name}, served by uds_dist"

    def _open(self, caller: Caller, options: list[object]) -> Outcome | None:
        leader = caller.group_leader
        if leader.node != caller.node:
            return None  # another node would do the typing
        if len(self.shells) >= MAX_SHELLS:
            return Outcome(ERROR, SYSTEM_LIMIT, [])
        shell = Shell(self, self._processes, leader)
        for option in options:
            match option:
                case (Atom("columns"), int() as columns) if 20 <= columns <= 1000:
                    shell.evaluator.width = columns
                case (Atom("colour"), True):
                    shell.evaluator.colour = True
        self.shells[shell.process.pid] = shell
        logger.info("%s opens the shell %s", printable(caller.node), shell.process.pid)
        # In the next round, so that the client knows the shell before it asks for a line.
        self.loop.call_soon(shell.start)
        return returned(shell.process.pid)

    # -- completion ------------------------------------------------------------------------

    def _shell_of(self, caller: Caller, pid: Pid) -> Shell | None:
        """A shell, if the caller's node opened it."""
        shell = self.shells.get(pid)
        return None if shell is None or shell.leader.node != caller.node else shell

    def _complete(self, shell: Shell | None, text: object) -> list[object]:
        written = chardata_text(text)
        if shell is None or written is None:
            return []
        return [match.encode() for match in shell.evaluator.complete(written)[:MAX_MATCHES]]

    def _expand(self, caller: Caller, before: object) -> tuple[object, ...]:
        """Complete for the line editor of a BEAM, like its ``edlin_expand:expand/2``.

        Args:
            caller: the group leader of the shell; the line is at its terminal.
            before: the line up to the cursor, reversed.
        Returns:
            ``yes`` or ``no``, the text to insert, and the choices.
        """
        text = (chardata_text(before) or "")[::-1]
        if not text.strip():
            return (YES, charlist(INDENTATION), [])
        name = re.findall(NAME, text)[0]
        shells = [shell for shell in self.shells.values() if shell.leader == caller.pid]
        matches = shells[0].evaluator.complete(name)[:MAX_MATCHES] if shells and name else []
        if not matches:
            return (NO, [], [])
        insertion = os.path.commonprefix(matches)[len(name) :]
        choices = [] if insertion else [charlist(match) for match in matches]
        return (YES, charlist(insertion), choices)

    # -- for scripts -----------------------------------------------------------------------

    def _evaluate(self, caller: Caller, source: str) -> Future[object]:
        """Evaluate a Python program in a namespace of its own.

        Returns:
            A future with ``ok`` or ``error``, the printed text, the value of the last expression,
            and the traceback; each empty if there is none.
        """
        future: Future[object] = Future(self.loop, "the value")
        self.loop.call_soon(_Script(self, future).run, caller.node, source)
        return future


class _Script:
    """A program that a node evaluates without opening a shell."""

    def __init__(self, console: Console, future: Future[object]) -> None:
        self._console = console
        self._future = future
        self._printed: list[str] = []
        self._failures: list[str] = []
        self._values: list[str] = []
        self._evaluator = console.new_evaluator(
            self._printed.append, self._failures.append, self._values.append
        )
        # A program reads the value: write it on one line, in full.
        self._evaluator.width = self._evaluator.max_value = MAX_OUTPUT

    def run(self, node: str, source: str) -> None:
        """Evaluate the program."""
        try:
            self._console.log(node, source)
            progress = self._evaluator.run(source)
        except BaseException as error:
            self._failures.append(f"{type(error).__name__}: the program was interrupted\n")
            self._end()
            raise
        self._go_on(progress)

    def _go_on(self, progress: Progress) -> None:
        future = self._evaluator.future
        if progress is Progress.WAITING and future is not None:
            future.add_done_callback(self._on_done)
        else:
            self._end()

    def _on_done(self, future: Future[object]) -> None:
        try:
            self._evaluator.show_future(future)
        except BaseException:
            self._end()
            raise
        self._go_on(Progress.WAITING)

    def _end(self) -> None:
        status = ERROR if self._failures else OK
        value = "".join(self._values).removesuffix("\n")
        texts = map(_utf8, ("".join(self._printed), value, "".join(self._failures)))
        self._evaluator.close()
        if not self._future.done() and not self._console.loop.process.forked:
            self._future.set_result((status, *texts))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


__all__ = ["CONTINUATION", "PROMPT", "Console", "ConsoleInput"]
