"""Lists and mappings are changed part by part in a configuration's text, and every other line stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.config.document import Document
from qguardarr.config.structured import update
from qguardarr.errors import KeyPath

HEAD = "trackers:\n  - id: a\n    pattern: 'a'  # mine\n"
TAIL = "    priority: 3  # after\n  # of b\n  - id: b\n    pattern: .*\n"
PLACE: KeyPath = ("trackers", 0, "schedule")
WEEK = {"days": "mon-fri", "from": "08:00", "to": "18:00", "cap": "2 MB/s"}
NIGHT = {"days": "sat", "from": "22:00", "to": "06:00", "cap": "unlimited"}


def changed(text: str, new: Any, path: KeyPath = PLACE) -> str:
    document = Document(text)
    old: Any = yaml.safe_load(text.removeprefix("\ufeff"))
    for step in path:
        old = old.get(step) if isinstance(old, dict) else old[step]
    update(document, path, old, new)
    return document.text


def test_new_list_of_mappings_is_a_block_with_one_line_for_each() -> None:
    assert changed(HEAD + TAIL, [WEEK, NIGHT]) == (
        HEAD + "    priority: 3  # after\n"
        "    schedule:\n"
        "      - {days: mon-fri, from: '08:00', to: '18:00', cap: 2 MB/s}\n"
        "      - {days: sat, from: '22:00', to: '06:00', cap: unlimited}\n"
        "  # of b\n  - id: b\n    pattern: .*\n"
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (["movies", "tv"], "[movies, tv]"),
        ({"above": 1, "below": 3.5}, "{above: 1, below: 3.5}"),
        ({"tags": ["slow"], "ratio": {"below": 1}}, "{tags: [slow], ratio: {below: 1}}"),
        ([], "[]"),
        ({"days": "a: b", "x": True}, "{days: 'a: b', x: true}"),
    ],
)
def test_short_values_stand_in_one_line(value: Any, line: str) -> None:
    assert f"\n    schedule: {line}\n" in changed(HEAD + TAIL, value)


def test_long_mapping_is_a_block() -> None:
    value = {"bytes": "500 GB", "tags": [f"a tag of some length {n}" for n in range(3)], "per": "month"}

    after = changed(HEAD + TAIL, value)

    assert "    schedule:\n      bytes: 500 GB\n      tags: [a tag of some length 0," in after
    assert yaml.safe_load(after)["trackers"][0]["schedule"] == value


def test_items_that_stay_keep_their_comments() -> None:
    text = (
        HEAD + "    schedule:  # when\n"
        "      # work\n"
        "      - {days: mon-fri, from: '08:00', to: '18:00', cap: 2 MB/s}  # slow\n"
        "      # night\n"
        "      - days: sat\n"
        "        from: '22:00'  # late\n"
        "        to: '06:00'\n"
        "        cap: unlimited\n" + TAIL
    )

    later = changed(text, [WEEK, {**NIGHT, "from": "23:00"}, {"days": "sun", "cap": "1 MB/s"}])
    without = changed(text, [NIGHT])

    assert later == text.replace("from: '22:00'  # late", "from: '23:00'  # late").replace(
        "        cap: unlimited\n", "        cap: unlimited\n      - days: sun\n        cap: 1 MB/s\n"
    )
    begin, end = text.index("      - {days: mon-fri"), text.index("      # night")
    assert without == text[:begin] + text[end:]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comment_behind_the_key_stays_when_a_line_becomes_a_block_and_back(newline: str) -> None:
    text = (HEAD + "    schedule: [1]  # when\n" + TAIL).replace("\n", newline)

    block = changed(text, [WEEK])

    assert f"    schedule:  # when{newline}      - {{days: mon-fri" in block
    assert changed(block, {"a": 1}) == text.replace("[1]", "{a: 1}")


def test_last_value_of_a_file_without_a_line_end() -> None:
    text = "trackers:\n- id: a\n  schedule: [1]"

    assert changed(text, [{"a": 1}]) == "trackers:\n- id: a\n  schedule:\n    - {a: 1}"
    assert changed("trackers:\n- id: a", [{"a": 1}]) == "trackers:\n- id: a\n  schedule:\n    - {a: 1}"


def test_value_of_a_missing_section_is_written_with_the_section() -> None:
    document = Document("a: 1\n")

    update(document, ("global", "schedule"), None, [WEEK])

    assert document.text.startswith("a: 1\n\nglobal:\n  schedule:\n    - {days: mon-fri")


SCALARS = st.one_of(st.integers(-5, 5), st.sampled_from(["08:00", "10 MB/s", "a: b", "no", "", "#x"]), st.booleans())
FLAT = st.dictionaries(st.sampled_from(["days", "from", "to", "cap", "tags"]), SCALARS | st.lists(SCALARS, max_size=3))
VALUES = st.one_of(
    st.lists(FLAT, max_size=5), FLAT, st.lists(SCALARS, max_size=9), st.fixed_dictionaries({"ratio": FLAT, "not": FLAT})
)


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """The entry's text: a file with the value in some handwriting, or without it."""
    style = draw(st.sampled_from([None, True, False]))
    lines = yaml.safe_dump(value, default_flow_style=style, width=draw(st.sampled_from([30, 200])), sort_keys=False)
    inner = "".join(f"      {line}\n" for line in lines.rstrip("\n").split("\n"))
    return HEAD + "    schedule:\n" + inner + TAIL


@given(VALUES, VALUES, st.data())
def test_any_value_becomes_any_other_and_the_rest_stays(old: Any, new: Any, data: st.DataObject) -> None:
    text = data.draw(written(old)) if data.draw(st.booleans()) else HEAD + TAIL
    if data.draw(st.booleans()):
        text = text.replace("\n", "\r\n")

    after = changed(text, new)

    found = yaml.safe_load(after)
    assert found["trackers"][0].pop("schedule") == new
    assert found == yaml.safe_load(HEAD + TAIL)
    newline = "\r\n" if "\r\n" in text else "\n"
    assert after.count("\n") == after.count(newline)
    for line in (HEAD + TAIL).split("\n"):
        assert line in after.split(newline)


@given(VALUES, VALUES, st.sampled_from([None, 2]))
def test_json_stays_json(old: Any, new: Any, indent: int | None) -> None:
    text = json.dumps({"trackers": [{"id": "a", "schedule": old, "priority": 1}]}, indent=indent)

    after = changed(text, new)

    assert json.loads(after) == {"trackers": [{"id": "a", "schedule": new, "priority": 1}]}
