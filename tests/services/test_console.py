"""Python prompts for remote shells, with a client by hand: a group leader that types."""

from __future__ import annotations

import logging
from collections import deque

import pytest

from tests.conftest import MakeNode
from uds_dist import (
    Atom,
    ConfigError,
    EventLoop,
    Future,
    Node,
    Pid,
    RemoteError,
)
from uds_dist.services.console import CONTINUATION, PROMPT, ConsoleInput
from uds_dist.services.rpc import start_rpc

A = "a@localhost"
SOON = 5.0


class Client:
    """A terminal at another node, as `erl -remsh` is one."""

    def __init__(self, node: Node, start: tuple[str, str, list[object]] = ("shell", "start", [])):
        self.node = node
        self.screen = ""
        self.prompts: list[str] = []
        self.typed: deque[object] = deque()
        self.waiting: tuple[Pid, object] | None = None  # who reads, and under which reference
        self.ended: object = None
        self.box = node.mailbox(on_message=self._on_message, trap_exit=True)
        module, function, arguments = start
        future = start_rpc(
            node.loop, node.processes, self.box, self.box.pid, A, module, function, arguments
        )
        shell = future.result(SOON)
        assert isinstance(shell, Pid)
        self.shell = shell
        self.box.link(self.shell)
        self.until_prompt()

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("io_request"), Pid() as sender, ref, (Atom("get_line"), _, bytes() as text)):
                self.prompts.append(text.decode())
                self.screen += text.decode()
                self.waiting = (sender, ref)
                self._feed()
            case (Atom("io_request"), Pid() as sender, ref, (Atom("put_chars"), _, bytes() as text)):
                self.screen += text.decode()
                self.box.send(sender, (Atom("io_reply"), ref, Atom("ok")))
            case (Atom("EXIT"), sender, reason) if sender == self.shell:
                self.ended = reason
            case _:
                raise AssertionError(message)

    def _feed(self) -> None:
        if self.waiting is not None and self.typed:
            (sender, ref), self.waiting = self.waiting, None
            self.box.send(sender, (Atom("io_reply"), ref, self.typed.popleft()))

    def until_ended(self) -> object:
        """Run until the shell has ended; gives the reason."""
        assert self.node.loop.run_until(lambda: self.ended is not None, SOON)
        return self.ended

    def until_prompt(self) -> None:
        """Run until the shell waits for a line, or has ended."""
        assert self.node.loop.run_until(
            lambda: self.ended is not None or (self.waiting is not None and not self.typed), SOON
        )

    def type(self, *lines: str | Atom | tuple[Atom, Atom]) -> str:
        """Type lines; gives what has come on the screen meanwhile, prompts left out."""
        before = len(self.screen)
        self.typed.extend(
            [*map(ord, line), 10] if type(line) is str else line for line in lines
        )
        self._feed()
        self.until_prompt()
        text = self.screen[before:]
        return text.replace(PROMPT, "").replace(CONTINUATION, "")

    def close(self) -> None:
        """End the terminal, as when its user closes the window."""
        self.box.close()


@pytest.fixture
def console(a: Node) -> Node:
    """A node with a console."""
    a.serve_console({"greeting": "hello"})
    return a


def nothing_left(node: Node, loop: EventLoop, processes: int) -> None:
    """No shell and nothing of one is there any more."""
    assert node._console is not None
    shells = node._console.shells
    assert loop.run_until(
        lambda: node.statistics().processes == processes and not shells, SOON
    )
    statistics = node.statistics()
    assert (statistics.links, statistics.monitors, statistics.watchers) == (0, 0, 0)


