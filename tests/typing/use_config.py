"""Makes settings as a program does; mypy is the test."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import assert_type

from uds_dist.config import ANY, Config


def settings() -> None:
    config = Config(socket_dir="/run/myapp", cookie="secret", hidden=False, tick_time=15)
    assert_type(config.tick_time, float)
    assert_type(config.cookie, str | bytes | None)
    Config(socket_dir=Path("/run/myapp"), cookie=b"secret", allowed_uids=["myapp", 1001])
    Config(allowed_uids=ANY)
    assert_type(config.replace(backlog=10), Config)
    assert_type(Config.from_env(), Config)
    assert_type(Config.from_env({"UDS_DIST_HIDDEN": "no"}, backlog=7), Config)


def mistakes(config: Config) -> None:
    Config(socket_directory="/run/myapp")  # type: ignore[call-arg]
    Config(tick_time="15")  # type: ignore[arg-type]
    config.backlog = 10  # type: ignore[misc]
