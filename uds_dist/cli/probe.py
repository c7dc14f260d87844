"""`uds-dist probe`: a report on a node's socket, its handshake and its software.

The first connection does the handshake step by step, to show and time each step. A second
connection then asks the node for its versions.
"""

from __future__ import annotations

import argparse
import errno
import os
import pwd
import socket
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from uds_dist import (
    Atom,
    Config,
    ConnectFailedError,
    HandshakeTimeoutError,
    RemoteError,
    UdsDistError,
)
from uds_dist.cli.connected import Connected, connected, cookie_of, full_name
from uds_dist.cli.exit_codes import OK, exit_code
from uds_dist.cli.hints import advise
from uds_dist.cli.json_text import write_json
from uds_dist.cli.output import complain, write_line
from uds_dist.cli.words import Command, add_connection, add_node, config_of
from uds_dist.etf.shown import printable, shown
from uds_dist.protocol.flags import FLAGS, Flag, default_flags, effective_flags, flag_names
from uds_dist.protocol.framing import FrameReader, handshake_frame
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_table import Role, State
from uds_dist.services.group_leader import chardata_text
from uds_dist.transport.address import SocketAddress, places, probe
from uds_dist.transport.credentials import may_dial, peer_pid, peer_uid
from uds_dist.transport.reasons import broke_off, listener_refused, no_proof, unanswered

EPILOG = """\
It shows the address, its owner and mode, each step of the handshake and when it happened, the flags
of both sides, the versions that the node runs, and how many descriptors it has open: some carriers
keep one for every past connection. The exit code says which step failed.

"""
# The names of the handshake messages, by their first byte; "N" is a name from one side and a
# challenge from the other.
SENT = {"N": "sent name", "r": "sent challenge reply", "s": "sent status"}
RECEIVED = {"s": "received status", "N": "received challenge", "a": "received challenge ack"}
PYTHON_CONSOLE = "Python console"
QUESTIONS: tuple[tuple[str, str, str, list[object]], ...] = (
    (PYTHON_CONSOLE, "uds_dist_console", "version", []),
    ("OTP release", "erlang", "system_info", [Atom("otp_release")]),
    ("kernel", "application", "get_key", [Atom("kernel"), Atom("vsn")]),
    ("Elixir", "application", "get_key", [Atom("elixir"), Atom("vsn")]),
    ("carrier uds_dist", "application", "get_key", [Atom("uds_dist"), Atom("vsn")]),
)


class Fact(NamedTuple):
    """One line of the report."""

    name: str
    value: object


def run_probe(options: argparse.Namespace) -> int:
    """`probe`: report on a node up to the step that fails."""
    facts: list[Fact] = []
    show = facts.append if options.json else _show
    error: UdsDistError | None = None
    try:
        _probe(options, show)
    except UdsDistError as failed:
        error = failed
    if options.json:
        found = {fact.name: fact.value for fact in facts}
        if error is not None:
            found["error"] = str(error)
        write_line(write_json(found, ascii_only=True))
    elif error is not None:
        complain(str(error))
        advise(options, error)
    return OK if error is None else exit_code(error)


def _show(fact: Fact) -> None:
    value = fact.value
    lines = value if isinstance(value, list) else [value]
    for number, line in enumerate(lines or ["none"]):
        write_line(f"{'' if number else fact.name:<18}  {line}")


def _probe(options: argparse.Namespace, show: Callable[[Fact], object]) -> None:
    config = config_of(options)
    name = full_name(options.node)
    cookie = cookie_of(options, config)
    address = _address(name, config, show)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(min(options.timeout, config.handshake_timeout))
        began = time.perf_counter()
        try:
            sock.connect(address.value)
        except OSError as error:
            why = error.strerror or error
            raise ConnectFailedError(f"cannot connect to {address}: {why}") from None
        show(Fact("connected", f"after {_milliseconds(began)}"))
        uid, pid = peer_uid(sock), peer_pid(sock)
        show(Fact("process", f"user {_user(uid)}, process {pid if pid is not None else 'unknown'}"))
        if not may_dial(uid, address, config):
            raise listener_refused(uid, address)
        _shake_hands(sock, name, address, str(cookie), config, show)
    with connected(options) as there:
        _ask(there, show)
        descriptors = _descriptors(pid)
        if descriptors is not None:
            show(Fact("descriptors", descriptors))


def _address(name: str, config: Config, show: Callable[[Fact], object]) -> SocketAddress:
    """The first address where a node answers, else the first address."""
    addresses = places(config).addresses(name)
    for address in addresses:
        state = probe(address)
        show(Fact("address", f"{address}  {state}"))
        if not address.abstract:
            try:
                found = os.stat(address.value)
                mode = stat.filemode(found.st_mode)
                show(Fact("file", f"{mode} owner {_user(found.st_uid)}"))
            except OSError as error:
                show(Fact("file", f"{error.strerror}"))
        if state == "alive":
            return address
    return addresses[0]


