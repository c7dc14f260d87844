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
from uds_dist.processes.names import EOF, ERROR, IO_REPLY, OK, SYSTEM_LIMIT
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.node_service import NodeService
from uds_dist.services.outcome import encoded_size
from uds_dist.services.rpc import start_own_rpc

logger = logging.getLogger(__name__)

REQUEST_ERROR = (ERROR, Atom("request"))
NOT_SUPPORTED = (ERROR, Atom("enotsup"))
TOO_MUCH = (ERROR, SYSTEM_LIMIT)
OPTIONS = [(Atom("binary"), True), (Atom("encoding"), Atom("unicode"))]
# Bytes of requests from one node that are in work; beyond it, no further one is begun that takes
# time.
MAX_IN_WORK = 16 * 1024 * 1024

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


class Asked:
    """A request without an answer yet.

    ``size`` is what it counts in the work of its node, 0 if it is answered at once. ``late`` is
    true after its message was acted on: then nothing else holds the node's next requests back.
    """

    __slots__ = ("late", "reply_as", "sender", "size")

    def __init__(self, sender: Pid, reply_as: object) -> None:
        self.sender = sender
        self.reply_as = reply_as
        self.size = 0
        self.late = False


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
        self._in_work: dict[str, int] = {}  # node -> bytes of its requests without an answer yet
        self._service = NodeService(processes, None, "the group leader", self._handle)
        self.process: Process = self._service.process

    @property
    def pid(self) -> Pid:
        """The group leader's pid."""
        return self.process.pid

    def _handle(self, node: str, message: object) -> bool:
        match message:
            case (Atom("io_request"), Pid() as sender, reply_as, request) if sender.node == node:
                self._begin(Asked(sender, reply_as), request)
                return True
        return False

    def _begin(self, asked: Asked, request: object) -> None:
        node = asked.sender.node
        if _takes_time(request):
            if self._in_work.get(node, 0) > MAX_IN_WORK:
                self._tell(asked, TOO_MUCH)
                return
            asked.size = encoded_size((asked.reply_as, request))
            self._in_work[node] = self._in_work.get(node, 0) + asked.size
        self._serve(asked.sender, request, partial(self._tell, asked))
        asked.late = True

    def _tell(self, asked: Asked, answer: object) -> None:
        """Answer a request."""
        node = asked.sender.node
        again = partial(self._tell, asked, answer)
        if asked.late and self._processes.pressure.wait_for_room(node, again):
            return
        if asked.size:
            self._in_work[node] -= asked.size
            if not self._in_work[node]:
                del self._in_work[node]
        if not self._service.send(asked.sender, (IO_REPLY, asked.reply_as, answer)):
            self._service.send(asked.sender, (IO_REPLY, asked.reply_as, REQUEST_ERROR))

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
        else:
            self._print(text, then)

    def _print(self, text: str, then: Then) -> None:
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
            then(TOO_MUCH)
            return
        self._pending[node] = pending + 1

        def made(future: Future[object]) -> None:
            self._pending[node] -= 1
            if not self._pending[node]:
                del self._pending[node]
            text = None
            if future.exception() is None:
                text = chardata_text(future.result(), encoding)
            if text is None:
                then((ERROR, function))
            else:
                self._print(text, then)

        start_own_rpc(
            self._processes, self.process, node, module, function, mfa[2]
        ).add_done_callback(made)


def _takes_time(request: object) -> bool:
    """Whether a request cannot be answered at once."""
    match request:
        case (Atom("requests"), _) | (Atom("put_chars"), _, _, _) | (Atom("put_chars"), _, _, _, _):
            return True
    return False


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