def test_a_session(console: Node, b: Node) -> None:
    client = Client(b)
    assert client.prompts == [PROMPT]
    assert client.type("1 + 1") == "2\n"
    assert client.type("_ * 21") == "42\n"
    assert client.type("def f(n):", "    return n + 1", "") == ""
    assert client.prompts[-3:] == [CONTINUATION, CONTINUATION, PROMPT]
    assert client.type("f(1)") == "2\n"
    assert "SyntaxError" in client.type("1 +")
    assert client.type("1 // 0").endswith("ZeroDivisionError: integer division or modulo by zero\n")
    assert client.type("'grün €'") == "'grün €'\n"
    assert client.type("for i in range(3): print(i, greeting)", "") == "0 hello\n1 hello\n2 hello\n"
    assert client.type("node.name, loop is node.loop") == "(Atom('a@localhost'), True)\n"
    assert client.type("history()").splitlines()[:2] == ["1 + 1", "_ * 21"]
    assert A in client.type("stack()") or "test_console" in client.type("stack()")
    assert "b@localhost" in client.type("who()")


@pytest.mark.parametrize(
    "start",
    [
        ("iex", "start", [[(Atom("dot_iex"), None)], (Atom("iex"), Atom("sync_remote"), [])]),
        ("uds_dist_console", "start", []),
    ],
)
def test_other_clients(console: Node, b: Node, start: tuple[str, str, list[object]]) -> None:
    assert Client(b, start).type("1 + 1") == "2\n"


def test_the_questions_of_erl_and_iex(console: Node, b: Node) -> None:
    def ask(module: str, function: str, *arguments: object) -> object:
        return b.rpc(A, module, function, list(arguments)).result(SOON)

    for name in ("shell", "iex"):
        assert ask("code", "ensure_loaded", Atom(name)) == (Atom("module"), Atom(name))
    assert ask("net_kernel", "get_net_ticktime") == 60
    for number in ("otp_release", "system_version"):
        text = ask("erlang", "system_info", Atom(number))
        assert isinstance(text, list) and all(type(char) is int for char in text)
    assert bytes(ask("erlang", "system_info", Atom("otp_release"))) == b"27"  # type: ignore[call-overload]
    banner = ask("application", "get_env", Atom("stdlib"), Atom("shell_slogan"), [])
    assert b"a@localhost" in bytes(banner)  # type: ignore[call-overload]
    for module, function in (("code", "ensure_loaded"), ("os", "cmd")):
        with pytest.raises(RemoteError, match="undef"):
            ask(module, function, Atom("lists"))


def test_nothing_is_answered_unless_it_is_served(a: Node, b: Node) -> None:
    questions: list[tuple[str, str, list[object]]] = [
        ("code", "ensure_loaded", [Atom("shell")]), ("net_kernel", "get_net_ticktime", []),
        ("erlang", "system_info", [Atom("otp_release")]), ("shell", "start", []),
        ("iex", "start", [[], []]), ("uds_dist_console", "start", []),
    ]  # fmt: skip

    def all_undefined() -> None:
        for module, function, arguments in questions:
            with pytest.raises(RemoteError) as caught:
                b.rpc(A, module, function, arguments).result(SOON)
            assert caught.value.reason == "undef"

    all_undefined()
    a.serve_console(allow=["c@localhost"])
    all_undefined()
    a.stop_console()
    a.serve_console(allow=["b@localhost"])
    assert Client(b).type("1") == "1\n"
    a.stop_console()
    all_undefined()


def test_two_shells_do_not_see_each_other(console: Node, b: Node) -> None:
    one, two = Client(b), Client(b)
    assert one.type("x = 'one'", "x") == "'one'\n"
    assert "NameError" in two.type("x")
    assert "NameError" in two.type("_")
    before = two.screen
    assert one.type("print('only here')") == "only here\n"
    assert two.screen == before


def test_what_ends_a_shell(console: Node, b: Node, loop: EventLoop) -> None:
    base = console.statistics().processes
    for word in (Atom("eof"), "exit()", "import sys; sys.exit(1)", "raise SystemExit"):
        client = Client(b)
        client.type(word)
        assert client.ended == "normal"
    client = Client(b)
    client.close()
    nothing_left(console, loop, base)
    client = Client(b)
    b.exit(client.shell, Atom("kill"))
    assert client.until_ended() == "killed"
    nothing_left(console, loop, base)


