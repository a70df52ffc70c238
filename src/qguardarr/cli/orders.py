"""`boost` and `hush`: caps higher or lower for a while, with and without a running daemon."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from qguardarr.cli.opening import config_at, no_journal
from qguardarr.cli.options import DEFAULT_CONFIG, ConfigPath
from qguardarr.cli.terminal import out
from qguardarr.cli.text import moment, speed
from qguardarr.core.caps.chain import groups_of, with_caps
from qguardarr.core.caps.scaled import ALL, BOOSTED, HUSHED, Order
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import SpeedError, parse_speed
from qguardarr.errors import ConfigError

if TYPE_CHECKING:
    from qguardarr.config import Config

LONGEST_S: Final = 7 * 86_400
_LENGTH: Final = re.compile(r"(\d{1,6})([mhd])")

Groups = Annotated[
    list[str] | None, typer.Argument(metavar="GROUP", help="Ids of groups; 'line' for the line. Default: all.")
]
Length = Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 7d at most.")]
End = Annotated[bool, typer.Option("--end", help="End it now.")]


def boost(groups: Groups = None, config: ConfigPath = DEFAULT_CONFIG, length: Length = "1h", end: End = False) -> None:
    """Double every cap for a while, within line and quotas.

    Ends by itself, also while Qguardarr is off. A running daemon heeds it at its next cycle.
    """
    _give("boost", config_at(config), groups or [], length, end=end, factor=BOOSTED, line=None)


def hush(
    groups: Groups = None,
    config: ConfigPath = DEFAULT_CONFIG,
    length: Length = "1h",
    to: Annotated[
        str | None, typer.Option("--to", help="A factor, such as 0.2, or a speed of the line, such as 1MB/s.")
    ] = None,
    end: End = False,
) -> None:
    """Lower every cap and the line to a tenth for a while.

    Ends by itself, also while Qguardarr is off. A running daemon heeds it at its next cycle.
    """
    factor, line = _to(to)
    if line is not None and groups:
        raise ConfigError("--to: a speed is for the whole line", hint="name no groups, or give a factor, such as 0.2")
    _give("hush", config_at(config), groups or [], length, end=end, factor=factor, line=line)


def _to(text: str | None) -> tuple[float, int | None]:
    if text is None:
        return HUSHED, None
    with contextlib.suppress(ValueError):
        factor = float(text)
        if 0 < factor < 1:
            return factor, None
    try:
        line = parse_speed(text)
        if line >= UNLIMITED:
            raise SpeedError("lowers nothing", "")
        return 1.0, line
    except SpeedError as error:
        raise ConfigError(
            f"--to: {error.reason}", hint="write a factor from 0 to 1, or a speed, such as 1MB/s"
        ) from None


def _seconds(text: str) -> int:
    match = _LENGTH.fullmatch(text.strip())
    seconds = int(match[1]) * {"m": 60, "h": 3600, "d": 86_400}[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_S:
        raise ConfigError("--for: must be a time of at most 7 days", hint="write it like 30m, 2h or 1d")
    return seconds


def _give(
    kind: Literal["boost", "hush"],
    config: Config,
    groups: list[str],
    length: str,
    *,
    end: bool,
    factor: float,
    line: int | None,
) -> None:
    from qguardarr.adapters.sqlite.store import SqliteStore, store_path

    known = {group.id or "line": group.id for group in groups_of(config.policy())}
    for group in groups:
        if group not in known:
            raise ConfigError(f"there is no group with the id {group!r}", hint=f"known are {', '.join(known)}")
    scope = [known[group] for group in groups]
    if not config.rollback.database_path.exists():  # a store without a journal looks as if the journal were lost
        raise no_journal(config)
    with contextlib.closing(SqliteStore(store_path(config.rollback.database_path), is_guest=True)) as store:
        if end:
            ended = store.clear_orders(kind, scope)
            out(f"The {kind} is over." if ended else f"There is no {kind}.")
            return
        until = time.time() + _seconds(length)
        store.set_orders(scope or [ALL], Order(kind, until, factor, line))
    whom = ", ".join(groups) or "every cap"
    what = f"{whom}: × {factor:g}" if line is None else f"the line: {speed(line)}"
    out(f"{kind.capitalize()} until {moment(until)}: {what}. `qguardarr {kind} --end` ends it.")
    if kind == "hush" and line is None and (free := _left_free(config, scope)):
        out(f"Without a cap to lower: {', '.join(free)}. `qguardarr hush --to 1MB/s` holds the whole line.")


def _left_free(config: Config, scope: Collection[str]) -> list[str]:
    """Return the groups that a hush by a factor leaves as they are: neither they nor what is above them has a cap."""
    policy = config.policy()
    if policy.uplink < UNLIMITED and (not scope or "" in scope):
        return []
    in_force = with_caps(policy, [], time.time())
    return [group.id for group in in_force.classes if group.cap >= UNLIMITED and (not scope or group.id in scope)]
