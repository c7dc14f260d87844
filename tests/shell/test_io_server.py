"""The I/O protocol of a remote shell, without a terminal and without a node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from uds_dist import Atom, EventLoop, Future, Pid, RemoteError
from uds_dist.shell.io_server import Draft, IoServer, Question

A = Pid(Atom("a@localhost"), 1, 0, 1)
B = Pid(Atom("b@localhost"), 2, 0, 1)
OK, EOF, UNICODE, LATIN1 = Atom("ok"), Atom("eof"), Atom("unicode"), Atom("latin1")
REQUEST = (Atom("error"), Atom("request"))
INTERRUPTED = (Atom("error"), Atom("interrupted"))
PARSE: tuple[object, ...] = (Atom("Elixir.IEx.Server"), Atom("__parse__"), [(1, [])])
OLD_PARSE: tuple[object, ...] = (Atom("Elixir.IEx.Server"), Atom("__parse__"), [])
TOKENS: tuple[object, ...] = (Atom("erl_scan"), Atom("tokens"), [(1, 1), [Atom("text")]])


class Desk:
    """A console, and a node that answers calls, both by hand."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.printed = ""
        self.full = False  # the console takes no more for now
        self.held: list[Callable[[], object]] = []
        self.asked: list[Question] = []
        self.open: Question | None = None
        self.draft = Draft()
        self.calls: list[tuple[str, str, str, list[object], Future[object]]] = []
        self.replies: list[tuple[Pid, object, object]] = []
        self.server = IoServer(self, self.call, lambda *reply: self.replies.append(reply))

    def write(self, text: str, then: Callable[[], object]) -> None:
        self.printed += text
        if self.full:
            self.held.append(then)
        else:
            then()

    def ask(self, question: Question) -> None:
        assert self.open is None, "two questions at a time"
        self.open = question
        self.asked.append(question)

    def withdraw(self) -> Draft:
        self.open = None
        return self.draft

    def size(self) -> tuple[int, int] | None:
        return 100, 30

    def call(
        self, node: str, module: str, function: str, arguments: Sequence[object]
    ) -> Future[object]:
        future: Future[object] = Future(self.loop)
        self.calls.append((node, module, function, list(arguments), future))
        return future

    def request(self, request: object, sender: Pid = A, tag: object = 1) -> None:
        assert self.server.message((Atom("io_request"), sender, tag, request))

    def answers(self, request: object) -> object:
        """The answer to a request that is answered at once."""
        before = len(self.replies)
        self.request(request)
        (reply,) = self.replies[before:]
        return reply[2]

    def last(self) -> object:
        """The newest answer."""
        return self.replies[-1][2]

    def type(self, text: str) -> None:
        assert self.open is not None, "nobody asks"
        self.open = None
        self.server.line(text)

    def node_says(self, result: object) -> None:
        """Answer the oldest call."""
        future = self.calls.pop(0)[4]
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
        self.loop.run_once()


@pytest.fixture
def desk(loop: EventLoop) -> Iterator[Desk]:
    yield Desk(loop)


def test_text_in_every_form(desk: Desk) -> None:
    assert desk.answers((Atom("put_chars"), UNICODE, "grün\n".encode())) == OK
    assert desk.answers((Atom("put_chars"), UNICODE, [[0x4E16], b"x", [[10]]])) == OK
    assert desk.answers((Atom("put_chars"), LATIN1, b"\xfc")) == OK
    assert desk.answers((Atom("put_chars"), b"old")) == OK
    assert desk.printed == "grün\n世x\nüold"


def test_text_that_a_node_makes(desk: Desk) -> None:
    desk.request((Atom("put_chars"), UNICODE, Atom("io_lib"), Atom("format"), [b"~p", [1]]), B)
    assert desk.replies == []
    node, module, function, arguments, _ = desk.calls[0]
    assert (node, module, function, arguments) == ("b@localhost", "io_lib", "format", [b"~p", [1]])
    desk.node_says([49])
    assert desk.printed == "1" and desk.replies == [(B, 1, OK)]
    for answer in (RemoteError("oh"), Atom("no_text")):
        desk.request((Atom("put_chars"), UNICODE, Atom("io_lib"), Atom("format"), []))
        desk.node_says(answer)
        assert desk.last() == (Atom("error"), Atom("format"))


