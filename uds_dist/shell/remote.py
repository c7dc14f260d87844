"""A shell at another node: which one, how it starts, how it is interrupted, how it is left.

The shell is a process of the other node, linked with a process here, its group leader, so that
neither outlives the other. An exit signal ``interrupt`` interrupts an evaluation, but is sent only
while nobody reads: a shell that waits for input would keep the signal for the next evaluation. The
end of input ends the shell; it is never started with ``on_eof`` set to ``halt``, which would end
the node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal

from uds_dist.errors import ConfigError, NoConnectionError, RemoteError, UdsDistError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.node import Node
from uds_dist.processes.future import Future
from uds_dist.processes.names import CONSOLE_MODULE, KILL, NOCONNECTION
from uds_dist.services.rpc import start_rpc
from uds_dist.shell.completion import Completer
from uds_dist.shell.io_server import Console, IoServer

Kind = Literal["iex", "erl", "python"]

INTERRUPT = Atom("interrupt")
NOTHING = Atom("nothing")
START_TIMEOUT = 10.0
# Seconds that a shell gets to stop what it evaluates, and to end, when it is left.
LEAVE_TIMEOUT = 2.0


# A node's answers for a module that it can load.
LOADED = Atom("module")
# The logger of what the other node's processes log; see services/kernel.py.
REMOTE_LOGGER = "uds_dist.remote"


class Choice:
    """The requested shell: its kind (None for one that the node has), and IEx's start file.

    `dot_iex` is the path of a file at the node, "" for none, None for the node's own choice.
    """

    __slots__ = ("kind", "dot_iex")

    def __init__(self, kind: Kind | None = None, dot_iex: str | None = None) -> None:
        self.kind = kind
        self.dot_iex = dot_iex


def find_kind(node: Node, name: str, choice: Choice, timeout: float) -> Kind:
    """The kind of shell to start at a node.

    Raises:
        ConfigError: the node does not have this kind of shell.
    """
    if choice.kind == "erl":
        return choice.kind
    # A Python node that serves a console says that it has IEx, for the clients of a BEAM.
    python = node.rpc(name, CONSOLE_MODULE, "version", [])
    elixir = node.rpc(name, "code", "ensure_loaded", [Atom("iex")])
    deadline = node.loop.time() + timeout
    try:
        elixir_found = elixir.result(timeout)
        has_iex = isinstance(elixir_found, tuple) and elixir_found[:1] == (LOADED,)
    except RemoteError:
        has_iex = False
    try:
        python.result(max(deadline - node.loop.time(), 0.0))
        has_python = True
    except RemoteError:
        has_python = False
    if has_python and choice.kind in (None, "python"):
        return "python"
    if choice.kind == "python":
        raise ConfigError(f"{name} serves no Python console: its program must call serve_console()")
    if choice.kind == "iex" and (has_python or not has_iex):
        raise ConfigError(f"{name} has no IEx: use --erl, or add :iex to the release")
    return "iex" if has_iex else "erl"


class RemoteShell:
    """One session.

    Args:
        node: this node, connected to the other one.
        name: the other node's name.
        kind: which shell.
        console: shows the output and reads the input.
        count_errors: find out for each expression whether it raised, for `failed`.
    """

    def __init__(
        self, node: Node, name: str, kind: Kind, console: Console, count_errors: bool = False
    ) -> None:
        self.node = node
        self.name = name
        self.kind: Kind = kind
        self.failed = False  # an expression raised, or was not finished
        self.unfinished = False  # the input ended within one
        self.lost: UdsDistError | None = None  # why the connection was lost, if it was
        self.reason: object = None  # the shell's own exit reason
        self._console = console
        self._shell: Pid | None = None
        self._ended = False
        self._leaving = False
        self._block_ended = False
        self._errors = _Errors() if count_errors else None
        self._process = node.mailbox(on_message=self._on_message, trap_exit=True)
        self._process.group_leader = self._process.pid
        self._process.on_unwatched = self._on_unwatched
        self._server = IoServer(
            console,
            self._call,
            self._reply,
            # The first line may be asked for before the shell's pid is known here.
            lambda sender: kind == "python" and self._shell in (None, sender),
        )
        self._server.on_main = self._on_main
        self._server.on_output = self._on_output
        self._completer: Completer | None = None

    # -- beginning and end -----------------------------------------------------------------

    def start(
        self, dot_iex: str | None = None, timeout: float = START_TIMEOUT, colour: bool = False
    ) -> None:
        """Start the shell's process and tie it to this one.

        Args:
            dot_iex: the path of IEx's start file at the node.
            timeout: seconds to wait for the node.
            colour: have a Python prompt colour its tracebacks.
        Raises:
            RemoteError: the node could not start it.
            NoConnectionError: the node is gone.
        """
        self.node.on_down = self._on_down
        # The Erlang shell's completion asks the group leader's node which shell it is.
        self.node.expose("group", {"whereis_shell": lambda: self._shell or Atom("undefined")})
        if self.kind == "iex":
            options: list[object] = [
                (Atom("dot_iex"), dot_iex),
                (Atom("on_eof"), Atom("stop_evaluator")),
                (Atom("register"), True),
            ]
            nothing: tuple[object, ...] = (Atom("elixir_utils"), Atom("noop"), [])
            started = self._call(self.name, "iex", "start", [options, nothing])
        elif self.kind == "python":
            look: list[object] = [(Atom("columns"), self._columns()), (Atom("colour"), colour)]
            started = self._call(self.name, CONSOLE_MODULE, "start", [look])
        else:
            started = self._call(self.name, "shell", "start", [])
        shell = started.result(timeout)
        if not isinstance(shell, Pid):
            raise RemoteError(f"{self.name} started no shell: it answered {shown(shell)}")
        self._shell = shell
        self._process.link(shell)
        self._completer = Completer(
            self.node.loop,
            lambda module, function, arguments: self.node.rpc(
                self.name, module, function, arguments
            ),
            self.kind,
            shell,
            self._columns,
        )

    def run(self) -> None:
        """Serve the shell until it ends.

        Raises:
            NoConnectionError: the node was lost.
            RemoteError: the shell ended with an error.
        """
        self.node.loop.run_until(lambda: self._ended)
        if self.lost is not None:
            raise self.lost
        if self.reason not in ("normal", "shutdown") and not self._leaving:
            raise RemoteError(
                f"the shell at {self.name} ended with {shown(self.reason)}", "exit", self.reason
            )

    def leave(self) -> None:
        """Let the shell end: now at its prompt, otherwise as soon as it is interrupted."""
        if self._ended or self._leaving:
            return
        self._leaving = True
        if not self._server.reading:
            self._interrupt_evaluation()
        self._server.close_input()
        self.node.loop.call_later(LEAVE_TIMEOUT, self._kill)

    def close(self) -> None:
        """End whatever is left of the session."""
        if not self._ended:
            self.leave()
            self.node.loop.run_until(lambda: self._ended, 2 * LEAVE_TIMEOUT)
        self._process.close(Atom("shutdown"))

    def _kill(self) -> None:
        if not self._ended and self._shell is not None:
            self._process.exit(self._shell, KILL)

    # -- what the user does ----------------------------------------------------------------

    def line(self, text: str) -> None:
        """Take a line that was asked for."""
        self._server.line(text)

    def end_of_input(self) -> None:
        """Take the end of input: leave the shell's own prompt, or tell another read."""
        if not self._server.at_main_prompt:
            self._server.end_of_input()
        elif self._errors is None:
            self.leave()
        elif self.kind == "python" and self._errors.unfinished and not self._block_ended:
            self._block_ended = True
            self._server.line("\n")  # an empty line ends a block
        elif self.kind == "python":
            counted = self.node.rpc(self.name, CONSOLE_MODULE, "failures", [self._shell])
            counted.add_done_callback(self._count_failures)
        else:
            self.unfinished = self._server.unfinished or self._errors.unfinished
            self.failed = self.failed or self.unfinished
            self.leave()

    def _count_failures(self, counted: Future[object]) -> None:
        assert self._errors is not None
        self.unfinished = self._errors.unfinished
        self.failed = self.unfinished or counted.exception() is not None or counted.result() != 0
        self.leave()

    def interrupt(self) -> None:
        """Interrupt the read, or else the evaluation."""
        if not self._server.interrupt():
            self._interrupt_evaluation()

    def complete(self, before: str, then: Callable[[str, str], object]) -> None:
        """Complete a text by asking the node."""
        if self._completer is None:
            then("", "")
        else:
            self._completer.complete(before, then)

    def _interrupt_evaluation(self) -> None:
        if self._shell is not None and not self._ended:
            self._process.exit(self._shell, INTERRUPT)

    # -- what the node does ----------------------------------------------------------------

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("EXIT"), Pid() as pid, reason) if pid == self._shell:
                self.reason = reason
                if reason == NOCONNECTION and self.lost is None:
                    self.lost = NoConnectionError(f"the connection to {self.name} was lost")
                self._ended = True
            case _:
                self._server.message(message)

    def _on_unwatched(self, ref: Reference) -> None:
        self.node.loop.call_soon(lambda: self._forget(ref))

    def _forget(self, ref: Reference) -> None:
        # If the node is gone, the line stays on the screen.
        if not self._ended and self.name in self.node.nodes():
            self._server.forget(ref)

    def _on_down(self, name: str, error: UdsDistError) -> None:
        if name == self.name:
            self.lost = error
            self._ended = True

    def _call(
        self, node: str, module: str, function: str, arguments: Sequence[object]
    ) -> Future[object]:
        """Run a function for the shell: the console shows what it prints too."""
        return start_rpc(self.node.processes, self._process, node, module, function, arguments)

    def _reply(self, sender: Pid, reply_as: object, answer: object) -> None:
        self._process.send(sender, (Atom("io_reply"), reply_as, answer))

    def _columns(self) -> int:
        size = self._console.size()
        return 80 if size is None else size[0]

    # -- errors of expressions -------------------------------------------------------------

    def _on_main(self, prompt: str, arguments: list[object] | None) -> None:
        if self._errors is not None and self._errors.prompt(self.kind, prompt, arguments):
            self.failed = True

    def _on_output(self, sender: Pid) -> None:
        if (
            self._errors is not None and self.kind == "erl"
            and sender == self._shell and self._errors.prompted
        ):  # fmt: skip
            # The evaluator prints values; the shell's own process prints errors.
            self.failed = True


