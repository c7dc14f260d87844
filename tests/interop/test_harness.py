"""The nodes that the other tests rely on: BEAM to BEAM, both carriers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from tests.interop.beam import Beam, BeamError, Otp

Start = Callable[..., Beam]


@pytest.mark.parametrize("carrier", ["uds", "erl_uds"])
def test_two_nodes_talk(beam: Start, otp: Otp, carrier: str) -> None:
    if carrier == "erl_uds" and otp.example_carrier is None:
        pytest.skip("this OTP came without its erl_uds_dist example")
    beam("a@localhost", carrier=carrier)
    b = beam("b@localhost", carrier=carrier)
    assert b.eval("net_adm:ping('a@localhost')") == "pong"
    sent = b.eval("erpc:call('a@localhost', erlang, byte_size, [binary:copy(<<1>>, 1000000)])")
    assert sent == "1000000"


def test_two_nodes_talk_over_abstract_sockets(beam: Start) -> None:
    name = f"@uds_dist-test-{os.getpid()}"
    beam("a@localhost", name)
    assert beam("b@localhost", name).eval("net_adm:ping('a@localhost')") == "pong"


def test_a_live_duplicate_is_refused(beam: Start) -> None:
    beam("a@localhost")
    with pytest.raises(BeamError, match="seems to be in use"):
        beam("a@localhost")


def test_a_stale_file_is_taken_over(beam: Start, socket_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{socket_dir}/a.sock")
        dead.listen()
    beam("a@localhost")
    assert beam("b@localhost").eval("net_adm:ping('a@localhost')") == "pong"


def test_a_node_that_only_dials(beam: Start, socket_dir: str) -> None:
    beam("a@localhost")
    b = beam("b@localhost", listen=False)
    assert b.eval("net_adm:ping('a@localhost')") == "pong"
    assert os.listdir(socket_dir) == ["a.sock"]


def test_errors_come_back_with_class_and_reason(beam: Start) -> None:
    a = beam("a@localhost")
    with pytest.raises(BeamError) as caught:
        a.eval("error({no, luck})")
    assert (caught.value.class_, caught.value.reason) == ("error", "{no,luck}")
    with pytest.raises(BeamError, match="syntax"):
        a.eval("1 +")
    assert a.eval("byte_size(B)", bindings={"B": b"\0\xff"}) == "2"
