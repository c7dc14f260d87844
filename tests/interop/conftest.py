"""Fixtures of the tests against real BEAM nodes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.interop.beam import HOW_TO_GET, Beam, Otp, find_otps

RELEASES = ("27", "29")
OTPS = find_otps()
REQUIRED = os.environ.get("UDS_DIST_REQUIRE_BEAM") == "1"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "otp" in metafunc.fixturenames:
        found = {otp.label: otp for otp in OTPS}
        labels = [*found, *(label for label in RELEASES if REQUIRED and label not in found)]
        if labels:
            otps = [found.get(label) for label in labels]
            metafunc.parametrize("otp", otps, ids=[f"otp{label}" for label in labels], indirect=True)


@pytest.fixture
def otp(request: pytest.FixtureRequest) -> Otp:
    """Each OTP that was found, one after the other."""
    found = getattr(request, "param", None)
    if found is None:
        if REQUIRED:
            pytest.fail(f"an OTP is missing: {HOW_TO_GET}")
        pytest.skip(f"no BEAM was found: {HOW_TO_GET}")
    assert isinstance(found, Otp)
    return found


@pytest.fixture
def socket_dir() -> Iterator[str]:
    """A short folder for sockets, under one path for this host and the chroots."""
    folder = tempfile.mkdtemp(prefix="uds", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def beam(otp: Otp, socket_dir: str) -> Iterator[Callable[..., Beam]]:
    """Start nodes of the test's OTP; they end with the test."""
    started: list[Beam] = []
    default_dir = socket_dir

    def start(name: str, socket_dir: str = default_dir, otp: Otp = otp, **options: object) -> Beam:
        node = Beam.start(otp, name, socket_dir, **options)  # type: ignore[arg-type]
        started.append(node)
        return node

    yield start
    for node in started:
        node.stop()
