"""The I/O protocol for the processes of a remote shell, sans terminal: requests in, answers out.

A shell that runs at another node has this server as its group leader. The shell and its processes
print and read through I/O requests to this server. Three rules:

- Erlang is never evaluated in Python. A request that names a function (``get_until``, or
  ``put_chars`` with a format) runs it at the node of the process that asks.
- ``io_lib:get_until/4`` is always started afresh with all the text typed so far: its
  continuations hold local functions of the node.
- Every request gets exactly one answer. A malformed one gets ``{error,request}``.

Reads form a stack. A process that reads while a prompt is open is served first, and the prompt
comes back afterwards: ``IEx.pry`` asks its question that way.

Source: STDLIB user's guide, "The Erlang I/O Protocol"; the group module of OTP 27 and 29.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from uds_dist.errors import UdsDistError
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import EOF, ERROR, OK, UNICODE
from uds_dist.services.group_leader import chardata_text
from uds_dist.shell.io_options import LATIN1, REQUEST_ERROR, Options
from uds_dist.shell.layout import text_width

STOP = Atom("stop")
START = Atom("start")
NOT_SUPPORTED = (ERROR, Atom("enotsup"))
INTERRUPTED = (ERROR, Atom("interrupted"))
NO_TRANSLATION = (ERROR, (Atom("no_translation"), UNICODE, LATIN1))
ENCODINGS = ("unicode", "latin1")

Then = Callable[[object], None]


class Draft:
    """An unfinished line: its text and the index of the cursor in it."""

    __slots__ = ("text", "cursor")

    def __init__(self, text: str = "", cursor: int = 0) -> None:
        self.text = text
        self.cursor = cursor


class Question:
    """A line that a process asks for.

    Args:
        prompt: the text that precedes the line.
        secret: the line must not be shown.
        main: the shell itself reads its next expression.
        history: the line belongs in the history.
        draft: what was typed before another question interrupted this one.
    """

    __slots__ = ("prompt", "secret", "main", "history", "draft")

    def __init__(
        self,
        prompt: str,
        secret: bool = False,
        main: bool = False,
        history: bool = False,
        draft: Draft | None = None,
    ) -> None:
        self.prompt = prompt
        self.secret = secret
        self.main = main
        self.history = history
        self.draft = Draft() if draft is None else draft


class Console(Protocol):
    """A terminal or a pair of pipes, as the server uses it."""

    def write(self, text: str, then: Callable[[], object]) -> None:
        """Print; `then` is called, now or later, when more may come."""

    def ask(self, question: Question) -> None:
        """Read one line and hand it to `IoServer.line`."""

    def withdraw(self) -> Draft:
        """Stop asking; returns what was typed."""

    def size(self) -> tuple[int, int] | None:
        """Columns and rows, or None without a screen."""


# Runs a function at a node: (node, module, function, arguments).
Call = Callable[[str, str, str, Sequence[object]], Future[object]]
# Answers an I/O request: (the process that asked, the tag of its request, the answer).
Reply = Callable[[Pid, object, object], None]


class _Read:
    """One read that waits: of a line, of some characters, or until a function is satisfied."""

    __slots__ = (
        "count", "data", "draft", "encoding", "main", "mfa", "password", "prompt", "reply_as",
        "secret", "sender", "then", "turn", "working",
    )  # fmt: skip

    def __init__(
        self, sender: Pid, reply_as: object, encoding: str, prompt: str, then: Then
    ) -> None:
        self.sender = sender
        self.reply_as = reply_as
        self.encoding = encoding
        self.prompt = prompt
        self.then = then
        self.mfa: tuple[str, str, list[object]] | None = None
        self.count: int | None = None
        self.password = False
        self.secret = False
        self.main = False
        self.data = ""
        self.draft = Draft()
        self.working = False  # the other node is checking the data
        self.turn = 0  # that node's answers to earlier turns are dropped

    @property
    def keeps_partial_input(self) -> bool:
        """Whether the lines of an unfinished expression are all in `data`."""
        return self.mfa is not None and not (self.mfa[1] == "__parse__" and not self.mfa[2])


class IoServer:
    """Serves the I/O requests of a shell's processes.

    Args:
        console: where text goes and lines come from.
        call: runs a function at a node, by erpc.
        reply: sends an answer.
        own_lines_are_main: every `get_line` of a process for which it is true is the shell's own
            prompt (a Python console has no `get_until`).
    """

    def __init__(
        self,
        console: Console,
        call: Call,
        reply: Reply,
        own_lines_are_main: Callable[[Pid], bool] = lambda _sender: False,
    ) -> None:
        self._console = console
        self._call = call
        self._reply = reply
        self._own_lines_are_main = own_lines_are_main
        self._reads: list[_Read] = []
        self._rest = ""  # typed, and left over by the last read
        self._asked: _Read | None = None  # the read whose question the console shows
        self._closed = False
        self._options = Options()
        self.on_main: Callable[[str, list[object] | None], None] | None = None
        self.on_output: Callable[[Pid], None] | None = None

    # -- requests --------------------------------------------------------------------------

    @property
    def reading(self) -> bool:
        """Whether a process waits for input; otherwise the shell evaluates."""
        return bool(self._reads)

    @property
    def at_main_prompt(self) -> bool:
        """Whether the shell itself waits for its next expression, and nobody else for a line."""
        return bool(self._reads) and self._reads[-1].main

    @property
    def unfinished(self) -> bool:
        """Whether the newest read has taken lines and needs more."""
        return bool(self._reads) and bool(self._reads[-1].data.strip())

    def message(self, message: object) -> bool:
        """Serve a message to the group leader.

        Returns:
            False when it is not an I/O request.
        """
        match message:
            case (Atom("io_request"), Pid() as sender, reply_as, request):
                self._serve(
                    sender,
                    reply_as,
                    request,
                    lambda answer: self._reply(sender, reply_as, answer),
                )
                return True
        return False

    def forget(self, reply_as: object) -> None:
        """Drop the read with this tag: the process that asked has ended."""
        for read in self._reads:
            if read.reply_as == reply_as:
                self._drop(read)
                self._go_on()
                return

    def _serve(self, sender: Pid, reply_as: object, request: object, then: Then) -> None:
        """Serve one request; `then` gets its answer, now or later, exactly once."""
        match request:
            case (Atom("put_chars"), Atom() as encoding, module, function, list() as arguments):
                self._make_text(sender, encoding, (module, function, arguments), then)
            case (Atom("put_chars"), module, function, list() as arguments):
                self._make_text(sender, "latin1", (module, function, arguments), then)
            case (Atom("put_chars"), Atom() as encoding, characters):
                self._put(sender, encoding, characters, then)
            case (Atom("put_chars"), characters):
                self._put(sender, "latin1", characters, then)
            case (Atom("requests"), list() as requests):
                self._serve_all(sender, reply_as, requests, then)
            case Atom("getopts"):
                then(self._options.all(self._console.size() is not None))
            case (Atom("setopts"), list() as options):
                then(self._options.set(options))
            case (Atom("get_geometry"), Atom("columns" | "rows") as what):
                size = self._console.size()
                then(NOT_SUPPORTED if size is None else size[what == "rows"])
            case (Atom("get_until" | "get_line" | "get_chars" | "get_password"), *_) | Atom(
                "get_password"
            ):
                self._read(sender, reply_as, request, then)
            case _:
                then(REQUEST_ERROR)

    def _serve_all(self, sender: Pid, reply_as: object, requests: list[object], then: Then) -> None:
        """Serve requests in turn while they succeed; the last answer is the answer."""
        left = deque(requests)
        last: object = OK
        answered, running = True, False

        def go_on(answer: object) -> None:
            nonlocal last, answered
            last, answered = answer, True
            if not running:
                run()

        def run() -> None:
            nonlocal answered, running
            running = True
            while answered and left and not _is_error(last):
                request = left.popleft()
                match request:
                    case (Atom("requests"), list() as inner):
                        left.extendleft(reversed(inner))
                    case _:
                        answered = False
                        self._serve(sender, reply_as, request, go_on)
            running = False
            if answered:
                then(last)

        run()

    # -- output ----------------------------------------------------------------------------

    def _put(self, sender: Pid, encoding: str, characters: object, then: Then) -> None:
        if encoding not in ENCODINGS:
            then(REQUEST_ERROR)
            return
        text = chardata_text(characters, encoding)
        if text is None:
            then((ERROR, (Atom("put_chars"), Atom(encoding), characters)))
            return
        if self.on_output is not None:
            self.on_output(sender)
        self._console.write(text, lambda: then(OK))

    def _make_text(
        self, sender: Pid, encoding: str, mfa: tuple[object, object, list[object]], then: Then
    ) -> None:
        module, function, arguments = mfa
        if not (isinstance(module, Atom) and isinstance(function, Atom)) or (
            encoding not in ENCODINGS
        ):
            then(REQUEST_ERROR)
            return

        def made(future: Future[object]) -> None:
            try:
                characters = future.result()
            except UdsDistError:
                then((ERROR, function))
                return
            text = chardata_text(characters, encoding)
            if text is None:
                then((ERROR, function))
                return
            self._put(sender, "unicode", text, then)

        self._call(sender.node, module, function, arguments).add_done_callback(made)

    # -- input -----------------------------------------------------------------------------

    def _read(self, sender: Pid, reply_as: object, request: object, then: Then) -> None:
        read = self._new_read(sender, reply_as, request, then)
        if read is None:
            then(REQUEST_ERROR)
            return
        if self._closed:
            then(EOF)
            return
        self._suspend()
        read.data, self._rest = self._rest, ""
        self._reads.append(read)
        if read.main and self.on_main is not None:
            self.on_main(read.prompt, None if read.mfa is None else read.mfa[2])
        self._advance(read)

    def _new_read(self, sender: Pid, reply_as: object, request: object, then: Then) -> _Read | None:
        """The read that a request makes; None if the request is malformed."""
        match request:
            case (Atom("get_until"), Atom("unicode" | "latin1") as encoding, prompt, *mfa):
                pass
            case (Atom("get_until"), prompt, *mfa):
                encoding = LATIN1
            case (Atom("get_line"), Atom("unicode" | "latin1") as encoding, prompt):
                mfa = []
            case (Atom("get_line"), prompt):
                encoding, mfa = LATIN1, []
            case (Atom("get_chars"), Atom("unicode" | "latin1") as encoding, prompt, count):
                mfa = [count]
            case (Atom("get_chars"), prompt, count):
                encoding, mfa = LATIN1, [count]
            case (Atom("get_password"), Atom("unicode" | "latin1") as encoding):
                prompt, mfa = "", []
            case Atom("get_password"):
                encoding, prompt, mfa = LATIN1, "", []
            case _:
                return None
        text = str(prompt) if isinstance(prompt, Atom) else chardata_text(prompt)
        if text is None:
            return None
        read = _Read(sender, reply_as, encoding, text, then)
        kind = request if isinstance(request, Atom) else request[0]
        if kind == "get_until":
            return read if _takes_function(read, mfa) else None
        if kind == "get_chars":
            read.count = _count(mfa[0])
            return None if read.count is None else read
        read.password = kind == "get_password"
        read.secret = read.password or not self._options.echo
        read.main = kind == "get_line" and self._own_lines_are_main(sender)
        return read

    def _suspend(self) -> None:
        """Take the open question from the console, for a newer one to be asked."""
        if self._asked is not None:
            self._asked.draft = self._console.withdraw()
            self._asked = None

    def _advance(self, read: _Read) -> None:
        """Answer a read if its data suffices, else ask for a line."""
        if read.mfa is not None:
            if read.data:
                self._try_until(read, read.mfa)
            else:
                self._ask(read)
        elif read.count is not None:
            if len(read.data) >= read.count:
                self._finish(read, read.data[: read.count], read.data[read.count :])
            else:
                self._ask(read)
        else:
            line, newline, rest = read.data.partition("\n")
            if newline:
                self._finish(read, line + newline, rest)
            else:
                self._ask(read)

    def _ask(self, read: _Read) -> None:
        if self._reads and self._reads[-1] is not read:
            return  # a newer one has the console; `_go_on` comes back to this one
        unfinished = bool(read.data) and read.mfa is not None
        prompt = continuation_prompt(read.prompt) if unfinished else read.prompt
        draft, read.draft = read.draft, Draft()
        self._asked = read
        history = read.main and self._options.line_history
        self._console.ask(Question(prompt, read.secret, read.main, history, draft))

    def line(self, text: str) -> None:
        """Take a line from the console, with the newline that ended it."""
        read = self._asked
        if read is None:
            self._rest += text
            return
        self._asked = None
        if read.password:
            self._finish(read, text.rstrip("\n"), "")
            return
        read.data += text
        if read.main and read.mfa is not None and read.keeps_partial_input:
            if not read.data.strip():
                read.data = ""  # an empty line at the prompt: the same prompt again
        self._advance(read)

    def end_of_input(self) -> None:
        """Tell the newest read that its input has ended."""
        read = self._asked
        if read is None:
            return
        self._asked = None
        if read.mfa is None and read.data:
            self._finish(read, read.data, "")
        else:
            self._answer(read, EOF)

    def close_input(self) -> None:
        """Tell every read that its input has ended, later ones too."""
        self._closed = True
        for read in reversed(self._reads[:]):
            self._answer(read, EOF)

    def interrupt(self) -> bool:
        """Interrupt the newest read.

        Returns:
            False when nobody reads: the caller then interrupts the evaluation.
        """
        if not self._reads:
            return False
        self._rest = ""
        read = self._reads[-1]
        read.turn += 1
        if self._asked is not None:
            self._console.withdraw()
            self._asked = None
        if read.main and read.keeps_partial_input:
            # The node knows of nothing that was typed, and an interrupted Erlang shell would
            # restart its evaluator and end the processes that are linked to it.
            read.data, read.working = "", False
            self._ask(read)
        else:
            self._answer(read, INTERRUPTED)
        return True

    def _try_until(self, read: _Read, mfa: tuple[str, str, list[object]]) -> None:
        """Let the reader's node check all the data so far."""
        read.working = True
        read.turn += 1
        turn = read.turn
        data = self._term(read.data, read.encoding)
        if data is None:
            self._answer(read, NO_TRANSLATION)
            return

        def looked(future: Future[object]) -> None:
            if read.turn != turn or read not in self._reads:
                return
            read.working = False
            try:
                found = future.result()
            except UdsDistError:
                self._answer(read, (ERROR, Atom(mfa[1])))
                return
            match found:
                case (Atom("stop"), result, rest):
                    left = "" if isinstance(rest, Atom) else chardata_text(rest, read.encoding)
                    self._rest = left or ""
                    self._answer(read, result)
                case _:
                    self._ask(read)

        arguments = [START, data, Atom(read.encoding), (Atom(mfa[0]), Atom(mfa[1]), mfa[2])]
        self._call(read.sender.node, "io_lib", "get_until", arguments).add_done_callback(looked)

    def _term(self, text: str, encoding: str) -> object:
        """Text as the reader expects it, a binary or a list; None if that cannot hold it."""
        if encoding == "latin1" and any(ord(character) > 255 for character in text):
            return None
        if self._options.binary:
            return text.encode("latin-1" if encoding == "latin1" else "utf-8")
        return [ord(character) for character in text]

    def _finish(self, read: _Read, text: str, rest: str) -> None:
        result = self._term(text, read.encoding)
        self._rest = rest
        self._answer(read, NO_TRANSLATION if result is None else result)

    def _answer(self, read: _Read, answer: object) -> None:
        self._drop(read)
        read.then(answer)
        self._go_on()

    def _drop(self, read: _Read) -> None:
        read.turn += 1
        if self._asked is read:
            self._console.withdraw()
            self._asked = None
        if read in self._reads:
            self._reads.remove(read)

    def _go_on(self) -> None:
        """Return to the read that an answered one had interrupted."""
        if self._reads and self._asked is None and not self._reads[-1].working and not self._closed:
            read = self._reads[-1]
            if self._rest:
                read.data += self._rest
                self._rest = ""
                self._advance(read)
            else:
                self._ask(read)


def _is_error(answer: object) -> bool:
    return isinstance(answer, tuple) and answer[:1] == (ERROR,)


def _count(count: object) -> int | None:
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _takes_function(read: _Read, mfa: Sequence[object]) -> bool:
    """Note the function of a `get_until`; False when there is none."""
    match mfa:
        case [Atom() as module, Atom() as function, list() as arguments]:
            read.mfa = (module, function, arguments)
            read.main = function == "__parse__" or (
                (module, function) == ("erl_scan", "tokens") and len(arguments) == 2
            )
            return True
    return False


def continuation_prompt(prompt: str) -> str:
    """The prompt of an expression's further lines, as wide as its first."""
    width = text_width(prompt.rpartition("\n")[2].rstrip())
    return f"{'..':>{max(width, 2)}} "


__all__ = ["Console", "Draft", "IoServer", "Question"]
