"""How many calls of Python code, in how many files, one message takes each way on an idle node.

A call costs more than most of the work in it, and a reader of the path must open each file. So both
counts have limits. A change that raises a limit must say why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType

import pytest

from tests.conftest import MakeNode, MakePeer
from uds_dist import COMPILED, Atom

pytestmark = pytest.mark.skipif(COMPILED, reason="compiled functions have no frames to count")

Calls = list[tuple[str, str]]  # file and function


def calls_of(work: Callable[[], object]) -> Calls:
    """The calls of Python functions that some work makes."""
    calls: Calls = []

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            calls.append((frame.f_code.co_filename, frame.f_code.co_name))

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def check(calls: Calls, most_calls: int, most_files: int) -> None:
    files = {file for file, _ in calls}
    listed = "\n".join(f"{os.path.basename(file)}: {name}" for file, name in calls)
    assert 5 < len(calls) <= most_calls and 5 < len(files) <= most_files, (
        f"{len(calls)} calls through {len(files)} files:\n{listed}"
    )


def test_receiving_a_message_takes_few_calls(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node, peer = make_node("a@localhost"), make_peer("b@localhost")
    peer.connect(folder, node)
    box = node.mailbox()
    for number in range(3):  # afterwards both sides know the atoms
        message = (Atom("number"), number)
        peer.tell(box.pid, message)
        calls = calls_of(node.loop.run_once)
        assert box.poll() == message
    check(calls, most_calls=22, most_files=9)


def test_sending_a_message_takes_few_calls(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node, peer = make_node("a@localhost"), make_peer("b@localhost")
    peer.connect(folder, node)
    box, dest = node.mailbox(), peer.pid()
    for number in range(3):
        message = (Atom("number"), number)
        calls = calls_of(partial(box.send, dest, message))
        assert peer.receive()[1] == message
    check(calls, most_calls=18, most_files=8)


def test_setting_up_a_connection_takes_few_calls(make_node: MakeNode) -> None:
    first, second, third = (make_node(f"{name}@localhost") for name in "abc")
    third.listen()
    first.connect(third.name).result(20)  # loads the code that is needed only once
    calls = calls_of(lambda: second.connect(third.name).result(20))  # of both sides
    check(calls, most_calls=440, most_files=50)


@pytest.mark.parametrize(("match", "most_calls"), [(None, 17), (bool, 18)], ids=["oldest", "match"])
def test_a_message_to_oneself_takes_few_calls(
    make_node: MakeNode, match: Callable[[object], object] | None, most_calls: int
) -> None:
    box = make_node("a@localhost").mailbox()

    def turn(message: object) -> None:
        box.send(box.pid, message)
        assert box.receive(timeout=0, match=match) == message

    turn((Atom("number"), 0))  # afterwards the atom is known
    check(calls_of(partial(turn, (Atom("number"), 1)))[1:], most_calls, most_files=10)
