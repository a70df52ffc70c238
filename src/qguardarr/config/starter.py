"""The text of a first configuration file: what `serve --first-start` and `init` write.

Everything that a person is likely to change stands in it, all else as a comment with its default.
`_REST` is the same text as in `config/qguardarr.example.yaml`; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_LIKE_A_REFERENCE: Final = re.compile(r"\$(?=\{[^}]{0,200}\})")
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?:://[A-Za-z0-9_.:/~-]+)?")
_YAML_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"})


class Rule(NamedTuple):
    """A rule to write: the torrents whose announce URL matches share one cap."""

    id: str
    pattern: str
    cap: str = "unlimited"
    """`max_upload_speed`, in words."""
    remark: str = ""
    """Comment behind the id."""


CATCH_ALL: Final = Rule("default", ".*", remark="everything else; must stand last")


def starter_file(
    *,
    url: str = "",
    username: str = "",
    password: str = "",
    api_key: str = "",
    literal_password: bool = False,
    rules: Iterable[Rule] = (),
    dry_run: bool = True,
) -> str:
    """Return the text of a configuration file that loads as it is. The catch-all is put behind `rules`.

    Texts are quoted where YAML needs it, and mean themselves; only one that is a reference as a whole, such as
    `${QBIT_PASSWORD}`, is written as it is, but for the password with `literal_password`. An empty `url` stands for an
    address that is not known yet: Qguardarr takes that of QBIT_URL, or waits for one.
    """
    return "".join(
        (
            _HEAD,
            _connection(url, username, quoted(password) if literal_password else scalar(password), api_key),
            _ABOUT_RULES,
            rules_text(rules),
            _dry_run(dry_run),
            _REST,
        )
    )


def rules_text(rules: Iterable[Rule]) -> str:
    """Return the section `trackers`: a rule that would match what a later one is for behind that, and the catch-all."""
    lines = ["trackers:"]
    for rule in (*_specific_first(rules), CATCH_ALL):
        remark = f"  # {_one_line(rule.remark)}" if rule.remark else ""
        lines += [
            f"  - id: {scalar(rule.id)}{remark}",
            f"    pattern: {quoted(rule.pattern)}",
            f"    max_upload_speed: {scalar(rule.cap)}",
        ]
    return "\n".join(lines) + "\n"


def _specific_first(rules: Iterable[Rule]) -> list[Rule]:
    """Order the rules of hosts: that of `a.example` also matches `a.example:6969` and `a.example.org`."""
    ordered: list[Rule] = []
    for rule in rules:
        wider = (i for i, other in enumerate(ordered) if rule.pattern.startswith(other.pattern.removesuffix(r"\b")))
        ordered.insert(next(wider, len(ordered)), rule)
    return ordered


def scalar(text: str) -> str:
    """Return a text as a YAML value that means the text itself, or the variable if it is a reference as a whole."""
    if _REFERENCE.fullmatch(text) or (_PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS):
        return text
    return quoted(text)


def quoted(text: str) -> str:
    """Return a text in quotes, as a YAML value that means the text itself."""
    text = _LIKE_A_REFERENCE.sub("$$", text)
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(s if s.isprintable() and s not in '"\\' else f"\\U{ord(s):08x}" for s in text) + '"'


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _dry_run(on: bool) -> str:
    why = "decides and shows everything, writes nothing; false once you like what `preview` shows"
    return f"\nglobal:\n  dry_run: {'true' if on else 'false'}{' ' * (17 if on else 16)}# {why}\n"


def _connection(url: str, username: str, password: str, api_key: str) -> str:
    """`password`: as YAML."""
    lines = ["qbittorrent:                    # its Web UI (Options > Web UI)"]
    lines.append(
        f"  url: {scalar(url)}"
        if url
        else "  url: ''                       # such as http://qbittorrent:8080; empty: QBIT_URL, or wait for one"
    )
    if api_key:
        lines.append(f"  api_key: {scalar(api_key)}")
    elif username:
        lines += [f"  username: {scalar(username)}", f"  password: {password}"]
    else:
        lines += [
            "  # username: admin             # with the password; default: QBIT_USERNAME and QBIT_PASSWORD",
            "  # password: ${QBIT_PASSWORD}",
        ]
    if not api_key:
        lines.append("  # api_key: ${QBIT_API_KEY}    # instead of username and password (qBittorrent 5.2 and newer)")
    return "\n".join(lines) + "\n" + _MORE_CONNECTION


_HEAD: Final = """\
# Qguardarr's configuration. A running Qguardarr takes it up as soon as it is saved; `qguardarr check` finds faults.
#   1. qbittorrent: where its Web UI is, and how to log in.
#   2. trackers: a cap for each tracker. `qguardarr trackers` lists yours; with --yaml it prints rules to paste here.
#   3. global.dry_run: false, once you like what `qguardarr preview` shows. Nothing is written to qBittorrent before.
# Relative paths start at the folder of this file.
# Lines that begin with '# ' and a setting show its default. ${NAME} is taken from the environment ($${ for a plain ${).
# Variables such as QGUARDARR__GLOBAL__DRY_RUN=false override this file; `qguardarr check --sources` says what does.

