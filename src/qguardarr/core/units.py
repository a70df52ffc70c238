"""Read and write speeds as text. Nothing else parses or formats one.

A speed is an int in bytes/s, 1 … `MAX_LIMIT`, or `UNLIMITED`. As text:

* Prefixes: k, M, G, T are powers of 1000 (`1 MB/s` = 1,000,000 bytes/s); Ki, Mi, Gi, Ti are powers of 1024
  (`1 MiB/s` = 1,048,576 bytes/s, as in qBittorrent's own window).
* `B` or `byte` is a byte; `bit`, or `b` after a capital prefix, is a bit: `8 Mb/s` = `8 Mbit/s` = `1 MB/s`.
* `mb/s`, `kb/s` and `b/s` are refused, since people use them for both; `10 M` is refused, since it names neither.
* `/s` may be left out (`10 MB`) or written `ps`. `-1` and `unlimited` are no limit.
* A bare number is bytes/s, as in files of the earlier Qguardarr. A bare number below 1000 is refused, since the person
  means MB/s or Mbit/s. `10 B/s` is accepted.

Zero is refused: qBittorrent reads it as unlimited, people as nothing at all.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Final, overload

from qguardarr.core.model import MAX_LIMIT, UNLIMITED
from qguardarr.errors import InvalidValue

_POWER: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LONGEST: Final = 60
_LEAST_BARE: Final = 1000
_TEXT: Final = re.compile(
    r"""
    (?P<number> [+-]? (?: \d+ (?: \.\d* )? | \.\d+ ) )  \s*
    (?P<unit>
        (?P<prefix> [kKmMgGtT]? ) (?P<binary> i? )
        (?P<kind>   [bB][yY][tT][eE][sS]? | [bB][iI][tT][sS]? | [bB] | )
        (?P<per>    \s* / \s* [sS] (?: ec )? | [pP][sS] | )
    )
    """,
    re.VERBOSE | re.ASCII,
)


class SpeedError(InvalidValue):
    """Not a speed. `reason` gives the cause and may hold the value; `hint` gives a correct form."""


def parse_speed(value: object) -> int:
    """Return bytes/s, 1 … MAX_LIMIT, or UNLIMITED from a number of bytes/s or a text such as `10 MB/s`.

    Raises SpeedError.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpeedError("not a speed", "write bytes/s as a number, or a text such as '10 MB/s' or 'unlimited'")
    if value == -1:
        return UNLIMITED
    if isinstance(value, float) and not value.is_integer():
        raise SpeedError(f"{value} bytes/s is not a whole number", "write a unit, such as '1.5 MB/s'")
    return _bare(_checked(int(value), str(value)))


def parse_rate(value: object) -> int:
    """Return bytes/s, 0 … MAX_LIMIT: as `parse_speed`, with zero for nothing, and without `unlimited`.

    Raises SpeedError.
    """
    match = _TEXT.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST else None
    number = Fraction(match["number"].rstrip(".")) if match else value
    if number == 0 and not isinstance(value, bool):
        return 0
    speed = parse_speed(value)
    if speed >= UNLIMITED:
        raise SpeedError("must be a speed, or 0 for nothing", "leave it out to guarantee all of max_upload_speed")
    return speed


def format_speed(speed: float) -> str:
    """Return three digits and a decimal unit: `1.25 MB/s`, `980 B/s`; `unlimited` for UNLIMITED and infinity."""
    if speed == UNLIMITED or math.isinf(speed):
        return "unlimited"
    amount, unit = float(speed), "B/s"
    for larger in ("kB/s", "MB/s", "GB/s"):
        if amount < 999.5:  # larger amounts would round to 1000
            break
        amount, unit = amount / 1000, larger
    places = 0 if unit == "B/s" or amount >= 99.95 else 1 if amount >= 9.995 else 2
    digits = f"{amount:.{places}f}"
    if places:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits} {unit}"


def format_size(bytes_: float) -> str:
    """Return three digits and a decimal unit: `1.25 GB`, `980 B`."""
    return format_speed(min(bytes_, UNLIMITED - 1)).removesuffix("/s") if bytes_ < 1e9 else _large(bytes_ / 1e9)


def _large(giga: float) -> str:
    amount, unit = giga, "GB"
    for larger in ("TB", "PB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    places = 0 if amount >= 99.95 else 1 if amount >= 9.995 else 2
    digits = f"{amount:.{places}f}"
    return f"{digits.rstrip('0').rstrip('.') if places else digits} {unit}"


@overload
def limit_or_none(limit: int) -> int | None: ...


@overload
def limit_or_none(limit: float) -> float | None: ...


def limit_or_none(limit: float) -> float | None:
    """Return a limit or rate for JSON: None (null) is unlimited."""
    return limit if limit < UNLIMITED else None


def limit_or_minus_one(limit: float) -> int:
    """Return a limit as whole bytes/s, -1 for unlimited, as in the configuration and the earlier Qguardarr."""
    return int(limit) if limit < UNLIMITED else -1


def as_limit(rate: float) -> int:
    """Return the largest limit that is no more than `rate` bytes/s: 1 … MAX_LIMIT, or UNLIMITED."""
    return UNLIMITED if rate >= UNLIMITED else max(1, int(rate))


def _parse_text(text: str) -> int:
    text = text.strip()
    if text.lower() == "unlimited" or text == "-1":
        return UNLIMITED
    shown = repr(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
    match = _TEXT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        hint = "; the decimal sign is a point" if "," in text else ""
        raise SpeedError(f"{shown} is not a speed{hint}", "write '10 MB/s', '2 MiB/s', '80 Mbit/s', or 'unlimited'")
    prefix, binary, kind = match["prefix"], match["binary"], match["kind"]
    if binary and not prefix:
        raise SpeedError(f"{shown} is not a speed; 'i' belongs behind k, M, G or T, as in 'MiB/s'")
    if match["unit"] and not kind:
        raise SpeedError(f"{shown} does not say of what", f"write {_both(prefix, binary)}")
    if kind == "b" and not prefix.isupper():
        raise SpeedError(f"{shown} may mean bits or bytes", f"write {_both(prefix, binary)}")
    if not match["unit"]:
        return _bare(_checked(int(Fraction(match["number"].rstrip("."))), shown))
    bits = kind == "b" or kind.lower().startswith("bit")
    factor = Fraction((1024 if binary else 1000) ** _POWER[prefix.lower()], 8 if bits else 1)
    exact = Fraction(match["number"].rstrip(".")) * factor
    if 0 < exact < 1:
        raise SpeedError(f"{shown} is less than one byte/s")
    return _checked(int(exact), shown)


def _both(prefix: str, binary: str) -> str:
    proper = prefix.lower() if prefix.lower() == "k" and not binary else prefix.upper()
    return f"'{proper}{binary}B/s' for bytes or '{proper}{binary}bit/s' for bits"


def _bare(speed: int) -> int:
    if speed < _LEAST_BARE:
        units = f"'{speed} MB/s', '{speed} Mbit/s', or '{speed} B/s' if that is meant"
        raise SpeedError(f"{speed} has no unit", f"write {units}")
    return speed


def _checked(speed: int, shown: str) -> int:
    if speed > MAX_LIMIT:
        raise SpeedError(f"{shown} is more than qBittorrent can limit ({MAX_LIMIT} bytes/s)", "write -1 for unlimited")
    if speed == 0:
        raise SpeedError(
            f"{shown} cannot be held, since qBittorrent takes zero for unlimited", "write -1 for unlimited"
        )
    if speed < 0:
        raise SpeedError(f"{shown} is negative; only -1 is allowed, for unlimited")
    return speed
