"""`uds-dist demo`: two nodes in two processes talk over a Unix socket, with timings.

It needs only Python and takes a few seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uds_dist import Atom, EventLoop, From, GenServer, Mailbox, Node, format_term
from uds_dist.cli.exit_codes import OK, DemoError
from uds_dist.cli.output import write_line
from uds_dist.cli.words import Command
from uds_dist.config import MIB
from uds_dist.transport.address import PATH_LIMIT
from uds_dist.transport.folder import FOLDER_MODE
from uds_dist.transport.loop import READ

HERE = "demo@localhost"
THERE = "partner@localhost"
CALLS = 1000
BULK = 64 * MIB
TIMEOUT = 20.0  # seconds for one step, far more than a slow machine needs

SHUTDOWN = Atom("shutdown")


def run_demo(show: Callable[[str], object]) -> None:
    """Run the demonstration.

    Args:
        show: called with each line of the report.
    Raises:
        UdsDistError: a step failed (DemoError: its result was wrong). The second process and the
            folder are removed in any case.
    """
    with _socket_folder() as folder:
        cookie = secrets.token_hex(16)
        with _second_process(folder, cookie):
            # Make the loop after the fork: it belongs to the process that made it.
            with (
                EventLoop() as loop,
                Node(HERE, loop=loop, cookie=cookie, socket_dir=folder) as node,
            ):
                show(f"socket     {os.path.join(folder, 'partner.sock')}, two processes")
                _steps(node, show)


def _steps(node: Node, show: Callable[[str], object]) -> None:
    start = time.perf_counter()
    node.connect(THERE).result(TIMEOUT)
    show(f"handshake  {HERE} and {THERE} are connected{_took(start)}")

    start = time.perf_counter()
    _check(node.ping(THERE, TIMEOUT), "the ping had no answer")
    show(f"ping       pong{_took(start)}")

    server = ("calculator", THERE)
    start = time.perf_counter()
    answer = node.call(server, (Atom("add"), 40, 2)).result(TIMEOUT)
    _check(answer == 42, f"40 + 2 gave {answer!r}")
    show(f"call       {HERE} -> {THERE}: 40 + 2 = {answer}{_took(start)}")

    # The partner answers this call only after its own call to this node has been answered.
    node.serve("greeter", Greeter())
    start = time.perf_counter()
    greeting = node.call(server, (Atom("ask_back"), (Atom("greeter"), node.name))).result(TIMEOUT)
    _check(greeting == b"hello, partner", f"the call back gave {greeting!r}")
    show(f"call back  {THERE} -> {HERE}: {format_term(greeting)}{_took(start)}")

    start = time.perf_counter()
    for number in range(CALLS):
        node.call(server, (Atom("add"), number, 1)).result(TIMEOUT)
    each = (time.perf_counter() - start) / CALLS
    show(f"calls      {CALLS:,} one after another, {each * 1e6:.0f} microseconds each")

    with node.mailbox() as box:
        start = time.perf_counter()
        monitor = box.monitor(("worker", THERE))
        box.send(("worker", THERE), Atom("stop"))
        down = box.receive(TIMEOUT, match=lambda m: isinstance(m, tuple) and m[1] == monitor)
        assert isinstance(down, tuple)
        _check(down[4] == SHUTDOWN, f"the monitor told {down!r}")
        show(f"monitor    fired: the process {down[3][0]} exited with {down[4]}{_took(start)}")

    data = os.urandom(BULK)
    start = time.perf_counter()
    size = node.call(server, (Atom("keep"), data)).result(TIMEOUT)
    seconds = time.perf_counter() - start
    checksum = node.call(server, Atom("checksum")).result(TIMEOUT)
    _check(size == BULK and checksum == hashlib.sha256(data).digest(), "the data has changed")
    show(
        f"bulk       {BULK // MIB} MiB in one message, SHA-256 equal:"
        f" {seconds:.2f} s, {BULK / seconds / 1e6:,.0f} MB/s"
    )


def _took(start: float) -> str:
    return f" ({(time.perf_counter() - start) * 1e3:.1f} ms)"


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(f"the demonstration failed: {otherwise}")


# --- the two nodes' servers -----------------------------------------------------------------------


class Greeter(GenServer):
    """Serves the first process."""

    def handle_call(self, request: object, from_: From) -> object:
        return "hello, partner"


class Calculator(GenServer):
    """Serves the second process."""

    def __init__(self) -> None:
        self._kept = b""

    def handle_call(self, request: object, from_: From) -> object:
        match request:
            case ("add", int() as a, int() as b):
                return a + b
            case ("ask_back", (str() as name, str() as node)):
                # A handler must not wait: it returns the future, whose result is the reply.
                return self.call((name, node), Atom("greet"))
            case ("keep", bytes() as data):
                self._kept = data
                return len(data)
            case "checksum":
                return hashlib.sha256(self._kept).digest()
        return super().handle_call(request, from_)


def _serve(folder: str, cookie: str, ready: int, life_line: int) -> None:
    """The second process: serve until the first one closes its end of the life line."""
    with EventLoop() as loop, Node(THERE, loop=loop, cookie=cookie, socket_dir=folder) as node:
        node.serve("calculator", Calculator())
        worker: Mailbox = node.mailbox("worker", on_message=lambda _message: worker.close(SHUTDOWN))
        loop.register(life_line, READ, lambda _events: loop.stop())
        node.listen()
        os.write(ready, b"\n")
        loop.run_forever()
        loop.unregister(life_line)


# --- the second process and the folder ------------------------------------------------------------


@contextmanager
def _socket_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="uds_dist-")
    if len(os.fsencode(folder)) + len("/partner.sock") > PATH_LIMIT:
        os.rmdir(folder)  # the path of TMPDIR is too long for a socket
        folder = tempfile.mkdtemp(prefix="uds_dist-", dir="/tmp")
    try:
        os.chmod(folder, FOLDER_MODE)  # every carrier accepts this mode
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _second_process(folder: str, cookie: str) -> Iterator[None]:
    """Fork the second process; at the end wait until it exits, or kill it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed before Python started
            stream.flush()
    ready, ready_end = os.pipe()
    life_line_end, life_line = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(ready)
            os.close(life_line)
            _serve(folder, cookie, ready_end, life_line_end)
            code = 0
        except KeyboardInterrupt:
            pass  # the first process gets it too, and reports it
        except BaseException:
            traceback.print_exc()
        finally:
            # In any case, this copy of the program must not continue after the fork.
            os._exit(code)
    os.close(ready_end)
    os.close(life_line_end)
    try:
        _check(os.read(ready, 1) == b"\n", "the second process did not start")
        yield
    finally:
        os.close(life_line)
        # When the process exits, its end of this pipe closes.
        if not select.select([ready], [], [], 5.0)[0]:
            os.kill(child, signal.SIGKILL)
        os.close(ready)
        os.waitpid(child, 0)


def run_command(_options: argparse.Namespace) -> int:
    """`demo`: let two nodes in two processes talk."""
    run_demo(write_line)
    return OK


def _add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add nothing: `demo` has no arguments."""


COMMANDS = (
    Command(
        "demo", "let two nodes of this program talk, with timings", run_command, _add_arguments
    ),
)
