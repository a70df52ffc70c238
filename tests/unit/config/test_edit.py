"""Edits of a configuration's text: values change as asked for, and every other byte stays."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.config.document import Document
from qguardarr.config.edit import Edit, Edited, edited
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.source import Source
from qguardarr.config.starter import Rule, starter_file
from qguardarr.config.yaml_values import written

EXAMPLE = starter_file(
    {"username": "admin", "password": "${QBIT_PASSWORD}"},
    [Rule("private", r"tracker\.example\.org", "10 MB/s"), Rule("public", "example", "1 MB/s", remark="short")],
)
ENVIRONMENT = {"QBIT_PASSWORD": "from the environment"}
FOLDER = Path("/nowhere")


def edit(text: str, *edits: Edit, environment: dict[str, str] | None = None) -> Edited:
    return edited(text, edits, ENVIRONMENT if environment is None else environment, FOLDER)


def changed(text: str, *edits: Edit) -> str:
    """The text after edits that are all made."""
    found = edit(text, *edits)
    assert not found.refusals
    return found.text


def values(text: str) -> Any:
    source = Source(text.removeprefix("\ufeff"), ENVIRONMENT)
    assert not source.faults
    return source.value


def lines(text: str) -> list[str]:
    return text.split("\n")


def is_part(few: list[str], many: list[str]) -> bool:
    """Whether `few` are lines of `many`, in their order."""
    rest = iter(many)
    return all(line in rest for line in few)


# -- the files that we write ourselves --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [EXAMPLE, starter_file()], ids=["example", "starter"])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("global", "uplink"), "40 Mbit/s"),
        (("global", "dry_run"), False),
        (("global", "idle_limit"), "off"),
        (("notifications", "after"), 30),
        (("notifications", "urls"), ["ntfy://one", "tgram://a:b/c"]),
        (("auth", "username"), "me"),
        (("auth", "password"), "$argon2id$v=19$m=7168,t=5,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"),
        (("http", "trusted_proxies"), ["10.0.0.0/8"]),
        (("cross_seed", "url"), "http://localhost:2468/api/webhook?apikey=x#y: z"),
        (("rollback", "retention_days"), 7),
        (("logging", "level"), "DEBUG"),
        (("qbittorrent", "timeout"), 12.5),
    ],
)
def test_setting_is_set_and_removed_again(text: str, path: tuple[str, str], value: Any) -> None:
    before = values(text)
    was_there = path[1] in (before[path[0]] or {})

    after = changed(text, Edit("set", path, value))

    assert values(after)[path[0]][path[1]] == value
    others = [line for line in lines(after) if line in lines(text)]
    assert len(lines(after)) == len(lines(text)) + (not was_there)
    assert len(others) >= len(lines(text)) - was_there
    if not was_there:
        assert changed(after, Edit("remove", path)) == text


def test_line_of_a_new_setting_stands_above_the_comment_that_shows_its_default() -> None:
    after = lines(changed(EXAMPLE, Edit("set", ("global", "uplink"), "40 Mbit/s")))

    at = after.index("  uplink: 40 Mbit/s")
    assert after[at + 1].startswith("  # uplink: unlimited")


def test_comment_behind_a_value_keeps_its_column() -> None:
    after = changed(EXAMPLE, Edit("set", ("global", "dry_run"), False))

    old, new = (next(x for x in lines(t) if x.startswith("  dry_run")) for t in (EXAMPLE, after))
    assert old.index("#") == new.index("#")
    assert old[old.index("#") :] == new[new.index("#") :]


def test_new_rule_stands_before_the_catch_all() -> None:
    rule = {"max_upload_speed": "1 MB/s", "pattern": r"//new\.example\b", "id": "new"}

    after = changed(EXAMPLE, Edit("insert", ("trackers",), rule))

    assert [r["id"] for r in values(after)["trackers"]] == ["private", "public", "new", "default"]
    assert "  - id: new\n    pattern: '//new\\.example\\b'\n    max_upload_speed: 1 MB/s\n" in after
    assert changed(after, Edit("remove", ("trackers", "new"))) == EXAMPLE


def test_rule_moves_with_its_comments() -> None:
    a, b = "- id: a # a\n  pattern: a\n", "# of b\n- id: b\n  pattern: b\n  # priority: 2\n"
    rest = "\n- id: c\n  pattern: .*\n"

    after = changed(f"trackers:\n{a}{b}{rest}", Edit("move", ("trackers", "b"), before="a"))

    assert after == f"trackers:\n{b}{a}{rest}"


def test_later_edits_see_earlier_ones() -> None:
    found = edit(
        EXAMPLE,
        Edit("set", ("trackers", "public", "id"), "open"),
        Edit("set", ("trackers", "open", "max_upload_speed"), "3 MB/s"),
        Edit("move", ("trackers", "open"), before="private"),
    )

    assert not found.refusals
    assert [(r["id"], r["max_upload_speed"]) for r in values(found.text)["trackers"]][:1] == [("open", "3 MB/s")]
    assert found.places == (("trackers", 0, "id"), ("trackers", 0, "max_upload_speed"), ("trackers", 0))


def test_number_that_comes_as_text_is_written_as_a_number_and_text_stays_text() -> None:
    after = values(
        changed(
            EXAMPLE,
            Edit("set", ("notifications", "after"), "30"),
            Edit("set", ("global", "auto_unlimit_on_inactive"), "true"),
            Edit("set", ("trackers", "public", "name"), "0123"),
            Edit("set", ("auth", "username"), "yes"),
        )
    )

    assert after["notifications"]["after"] == 30
    assert after["global"]["auto_unlimit_on_inactive"] is True
    assert after["trackers"][1]["name"] == "0123"
    assert after["auth"]["username"] == "yes"


def test_text_that_looks_like_a_reference_means_itself() -> None:
    text = "${QBIT_PASSWORD} $${x} ${}"

    assert values(changed(EXAMPLE, Edit("set", ("trackers", "public", "name"), text)))["trackers"][1]["name"] == text


def test_items_of_lists_are_inserted_and_removed_by_index() -> None:
    text = "notifications:\n  urls:\n    - ntfy://a  # mine\n    - ntfy://b\n  after: 5\n"

    after = changed(
        text,
        Edit("insert", ("notifications", "urls"), "ntfy://c", 1),
        Edit("insert", ("notifications", "urls"), "ntfy://d"),
        Edit("remove", ("notifications", "urls", 2)),
    )

    assert values(after)["notifications"]["urls"] == ["ntfy://a", "ntfy://c", "ntfy://d"]
    assert "    - ntfy://a  # mine\n" in after


def test_missing_section_is_appended() -> None:
    after = changed("trackers:\n- {id: a, pattern: .*, max_upload_speed: -1}", Edit("set", ("auth", "username"), "me"))

    assert after == "trackers:\n- {id: a, pattern: .*, max_upload_speed: -1}\n\nauth:\n  username: me"


def test_schedule_of_a_rule_is_set_changed_and_removed() -> None:
    schedule = [
        {"days": "mon-fri", "from": "08:00", "to": "18:00", "cap": "2 MB/s"},
        {"from": "22:00", "to": "06:00", "cap": "unlimited", "priority": 3},
    ]

    after = changed(EXAMPLE, Edit("set", ("trackers", "public", "schedule"), schedule))
    less = changed(after, Edit("set", ("trackers", "public", "schedule"), schedule[1:]))

    assert (
        "    schedule:\n      - {days: mon-fri, from: '08:00', to: '18:00', cap: 2 MB/s}\n"
        "      - {from: '22:00', to: '06:00', cap: unlimited, priority: 3}\n"
    ) in after
    assert less == after.replace("      - {days: mon-fri, from: '08:00', to: '18:00', cap: 2 MB/s}\n", "")
    assert changed(less, Edit("remove", ("trackers", "public", "schedule"))) == EXAMPLE
    line = changed(EXAMPLE, Edit("set", ("global", "uplink_schedule"), schedule[:1]))
    assert values(line)["global"]["uplink_schedule"] == schedule[:1]


def test_new_rule_may_have_a_schedule() -> None:
    rule = {"id": "new", "pattern": "x", "max_upload_speed": "1 MB/s", "schedule": [{"days": "sat", "cap": -1}]}

    after = changed(EXAMPLE, Edit("insert", ("trackers",), rule))

    assert "    max_upload_speed: 1 MB/s\n    schedule:\n      - {days: sat, cap: -1}\n" in after
    assert values(after)["trackers"][2] == rule


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Edit("set", ("qbittorrent", "password"), "x"), "is taken from ${QBIT_PASSWORD} in the file"),
        (Edit("remove", ("qbittorrent", "password")), "is taken from ${QBIT_PASSWORD} in the file"),
        (Edit("set", ("global", "uplink"), "1 MB/s"), "comes from the variable QGUARDARR__GLOBAL__UPLINK"),
        (Edit("set", ("logging", "file"), "/etc/passwd"), "names a file of the machine that Qguardarr runs on"),
        (Edit("set", ("global", "dry_run_store_path"), "/x"), "names a file of the machine that Qguardarr runs on"),
        (Edit("set", ("rollback", "database_path"), "/x"), "names a file of the machine that Qguardarr runs on"),
        (Edit("set", ("qbittorrent", "ca_file"), "/x"), "names a file of the machine that Qguardarr runs on"),
        (Edit("set", ("auth",), "none"), "is nothing that can be changed so"),
        (Edit("set", ("trackers",), []), "is nothing that can be changed so"),
        (Edit("set", ("global", "upllink"), 1), "is not a setting"),
        (Edit("set", ("trackers", "nobody", "priority"), 1), "there is no rule with this id"),
        (Edit("set", ("trackers", 0, "priority"), 1), "there is no rule with this id"),
        (Edit("set", ("global", "uplink", "x"), 1), "is nothing that can be changed so"),
        (Edit("set", ("trackers", "public", "cap"), 1), "is not a setting here"),
        (Edit("set", ("global", "dry_run"), None), "must be a text, a number, true or false"),
        (Edit("set", ("global", "dry_run"), {"a": 1}), "must be a text, a number, true or false"),
        (Edit("set", ("global", "update_interval"), float("nan")), "must be a number"),
        (Edit("set", ("trackers", "public", "schedule"), [{"a b": 1}]), "has keys that are no names of settings"),
        (Edit("set", ("trackers", "public", "schedule"), [[[[[[1]]]]]]), "must be a text, a number, true or false"),
        (Edit("set", ("trackers", "public", "priority"), {"a": 1}), "must be a text, a number, true or false"),
        (Edit("remove", ("notifications", "after")), "does not stand in the file itself"),
        (Edit("insert", ("trackers",), {"id": "x", "evil": 1}), "has keys that a rule does not have"),
        (Edit("insert", ("trackers",), "x"), "must be a mapping"),
        (Edit("insert", ("global",), "x"), "is no list"),
        (Edit("move", ("trackers", "public"), before="nobody"), "there is no rule with this id"),
        (Edit("move", ("global", "dry_run")), "is nothing that can be changed so"),
        (Edit("set", ()), "is no path"),
    ],
)
def test_refused_edit_changes_nothing(change: Edit, reason: str) -> None:
    environment = {**ENVIRONMENT, "QGUARDARR__GLOBAL__UPLINK": "9 MB/s"}

    found = edit(EXAMPLE, change, environment=environment)

    assert found.text == EXAMPLE
    assert [(number, fault.reason) for number, fault in found.refusals] == [(0, reason)]


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("notifications:\n  urls: []\n", ("notifications", "urls", 0), "there is no such item"),
        ("notifications:\n  urls: [a]\n", ("notifications", "urls", 1), "there is no such item"),
        ("notifications:\n  after: 1\n", ("notifications", "urls", 0), "there is no such item"),
        ("global: &g {port: *g}\n", ("global", "port"), "stands in values that contain themselves"),
    ],
)
def test_item_that_is_not_there_and_value_that_contains_itself_are_refused(
    text: str, path: tuple[str | int, ...], reason: str
) -> None:
    found = edit(text, Edit("set", path, "x"))

    assert [fault.reason for _, fault in found.refusals] == [reason]
    assert found.text == text


def test_edit_that_fails_halfway_leaves_nothing_to_build_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal in the second of two steps, such as an item that is taken out and cannot be put in again."""
    whole = Document.set

    def fail_after(document: Document, path: tuple[str | int, ...], value: Any) -> None:
        whole(document, path, value)
        if value == 2:
            raise CannotEdit("fails")

    monkeypatch.setattr(Document, "set", fail_after)

    found = edit(
        "global:\n  port: 1\n",
        Edit("set", ("global", "port"), 2),
        Edit("set", ("global", "host"), "x"),
    )

    assert len(found.refusals) == 1
    assert values(found.text) == {"global": {"port": 1, "host": "x"}}


