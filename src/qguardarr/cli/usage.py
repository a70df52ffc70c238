"""`usage`: what each group uploaded, from the store."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from datetime import date, datetime
from typing import Annotated

import msgspec
import typer

from qguardarr.cli.opening import config_at
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json
from qguardarr.core.units import format_size
from qguardarr.engine.usage import Step, Usage, as_csv, this_month
from qguardarr.engine.usage import usage as usage_of
from qguardarr.errors import ConfigError
from qguardarr.zones import zone_of

_DAY = "%Y-%m-%d"


def usage(
    config: ConfigPath = DEFAULT_CONFIG,
    group: Annotated[str | None, typer.Option(help="Only this group; 'line' for the whole line.")] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=[_DAY], help="First day. Default: the first of this month.")
    ] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=[_DAY], help="Last day. Default: today.")] = None,
    by: Annotated[
        str | None, typer.Option(help="A row for each hour, day or month. Default: one for each group.")
    ] = None,
    as_json: AsJson = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, by day unless --by says otherwise.")] = False,
) -> None:
    """Show what each group uploaded this month.

    Bytes sent while Qguardarr was off count as well, but for those of torrents that were deleted meanwhile.
    """
    from qguardarr.adapters.sqlite.store import SqliteStore, store_path

    if by not in (None, "hour", "day", "month"):
        raise ConfigError("--by: must be hour, day or month")
    loaded = config_at(config)
    name = loaded.global_.timezone
    zone = zone_of(name) if name else None
    begin, today = this_month(time.time(), zone)
    end = today if last is None else last.date()
    start = first.date() if first is not None else begin if begin <= end else end.replace(day=1)
    if start > end:
        raise ConfigError("--from: must not be after --to")
    step: Step = "hour" if by == "hour" else "month" if by == "month" else "day"
    path = store_path(loaded.rollback.database_path)
    rows: list[Usage] = []
    if path.exists():
        with contextlib.closing(SqliteStore(path, is_guest=True)) as store:
            rows = usage_of(store, "" if group == "line" else group, start, end, step, zone)
    if csv:
        for line in as_csv(rows):
            out(line.rstrip())
    elif as_json:
        print_json([msgspec.structs.asdict(row) for row in rows])
    elif not rows:
        out(f"Nothing was uploaded from {start} to {end}, or nobody counted.")
    else:
        _print(rows, start, end, by)


def _print(rows: list[Usage], start: date, end: date, by: str | None) -> None:
    if by is None:
        sums: dict[str, int] = defaultdict(int)
        for row in rows:
            sums[row.group] += row.bytes
        out(f"From {start} to {end}:")
        rows = [Usage(group=group, start="", at=0.0, bytes=sums[group]) for group in sums]
    rows.sort(key=lambda row: (row.group == "", row.at, row.group) if by else (row.group == "", -row.bytes))
    table: list[Column[Usage]] = [
        Column("group", lambda row: row.group or "(line)", least=16),
        Column(">uploaded", lambda row: format_size(row.bytes)),
    ]
    if by is not None:
        table.insert(1, Column(by, lambda row: row.start))
    print_table(table, rows)
