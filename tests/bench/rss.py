"""The resident memory of this process."""

# This file imports only os, so that an interpreter that measures the memory of an import can run
# its text.
import os


def rss() -> int:
    """Resident memory in bytes."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