def test_setting_without_effect_beside_a_variable_is_refused() -> None:
    found = edit(
        EXAMPLE, Edit("set", ("qbittorrent", "port"), 1), environment={"QGUARDARR__QBITTORRENT__URL": "http://a"}
    )

    assert "QGUARDARR__QBITTORRENT__URL" in found.refusals[0][1].reason


def test_structure_that_holds_a_variable_is_changed_in_the_file_alone() -> None:
    text = "trackers:\n- id: a\n  schedule: [{cap: '${CAP}'}]\n"

    found = edit(text, Edit("set", ("trackers", "a", "schedule"), []), environment={"CAP": "1 MB/s"})

    assert [fault.reason for _, fault in found.refusals] == ["holds ${CAP} in the file"]
    assert found.text == text


# -- anchors, aliases, merged mappings --------------------------------------------------------------------------------

ANCHORED = """\
trackers:
  - &base
    id: a
    pattern: 'a'
    max_upload_speed: &cap 1 MB/s
  - <<: *base
    id: b
    priority: 2
  - {<<: *base, id: c, pattern: '.*', max_upload_speed: *cap}
"""


def test_merged_value_is_overridden_where_it_is_merged() -> None:
    after = changed(ANCHORED, Edit("set", ("trackers", "b", "max_upload_speed"), "5 MB/s"))

    assert [r["max_upload_speed"] for r in values(after)["trackers"]] == ["1 MB/s", "5 MB/s", "1 MB/s"]
    assert is_part(lines(ANCHORED), lines(after))


