"""The group leader of this node's processes: prints the output of remote functions.

A function that this node calls on another node has this process as its group leader, so its output
arrives here, as requests of Erlang's I/O protocol. Some requests name a function that makes the
text; it runs on the requesting node, through erpc, never in Python. There is no input: a process
that reads gets the end of file.

Source: STDLIB user's guide, "The Erlang I/O Protocol".
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial

from uds_dist.config import Config
from uds_dist.etf.atoms import atom_of
from uds_dist.etf.terms import Atom, ImproperList, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import EOF, ERROR, IO_REPLY, OK
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.node_service import NodeService
from uds_dist.services.rpc import start_own_rpc

logger = logging.getLogger(__name__)

REQUEST_ERROR = (ERROR, Atom("request"))
NOT_SUPPORTED = (ERROR, Atom("enotsup"))
OPTIONS = [(Atom("binary"), True), (Atom("encoding"), Atom("unicode"))]

Then = Callable[[object], None]


def write_stdout(text: str) -> None:
    """Print to `sys.stdout`, and flush it.

    Characters that it cannot write are escaped. If there is no standard output, or it is closed,
    the text is dropped: a peer's output must not raise in this program.
    """
    out = sys.stdout
    if out is None:
        return
    try:
        try:
            out.write(text)
        except UnicodeEncodeError as error:
            out.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        out.flush()
    except (OSError, ValueError):
        logger.debug("cannot write a text to standard output", exc_info=True)


class GroupLeader:
    """Answers the I/O protocol; prints through `output`.

    Args:
        processes: the node's process table.
        config: `max_pending_requests` is used.
        output: called with each text to print, inside `run_once`.
    """

    def __init__(
        self,
        processes: Processes,
        config: Config,
        output: Callable[[str], object],
    ) -> None:
        self._loop = processes.loop
        self._processes = processes
        self._output = output
        self._max_pending = config.max_pending_requests
        self._pending: dict[str, int] = {}  # node -> how many texts it is making
        self._service = NodeService(processes, None, "the group leader", self._handle)
        self.process: Process = self._service.process

    @property
    def pid(self) -> Pid:
        """The group leader's pid."""
        return self.process.pid

    def _handle(self, node: str, message: object) -> bool:
        match message:
            case (Atom("io_request"), Pid() as sender, reply_as, request) if sender.node == node:

                def answer(answer: object) -> None:
                    if not self._service.send(sender, (IO_REPLY, reply_as, answer)):
                        self._service.send(sender, (IO_REPLY, reply_as, REQUEST_ERROR))

                self._serve(sender, request, answer)
                return True
        return False

    def _serve(self, sender: Pid, request: object, then: Then) -> None:
        """Serve one request and pass its answer to `then`, now or later, exactly once."""
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
                self._serve_all(sender, [iter(requests)], OK, then)
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

    def _serve_all(
        self, sender: Pid, waiting: list[Iterator[object]], last: object, then: Then
    ) -> None:
        """Serve requests in turn until one fails; the last answer counts.

        Args:
            waiting: the remaining requests; a nested list of requests is pushed on top.
        """
        while waiting and not (isinstance(last, tuple) and last[:1] == (ERROR,)):
            for request in waiting[-1]:
                match request:
                    case (Atom("requests"), list() as requests):
                        waiting.append(iter(requests))
                        last = OK
                    case _:
                        # Through the loop, so that a long list does not become a deep recursion.
                        self._serve(
                            sender,
                            request,
                            lambda answer: self._loop.call_soon(
                                partial(self._serve_all, sender, waiting, answer, then)
                            ),
                        )
                        return
                break
            else:
                waiting.pop()
        then(last)

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
        module, function = atom_of(mfa[0]), atom_of(mfa[1])
        if module is None or function is None:
            then(REQUEST_ERROR)
            return
        node = sender.node
        pending = self._pending.get(node, 0)
        if pending >= self._max_pending:
            then((ERROR, Atom("system_limit")))
            return
        self._pending[node] = pending + 1

        def made(future: Future[object]) -> None:
            self._pending[node] -= 1
            if not self._pending[node]:
                del self._pending[node]
            if future.exception() is not None:
                then((ERROR, function))
            else:
                self._put(encoding, future.result(), then)

        start_own_rpc(
            self._processes, self.process, node, module, function, mfa[2]
        ).add_done_callback(made)


def chardata_text(characters: object, encoding: str = "unicode") -> str | None:
    """The text of Erlang's chardata: nested lists of characters and binaries.

    Args:
        characters: the term.
        encoding: ``unicode``: binaries are UTF-8; ``latin1``: each byte is a character.
    Returns:
        The text, or None when the term is not chardata in that encoding.
    """
    codec = "latin-1" if encoding == "latin1" else "utf-8"
    parts: list[str] = []
    # A character is chardata only inside a list.
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
                if 0xD800 <= part <= 0xDFFF:
                    return None  # half a surrogate pair is not a character
                parts.append(chr(part))
            elif type(part) is str:  # from this node itself: it stands for a binary
                parts.append(part)
            else:
                return None
    except (UnicodeDecodeError, ValueError, OverflowError):
        return None
    return "".join(parts)
