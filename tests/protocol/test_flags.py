"""The distribution flags: the values on the wire, and what is asked of a peer."""

from __future__ import annotations

import pytest

from uds_dist.config import Config
from uds_dist.protocol.flags import (
    MANDATORY,
    MANDATORY_25,
    Flag,
    default_flags,
    effective_flags,
    flag_names,
    known_flags,
    missing_mandatory,
)

# As real nodes send them.
OTP_27 = 0xD07DF7FBD
OTP_29 = 0x6D07DF7FBD


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        (Config(atom_cache=False, fragments=False), 0xD075F5FBC),
        (Config(atom_cache=False), 0xD07DF5FBC),
        (Config(fragments=False), 0xD075F7FBC),
        (Config(), 0xD07DF7FBC),
        (Config(hidden=False), OTP_27),
    ],
)
def test_default_flags_are_those_of_a_beam_but_for_the_settings(
    settings: Config, bits: int
) -> None:
    assert default_flags(settings) == bits | Flag.ALTACT_SIG


def test_mandatory_flags_are_those_a_beam_refuses_to_do_without() -> None:
    assert MANDATORY == 0x403070F94


def test_real_nodes_have_all_that_is_mandatory() -> None:
    assert missing_mandatory(known_flags(OTP_27)) == 0
    assert missing_mandatory(known_flags(OTP_29)) == 0


@pytest.mark.parametrize("flag", [flag for flag in Flag if flag & MANDATORY])
def test_each_mandatory_flag_is_missed(flag: Flag) -> None:
    assert missing_mandatory(MANDATORY & ~flag) == flag


def test_the_digest_stands_for_what_otp_25_made_mandatory() -> None:
    short = Flag.MANDATORY_25_DIGEST | Flag.V4_NC | Flag.UNLINK_ID
    assert missing_mandatory(short) == 0
    assert missing_mandatory(Flag.MANDATORY_25_DIGEST) == Flag.V4_NC | Flag.UNLINK_ID
    assert effective_flags(short, MANDATORY) == MANDATORY_25 | Flag.V4_NC | Flag.UNLINK_ID


def test_effective_flags_are_what_both_have_and_no_request() -> None:
    both = Flag.ALIAS | Flag.NAME_ME
    assert effective_flags(both | Flag.SPAWN, both | Flag.PUBLISHED) == Flag.ALIAS


def test_flags_of_later_releases_are_left_out() -> None:
    assert known_flags(1 << 63 | 1 << 27 | Flag.ALIAS) == Flag.ALIAS


def test_flag_names_for_an_error_text() -> None:
    assert flag_names(Flag.V4_NC | Flag.MAP_TAG) == "MAP_TAG, V4_NC"
    assert flag_names(Flag(0)) == ""