def test_requests_in_turn_until_one_fails(desk: Desk) -> None:
    put = (Atom("put_chars"), UNICODE, b"1")
    nested = (Atom("requests"), [(Atom("put_chars"), UNICODE, b"2"), (Atom("requests"), [put])])
    assert desk.answers((Atom("requests"), [put, nested, (Atom("put_chars"), UNICODE, b"3")])) == OK
    assert desk.answers((Atom("requests"), [put, Atom("what"), put])) == REQUEST
    assert desk.answers((Atom("requests"), [])) == OK
    assert desk.printed == "12131"
    # One in the middle whose text another node makes.
    made: tuple[object, ...] = (Atom("put_chars"), UNICODE, Atom("io_lib"), Atom("format"), [])
    desk.request((Atom("requests"), [put, made, put]))
    assert desk.printed == "121311"
    desk.node_says(b"-")
    assert desk.printed == "121311-1" and desk.last() == OK


def test_many_requests_take_linear_time_and_no_depth(desk: Desk) -> None:
    put = (Atom("put_chars"), UNICODE, b"x")

    def seconds(count: int) -> float:
        began = time.process_time()
        assert desk.answers((Atom("requests"), [put] * count)) == OK
        return time.process_time() - began

    seconds(1000)
    small, large = (min(seconds(count) for _ in range(5)) for count in (2000, 20000))
    assert large < 50 * small  # what is quadratic takes 100 times as long
    deep: object = put
    for _ in range(400):
        deep = (Atom("requests"), [deep])
    assert desk.answers(deep) == OK


def test_text_is_answered_when_the_console_can_take_more(desk: Desk) -> None:
    desk.full = True
    desk.request((Atom("put_chars"), UNICODE, b"much"))
    assert desk.replies == []
    desk.held.pop()()
    assert desk.replies == [(A, 1, OK)]


def test_options_and_geometry(desk: Desk) -> None:
    assert desk.answers((Atom("setopts"), [(Atom("binary"), True), (Atom("encoding"), UNICODE)])) == OK
    options = desk.answers(Atom("getopts"))
    assert isinstance(options, list)
    assert (Atom("binary"), True) in options and (Atom("terminal"), True) in options
    # A shell hands back all that it got, with one of them changed.
    assert desk.answers((Atom("setopts"), [*options, (Atom("echo"), False)])) == OK
    assert desk.answers((Atom("get_geometry"), Atom("columns"))) == 100
    assert desk.answers((Atom("get_geometry"), Atom("rows"))) == 30


@pytest.mark.parametrize(
    "request_",
    [
        Atom("what"), 7, (), (Atom("put_chars"),), (Atom("put_chars"), UNICODE, 1, 2, 3),
        (Atom("put_chars"), Atom("utf16"), b"x"), (Atom("put_chars"), UNICODE, b"a", b"b", []),
        (Atom("setopts"), [7]), (Atom("setopts"), 7), (Atom("get_geometry"), Atom("depth")),
        (Atom("get_line"), UNICODE, 7), (Atom("get_line"),), (Atom("get_chars"), UNICODE, b"", -1),
        (Atom("get_chars"), UNICODE, b"", b"3"), (Atom("get_until"), UNICODE, b"", 1, 2, 3),
        (Atom("get_until"), UNICODE, b"", Atom("m"), Atom("f"), Atom("a")), (Atom("requests"), 7),
        (Atom("get_password"), Atom("utf16")), (Atom("put_ansi"), [], b""),
    ],
)  # fmt: skip
def test_what_is_malformed_gets_an_error(desk: Desk, request_: object) -> None:
    assert desk.answers(request_) == REQUEST
    assert desk.calls == [] and desk.open is None


def test_text_that_is_none_gets_an_error(desk: Desk) -> None:
    for characters in (b"\xff", [0x110000], Atom("x"), [[-1]]):
        answer = desk.answers((Atom("put_chars"), UNICODE, characters))
        assert isinstance(answer, tuple) and answer[0] == "error"


def test_lines_characters_and_passwords(desk: Desk) -> None:
    desk.request((Atom("get_line"), UNICODE, [b"na", [[109, 101]]]))
    assert desk.open is not None and desk.open.prompt == "name"
    assert not (desk.open.secret or desk.open.main or desk.open.history)
    desk.type("bödy\n")
    assert desk.last() == [98, 246, 100, 121, 10]
    desk.answers((Atom("setopts"), [Atom("binary")]))
    desk.request((Atom("get_chars"), UNICODE, b"> ", 6))
    desk.type("ab\n")
    desk.type("cdef\n")
    assert desk.last() == b"ab\ncde"
    # What is left over is the beginning of the next read.
    assert desk.answers((Atom("get_line"), UNICODE, Atom(""))) == b"f\n"
    desk.request((Atom("get_password"), UNICODE))
    assert desk.open is not None and desk.open.secret and not desk.open.history
    desk.type("geheim\n")
    assert desk.last() == b"geheim"
    desk.request((Atom("get_line"), LATIN1, b""))
    desk.type("世\n")
    assert desk.last() == (Atom("error"), (Atom("no_translation"), UNICODE, LATIN1))
    desk.request((Atom("get_line"), UNICODE, b""))
    desk.server.end_of_input()
    assert desk.last() == EOF