def _shake_hands(
    sock: socket.socket,
    name: str,
    address: SocketAddress,
    cookie: str,
    config: Config,
    show: Callable[[Fact], object],
) -> None:
    """Do the handshake, and show each message with its time since the start."""
    own = default_flags(config) | Flag.NAME_ME
    handshake = Handshake(
        Role.INITIATOR, name.partition("@")[2], 0, own,
        cookie_for=lambda _name: cookie, expected=name,
    )  # fmt: skip
    reader = FrameReader(config)
    began = time.perf_counter()
    steps: list[str] = []
    answered = False
    try:
        messages = handshake.begin()
        while True:
            for message in messages:
                sock.sendall(handshake_frame(message))
                steps.append(f"{_milliseconds(began):>8}  {_step(SENT, message)}")
            if handshake.is_up:
                break
            frame = _next_frame(sock, reader)
            answered = True
            steps.append(f"{_milliseconds(began):>8}  {_step(RECEIVED, frame)}")
            messages = handshake.receive(frame)
    except TimeoutError:
        if handshake.state is State.RECV_CHALLENGE_ACK:
            raise no_proof(name, "went silent") from None
        raise HandshakeTimeoutError(f"{name} went silent during the handshake") from None
    except OSError as error:
        if isinstance(error, UdsDistError):
            raise
        reason = error.strerror or str(error)
        if not answered:
            raise unanswered(name, address, reason, peer_uid(sock)) from None
        if handshake.state is State.RECV_CHALLENGE_ACK:
            raise no_proof(name, "closed the connection") from None
        raise broke_off(name, reason) from None
    finally:
        show(Fact("handshake", steps))
        if handshake.peer is not None:
            _show_flags(own, handshake.peer.flags, show)
            show(Fact("creation", handshake.peer.creation))


def _show_flags(own: int, theirs: int, show: Callable[[Fact], object]) -> None:
    common = effective_flags(own, theirs)
    show(Fact("flags of both", _names(common)))
    show(Fact("only the node's", _names(theirs & ~own)))
    show(Fact("only ours", _names(own & ~theirs & ~Flag.NAME_ME)))


def _names(flags: int) -> list[str]:
    names = flag_names(flags).split(", ") if flag_names(flags) else []
    unnamed = flags & ~sum(FLAGS.values())
    if unnamed:
        names.append(f"and bits without a name: {unnamed:#x}")
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) < 76:
            lines[-1] += f" {name}"
        else:
            lines.append(name)
    return lines


def _next_frame(sock: socket.socket, reader: FrameReader) -> bytes:
    while (frame := reader.next_frame()) is None:
        data = sock.recv(4096)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the peer closed it")
        reader.feed(data)
    return bytes(frame)


def _step(names: dict[str, str], message: bytes) -> str:
    kind = chr(message[0]) if message else ""
    name = names.get(kind, f"a message of kind {kind!r}")
    if kind == "s":
        status = message[1:].split(b":")[0].decode("latin-1")
        return f"{name} {printable(status)}"
    return name


def _ask(there: Connected, show: Callable[[Fact], object]) -> None:
    for label, module, function, arguments in QUESTIONS:
        try:
            value = there.call(module, function, arguments)
        except RemoteError:
            continue  # another kind of node
        if isinstance(value, tuple) and value[:1] == (Atom("ok"),):
            value = value[1]
        text = chardata_text(value)
        if text is not None:
            show(Fact(label, printable(text)))
        elif not isinstance(value, Atom):
            show(Fact(label, shown(value)))
        if label == PYTHON_CONSOLE:
            return  # its OTP release is only a pretence for the remote shells of a BEAM


def _descriptors(pid: int | None) -> str | None:
    """How many descriptors a process of this machine has open; None if that cannot be read."""
    if pid is None:
        return None
    try:
        names = os.listdir(f"/proc/{pid}/fd")
        targets = [_target(pid, name) for name in names]
    except OSError:
        return None
    sockets = sum(target.startswith("socket:") for target in targets)
    return f"{len(names)} open, {sockets} of them sockets"


def _target(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{name}")
    except OSError:
        return ""


def _milliseconds(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.1f} ms"


def _user(uid: int | None) -> str:
    if uid is None:
        return "unknown"
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_node(parser)


COMMANDS = (
    Command("probe", "report on a node and its handshake", run_probe, _add_arguments, EPILOG),
)
