"""A connection that holds its peer's requests while a queue of answers is too full.

`backpressure` says why, and why two nodes that hold do not block each other. While it holds, the
answers to this node's own calls are handed on at once; everything else waits in `held`, in order.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

from uds_dist.config import Config
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.decoder import MAX_CONTROL_SIZE, Postponed
from uds_dist.protocol.session import Session
from uds_dist.transport.backpressure import Held, Pressure
from uds_dist.transport.hang_up import Reading, fit_reading
from uds_dist.transport.phase import UP

# Memory that an element of a list, tuple or map takes, in bytes.
ELEMENT: Final = 80
# Counted for a control message with any other container. No BEAM sends that.
UNUSUAL: Final = MAX_CONTROL_SIZE * ELEMENT
LEAVES: Final = frozenset((Atom, Pid, Reference, int, bool, type(None), bytes, float))


class Holding(Reading, Protocol):
    """A connection that is up, as this module sees it."""

    config: Config
    pressure: Pressure
    held: Held | None
    messages_in: int

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def hand_over(self, control: tuple[object, ...], payload: object) -> None: ...

    def end_if_own_fault(self, error: Exception) -> None: ...


def begin_to_hold(connection: Holding) -> None:
    """A queue of answers has become too full: serve no more until it has drained."""
    connection.held = Held(connection.config)
    connection.session.decoder.postponing = True
    connection.pressure.wait(partial(serve_held, connection))
    connection.pressure.owner.begins_to_hold(connection)


def hold(connection: Holding, held: Held, left: int) -> None:
    """Hand on the answers in the backlog, hold the rest of it; `left` messages at most."""
    session = connection.session
    while left and connection.phase is UP:
        message = session.next_message()
        if message is None:
            break
        left -= 1
        connection.messages_in += 1
        if connection.pressure.owner.is_answer(message[0]):
            connection.hand_over(message[0], _payload(session, message[1]))
        else:
            # The payload is not decoded yet, but the control message is.
            size = session.decoder.message_size + _memory_of_parts(message[0])
            held.add(message[0], message[1], size)
    if held.full and not connection.choked:
        connection.choked = True
        fit_reading(connection)


def _memory_of_parts(control: tuple[object, ...]) -> int:
    """About how many bytes the containers in a control message take in memory."""
    elements = 0
    left = list(control)
    while left:
        part = left.pop()
        if type(part) is tuple or type(part) is list:
            elements += len(part)
            left.extend(part)
        elif type(part) is dict:
            elements += 2 * len(part)
            left.extend(part)
            left.extend(part.values())
        elif type(part) not in LEAVES:
            return UNUSUAL
    return ELEMENT * elements


def _payload(session: Session, payload: object) -> object:
    return session.decoder.payload(payload) if isinstance(payload, Postponed) else payload


def serve_held(connection: Holding) -> None:
    """Hand on a round's share of what is held, until a queue is too full again."""
    held, pressure = connection.held, connection.pressure
    if held is None or connection.phase is not UP:
        return
    left = connection.config.messages_per_round
    waits = False
    pressure.begin(connection, connection.session.decoder)
    try:
        while held.messages and left and connection.phase is UP and not waits:
            left -= 1
            control, payload = held.take()
            connection.hand_over(control, _payload(connection.session, payload))
            waits = pressure.wait(partial(serve_held, connection))
    except Exception as error:
        connection.end_if_own_fault(error)
    finally:
        pressure.end()
        if held.messages and not waits:
            connection.loop.call_soon(serve_held, connection)
        elif not held.messages and not waits:
            _serve_again(connection)
        if connection.phase is UP and connection.choked and not held.full:
            connection.choked = False
            fit_reading(connection)


def _serve_again(connection: Holding) -> None:
    """Note that nothing is held any more."""
    connection.held = None
    connection.session.decoder.postponing = False
    if connection.session.backlog or connection.ended:
        connection.loop.call_soon(connection.go_on)
