"""Generic servers that are started again, and when they are not."""

from __future__ import annotations

import pytest

from tests.services.calc import A, Calc, ask, fail, rounds
from uds_dist import (
    Atom,
    ConfigError,
    EventLoop,
    GenServer,
    LocalProtocolError,
    Node,
    NoProcessError,
)


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        ("temporary", "crash", False),
        ("transient", "crash", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("permanent", "crash", True),
        ("permanent", "normal", True),
    ],
)
def test_the_restart_policy(a: Node, b: Node, restart: str, reason: str, again: bool) -> None:
    calc = Calc()
    first = a.serve("calc", calc, restart=restart)  # type: ignore[arg-type]
    assert ask(b, (Atom("add"), 7)) == 7
    assert fail(b, (Atom("stop"), Atom(reason))).reason == reason
    b.loop.run_once(0.01)
    pid = a.whereis("calc")
    assert (pid is not None) is again
    if again:
        assert pid != first and calc.lives == 2
        assert ask(b, (Atom("add"), 1)) == 1  # `init` has built the state anew
    else:
        assert isinstance(fail(b, 1), NoProcessError)


def test_a_killed_server_is_started_again_from_its_class(a: Node, b: Node, loop: EventLoop) -> None:
    pid = a.serve("calc", Calc, restart="permanent")
    b.exit(pid, Atom("kill"))
    rounds(loop, lambda: a.whereis("calc") not in (None, pid))
    assert ask(b, (Atom("add"), 1)) == 1


def test_a_server_that_ends_too_often_stays_down(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    calc = Calc()
    a.serve("calc", calc, restart="permanent")
    for _ in range(4):
        fail(b, (Atom("stop"), Atom("crash")))
        b.loop.run_once(0.01)
    assert a.whereis("calc") is None and calc.lives == 4
    assert "not started again" in caplog.text


def test_a_restart_whose_init_raises_is_tried_again(
    a: Node, b: Node, loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    class Fragile(Calc):
        def init(self) -> None:
            super().init()
            if self.lives == 2:
                raise OSError("not yet")

    calc = Fragile()
    a.serve("calc", calc, restart="permanent")
    fail(b, (Atom("stop"), Atom("crash")))
    rounds(loop, lambda: a.whereis("calc"))
    assert calc.lives == 3 and "could not be started again" in caplog.text


def test_an_init_that_raises_raises_from_serve(a: Node) -> None:
    class Broken(GenServer):
        def init(self) -> None:
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        a.serve("broken", Broken)
    assert a.whereis("broken") is None


def test_messages_wait_for_init(a: Node, b: Node) -> None:
    class Slow(Calc):
        def init(self) -> None:
            super().init()
            b.cast(("calc", A), (Atom("set"), 5))
            assert b.ping(A)  # the loop runs here, at top level
            self.count = 1

    a.serve("calc", Slow())
    assert ask(b, (Atom("add"), 1)) == 6


def test_misuse_is_told(a: Node, calc: Calc) -> None:
    with pytest.raises(ConfigError, match="taken"):
        a.serve("calc", Calc())
    with pytest.raises(ConfigError, match="served already"):
        a.serve("other", calc)
    with pytest.raises(ConfigError, match="restart"):
        a.serve("other", Calc, restart="often")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not a GenServer"):
        a.serve("other", object)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="not served"):
        Calc().stop()
