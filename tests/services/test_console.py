"""Python prompts for remote shells, with a client by hand: a group leader that types."""

from __future__ import annotations

import logging
from collections import deque

import pytest

from tests.conftest import MakeNode
from tests.inside import settle
from uds_dist import (
    Atom,
    ConfigError,
    EventLoop,
    Future,
    Mailbox,
    Node,
    Pid,
    RemoteError,
)
from uds_dist.services.console import CONTINUATION, PROMPT, ConsoleInput
from uds_dist.services.console_shell import OUTPUT_PART, WINDOW
from uds_dist.services.rpc import start_rpc

A = "a@localhost"
SOON = 5.0


def text_of(data: object) -> str:
    """The text of a binary, which in text mode is one already."""
    assert isinstance(data, (bytes, str))
    return data if isinstance(data, str) else data.decode()


class Client:
    """A terminal at another node, like that of `erl -remsh`."""

    def __init__(
        self,
        node: Node,
        start: tuple[str, str, list[object]] = ("shell", "start", []),
        name: str = A,
    ) -> None:
        self.node = node
        self.screen = ""
        self.prompts: list[str] = []
        self.typed: deque[object] = deque()
        self.waiting: tuple[Pid, object] | None = None  # who reads, and under which reference
        self.ended: object = None
        self.box = node.mailbox(on_message=self._on_message, trap_exit=True)
        self.box.group_leader = self.box.pid
        module, function, arguments = start
        future = start_rpc(node.processes, self.box, name, module, function, arguments)
        shell = future.result(SOON)
        assert isinstance(shell, Pid)
        self.shell = shell
        self.box.link(self.shell)
        self.until_prompt()

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("io_request"), Pid() as sender, ref, (Atom("get_line"), _, data)):
                self.prompts.append(text_of(data))
                self.screen += text_of(data)
                self.waiting = (sender, ref)
                self._feed()
            case (Atom("io_request"), Pid() as sender, ref, (Atom("put_chars"), _, data)):
                self.screen += text_of(data)
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
        """Run until the shell has ended; return the reason."""
        assert self.node.loop.run_until(lambda: self.ended is not None, SOON)
        return self.ended

    def until_prompt(self) -> None:
        """Run until the shell waits for a line, or has ended."""
        assert self.node.loop.run_until(
            lambda: self.ended is not None or (self.waiting is not None and not self.typed), SOON
        )

    def type(self, *lines: str | bytes | Atom | tuple[Atom, Atom]) -> str:
        """Type lines; return what has appeared on the screen meanwhile, without the prompts."""
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
    """No shell is left, and nothing of one."""
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
    assert client.type("1 / 0").endswith("ZeroDivisionError: division by zero\n")
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
    for _ in range(1000):
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


# -- a terminal that is slow, or not what it says --------------------------------------------------


class SlowClient(Client):
    """A terminal that answers a request to write only when it is told to."""

    def __init__(self, node: Node) -> None:
        self.unanswered: deque[tuple[Pid, object]] = deque()
        self.slow = False
        super().__init__(node)

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("io_request"), Pid() as sender, ref, (Atom("put_chars"), _, bytes() as text)):
                self.screen += text.decode()
                self.unanswered.append((sender, ref))
                if not self.slow:
                    self.answer(1)
            case _:
                super()._on_message(message)

    def answer(self, count: int) -> None:
        """Answer the oldest requests."""
        for _ in range(count):
            sender, ref = self.unanswered.popleft()
            self.box.send(sender, (Atom("io_reply"), ref, Atom("ok")))

    def send_line(self, line: str) -> None:
        """Type a line without waiting for the prompt."""
        self.typed.append([*map(ord, line), 10])
        self._feed()


def test_output_waits_for_a_slow_terminal(console: Node, b: Node, loop: EventLoop) -> None:
    client = SlowClient(b)
    client.slow = True
    client.send_line("print('x' * 1_000_000)")
    settle(loop)
    assert len(client.unanswered) == WINDOW
    assert client.screen.count("x") == WINDOW * OUTPUT_PART
    assert client.waiting is None  # there is no prompt before the output is through
    client.answer(2)
    settle(loop)
    assert len(client.unanswered) == WINDOW
    # Ctrl-C drops the rest, and answers that come after it disturb nothing.
    b.exit(client.shell, Atom("interrupt"))
    client.slow = False
    client.answer(len(client.unanswered))
    client.until_prompt()
    assert client.screen.count("x") < 200_000
    assert client.screen.endswith("KeyboardInterrupt\n" + PROMPT)
    assert client.type("print('y' * 1_000_000)").count("y") == 1_000_000


def test_exit_after_much_output(console: Node, b: Node) -> None:
    client = SlowClient(b)
    client.type("print('x' * 500_000); exit()")
    assert client.ended == "normal" and client.screen.count("x") == 500_000


