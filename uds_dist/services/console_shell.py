"""One remote shell: a process of this node that evaluates lines from its group leader.

    READING ----line----> (evaluated in the next round) ----> READING
       ^                            |
       |                     the value is a Future
       |                            v
       `------- it is done ----- WAITING

A shell ends when its terminal ends, on an exit signal, on ``exit()``, and at the end of its input.
Ctrl-C at the terminal sends an exit signal with the reason ``interrupt``, which takes the shell
from WAITING back to READING.

The terminal answers each request to write. At most `WINDOW` parts of an input's output are on their
way; the rest waits here, and the shell asks for the next line after all of it. So if a terminal is
slow or stops, this node holds the output of one input for that shell and no more.

Source: STDLIB user's guide, "The Erlang I/O Protocol"; user_drv, group, shell and IEx as observed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.future import Future
from uds_dist.processes.names import IO_REQUEST, UNICODE
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.evaluator import Evaluator, Progress
from uds_dist.services.gen import answer_to
from uds_dist.services.group_leader import chardata_text
from uds_dist.services.node_service import FromNode
from uds_dist.transport.loop import EventLoop

GET_LINE = Atom("get_line")
PUT_CHARS = Atom("put_chars")

PROMPT = ">>> "
CONTINUATION = "... "
MAX_INPUTS = 1000  # kept of one shell for `history()`
MAX_KEPT = 1000  # characters kept of each
OUTPUT_PART = 16_384  # characters in one request to write
WINDOW = 4  # unanswered requests to write


class Host(Protocol):
    """What a shell needs from its console."""

    loop: EventLoop

    def log(self, node: str, text: str) -> None: ...

    def new_evaluator(self, write: Callable[[str], object]) -> Evaluator: ...

    def ended(self, shell: Shell) -> None: ...


class Shell:
    """One remote shell.

    Args:
        console: the console that opened it.
        processes: the node's process table.
        leader: the group leader: the terminal, on another node.
    """

    def __init__(self, console: Host, processes: Processes, leader: Pid) -> None:
        self.leader = leader
        self.opened = time.time()
        self.inputs: deque[str] = deque(maxlen=MAX_INPUTS)
        self._console = console
        self._processes = processes
        self._printed: list[str] = []
        self._output = ""  # the part from `_written` on is still to be written
        self._written = 0
        self._writes: set[Reference] = set()  # unanswered requests to write
        self._prompt: str | None = None  # to be shown after the output
        self._request: Reference | None = None  # the unanswered request for a line
        self._exits = False  # to exit after the output
        self.evaluator = console.new_evaluator(self._printed.append)
        self.evaluator.add(history=self._history)
        self.process: Process = processes.new_process(on_message=self._on_message, trap_exit=True)
        self.process.adapt = FromNode
        self.process.group_leader = leader
        self.process.on_exit = self._ended
        self._watch = self._processes.monitor(self.process, leader)

    def __repr__(self) -> str:
        return f"<Shell {self.process.pid} of {self.leader.node}>"

    def start(self) -> None:
        """Ask for the first line."""
        if self.process.alive:
            self._ask(PROMPT)

    def _history(self) -> None:
        """Print the inputs of this shell."""
        print(*self.inputs, sep="\n")

    # -- the terminal ----------------------------------------------------------------------

    def _ask(self, prompt: str) -> None:
        self._prompt = prompt
        self._write()

    def _write(self) -> None:
        """Send the output as fast as the terminal takes it, and then the prompt."""
        if self._printed:
            self._output = self._output[self._written :] + "".join(self._printed)
            self._written = 0
            self._printed.clear()
        while self._written < len(self._output) and len(self._writes) < WINDOW:
            part = self._output[self._written : self._written + OUTPUT_PART]
            self._written += len(part)
            data = part.encode("utf-8", "backslashreplace")
            self._writes.add(self._send((PUT_CHARS, UNICODE, data)))
        if self._written < len(self._output):
            return
        self._output, self._written = "", 0
        if self._exits:
            self._processes.terminate(self.process)
        elif self._prompt is not None:
            prompt, self._prompt = self._prompt, None
            self._request = self._send((GET_LINE, UNICODE, prompt.encode()))

    def _send(self, request: object) -> Reference:
        ref = self._processes.numbers.new_reference()
        message = (IO_REQUEST, self.process.pid, ref, request)
        answer_to(self._processes, self.process.pid, self.leader, message)
        return ref

    def _on_message(self, message: object) -> None:
        node = self._processes.name
        if isinstance(message, FromNode):
            node, message = Atom(message.node), message.message
        match message:
            # Another node must not type here.
            case (Atom("io_reply"), Reference() as ref, answer) if node == self.leader.node:
                if ref == self._request:
                    self._request = None
                    self._on_line(answer)
                elif ref in self._writes:
                    self._writes.discard(ref)
                    self._write()
            case (Atom("EXIT"), _sender, Atom("interrupt")):
                self._interrupt()
            case (Atom("EXIT"), Pid() as sender, reason):
                # The reason `normal` has no effect, as for any process, except from the leader.
                if reason != Atom("normal") or sender == self.leader:
                    self._processes.terminate(self.process, reason)
            case (Atom("DOWN"), ref, _, _, _) if ref == self._watch:
                self._processes.terminate(self.process)

    def _on_line(self, answer: object) -> None:
        if isinstance(answer, Atom) or answer is None:
            self._processes.terminate(self.process)  # the end of the input
        elif isinstance(answer, tuple):
            # {error, interrupted}, or a failure to read.
            if answer[1:] != (Atom("interrupted"),):
                self._processes.terminate(self.process)
                return
            self.evaluator.interrupt()
            self._printed.append("KeyboardInterrupt\n")
            self._ask(PROMPT)
        else:
            text = chardata_text(answer)
            line = "" if text is None else text.removesuffix("\n").removesuffix("\r")
            # In the next round: then no code of this node is in the middle of something.
            self._console.loop.call_soon(self._evaluate, line)

    # -- evaluating ------------------------------------------------------------------------

    def _evaluate(self, line: str) -> None:
        if not self.process.alive:
            return
        try:
            if line.strip():
                self.inputs.append(line[:MAX_KEPT])
                self._log(line)
            progress = self.evaluator.push(line)
        except BaseException:
            # For the program: the audit or a signal handler raised it. The shell continues.
            self.evaluator.interrupt()
            if self._is_here():
                self._ask(PROMPT)
            raise
        if not self._is_here():
            return
        if progress is Progress.EXIT:
            self._exits = True
            self._write()
        elif progress is Progress.WAITING:
            self._write()
            self._await()
        else:
            self._ask(CONTINUATION if progress is Progress.MORE else PROMPT)

    def _log(self, line: str) -> None:
        try:
            self._console.log(self.leader.node, line)
        except Exception:
            self._printed.append("the audit failed: the input is not evaluated\n")
            raise

    def _is_here(self) -> bool:
        """False if the input has ended the shell, or has forked and this is the child."""
        return self.process.alive and not self._console.loop.process.forked

    def _await(self) -> None:
        future = self.evaluator.future
        assert future is not None
        future.add_done_callback(self._on_done)

    def _on_done(self, future: Future[object]) -> None:
        if not self.process.alive or self.evaluator.future is not future:
            return
        try:
            self.evaluator.show_future(future)
        except BaseException:
            self._ask(PROMPT)
            raise
        if self.evaluator.future is None:
            self._ask(PROMPT)
        else:  # its result is a future too
            self._await()

    def _interrupt(self) -> None:
        """Stop waiting and writing; a shell that reads a line has nothing to interrupt."""
        future = self.evaluator.future
        if future is not None:
            future.remove_done_callback(self._on_done)
        elif self._written == len(self._output):
            return
        self.evaluator.interrupt()
        self._output, self._written = "", 0
        self._printed.append("KeyboardInterrupt\n")
        self._ask(PROMPT)

    def _ended(self, _reason: object) -> None:
        future = self.evaluator.future
        if future is not None:
            future.remove_done_callback(self._on_done)
        self.evaluator.close()
        self._output = ""
        self._console.ended(self)