class _Errors:
    """Tells from the prompts of IEx whether an expression raised: then its counter does not rise.

    IEx 1.19 and newer send the counter with the request; before, it is part of the prompt, and a
    prompt that is neither the last one nor a new one is that of an unfinished expression.
    """

    def __init__(self) -> None:
        self.prompted = False
        self.unfinished = False
        self._last: object = NOTHING

    def prompt(self, kind: str, prompt: str, arguments: list[object] | None) -> bool:
        """Note a main prompt; returns whether the expression before it raised."""
        first, self.prompted = not self.prompted, True
        if kind != "iex":
            self.unfinished = kind == "python" and prompt.startswith("...")
            return False
        match arguments:
            case [(int() as counter, _)]:
                mark: object = counter
            case _:
                mark = prompt
                self.unfinished = not first and prompt.lstrip().startswith("...")
                if self.unfinished:
                    return False
        raised = not first and mark == self._last
        self._last = mark
        return raised


class TextHandler(logging.Handler):
    """Passes the log events of the other node's processes to a function, one text for each."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        text = record.getMessage().rstrip("\n")
        self._write(f"[{record.levelname.lower()}] {text}\n")


__all__ = ["REMOTE_LOGGER", "Choice", "Kind", "RemoteShell", "TextHandler", "find_kind"]
