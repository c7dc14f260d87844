"""The resident memory of this process."""

# This file imports nothing but os, so that an interpreter in which the memory of an import is
# measured can run its text.
import os


def rss() -> int:
    """Resident memory in bytes."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
