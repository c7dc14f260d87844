"""Integers of any length to digits and back, in nearly linear time.

Python's own conversions take quadratic time, and refuse more than 4,300 digits. Decimal multiplies
and divides long numbers fast, so a long number is halved with Decimal until the parts are short
enough for Python's own conversions.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, localcontext

SHORT = 1000  # digits that Python converts at once
UNIT = 2048  # bits in a part of a longer number


def read_integer(digits: str, base: int = 10) -> int:
    """Convert digits to an integer.

    Args:
        digits: one or more letters and digits.
        base: 2 to 36.
    Returns:
        The integer.
    Raises:
        ValueError: a digit does not belong to the base.
    """
    if len(digits) <= SHORT or base & (base - 1) == 0:
        return int(digits, base)
    with localcontext(_exact()):
        number = Decimal(digits) if base == 10 else _joined(digits, base)
        powers = _powers(len(digits) * base.bit_length())
        return _binary(number, len(powers) - 1, powers)


def write_integer(number: int) -> str:
    """The decimal digits of an integer, with its sign."""
    if number.bit_length() <= 3 * SHORT:
        return str(number)
    if number < 0:
        return "-" + write_integer(-number)
    with localcontext(_exact()):
        powers = _powers(number.bit_length())
        return str(_decimal(number, len(powers) - 1, powers))


def _exact() -> Context:
    return Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


def _powers(bits: int) -> list[Decimal]:
    """2**UNIT, its square, the square of that and so on, enough for a number of `bits`."""
    powers = [Decimal(2) ** UNIT]
    while UNIT << len(powers) < bits:
        powers.append(powers[-1] * powers[-1])
    return powers


def _binary(number: Decimal, level: int, powers: list[Decimal]) -> int:
    if level < 0:
        return int(number)
    upper, lower = divmod(number, powers[level])
    return (_binary(upper, level - 1, powers) << (UNIT << level)) | _binary(
        lower, level - 1, powers
    )


def _decimal(number: int, level: int, powers: list[Decimal]) -> Decimal:
    if level < 0 or not number:
        return Decimal(number)
    upper = number >> (UNIT << level)
    lower = number - (upper << (UNIT << level))
    return _decimal(upper, level - 1, powers) * powers[level] + _decimal(lower, level - 1, powers)


def _joined(digits: str, base: int) -> Decimal:
    """Convert digits in a base that is not 10 or a power of 2."""
    start = len(digits) % SHORT
    parts = [Decimal(int(digits[:start] or "0", base))]
    parts += [
        Decimal(int(digits[at : at + SHORT], base)) for at in range(start, len(digits), SHORT)
    ]
    power = Decimal(base**SHORT)
    while len(parts) > 1:
        if len(parts) % 2:
            parts.insert(0, Decimal(0))
        parts = [upper * power + lower for upper, lower in zip(parts[::2], parts[1::2])]
        power *= power
    return parts[0]