def test_a_client_whose_node_goes(console: Node, b: Node, loop: EventLoop) -> None:
    base = console.statistics().processes
    Client(b)
    b.close()
    nothing_left(console, loop, base)


def test_shells_end_with_the_console(console: Node, b: Node) -> None:
    client = Client(b)
    console.stop_console()
    assert client.until_ended() == "shutdown"


def test_a_future_is_shown_when_it_is_done(console: Node, b: Node, loop: EventLoop) -> None:
    futures: list[Future[int]] = []

    def slow() -> Future[int]:
        futures.append(Future(loop))
        return futures[-1]

    console.stop_console()
    console.serve_console({"slow": slow})
    client = Client(b)
    loop.call_later(0.05, lambda: futures[0].set_result(7))
    assert client.type("slow()") == "7\n"
    assert client.type("_ + 1") == "8\n"
    loop.call_later(0.05, lambda: futures[1].set_exception(ValueError("no luck")))
    assert "ValueError: no luck" in client.type("slow()")
    # Ctrl-C while it is waited for.
    loop.call_later(0.05, lambda: b.exit(client.shell, Atom("interrupt")))
    assert client.type("slow()") == "KeyboardInterrupt\n"
    futures[2].set_result(1)
    assert client.type("1") == "1\n"
    # And while a line is read: nothing happens.
    b.exit(client.shell, Atom("interrupt"))
    assert client.type("2") == "2\n"


def test_ctrl_c_drops_an_unfinished_input(console: Node, b: Node) -> None:
    client = Client(b)
    client.type("def f():")
    assert client.type((Atom("error"), Atom("interrupted"))) == "KeyboardInterrupt\n"
    assert client.prompts[-1] == PROMPT
    assert client.type("1") == "1\n"


def test_a_loop_without_an_end(a: Node, b: Node) -> None:
    a.serve_console(time_limit=0.2)
    client = Client(b)
    assert "ended after 0.2 seconds" in client.type("while True: pass", "")
    assert client.type("1") == "1\n"


def test_inputs_are_logged(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[ConsoleInput] = []
    a.serve_console(audit=told.append)
    with caplog.at_level(logging.INFO, logger="uds_dist.console"):
        Client(b).type("x = 'a\\n'")
    assert [entry.text for entry in told] == ["x = 'a\\n'"]
    assert told[0].node == "b@localhost" and isinstance(told[0].uid, int)
    assert any("b@localhost (uid" in line and "x = 'a" in line for line in caplog.messages)


def test_completion_for_those_who_can_ask(console: Node, b: Node) -> None:
    client = Client(b)
    client.type("mine = 1")

    def complete(text: str) -> object:
        return b.rpc(A, "uds_dist_console", "complete", [client.shell, text]).result(SOON)

    assert complete("greet") == [b"greeting"]
    assert complete("min") == [b"min", b"mine"]
    assert complete("greeting.up") == [b"greeting.upper"]


def test_a_megabyte_of_output(console: Node, b: Node) -> None:
    client = Client(b)
    text = client.type("print('x' * 1_000_000)")
    assert text == "x" * 1_000_000 + "\n"


def test_many_shells_leave_nothing(console: Node, b: Node, loop: EventLoop) -> None:
    base = console.statistics().processes
    for _ in range(200):
        client = Client(b)
        client.type("1", Atom("eof"))
        client.close()
    nothing_left(console, loop, base)
    assert loop.statistics().queued == 0


def test_settings_that_cannot_be(console: Node, make_node: MakeNode) -> None:
    with pytest.raises(ConfigError, match="stop_console"):
        console.serve_console()
    node = make_node("c@localhost")
    with pytest.raises(ConfigError, match="time_limit"):
        node.serve_console(time_limit=0)
    with pytest.raises(TypeError):
        node.serve_console(allow="b@localhost")
    node.stop_console()  # none is served: nothing happens