def test_nobody_else_types(a: Node, b: Node, make_node: MakeNode, loop: EventLoop) -> None:
    told: list[ConsoleInput] = []
    a.serve_console(allow=["b@localhost"], audit=told.append)
    client = Client(b)
    assert client.waiting is not None
    shell, ref = client.waiting
    c = make_node("c@localhost")
    for answer in ([*map(ord, "print(1)"), 10], Atom("eof")):
        c.send(shell, (Atom("io_reply"), ref, answer))
    c.send(shell, (Atom("io_reply"), None, b"1\n"))
    settle(loop)
    assert not told and client.ended is None
    assert client.type("1") == "1\n"
    # A terminal at another node than the caller's would belong to somebody else.
    client.box.group_leader = c.mailbox().pid
    future = start_rpc(b.processes, client.box, A, "shell", "start", [])
    with pytest.raises(RemoteError, match="undef"):
        future.result(SOON)


def test_replies_that_nobody_asked_for(a: Node, b: Node, loop: EventLoop) -> None:
    a.serve_console({"slow": lambda: Future(loop)})
    client = Client(b)
    client.typed.append([*map(ord, "slow()"), 10])
    client._feed()
    settle(loop)  # it waits for a future
    for ref in (None, Atom("x"), [1], b"ref", b.processes.numbers.new_reference()):
        for _ in range(20):
            b.send(client.shell, (Atom("io_reply"), ref, b"print('no')\n"))
            b.send(client.shell, (Atom("io_reply"), ref))
    b.send(client.shell, b"what")
    b.exit(client.shell, Atom("normal"))
    settle(loop)
    assert "no" not in client.screen and client.ended is None
    b.exit(client.shell, Atom("interrupt"))
    client.until_prompt()
    assert client.type("1") == "1\n"