def test_alias_is_replaced_by_the_value() -> None:
    after = changed(ANCHORED, Edit("set", ("trackers", "c", "max_upload_speed"), "5 MB/s"))

    assert after == ANCHORED.replace("*cap}", "5 MB/s}")


@pytest.mark.parametrize(
    "change",
    [
        Edit("set", ("trackers", "a", "max_upload_speed"), "5 MB/s"),
        Edit("remove", ("trackers", "a")),
        Edit("move", ("trackers", "a"), before="c"),
        Edit("remove", ("trackers", "b", "pattern")),
    ],
)
def test_change_that_would_reach_other_places_is_refused(change: Edit) -> None:
    found = edit(ANCHORED, change)

    assert found.text == ANCHORED
    assert len(found.refusals) == 1


@pytest.mark.parametrize("text", ["- a list\n", "a: [unclosed\n", "just text\n"])
def test_file_that_is_no_configuration_cannot_be_edited(text: str) -> None:
    try:
        found = edit(text, Edit("set", ("global", "dry_run"), True))
    except CannotEdit:
        return
    assert found.refusals or values(found.text)["global"] == {"dry_run": True}


# -- any file ---------------------------------------------------------------------------------------------------------

NAMES = ["alpha", "beta", "gamma", "delta"]
COMMENT = st.sampled_from(["", "  # remark: yes", " # one", "   #x 'quoted' ${NO}"])
QUOTES = st.sampled_from(["{}", "'{}'", '"{}"'])


