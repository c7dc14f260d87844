"""The distribution flags: their values on the wire, and those that a peer must have."""

from __future__ import annotations

import pytest

from uds_dist.config import Config
from uds_dist.protocol.control import AltactFlag, SpawnFlag
from uds_dist.protocol.flags import (
    FLAGS,
    MANDATORY,
    MANDATORY_25,
    Flag,
    default_flags,
    effective_flags,
    flag_names,
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
    assert missing_mandatory(OTP_27) == 0
    assert missing_mandatory(OTP_29) == 0


@pytest.mark.parametrize("flag", [flag for flag in FLAGS.values() if flag & MANDATORY])
def test_each_mandatory_flag_is_missed(flag: int) -> None:
    assert missing_mandatory(MANDATORY & ~flag) == flag


def test_the_digest_stands_for_what_otp_25_made_mandatory() -> None:
    short = Flag.MANDATORY_25_DIGEST | Flag.V4_NC | Flag.UNLINK_ID
    assert missing_mandatory(short) == 0
    assert missing_mandatory(Flag.MANDATORY_25_DIGEST) == Flag.V4_NC | Flag.UNLINK_ID
    assert effective_flags(short, MANDATORY) == MANDATORY_25 | Flag.V4_NC | Flag.UNLINK_ID


def test_effective_flags_are_what_both_have_and_no_request() -> None:
    both = Flag.ALIAS | Flag.NAME_ME
    assert effective_flags(both | Flag.SPAWN, both | Flag.PUBLISHED) == Flag.ALIAS


def test_flags_of_later_releases_have_no_effect() -> None:
    later = 1 << 63 | 1 << 27 | Flag.ALIAS
    assert effective_flags(default_flags(Config()), later) == Flag.ALIAS
    assert flag_names(later) == "ALIAS"


@pytest.mark.parametrize("flags", [Flag, SpawnFlag, AltactFlag])
def test_each_flag_is_one_bit_and_a_plain_int(flags: type) -> None:
    bits = [bit for name, bit in vars(flags).items() if name.isupper()]
    assert {type(bit) for bit in bits} == {int}
    assert sum(bits).bit_count() == len(bits) > 1


def test_flag_names_for_an_error_text() -> None:
    assert flag_names(Flag.V4_NC | Flag.MAP_TAG) == "MAP_TAG, V4_NC"
    assert flag_names(0) == ""