def test_a_long_line(console: Node, b: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uds_dist.services.evaluator.MAX_INPUT", 10_000)
    client = Client(b)
    assert "one input may have up to" in client.type("x" * 20_000)
    assert client.type("1") == "1\n"


# -- what is evaluated and what it does to its own node --------------------------------------------


def test_inputs_that_meddle_with_the_loop(console: Node, b: Node, loop: EventLoop) -> None:
    client = Client(b)
    assert "LoopReentryError" in client.type("loop.run_once()")
    assert "LoopReentryError" in client.type("loop.close()")
    assert "LoopReentryError" in client.type("node.ping('b@localhost')")
    assert "leave .result() out" in client.type("node.rpc('b@localhost', 'no', 'such').result()")
    assert client.type("1") == "1\n"


def test_an_input_that_closes_the_node(console: Node, b: Node, loop: EventLoop) -> None:
    client = Client(b)
    client.typed.append([*map(ord, "node.close()"), 10])
    client._feed()
    client.until_ended()
    settle(loop)
    assert console.closed


def test_an_input_that_stops_the_console(console: Node, b: Node, loop: EventLoop) -> None:
    base = console.statistics().processes - 1
    client = Client(b)
    client.type("node.stop_console()")
    assert client.ended == "shutdown"
    settle(loop)
    assert console._console is None and console.statistics().processes == base + 1


def test_an_audit_that_fails(a: Node, b: Node, loop: EventLoop) -> None:
    class AuditError(Exception):
        pass

    def audit(entry: ConsoleInput) -> None:
        if "secret" in entry.text:
            raise AuditError

    done: list[int] = []
    a.serve_console({"done": done}, audit=audit)
    client = Client(b)
    with pytest.raises(AuditError):
        client.type("done.append(1)  # secret")
    client.until_prompt()
    assert "the audit failed: the input is not evaluated\n" in client.screen and not done
    assert client.type("done.append(2)", "done") == "[2]\n"


def test_a_signal_of_the_program_is_for_the_program(console: Node, b: Node) -> None:
    client = Client(b)
    with pytest.raises(KeyboardInterrupt):
        client.type("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)")
    client.until_prompt()
    assert client.type("1") == "1\n"


class Ticks:
    count = 0
    def urgent_tick(self, now: float) -> None:
        self.count += 1


def test_ticks_go_out_while_an_input_runs(a: Node, b: Node, loop: EventLoop) -> None:
    ticks = Ticks()
    loop.urgent.add(ticks)
    a.serve_console(time_limit=0.4)
    client = Client(b)
    assert "ended after" in client.type("while True: pass", "")
    assert ticks.count >= 2


def test_no_more_shells_than_may_be_open(console: Node, b: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uds_dist.services.console.MAX_SHELLS", 2)
    one, _two = Client(b), Client(b)
    with pytest.raises(RemoteError, match="system_limit"):
        Client(b)
    one.type("exit()")
    assert Client(b).type("1") == "1\n"


# -- for the clients -------------------------------------------------------------------------------


def test_completion_in_a_beams_client(console: Node, b: Node) -> None:
    client = Client(b)
    client.type("mine = 1")

    def expand(text: str, box: Mailbox = client.box) -> object:
        before = [ord(character) for character in reversed(text)]
        arguments = ["edlin_expand", "expand", [before, []]]
        future = start_rpc(b.processes, box, A, *arguments)  # type: ignore[arg-type]
        return future.result(SOON)

    assert expand("print(greet") == ("yes", list(b"ing"), [])
    assert expand("min") == ("yes", [], [list(b"min"), list(b"mine")])
    assert expand("greeting.upp") == ("yes", list(b"er"), [])
    assert expand("no_such") == ("no", [], [])
    assert expand("") == expand("    ") == ("yes", list(b"    "), [])
    assert expand("1 + ") == ("no", [], [])
    assert expand("mi", b.mailbox()) == ("no", [], [])  # not the terminal of a shell


def test_the_look_that_a_client_asks_for(console: Node, b: Node) -> None:
    options = [[(Atom("columns"), 40), (Atom("colour"), True), (Atom("other"), 1), Atom("x")]]
    client = Client(b, ("uds_dist_console", "start", list[object](options)))
    assert client.type("list(range(30))").count("\n") > 2
    assert "\x1b[1;35mNameError\x1b[0m" in client.type("nothing")


def evaluate(node: Node, text: str) -> tuple[Atom, bytes, bytes, bytes]:
    """Whether it raised, what it printed, the value, the traceback."""
    match node.rpc(A, "uds_dist_console", "eval", [text]).result(SOON):
        case (Atom() as status, bytes() as printed, bytes() as value, bytes() as failure):
            return status, printed, value, failure
    raise AssertionError


def test_programs_without_a_shell(console: Node, b: Node, loop: EventLoop) -> None:
    base = console.statistics().processes
    assert evaluate(b, "1 + 1") == ("ok", b"", b"2", b"")
    assert evaluate(b, "x = greeting\nprint(x)\nx") == ("ok", b"hello\n", b"'hello'", b"")
    assert evaluate(b, "x = 1") == ("ok", b"", b"", b"")
    status, printed, value, failure = evaluate(b, "print('a'); 1 / 0")
    assert (status, printed, value) == ("error", b"a\n", b"")
    assert failure.endswith(b"ZeroDivisionError: division by zero\n")
    rpc = "node.rpc('b@localhost', 'no', 'such')"
    status, _, _, failure = evaluate(b, rpc)
    assert status == "error" and b"undef" in failure
    assert evaluate(b, "exit()") == ("ok", b"", b"", b"")
    nothing_left(console, loop, base)


def test_a_program_that_ends_the_program(a: Node, b: Node, loop: EventLoop) -> None:
    running = [True]
    a.serve_console({"running": running})
    answer = b.rpc(A, "uds_dist_console", "eval", ["running.clear()"])
    assert loop.run_until(lambda: not running, SOON)
    a.close()  # `uds-dist eval --python` asks for this, and gets its answer
    assert answer.result(SOON) == (Atom("ok"), b"", b"", b"")


def test_programs_are_logged_and_may_be_barred(a: Node, b: Node) -> None:
    told: list[ConsoleInput] = []
    a.serve_console(allow=["b@localhost"], audit=told.append)
    evaluate(b, "1 + 1")
    assert [(entry.node, entry.text) for entry in told] == [("b@localhost", "1 + 1")]
    a.stop_console()
    a.serve_console(allow=[])
    with pytest.raises(RemoteError, match="undef"):
        evaluate(b, "1 + 1")


def test_nodes_in_text_mode(make_node: MakeNode) -> None:
    a, b = (make_node(name, text=True) for name in (A, "b@localhost"))
    a.serve_console({"greeting": "grün"})
    client = Client(b)
    assert client.type("1 + 1", "greeting") == "2\n'grün'\n"
    # A terminal that gives lines as binaries.
    assert client.type(b"def f():\n", "    return 'grün'\n".encode(), b"\n", b"f()\n") == "'grün'\n"
    assert client.type((Atom("error"), Atom("interrupted"))) == "KeyboardInterrupt\n"
    asked = ["uds_dist_console", "complete", [client.shell, "greet"]]
    assert b.rpc(A, *asked).result(SOON) == ["greeting"]  # type: ignore[arg-type]
    assert b.rpc(A, "uds_dist_console", "eval", ["greeting"]).result(SOON)[2] == "'grün'"  # type: ignore[index]
    client.type(Atom("eof"))
    assert client.ended == "normal"


def test_the_programs_own_names_are_not_hidden(a: Node, b: Node) -> None:
    a.serve_console({"tasks": 1, "node": 2, "history": 3, "help": 4})
    assert Client(b).type("(tasks, node, history, help)") == "(1, 2, 3, 4)\n"