@st.composite
def files(draw: st.DrawFn) -> str:
    """A configuration in some handwriting: indentation, line ends, quotes, comments, blank lines, order."""
    gap = draw(st.sampled_from(["", "\n", "# between\n", "\n# two\n\n"]))
    step, dash = draw(st.integers(1, 5)), draw(st.integers(0, 4))
    wide = " " * draw(st.integers(1, 3))

    def pair(key: str, value: str) -> str:
        return f"{key}:{wide}{draw(QUOTES).format(value)}{draw(COMMENT)}"

    rules = []
    for name in NAMES[: draw(st.integers(1, 4))]:
        pairs = [pair("id", name), pair("pattern", name), pair("max_upload_speed", "1 MB/s")]
        pairs = draw(st.permutations(pairs))
        width = draw(st.integers(1, 3))
        first, *rest = pairs
        inner = " " * (dash + 1 + width)
        body = [f"{' ' * dash}-{' ' * width}{first}", *(inner + each for each in rest)]
        if draw(st.booleans()):
            body.insert(0, f"{' ' * dash}# of {name}")
        if draw(st.booleans()):
            body.append(f"{inner}# priority: 3")
        rules.append("\n".join(body) + "\n" + draw(st.sampled_from(["", "\n"])))
    indent = " " * step
    sections = [
        "trackers:" + draw(COMMENT) + "\n" + "".join(rules),
        "global:\n" + "".join(f"{indent}{p}\n" for p in (pair("update_interval", "5"), pair("uplink", "9 MB/s"))),
        draw(st.sampled_from(["auth:\n  # username: me\n", "auth: {}\n", "auth:\n", "auth: {username: me}\n", ""])),
        draw(st.sampled_from(["notifications: {urls: [], after: 5}\n", "notifications:\n  urls:\n  - ntfy://a\n", ""])),
    ]
    text = gap.join(draw(st.permutations(sections)))
    if draw(st.booleans()):
        text = text.rstrip("\n")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return ("\ufeff" if draw(st.booleans()) else "") + text