def test_an_expression_is_looked_at_by_its_node_from_the_start_each_time(desk: Desk) -> None:
    desk.answers((Atom("setopts"), [(Atom("binary"), True)]))
    desk.request((Atom("get_until"), UNICODE, b"iex(1)> ", *PARSE))
    assert desk.open is not None and desk.open.main and desk.open.history
    desk.type("[1,\n")
    assert desk.calls[0][:4] == (
        "a@localhost", "io_lib", "get_until", [Atom("start"), b"[1,\n", UNICODE, PARSE],
    )  # fmt: skip
    desk.node_says((True, Atom("a_continuation")))
    assert desk.open is not None and desk.open.prompt == "     .. "
    desk.type("2]; 3\n")
    assert desk.calls[0][3][1] == b"[1,\n2]; 3\n"
    desk.node_says((Atom("stop"), (OK, b"a fun"), b"; 3\n"))
    assert desk.last() == (OK, b"a fun")
    # The rest is there for the next read, which asks for no line.
    desk.request((Atom("get_until"), UNICODE, b"iex(2)> ", *PARSE))
    assert desk.open is None and desk.calls[0][3][1] == b"; 3\n"
    desk.node_says((Atom("stop"), EOF, EOF))
    assert desk.last() == EOF


def test_a_read_in_between_is_served_first(desk: Desk) -> None:
    desk.request((Atom("get_until"), UNICODE, b"1> ", *TOKENS), A, 1)
    desk.draft = Draft("40 + ", 5)
    desk.request((Atom("get_line"), UNICODE, b"Allow? "), B, 2)
    assert desk.open is not None and desk.open.prompt == "Allow? "
    assert not desk.open.main and desk.open.draft.text == ""
    desk.type("y\n")
    assert desk.replies == [(B, 2, [121, 10])]
    assert desk.open is not None and desk.open.prompt == "1> "
    assert (desk.open.draft.text, desk.open.draft.cursor) == ("40 + ", 5)


def test_a_reader_that_ends_takes_its_question_along(desk: Desk) -> None:
    desk.request((Atom("get_until"), UNICODE, b"1> ", *TOKENS), A, 1)
    desk.request((Atom("get_line"), UNICODE, b"Allow? "), B, 2)
    desk.server.forget(2)
    assert desk.open is not None and desk.open.prompt == "1> "
    desk.server.forget(1)
    assert desk.open is None and not desk.server.reading and desk.replies == []


def test_an_interrupt(desk: Desk) -> None:
    assert not desk.server.interrupt()
    # The node does not know what was typed of an expression that is not finished.
    desk.request((Atom("get_until"), UNICODE, b"1> ", *TOKENS))
    desk.type("[1,\n")
    desk.node_says((False, Atom("more")))
    assert desk.server.unfinished
    assert desk.server.interrupt()
    assert desk.replies == [] and desk.open is not None and desk.open.prompt == "1> "
    desk.type("2.\n")
    # Nor does it matter any more what the node found before.
    assert desk.calls[0][3][1] == [50, 46, 10]
    assert desk.server.interrupt()
    desk.node_says((Atom("stop"), Atom("late"), []))
    assert desk.replies == []
    # Elixir 1.18 keeps the lines itself; another read is told, too.
    desk.server.forget(1)
    for request in (
        (Atom("get_until"), UNICODE, b"...> ", *OLD_PARSE), (Atom("get_line"), UNICODE, b""),
    ):  # fmt: skip
        desk.request(request)
        assert desk.server.interrupt()
        assert desk.last() == INTERRUPTED and not desk.server.reading


def test_an_empty_line_gets_the_same_prompt_again(desk: Desk) -> None:
    desk.request((Atom("get_until"), UNICODE, b"1> ", *TOKENS))
    desk.type("\n")
    assert desk.calls == [] and desk.open is not None and desk.open.prompt == "1> "


def test_a_closed_input_ends_every_read(desk: Desk) -> None:
    desk.request((Atom("get_until"), UNICODE, b"1> ", *TOKENS), A, 1)
    desk.request((Atom("get_line"), UNICODE, b"?"), B, 2)
    desk.server.close_input()
    assert sorted(desk.replies, key=str) == [(A, 1, EOF), (B, 2, EOF)]
    assert desk.answers((Atom("get_line"), UNICODE, b"?")) == EOF


def test_what_is_no_request_is_left_alone(desk: Desk) -> None:
    for message in (Atom("x"), (Atom("io_request"), A, 1), (Atom("io_request"), 1, 2, 3)):
        assert not desk.server.message(message)
