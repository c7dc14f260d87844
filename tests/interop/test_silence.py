"""Remote shells whose user types nothing for long."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.beam import Otp, Start, socket_folder
from tests.interop.test_remote import ERL, IEX, leave, open_shell

LONG = os.environ.get("UDS_DIST_LONG") == "1"


@pytest.mark.parametrize("tick_time", [4 if LONG else 1])
def test_silence_at_the_prompt(
    otp: Otp, beams: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tick_time: int
) -> None:
    # A carrier that ticks drops a silent peer after the tick time; a mute one gets probes. Both
    # shells on both are silent at the same time.
    monkeypatch.setenv("UDS_DIST_TICK_TIME", str(tick_time))
    settings = ["-kernel", "net_ticktime", str(tick_time)]
    with socket_folder() as one, socket_folder() as other, ExitStack() as stack:
        terminals = []
        for folder, mute, version in [(one, False, 1), (other, True, 2)]:
            quiet = beams(
                otp, "node@localhost", folder, mute=mute, version=version, extra_args=settings,
                elixir=otp.has_elixir,
            )  # fmt: skip
            for shell in (IEX, ERL) if otp.has_elixir else (ERL,):
                terminals.append((stack.enter_context(open_shell(quiet, shell, tmp_path)), shell))
        time.sleep(30 if LONG else 6)
        for terminal, shell in terminals:
            terminal.send(shell.line("3 + 4"))
            terminal.see(r"^7$")
            leave(terminal)
