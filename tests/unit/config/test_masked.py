"""The text of a configuration is shown without secrets, wherever they stand."""

from __future__ import annotations

import pytest

from qguardarr.config.masked import difference, masked, sections
from qguardarr.config.starter import starter_file

SECRETS = [f"sEcReT{number}" for number in range(20)]
TEXT = """\
qbittorrent:
  url: http://qb:8080   # open
  username: admin
  password: "sEcReT0 # no comment"   # was sEcReT1: a password: sEcReT2
  # password: sEcReT3
  # api_key: 'sEcReT4'
  api_key: |
    sEcReT5
    sEcReT6
auth: {username: me, password: 'sEcReT7', api_key: sEcReT8sEcReT8}
notifications:
  urls:
    - tgram://sEcReT9/chat   # tgram://sEcReT10/old
    - "ntfy://user:sEcReT11@host/topic"
  # urls: [discord://sEcReT12/x]
cross_seed: {url: 'http://x/api?apikey=sEcReT13', api_key: &k sEcReT14, enabled: true}
http: {metrics: key}   # token=sEcReT15
"""


def test_no_secret_is_shown() -> None:
    shown = masked(TEXT)

    left = [secret for secret in SECRETS[:16] if secret in shown and secret != "sEcReT1"]
    assert left == []
    assert shown.count("\n") == TEXT.count("\n")
    for kept in ("url: http://qb:8080   # open", "username: admin", "metrics: key", "enabled: true", "username: me"):
        assert kept in shown


def test_references_stay() -> None:
    text = "qbittorrent:\n  password: ${QBIT_PASSWORD}\n  # api_key: ${QBIT_API_KEY}    # instead\n"

    assert masked(text) == text


def test_example_stays_but_for_its_example_addresses() -> None:
    text = starter_file()

    differing = [old for old, new in zip(text.split("\n"), masked(text).split("\n"), strict=True) if old != new]
    assert [line.strip()[:7] for line in differing] == ["# urls:"]


def test_further_secrets_are_masked_where_they_are_distinct() -> None:
    assert masked("trackers: [{name: abc, pattern: 'a long secret text'}]", ("a long secret text", "abc")) == (
        "trackers: [{name: abc, pattern: '***'}]"
    )


@pytest.mark.parametrize(
    "text",
    [
        "qbittorrent:\n  pasword: sEcReT\n",
        "qbittorrent:\n  password: a\n  password: sEcReT\n",
        "password: sEcReT\n",
        "deep: [{er: {api_kye: [{x: sEcReT}]}}]\n",
        "qbittorrent:\n  url: http://u:sEcReT,sEcReT@h:1\n",
        "qbittorrent:\n  <<: {password: sEcReT}\n",
        "qbittorrent:\n  username: &p sEcReT\n  password: *p\n",
        "x: &p sEcReT\nqbittorrent:\n  password: *p\n",
        "x: &n {a: {b: sEcReT}}\nnotifications:\n  urls: *n\n",
        "x: &n [ntfy, sEcReT]\nnotifications: {urls: *n}\n",
        "qbittorrent: {password:sEcReT}\n",
        "qbittorrent:\n  host: localhost\n  password:sEcReT\n",
        "qbittorrent:\n  password: ${PREFIX}sEcReT\n",
        "a: 1\n# password:\n#   sEcReT\n#   sEcReT\n",
        "a: 1\n# api_key: >\n# sEcReT\n",
    ],
)
def test_secret_is_masked_however_it_is_written(text: str) -> None:
    shown = masked(text)

    assert "sEcReT" not in shown
    assert "***" in shown
    assert shown.count("\n") == text.count("\n")


def test_values_that_are_no_secrets_stay() -> None:
    text = "trackers:\n- {id: a, name: A tracker, pattern: 'https?://(x|y).org/\\?passkey='}\n# Keys:\n# see it\n"

    assert masked(text) == text


@pytest.mark.parametrize("part", ["pass", "pass ", "pass:", "a://", "a.", "http://x/a", "pass: ${A} "])
def test_long_comments_are_masked_in_linear_time(part: str) -> None:
    """A search that tries each beginning with each end would not come back within the time of a test."""
    assert masked(f"a: 1 # {part * 20_000}!\n").startswith("a: 1 #")


def test_aliases_of_aliases_are_masked_once() -> None:
    text = "a0: &a0 {p: 'x'}\n" + "".join(
        f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(9))}}}\n" for n in range(1, 12)
    )

    assert "***" in masked(text + "password: *a11\n")


def test_values_that_contain_themselves_are_masked() -> None:
    assert masked("password: &p {x: [*p, secret]}\n") == "password: &p {***: [*p, ***]}\n"


@pytest.mark.parametrize("text", ["a: [", "\x00", "password: secret\n x: y: z"])
def test_text_that_cannot_be_read_is_hidden_whole(text: str) -> None:
    assert set(masked(text).split("\n")) == {"***"}


def test_difference_shows_that_a_secret_changed_and_not_which() -> None:
    after = TEXT.replace("sEcReT0", "sEcReT19").replace("username: admin", "username: root")

    found = difference(TEXT, after, "q.yaml")

    assert found.startswith("--- q.yaml\n+++ q.yaml\n@@ -1,")
    assert "-  username: admin\n" in found
    assert "+  username: root\n" in found
    assert found.count("  password: ***") == 2
    assert not any(secret in found for secret in SECRETS if secret != "sEcReT1")


def test_difference_of_the_same_is_empty() -> None:
    assert difference(TEXT, TEXT, "q.yaml") == ""


def test_line_ends_and_marks_are_left_out_of_a_difference() -> None:
    old = "\ufeffa: 1\r\nb: 2\r\n"

    assert difference(old, old.replace("2", "3"), "q") == "--- q\n+++ q\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"


def test_sections_are_those_of_the_paths() -> None:
    found = sections(TEXT, [("notifications", "urls"), ("http", "metrics")])

    assert [line for line in found.split("\n") if line[:1].isalpha()] == [
        "notifications:",
        "http: {metrics: key}   # token=***",
    ]
    assert "sEcReT" not in found


@pytest.mark.parametrize("text", ["{a: {b: 1}}\n", "  a:\n    b: 1\n", ""])
def test_sections_that_do_not_stand_in_lines_of_their_own_are_left_out(text: str) -> None:
    assert sections(text, [("a", "b")]) == ""


def test_difference_without_context_shows_the_changed_lines_alone() -> None:
    found = difference("a: 1\nb: 2\nc: 3\n", "a: 1\nb: 4\nc: 3\n", "q", context=0)

    assert found == "--- q\n+++ q\n@@ -2,1 +2,1 @@\n-b: 2\n+b: 4\n"