"""
_MORE_CONNECTION: Final = """\
  # auth: cookie                # or basic, with each request (qBittorrent 5.2 and newer, or a proxy)
  # timeout: 30                 # seconds
  # verify_tls: true            # of an https url
  # ca_file: certs/home.pem     # to trust a self-signed certificate

"""
_ABOUT_RULES: Final = """\
# Each tracker's torrents share one cap. The first rule that matches counts.
# Speeds: 10 MB/s, 2 MiB/s, 80 Mbit/s, bytes/s (1000 or more), or unlimited (-1). A rule looks like this:
#   - id: example                          # short and unique
#     name: My tracker                     # for people; may be left out
#     pattern: '//tracker\\.example\\.org\\b'   # regular expression, searched in the announce URL; keep the quotes
#     max_upload_speed: 10 MB/s
#     priority: 10                         # 1 … 10, default 1: who borrows first (allocation_strategy: soft)
"""
_REST: Final = """\
  # uplink: unlimited           # the whole line, e.g. 40 Mbit/s: caps together never use more
  # allocation_strategy: equal  # weighted: more for many leechers; soft: weighted, and trackers lend unused bandwidth
  # rollout_percentage: 100     # manage only a part of the torrents, for a careful start
  # respect_manual_limits: true # limits that you set by hand in qBittorrent are never raised
  # foreign_limits: auto        # limits that change while it runs: auto overwrites those that another program sets on
                                # many torrents; person: all are yours; ignore: none is (docs/other-programs.md)
  # idle_limit: auto            # of idle torrents, so that many waking at once keep to the cap; a speed, or off
  # match_mode: first           # torrents with several trackers: first rule in this file, or strictest
  # update_interval: 2          # longest time between two cycles, 0.5 … 3600 s; each follows a refresh of qBittorrent

  # Rarely needed:
  # auto_unlimit_on_inactive: false   # give a torrent that goes quiet its own limit back
  # active_torrent_threshold_kb: 10   # KiB/s from which a torrent counts as active
  # max_managed_torrents: 1000        # largest number of torrents with a share of their own
  # max_api_calls_per_cycle: 500      # largest number of limit-writing calls
  # differential_threshold: 0.2       # smallest relative increase that is written
  # cache_ttl_seconds: 1800           # longest time between two complete reads
  # borrow_threshold_ratio: 0.9       # soft: usage of its cap from which a tracker may borrow
  # max_borrow_fraction: 0.5          # soft: largest loan, as a fraction of the cap
  # smoothing_alpha: 0.4              # soft: how fast a loan rises, 0 … 1
  # min_effective_delta: 0.1          # soft: smallest relative rise of a loan
  # dry_run_store_path: data/dry_run_limits.json   # where a dry run writes what it decides

  # Where Qguardarr's own HTTP API listens:
  # host: 127.0.0.1             # this machine only; 0.0.0.0: every address of it; '::': IPv6 as well
  # port: 8089

auth:                           # who may use the API; `auth: none` in its place asks nobody for a key
  # api_key: ${QGUARDARR_API_KEY}   # 16 characters or more; default: made at the first start (`qguardarr api-key`)
  # username: me                # for people; together with the password
  # password: ${MY_PASSWORD}    # or, in single quotes, what `qguardarr hash-password` prints

http:
  # base_path: ''               # prefix behind a reverse proxy, like /qguardarr
  # trusted_proxies: []         # their addresses or networks: whose X-Forwarded-For and -Proto are trusted
  # allowed_hosts: []           # with auth: none, public host names under which it is reached
  # metrics: key                # open: /metrics without a key

notifications:
  # urls: []                    # Apprise addresses, e.g. ['ntfy://topic', 'tgram://${BOT_TOKEN}/chat']
  # events: [over_cap, qbittorrent_lost, breaker_open, plan_refused, manual_limit, foreign_limits, errors]
  # after: 60                   # seconds that an event must last before it is reported
  # repeat: 21600               # seconds after which it is reported again while it lasts

cross_seed:                     # completed torrents are reported to it
  # enabled: false
  # url: http://localhost:2468/api/webhook
  # api_key: ${CROSS_SEED_API_KEY}
  # timeout: 15                 # seconds

rollback:                       # the journal, from which `qguardarr rollback` restores your own limits
  database_path: data/qguardarr.db   # stop Qguardarr and move the files to change it
  # retention_days: 30          # of the history
  # track_all_changes: true     # false: one day of history, and what a rollback needs
  # on_shutdown: keep           # restore: original limits come back whenever Qguardarr ends

logging:
  level: INFO                   # DEBUG, INFO, WARNING, ERROR
  # format: console             # json: for machines
  # file: logs/qguardarr.log    # besides the terminal
  # max_size_mb: 50
  # backup_count: 5
"""