VALUES = st.one_of(
    st.sampled_from(
        ["10 MB/s", "unlimited", "yes", "off", "a: b", "# no", "'", '"', "\\d", "- x", "", " ", "1e3", "0x1"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
)


@given(files(), VALUES)
def test_value_of_a_rule_changes_in_its_line_alone(text: str, value: str) -> None:
    after = changed(text, Edit("set", ("trackers", "alpha", "pattern"), value))

    assert values(after)["trackers"][0]["pattern"] == value
    old, new = lines(text), lines(after)
    assert len(old) == len(new)
    differing = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert len(differing) <= 1
    for a, b in differing:
        assert a[a.find("#") :] == b[b.rfind(a[a.find("#") :]) :] if "#" in a else True
        assert a.endswith("\r") == b.endswith("\r")


@given(files())
def test_setting_that_is_missing_is_one_more_line_or_stands_in_braces(text: str) -> None:
    after = changed(
        text, Edit("set", ("global", "rollout_percentage"), 50), Edit("set", ("auth", "password"), "x: # y")
    )

    assert values(after)["global"]["rollout_percentage"] == 50
    assert values(after)["auth"]["password"] == "x: # y"
    if "auth: {" not in text:
        kept = [line.rstrip("\r") for line in lines(text) if line.strip()]
        assert is_part(kept, [line.rstrip("\r") for line in lines(after)])
    assert after.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\r\n" in after) == ("\r\n" in text)
    assert after.count("\n") == after.count("\r\n") or "\r\n" not in text
    assert after.endswith("\n") == text.endswith("\n")


@given(files(), st.data())
def test_rules_are_inserted_moved_and_removed(text: str, data: st.DataObject) -> None:
    model = [rule["id"] for rule in values(text)["trackers"]]
    for number in range(data.draw(st.integers(1, 5))):
        kind = data.draw(st.sampled_from(["insert", "move", "remove"]))
        before = data.draw(st.sampled_from([*model, None]))
        target = data.draw(st.sampled_from(model))
        old = text
        if kind == "insert":
            new = f"new{number}"
            rule = {"id": new, "pattern": "#'x", "max_upload_speed": "1 MB/s"}
            text = changed(text, Edit("insert", ("trackers",), rule, before))
            model.insert(len(model) if before is None else model.index(before), new)
            assert is_part([x for x in lines(old) if x.strip()], [*lines(text), lines(old)[-1]])
        elif kind == "move":
            text = changed(text, Edit("move", ("trackers", target), before=before))
            if before != target:
                model.remove(target)
                model.insert(len(model) if before is None else model.index(before), target)
            assert Counter(x.strip() for x in lines(old)) == Counter(x.strip() for x in lines(text)) or (
                sorted(old.split()) == sorted(text.split())
            )
        elif len(model) > 1:
            text = changed(text, Edit("remove", ("trackers", target)))
            model.remove(target)
            assert is_part([x.strip() for x in lines(text) if x.strip()], [x.strip() for x in lines(old)])
        assert [rule["id"] for rule in values(text)["trackers"]] == model


@given(files())
def test_json_is_edited_as_json(text: str) -> None:
    content = json.dumps({**values(text), "auth": {"username": "me"}})

    after = changed(
        content,
        Edit("set", ("trackers", "alpha", "pattern"), 'a"b'),
        Edit("insert", ("trackers",), {"id": "x", "pattern": "x", "max_upload_speed": -1}, "alpha"),
        Edit("set", ("auth", "password"), "y"),
        Edit("remove", ("global", "uplink")),
    )

    found = json.loads(after)
    assert found["trackers"][0]["id"] == "x"
    assert found["trackers"][1]["pattern"] == 'a"b'
    assert found["auth"] == {"username": "me", "password": "y"}
    assert "uplink" not in found["global"]


@given(VALUES, st.sampled_from([None, "'", '"']))
def test_scalar_means_itself(value: str, style: str | None) -> None:
    text = f"global:\n  host: {written(value, style)} # remark\n"

    assert Source(text, {}).value == {"global": {"host": value}}


def test_span_is_that_of_the_value() -> None:
    text = "\ufeffauth:\r\n  password: 'a b'  # c\r\n"
    begin, end = Document(text).span(("auth", "password"))

    assert text[begin:end] == "'a b'"


# -- groups -----------------------------------------------------------------------------------------------------------

GROUPS = """\
groups:  # another name of trackers
  - id: private
    max_upload_speed: 15 MB/s
  - {id: hd, parent: private, pattern: hd, max_upload_speed: 6 MB/s}
  - id: default
    pattern: '.*'
    max_upload_speed: unlimited
"""


def test_the_other_name_of_the_list_is_edited_too() -> None:
    new = {"id": "tv", "parent": "private", "pattern": "tv", "max_upload_speed": "5 MB/s", "rate": 0, "weight": 3}
    text = changed(
        GROUPS,
        Edit("set", ("trackers", "hd", "rate"), "3 MB/s"),
        Edit("set", ("trackers", "hd", "when_busy"), True),
        Edit("insert", ("trackers",), new),
        Edit("move", ("trackers", "tv"), before="hd"),
        Edit("set", ("trackers", "private", "rate"), 0),
    )
    assert text.startswith("groups:  # another name of trackers\n")
    assert "trackers:" not in text
    private, tv, hd, _ = values(text)["trackers"]
    assert private["rate"] == 0
    assert tv == new
    assert (hd["rate"], hd["when_busy"]) == ("3 MB/s", True)
    gone = changed(text, Edit("remove", ("trackers", "tv")), Edit("remove", ("trackers", "hd", "parent")))
    assert [entry["id"] for entry in values(gone)["trackers"]] == ["private", "hd", "default"]
