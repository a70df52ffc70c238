"""The live overview as lines: every width, every state, texts of strangers."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from qguardarr.cli.top_table import SORTS
from qguardarr.cli.top_view import Seen, View, frame
from tests.support import samples
from tests.support.hostile import EVIL

MB = 1_000_000


def shown(
    seen: Seen,
    view: View | None = None,
    *,
    columns: int = 100,
    rows: int = 24,
    plain: bool = False,
    now: float = 2001.0,
) -> list[str]:
    lines = frame(seen, view or View(), columns=columns, rows=rows, now=now, plain=plain)
    return [line.plain.rstrip() for line in lines]


def running(**changes: Any) -> Seen:
    return Seen(status=samples.status(**changes), running=True)


def test_a_tracker_has_its_bar_and_its_figures() -> None:
    row = samples.row("a", effective=2.0 * MB, borrowed=1.0 * MB, rate_10s=1.5 * MB)
    (line,) = [line for line in shown(running(trackers=(row,)), columns=120) if line.startswith("A ")]
    for figure in ("1.5 MB/s", "1 MB/s", "97 %", "4 s", "2 MB/s"):
        assert figure in line
    assert line.count("█") > line.count("░") > 0
    assert line.count("|") == 1, "where the cap ends and borrowing begins"
    over = samples.row("a", rate_10s=1.2 * MB)
    assert any("97 %!" in line for line in shown(running(trackers=(over,))))


def test_groups_stand_beneath_their_parents_and_say_why_a_cap_is_what_it_is() -> None:
    seen = running(
        trackers=(
            samples.row("hd", parent="p", cap_reason="schedule: mon-fri 08:00-18:00", cap_until=2001.0 + 7200.0),
            samples.row("sd", parent="p"),
            samples.row("other"),
        ),
        parents=(samples.parent_row("p"), samples.parent_row("", cap=20 * MB)),
    )

    rows = [re.match(r" *(line|P|HD|SD|OTHER) ", line) for line in shown(seen)]

    assert [row[0].rstrip() for row in rows if row] == ["line", "  P", "    HD", "    SD", "  OTHER"]
    assert "* HD: 1 MB/s (schedule: mon-fri 08:00-18:00), for 2.0 h more" in shown(seen)
    assert [line for line in shown(seen, View(sort="rate")) if line.startswith("line")] == []
    many = running(trackers=tuple(samples.row(f"t{n}", cap_reason="temporary cap") for n in range(9)))
    assert "* and 6 other caps" in shown(many, rows=40)


def test_several_qbittorrents_have_a_line_each_those_that_are_away_first() -> None:
    away = {"state": "away", "problem": "refused", "away_since": 1881.0}
    rows = [
        samples.instance("home", torrents=120, limited=80),
        samples.instance("box", **away, counts="last", held_back=3.2 * MB),
        samples.instance("nas", **away, counts="nothing"),
        samples.instance("new", state="starting", counts="equal", version=None),
    ]

    lines = shown(running(instances=tuple(rows)))

    assert any("1 of 4 qBittorrents connected" in line for line in lines)
    at = lines.index("  box: away for 2 min, 3.2 MB/s of the caps kept for it")
    assert lines[at + 1 : at + 4] == [
        "  nas: away for 2 min, nothing kept for it",
        "  new: not read yet, an equal part of each cap kept for it",
        "  home: v5.1.0, 120 torrents, 80 limited",
    ]
    many = shown(running(instances=tuple(samples.instance(f"q{n}") for n in range(9))))
    assert "  and 5 more" in many
    assert not any("qBittorrents" in line for line in shown(running(instances=(samples.instance(""),))))


def test_quotas_and_the_usage_of_the_month_are_columns_where_there_are_such() -> None:
    quota = samples.quota_row(bytes=100 * MB, used=62 * MB, forecast=98 * MB)
    rows = (samples.row("a", quota=quota), samples.row("b", quota=samples.quota_row(bytes=MB, used=0, forecast=None)))
    seen = msgspec.structs.replace(running(trackers=rows), usage={"a": 1_250_000_000})

    lines = shown(seen, columns=120)

    head = next(line for line in lines if line.startswith("tracker"))
    assert head.split() == ["tracker", "rate", "cap", "used", "quota", "over", "cap", "month", "effective", "borrowed"]
    [first, second] = [line for line in lines if line.startswith(("A ", "B "))]
    assert "62 -> 98 %" in first
    assert "1.25 GB" in first
    assert "0 %" in second
    assert "0 B" in second
    assert "month" not in shown(running(), columns=120)[4]
    assert any("quota 62 -> 98 %" in line for line in shown(seen, columns=50))


@pytest.mark.parametrize("columns", [10, 20, 40, 63, 64, 80, 100, 200])
@pytest.mark.parametrize("rows", [3, 8, 24])
def test_it_fits_every_terminal(columns: int, rows: int) -> None:
    trackers = (
        samples.row("a", name=EVIL, borrowed=1.0 * MB),
        samples.row("漢" * 40, cap=None, effective=None, utilisation=None),
        samples.row("b", override_until=3000.0),
    )
    instances = (samples.instance(EVIL, state="away", counts="last"), samples.instance("漢" * 40, version=EVIL))
    seen = running(
        instances=instances,
        trackers=trackers,
        troubles=("something is wrong " * 20, EVIL),
        state="failing",
        problem=EVIL,
    )
    for plain in (False, True):
        lines = shown(seen, columns=columns, rows=rows, plain=plain)
        assert len(lines) <= rows
        for line in lines:
            assert cell_len(line) <= columns
            assert line.isprintable()


def test_a_narrow_one_has_two_lines_for_a_tracker() -> None:
    lines = shown(running(), columns=40, rows=24)
    at = next(number for number, line in enumerate(lines) if line.startswith("A "))
    assert lines[at].endswith("950 kB/s of 1 MB/s")
    assert "97 %" in lines[at + 1]
    assert "over 4 s" in lines[at + 1]


def test_plain_has_ascii_alone() -> None:
    assert "".join(shown(running(), plain=True)).isascii()


def test_it_says_what_is_wrong() -> None:
    assert any("No daemon runs" in line for line in shown(Seen()))
    away = Seen(status=samples.status(), problem="http://nas: it gives no answer.")
    assert any("These figures are of" in line for line in shown(away))
    assert "AWAY" in shown(away)[0]
    assert any("No cycle has ended for" in line for line in shown(running(), now=2100.0))
    assert any("! a trouble" in line for line in shown(running(troubles=("a trouble",))))
    assert any("old one stays" in line for line in shown(running(reload_error="faulty")))
    assert any("until you resume. a visit" in line for line in shown(running(state="paused", problem="a visit")))


def test_sorting_and_scrolling() -> None:
    trackers = tuple(samples.row(f"t{n:02}", rate_10s=1000.0 * n, over_cap_s=50.0 - n) for n in range(40))
    view = View(sort="rate", scroll=1000)

    def names() -> list[str]:
        return [line.split()[0] for line in shown(running(trackers=trackers), view) if line.startswith("T")]

    assert names()[-1] == "T00"
    assert 0 < view.scroll < 40, "as far as there is something"
    view.scroll = 0
    assert names()[0] == "T39"
    view.sort = "over cap"
    assert names()[0] == "T00"
    assert next(iter(SORTS)) == "rules"
