"""The group leader of this node's processes: prints what remote functions print.

A function that this node calls elsewhere has this process as its group leader: what it prints
comes here, as requests of Erlang's I/O protocol. Some of them name a function that makes the text;
that is run on the node it comes from, by erpc, never in Python. There is no input: whoever reads
is told that its end is reached.

Source: STDLIB user's guide, "The Erlang I/O Protocol".
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from uds_dist.errors import UdsDistError
from uds_dist.etf.terms import Atom, ImproperList, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.table import Processes
from uds_dist.protocol.control import SEND_SENDER
from uds_dist.services.rpc import start_rpc
from uds_dist.transport.loop import EventLoop

IO_REPLY = Atom("io_reply")
OK = Atom("ok")
EOF = Atom("eof")
ERROR = Atom("error")
REQUEST_ERROR = (ERROR, Atom("request"))
NOT_SUPPORTED = (ERROR, Atom("enotsup"))
OPTIONS = [(Atom("binary"), True), (Atom("encoding"), Atom("unicode"))]

Then = Callable[[object], None]


def write_stdout(text: str) -> None:
    """Print to `sys.stdout`, and see to it that it is seen."""
    sys.stdout.write(text)
    sys.stdout.flush()


class GroupLeader:
    """Answers the I/O protocol; prints through `output`.

    Args:
        loop: brings the texts that another node makes.
        processes: the node's process table.
        output: called with each text to print, inside `run_once`.
    """

    def __init__(
        self, loop: EventLoop, processes: Processes, output: Callable[[str], object]
    ) -> None:
        self._loop = loop
        self._processes = processes
        self._output = output
        self.process: Mailbox = processes.new_mailbox(on_message=self._on_message, trap_exit=True)

    @property
    def pid(self) -> Pid:
        """The group leader's pid."""
        return self.process.pid

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("io_request"), Pid() as sender, reply_as, request):

                def answer(answer: object) -> None:
                    control = (SEND_SENDER, self.pid, sender)
                    reply = (IO_REPLY, reply_as, answer)
                    self._processes.signal(sender.node, control, reply)

                self._serve(sender, request, answer)

    def _serve(self, sender: Pid, request: object, then: Then) -> None:
        """Serve one request and hand its answer to `then`, now or later, exactly once."""
        match request:
            case (Atom("put_chars"), Atom() as encoding, module, function, list() as arguments):
                self._make_text(sender, encoding, (module, function, arguments), then)
            case (Atom("put_chars"), module, function, list() as arguments):
                self._make_text(sender, "latin1", (module, function, arguments), then)
            case (Atom("put_chars"), Atom() as encoding, characters):
                self._put(encoding, characters, then)
            case (Atom("put_chars"), characters):
                self._put("latin1", characters, then)
            case (Atom("requests"), list() as requests):
                self._serve_all(sender, requests, OK, then)
            case Atom("getopts"):
                then(OPTIONS)
            case (Atom("setopts"), list()):
                then(NOT_SUPPORTED)
            case (Atom("get_geometry"), _) | (Atom("get_password"), _) | Atom("get_password"):
                then(NOT_SUPPORTED)
            case (Atom("get_until" | "get_line" | "get_chars"), *_):
                then(EOF)
            case _:
                then(REQUEST_ERROR)

    def _serve_all(self, sender: Pid, requests: list[object], last: object, then: Then) -> None:
        """Serve requests in turn for as long as they succeed; the last answer is the answer."""
        if not requests or (isinstance(last, tuple) and last[:1] == (ERROR,)):
            then(last)
            return

        def go_on(answer: object) -> None:
            # By the loop, so that a long list does not become as deep a recursion.
            self._loop.call_soon(lambda: self._serve_all(sender, requests[1:], answer, then))

        self._serve(sender, requests[0], go_on)

    def _put(self, encoding: str, characters: object, then: Then) -> None:
        text = chardata_text(characters, encoding)
        if text is None:
            then((ERROR, (Atom("put_chars"), Atom(encoding), characters)))
            return
        try:
            self._output(text)
        except BaseException as error:
            # The program's own output failed: its exception goes to the program.
            self._loop.program_error = error
            then((ERROR, Atom("terminated")))
            raise
        then(OK)

    def _make_text(
        self, sender: Pid, encoding: str, mfa: tuple[object, object, list[object]], then: Then
    ) -> None:
        module, function, arguments = mfa
        if not (isinstance(module, Atom) and isinstance(function, Atom)):
            then(REQUEST_ERROR)
            return

        def made(future: Future[object]) -> None:
            try:
                characters = future.result()
            except UdsDistError:
                then((ERROR, function))
                return
            self._put(encoding, characters, then)

        start_rpc(
            self._loop,
            self._processes,
            self.process,
            self.pid,
            sender.node,
            module,
            function,
            arguments,
        ).add_done_callback(made)


def chardata_text(characters: object, encoding: str = "unicode") -> str | None:
    """The text of Erlang's chardata: lists, however deep, of characters and binaries.

    Args:
        characters: the term.
        encoding: ``unicode``: binaries are UTF-8; ``latin1``: each byte is a character.
    Returns:
        The text, or None when the term is no chardata in that encoding.
    """
    codec = "latin-1" if encoding == "latin1" else "utf-8"
    parts: list[str] = []
    # A character is chardata inside of a list only.
    stack: list[object] = [None if isinstance(characters, int) else characters]
    try:
        while stack:
            part = stack.pop()
            if isinstance(part, ImproperList):
                stack.append(part.tail)
                stack.extend(reversed(part.items))
            elif isinstance(part, list):
                stack.extend(reversed(part))
            elif isinstance(part, bytes):
                parts.append(part.decode(codec))
            elif type(part) is int:
                parts.append(chr(part))
            elif type(part) is str:  # from this node itself: a binary to be
                parts.append(part)
            else:
                return None
    except (UnicodeDecodeError, ValueError, OverflowError):
        return None
    return "".join(parts)
