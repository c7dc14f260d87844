"""What an operator asks first at a console: what waits, what takes long, who is there."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.services.test_console import SOON, Client
from uds_dist import Atom, EventLoop, Future, Node
from uds_dist.services.console_helpers import MAX_ROWS, Table, name_of, tasks, top


@pytest.fixture
def untraced() -> Iterator[None]:
    """What measures the tests' coverage steps aside."""
    before = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(before)


def test_a_table() -> None:
    table = Table(("name", "seconds"), [("a", 1.5), ("long\nname", 2)])
    assert repr(table) == "name        seconds\na           1.500\nlong\\nname  2"
    assert list(table) == [("a", 1.5), ("long\nname", 2)] and len(table) == 2
    assert repr(Table(("a", "b"), [])) == "a  b"
    assert repr(Table(("n",), [(n,) for n in range(MAX_ROWS + 5)])).endswith("\n... and 5 more")


def test_what_waits(a: Node, b: Node, loop: EventLoop) -> None:
    pending: Future[object] = Future(loop)
    b.expose("test", {"slow": lambda: pending})
    b.mailbox("silent")
    a.serve_console()
    client = Client(b)
    client.type("x = node.rpc('b@localhost', 'test', 'slow')")
    client.type("y = node.call(('silent', 'b@localhost'), 'what')")
    client.type("m = node.mailbox('mine'); z = m.monitor(('silent', 'b@localhost'))")
    client.type("t = loop.call_later(100, print)")
    loop.run_until(lambda: False, 0.05)  # the spawn reply
    text = client.type("tasks()")
    for pattern in (
        "waits", "connection  b@localhost", "up, ", "messages in", "process", "mine",
        "0 messages wait", "net_kernel", "builtins.print", "Shell._on_message",
    ):  # fmt: skip
        assert pattern in text, text
    lines = text.splitlines()
    assert sum(line.startswith("call ") and "b@localhost" in line for line in lines) == 2, text
    assert any(line.startswith("call ") and "test:slow" in line for line in lines), text
    assert any(line.startswith("monitor ") and "silent" in line for line in lines), text
    assert client.type("[row for row in tasks() if row[0] == 'timer' and 'print' in row[2]]")
    pending.set_result(None)


def test_names_of_what_is_called() -> None:
    assert name_of(partial(partial(print, 1), 2)) == "builtins.print"
    assert name_of(Client.until_prompt) == "tests.services.test_console.Client.until_prompt"
    assert name_of(Table((), ())) == "uds_dist.services.console_helpers.Table"


def busy(seconds: float) -> None:
    """A handler that takes its time, in functions of its own."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        nothing()


def nothing() -> None:
    """What a handler calls is part of it."""


def test_which_handlers_take_long(
    untraced: None, a: Node, b: Node, loop: EventLoop
) -> None:
    def exposed_work() -> None:
        busy(0.02)

    def on_box(_message: object) -> None:
        busy(0.01)

    a.expose("test", {"work": exposed_work})
    a.mailbox("box", on_message=on_box)
    a.serve_console()
    client = Client(b)
    client.typed.append([*map(ord, "top(0.4)"), 10])
    client._feed()
    assert loop.run_until(lambda: sys.gettrace() is not None, SOON)
    busy(0.02)  # outside of the loop: not a handler
    loop.call_later(0.1, busy, 0.03)
    for _ in range(3):
        b.rpc("a@localhost", "test", "work").result(SOON)
        b.send(("box", "a@localhost"), Atom("go"))
    client.until_prompt()
    assert sys.gettrace() is None
    rows = {line.split(" (")[0]: line.split() for line in client.screen.splitlines()}
    timed, exposed, message = (
        next(row for name, row in rows.items() if name.endswith(part))
        for part in ("busy", "exposed_work", "on_box")
    )
    assert "nothing" not in client.screen
    assert timed[2] == "1" and float(timed[3]) >= 0.03 and float(timed[4]) >= 0.03
    assert exposed[2] == "3" and float(exposed[3]) >= 0.06 and 0.02 <= float(exposed[4])
    assert int(message[2]) >= 2 and float(message[3]) >= 0.02
    assert "%" in timed[5]


def test_a_measurement_that_nobody_waits_for(
    untraced: None, loop: EventLoop, a: Node, b: Node
) -> None:
    a.serve_console()
    client = Client(b)
    client.typed.append([*map(ord, "top(100)"), 10])
    client._feed()
    assert loop.run_until(lambda: sys.gettrace() is not None, SOON)
    assert "already" in Client(b).type("top(1)")
    b.exit(client.shell, Atom("interrupt"))
    assert loop.run_until(lambda: sys.gettrace() is None, SOON)
    client.until_prompt()
    assert client.type("1") == "1\n"
    for seconds in ("0", "-1", "1e9"):
        assert "ValueError" in client.type(f"top({seconds})")


def test_a_measurement_in_a_loop_that_is_closed(untraced: None) -> None:
    loop = EventLoop()
    future = top(loop, 100)
    loop.close()
    nothing()
    assert sys.gettrace() is None and not future.done()


def test_the_table_without_a_console(a: Node) -> None:
    assert len(tasks(a.processes, ())) >= len(a.processes.by_pid)


def test_who_is_here(a: Node, b: Node) -> None:
    a.serve_console()
    one, two = Client(b), Client(b)
    text = one.type("who()")
    assert text.count("b@localhost") == 2 and str(two.shell) in text
    assert text.startswith("shell ")
    assert one.type("str(who().rows[0].node)") == "'b@localhost'\n"
