"""Fixtures of the tests against real BEAM nodes; each test runs with every OTP release found.

Without a release these tests are skipped; with UDS_DIST_REQUIRE_BEAM=1 they fail unless both OTP 27
and 29 are found. With UDS_DIST_LONG=1 the tests of silence take half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.interop.beam import HOW_TO_GET, Beam, Otp, Start, find_otps, socket_folder
from tests.interop.echo import MODULE
from tests.interop.together import Together, together

REQUIRED = ("27", "29") if os.environ.get("UDS_DIST_REQUIRE_BEAM") == "1" else ()
OTPS = {otp.label: otp for otp in find_otps()}


@pytest.fixture(scope="session", autouse=True)
def _beam_or_skip() -> None:
    if missing := [label for label in REQUIRED if label not in OTPS]:
        pytest.fail(f"OTP {' and '.join(missing)} missing: {HOW_TO_GET}", pytrace=False)
    if not OTPS:
        pytest.skip(HOW_TO_GET)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not OTPS:  # by default a skip's reason is not shown
        terminalreporter.write_line(HOW_TO_GET)


@pytest.fixture(scope="session", params=OTPS or ["-none"], ids="otp{}".format)
def otp(request: pytest.FixtureRequest) -> Otp:
    """Each OTP release that was found, one after the other."""
    return OTPS[request.param]


@pytest.fixture
def socket_dir() -> Iterator[str]:
    """A new folder for socket files, with the same path for this machine and every release."""
    with socket_folder() as folder:
        yield folder


@pytest.fixture
def beams(socket_dir: str) -> Iterator[Start]:
    """Start nodes of any release: beams(otp, name, ...), see Beam.start. They end with the test."""
    started = []

    def start(otp: Otp, name: str, socket_dir: str = socket_dir, **options: object) -> Beam:
        beam = Beam.start(otp, name, socket_dir, **options)  # type: ignore[arg-type]
        started.append(beam)
        return beam

    yield start
    for beam in started:
        beam.kill()
        print(f"---- log of {beam.name}, OTP {beam.otp.label}\n{beam.log}")  # shown when the test fails


@pytest.fixture
def beam(otp: Otp, beams: Start) -> Start:
    """Start nodes of the test's release: beam(name, ...), see Beam.start. They end with the test."""

    def start(name: str, **options: object) -> Beam:
        return beams(otp, name, **options)

    return start


@pytest.fixture(scope="module")
def beam_of_module(otp: Otp) -> Iterator[Together]:
    """One BEAM of each release, for the tests that leave it unchanged."""
    with together(otp) as both:
        both.beam.load_module(MODULE)
        both.beam.eval("conn:echo(echo)")
        yield both


@pytest.fixture
def both(beam_of_module: Together) -> Iterator[Together]:
    """The module's BEAM."""
    yield beam_of_module
    beam_of_module.close()
