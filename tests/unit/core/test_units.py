import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.model import MAX_LIMIT, UNLIMITED
from qguardarr.core.units import SpeedError, as_limit, format_speed, parse_speed


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("10 MB/s", 10_000_000),
        ("10MB/s", 10_000_000),
        ("10 MB", 10_000_000),
        ("  10 MBps ", 10_000_000),
        ("10 mB / s", 10_000_000),
        ("10 megabit", None),
        ("500kB/s", 500_000),
        ("500 KB/sec", 500_000),
        (".5 kB/s", 500),
        ("2MiB/s", 2_097_152),
        ("2 KiB", 2048),
        ("2 kiB", 2048),
        ("1 GiB/s", 1_073_741_824),
        ("80 Mbit/s", 10_000_000),
        ("80 mbit/s", 10_000_000),
        ("80 Mbits", 10_000_000),
        ("8 Mb/s", 1_000_000),
        ("8 Mbps", 1_000_000),
        ("1.5 Gbit/s", 187_500_000),
        ("1 Mibit/s", 131_072),
        ("7 bytes/s", 7),
        ("15 bit/s", 1),
        ("1234", 1234),
        ("+1234", 1234),
        (1234, 1234),
        (1000, 1000),
        ("1000", 1000),
        ("10 B/s", 10),
        (1e6, 1_000_000),
        (MAX_LIMIT, MAX_LIMIT),
        ("0.00001 TB/s", 10_000_000),
        (-1, UNLIMITED),
        ("-1", UNLIMITED),
        (" Unlimited", UNLIMITED),
    ],
)
def test_speeds_as_people_write_them(text: object, speed: int | None) -> None:
    if speed is None:
        with pytest.raises(SpeedError):
            parse_speed(text)
    else:
        assert parse_speed(text) == speed


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("5 mb/s", "'MB/s' for bytes or 'Mbit/s' for bits"),
        ("5 kb/s", "'kB/s' for bytes or 'kbit/s' for bits"),
        ("10", "'10 MB/s', '10 Mbit/s', or '10 B/s' if that is meant"),
        ("999", "999 has no unit"),
        (10, "10 has no unit"),
        (999.0, "999 has no unit"),
        ("5 mbps", "bits or bytes"),
        ("5 b/s", "bits or bytes"),
        ("5 mib/s", "'MiB/s' for bytes or 'Mibit/s' for bits"),
        ("10 M", "'MB/s' for bytes"),
        ("10k", "'kB/s' for bytes"),
        ("10 iB/s", "'MiB/s'"),
        ("1,5 MB/s", "decimal sign is a point"),
        ("0", "-1 for unlimited"),
        (0, "-1 for unlimited"),
        ("0 MB/s", "-1 for unlimited"),
        ("-5 MB/s", "only -1"),
        ("-1 MB/s", "only -1"),
        (-2, "only -1"),
        ("1 bit/s", "less than one byte"),
        (UNLIMITED, "-1 for unlimited"),
        ("18 Gbit/s", "-1 for unlimited"),
        ("9" * 5000 + " B/s", "not a speed"),
        ("", "not a speed"),
        ("fast", "not a speed"),
        ("1e6", "not a speed"),
        ("1 MB/h", "not a speed"),
        ("٣ MB/s", "not a speed"),
        (1.5, "whole number"),
        (float("nan"), "whole number"),
        (float("inf"), "whole number"),
        (True, "not a speed"),
        (None, "not a speed"),
        ([], "not a speed"),
    ],
)
def test_what_is_unclear_or_cannot_be_held_is_refused_with_a_hint(text: object, hint: str) -> None:
    with pytest.raises(SpeedError) as caught:
        parse_speed(text)
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 250


@given(st.text() | st.from_regex(r"\A[+-]?[0-9.,]{0,8} ?[kKmMgG]?i?[bB]?(it)?(/s|ps)?\Z"))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    try:
        speed = parse_speed(text)
    except SpeedError:
        return
    assert 1 <= speed <= UNLIMITED


@given(st.integers(1, 2_144_999_999))
def test_a_formatted_speed_parses_to_within_its_three_digits(speed: int) -> None:
    assert abs(parse_speed(format_speed(speed)) - speed) <= speed * 0.005


@given(st.integers(1, 2_144_999_999))
def test_formatting_is_stable_once_rounded(speed: int) -> None:
    text = format_speed(speed)
    assert format_speed(parse_speed(text)) == text


@given(st.integers(1, 999), st.sampled_from([("B/s", 1), ("kB/s", 1000), ("MB/s", 10**6)]))
def test_round_speeds_come_back_exactly(number: int, unit: tuple[str, int]) -> None:
    text = f"{number} {unit[0]}"
    assert parse_speed(text) == number * unit[1]
    assert format_speed(parse_speed(text)) == text


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (UNLIMITED, "unlimited"),
        (0, "0 B/s"),
        (0.4, "0 B/s"),
        (980, "980 B/s"),
        (999.7, "1 kB/s"),
        (1_250_000, "1.25 MB/s"),
        (1_048_576, "1.05 MB/s"),
        (12_500_000, "12.5 MB/s"),
        (10_000_000, "10 MB/s"),
        (999_999, "1 MB/s"),
        (9_999_999, "10 MB/s"),
        (99_999_999, "100 MB/s"),
        (5_000_000_000, "5 GB/s"),
    ],
)
def test_speeds_are_shown_with_three_digits(speed: float, text: str) -> None:
    assert format_speed(speed) == text


def test_unlimited_comes_back() -> None:
    assert parse_speed(format_speed(UNLIMITED)) == UNLIMITED


def test_any_rate_has_a_limit() -> None:
    assert as_limit(0.0) == 1
    assert as_limit(math.inf) == UNLIMITED
    assert as_limit(1234.9) == 1234
