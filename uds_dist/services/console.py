"""Python prompts for remote shells, from any BEAM and from `uds-dist remote`.

``erl -remsh`` and ``iex --remsh`` ask a node some questions, have it start a shell, link to that, and
then are the shell's terminal: its group leader, by Erlang's I/O protocol. A node that answers the
questions and whose shell asks for lines gets their line editing and their history for nothing.

Each shell is a process of this node. It asks its group leader for a line, evaluates it, writes what
comes of it, and asks for the next one:

    READING ----line----> (evaluating, inside run_once) ----> READING
       ^                            |
       |                     the value is a Future
       |                            v
       `------- it is done ----- WAITING

It ends with its terminal, which it watches, by an exit signal, by ``exit()``, and at the end of its
input. An exit signal with the reason ``interrupt``, which is what Ctrl-C at the terminal sends, takes
it from WAITING back to READING.

Whoever may open a shell can do anything that the program can do. So nothing of this is there before
the program asks for it, and every input is logged.

Source: STDLIB user's guide, "The Erlang I/O Protocol"; user_drv, group, shell and IEx as observed.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import FrameType
from typing import NamedTuple

from uds_dist.etf.shown import printable
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.table import Processes
from uds_dist.services.evaluator import Evaluator, Progress
from uds_dist.services.exposed import Caller
from uds_dist.services.gen import answer_to
from uds_dist.services.group_leader import chardata_text
from uds_dist.services.outcome import Outcome, charlist, returned
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger("uds_dist.console")

IO_REQUEST = Atom("io_request")
GET_LINE = Atom("get_line")
PUT_CHARS = Atom("put_chars")
UNICODE = Atom("unicode")
MODULE = Atom("module")
NORMAL = Atom("normal")

# The module whose functions a client that knows of Python shells calls.
CONSOLE_MODULE = "uds_dist_console"
OTP_RELEASE = "27"  # clients of older releases are served as well; they only look for 26 or more

PROMPT = ">>> "
CONTINUATION = "... "
MAX_INPUTS = 1000  # of a shell, kept for `history()`
OUTPUT_PART = 65_536  # characters of one request to write

# What is told of each input: the node, the user and process id of its process, and the text.
Audit = Callable[["ConsoleInput"], object]
# Where a node's process is: its user id and its process id, as far as the system tells.
Credentials = Callable[[str], "tuple[int | None, int | None]"]


class ConsoleInput(NamedTuple):
    """One input of a remote shell, for the audit.

    ``uid`` and ``pid`` are those of the process at the other end of the connection; None where the
    system does not tell them.
    """

    node: str
    uid: int | None
    pid: int | None
    text: str


class Shell:
    """One remote shell.

    Args:
        console: what it belongs to.
        processes: the node's process table.
        leader: the group leader: the terminal, at another node.
    """

    def __init__(self, console: Console, processes: Processes, leader: Pid) -> None:
        self.leader = leader
        self.opened = time.time()
        self.inputs: deque[str] = deque(maxlen=MAX_INPUTS)
        self._console = console
        self._processes = processes
        self._output: list[str] = []
        self._request: Reference | None = None  # the line that is asked for
        self._frame: FrameType | None = None
        self.evaluator = Evaluator(
            console.namespace, self._output.append, console.time_limit, console.loop.send_ticks
        )
        self.evaluator.namespace.update(console.helpers(self))
        self.process: Mailbox = processes.new_mailbox(on_message=self._on_message, trap_exit=True)
        self.process.group_leader = leader
        self.process.on_exit = self._ended
        self._watch = self.process.monitor(leader)

    def __repr__(self) -> str:
        return f"<Shell {self.process.pid} of {self.leader.node}>"

    def start(self) -> None:
        """Ask for the first line."""
        if self.process.alive:
            self._ask(PROMPT)

    # -- the terminal ----------------------------------------------------------------------

    def _ask(self, prompt: str) -> None:
        self._write()
        self._request = self._processes.new_reference()
        self._send(self._request, (GET_LINE, UNICODE, prompt.encode()))

    def _write(self) -> None:
        """Send what was printed."""
        text = "".join(self._output)
        self._output.clear()
        for begin in range(0, len(text), OUTPUT_PART):
            part = text[begin : begin + OUTPUT_PART].encode("utf-8", "backslashreplace")
            self._send(self._processes.new_reference(), (PUT_CHARS, UNICODE, part))

    def _send(self, ref: Reference, request: object) -> None:
        message = (IO_REQUEST, self.process.pid, ref, request)
        answer_to(self._processes, self.process.pid, self.leader, message)

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("io_reply"), ref, answer) if ref == self._request:
                self._request = None
                self._on_line(answer)
            case (Atom("EXIT"), _sender, Atom("interrupt")):
                self._interrupt()
            case (Atom("EXIT"), _sender, reason):
                self.process.close(reason)
            case (Atom("DOWN"), ref, _, _, _) if ref == self._watch:
                self.process.close()

    def _on_line(self, answer: object) -> None:
        if isinstance(answer, Atom) or answer is None:
            self.process.close()  # the end of the input
        elif isinstance(answer, tuple):
            # {error, interrupted}, or another that keeps the terminal from reading.
            if answer[1:] != (Atom("interrupted"),):
                self.process.close()
                return
            self.evaluator.interrupt()
            self._output.append("KeyboardInterrupt\n")
            self._ask(PROMPT)
        else:
            line = chardata_text(answer)
            self._evaluate("" if line is None else line.removesuffix("\n").removesuffix("\r"))

    # -- evaluating ------------------------------------------------------------------------

    def _evaluate(self, line: str) -> None:
        if line.strip():
            self.inputs.append(line)
            self._console.log(self, line)
        try:
            progress = self.evaluator.push(line)
        except BaseException:
            # A signal's exception for the program, between two bytecodes: the shell goes on.
            if self.process.alive:
                self._ask(PROMPT)
            raise
        if not self.process.alive:
            return
        if progress is Progress.EXIT:
            self._write()
            self.process.close()
        elif progress is Progress.WAITING:
            self._write()
            future = self.evaluator.future
            assert future is not None
            future.add_done_callback(self._on_done)
        else:
            self._ask(CONTINUATION if progress is Progress.MORE else PROMPT)

    def _on_done(self, future: Future[object]) -> None:
        if not self.process.alive or self.evaluator.future is not future:
            return
        self.evaluator.show_future(future)
        following = self.evaluator.future
        if following is None:
            self._ask(PROMPT)
        else:  # its result is a future, too
            following.add_done_callback(self._on_done)

    def _interrupt(self) -> None:
        """Wait no longer; while a line is being read there is nothing to interrupt."""
        future = self.evaluator.future
        if future is not None:
            self.evaluator.interrupt()
            future.remove_done_callback(self._on_done)
            self._output.append("KeyboardInterrupt\n")
            self._ask(PROMPT)

    def _ended(self, _reason: object) -> None:
        future = self.evaluator.future
        if future is not None:
            future.remove_done_callback(self._on_done)
        self.evaluator.close()
        self._console.shells.pop(self.process.pid, None)


class Console:
    """Opens shells for other nodes.

    Args:
        loop: the node's loop.
        processes: the node's process table.
        namespace: the names that shells find; they are looked up when they are used.
        own_names: names that each shell has besides.
        banner: the first line that a client prints.
        audit: called with each input, besides the log.
        allow: the nodes that may open a shell; None for every connected node.
        time_limit: seconds that one input may take; None for no limit.
        credentials: finds out which process a node is.
    """

    def __init__(
        self,
        loop: EventLoop,
        processes: Processes,
        namespace: Mapping[str, object],
        own_names: Mapping[str, object],
        *,
        banner: str | None,
        audit: Audit | None,
        allow: Collection[str] | None,
        time_limit: float | None,
        credentials: Credentials,
    ) -> None:
        self.loop = loop
        self.namespace = namespace
        self._own_names = own_names
        self.time_limit = time_limit
        self.shells: dict[Pid, Shell] = {}
        self._processes = processes
        self._banner = banner
        self._audit = audit
        self._allow = None if allow is None else frozenset(allow)
        self._credentials = credentials

    def close(self) -> None:
        """End every shell."""
        for shell in tuple(self.shells.values()):
            shell.process.close(Atom("shutdown"))

    def log(self, shell: Shell, text: str) -> None:
        """Log an input, and tell the audit."""
        node = shell.leader.node
        uid, pid = self._credentials(node)
        logger.info("%s (uid %s, pid %s): %s", printable(node), uid, pid, printable(text, 10_000))
        if self._audit is not None:
            self._audit(ConsoleInput(node, uid, pid, text))

    # -- what a client asks ----------------------------------------------------------------

    def answer(
        self, caller: Caller, module: str, function: str, arguments: list[object]
    ) -> Outcome | None:
        """Answer a call of a function that the program did not expose.

        Returns:
            None where it is not one of a shell's client, or the client may not open one.
        """
        if self._allow is not None and caller.node not in self._allow:
            return None
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
                return returned(self._open(caller).process.pid)
            case (module_, "start", []) if module_ == CONSOLE_MODULE:
                return returned(self._open(caller).process.pid)
            case (module_, "version", []) if module_ == CONSOLE_MODULE:
                return returned(self._version().encode())
            case (module_, "complete", [Pid() as pid, text]) if module_ == CONSOLE_MODULE:
                return returned(self._complete(caller, pid, text))
            case (module_, "failures", [Pid() as pid]) if module_ == CONSOLE_MODULE:
                shell = self._shell_of(caller, pid)
                return returned(0 if shell is None else shell.evaluator.failures)
        return None

    def _version(self) -> str:
        return f"Python {sys.version.split()[0]} at {self._processes.name}, served by uds_dist"

    def _open(self, caller: Caller) -> Shell:
        shell = Shell(self, self._processes, caller.group_leader)
        self.shells[shell.process.pid] = shell
        logger.info("%s opens the shell %s", printable(caller.node), shell.process.pid)
        # In the next round: the client is to know the shell before it asks for a line.
        self.loop.call_soon(shell.start)
        return shell

    def _complete(self, caller: Caller, pid: Pid, text: object) -> list[object]:
        shell = self._shell_of(caller, pid)
        written = chardata_text(text)
        if shell is None or written is None:
            return []
        return [match.encode() for match in shell.evaluator.complete(written)]

    def _shell_of(self, caller: Caller, pid: Pid) -> Shell | None:
        """A shell, if it is one of the node that asks."""
        shell = self.shells.get(pid)
        return None if shell is None or shell.leader.node != caller.node else shell

    # -- helpers at the prompt ---------------------------------------------------------------

    def helpers(self, shell: Shell) -> dict[str, object]:
        """Functions that every shell finds, with its own names."""
        return {
            **self._own_names,
            "who": self._who,
            "stack": _stack,
            "history": lambda: print(*shell.inputs, sep="\n"),
        }

    def _who(self) -> None:
        """Print the shells that are open."""
        for pid, shell in self.shells.items():
            uid, process = self._credentials(shell.leader.node)
            since = time.strftime("%H:%M:%S", time.localtime(shell.opened))
            print(f"{pid}  {shell.leader.node}  uid {uid}  pid {process}  since {since}")


def _stack() -> None:
    """Print where the program was when it called `run_once`."""
    frame: FrameType | None = sys._getframe(1)
    below: FrameType | None = None
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package == __name__.partition(".")[0]:
            below = frame.f_back
        frame = frame.f_back
    print("".join(traceback.format_stack(below)), end="")

