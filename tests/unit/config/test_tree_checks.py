"""The tree that the entries of `trackers` make: its faults and remarks, and what the core gets of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.config.load import Loaded, reads
from qguardarr.core.caps.chain import with_caps
from qguardarr.core.model import UNLIMITED
from qguardarr.core.select.matcher import Matcher
from qguardarr.core.units import SpeedError, parse_rate
from qguardarr.errors import ConfigError

MB = 1_000_000
REST = {"id": "rest", "pattern": ".*", "max_upload_speed": -1}


def parent(id_: str = "private", cap: Any = "15 MB/s", **more: Any) -> dict[str, Any]:
    return {"id": id_, "max_upload_speed": cap, **more}


def group(id_: str = "hd", cap: Any = "6 MB/s", parent: str | None = "private", **more: Any) -> dict[str, Any]:
    above = {} if parent is None else {"parent": parent}
    return {"id": id_, "pattern": id_, "max_upload_speed": cap, **above, **more}


def loaded(*entries: dict[str, Any], key: str = "trackers", **main: Any) -> Loaded:
    return reads(json.dumps({"global": main, key: [*entries, REST]}, indent=0), "c.yaml", {})


def faults(*entries: dict[str, Any], **main: Any) -> list[str]:
    with pytest.raises(ConfigError) as found:
        loaded(*entries, **main)
    return [fault.text for fault in found.value.faults]


class TestWhatTheCoreGets:
    def test_entries_that_others_name_are_parents_and_select_nothing(self) -> None:
        policy = loaded(parent(rate="10 MB/s", weight=2), group(rate=0, when_busy=True), group("b", parent=None)).config
        policy = policy.policy()
        assert [g.id for g in policy.classes] == ["hd", "b", "rest"]
        assert [(p.id, p.cap, p.rate, p.weight, p.parent) for p in policy.parents] == [
            ("private", 15 * MB, 10 * MB, 2, "")
        ]
        hd = policy.classes[0]
        assert (hd.parent, hd.rate, hd.when_busy, hd.cap) == ("private", 0, True, 6 * MB)

    def test_beneath_a_parent_a_group_without_a_cap_has_nothing_of_its_own(self) -> None:
        hd, b, *_ = loaded(parent(), group(cap=-1), group("b", -1, parent=None)).config.policy().classes
        assert hd.rate == 0
        assert b.rate is None

    def test_the_cap_of_a_parent_counts_for_the_strictest_rule(self) -> None:
        """A torrent of both trackers would have five times as much by the rule of the second."""
        entries = (parent(cap="1 MB/s"), group(cap=-1), group("public", "5 MB/s", None))
        policy = loaded(*entries, match_mode="strictest").config.policy()
        urls = ("http://public.example/announce", "http://hd.example/announce")
        for known in (policy, with_caps(policy, [], 0.0)):
            matcher = Matcher(known.classes, known.match_mode)
            assert known.classes[matcher.match(urls)].id == "hd"

    def test_a_file_of_today_has_no_parents(self) -> None:
        policy = loaded(group(parent=None)).config.policy()
        assert policy.parents == ()
        assert (policy.classes[0].rate, policy.classes[0].parent) == (None, "")


class TestFaults:
    def test_an_unknown_parent(self) -> None:
        assert faults(parent(), group(), group("b", parent="privat")) == [
            "trackers[2].parent: there is no entry with this id. hint: did you mean 'private'?"
        ]

    @pytest.mark.parametrize("written", [["private"], {"id": "private"}, 1, True])
    def test_a_parent_of_a_wrong_type(self, written: Any) -> None:
        [found] = faults(parent(), {**group(), "parent": written}, group("tv"))
        assert found.startswith("trackers[1].parent: must be a text")

    def test_a_circle_is_told_once(self) -> None:
        found = faults(parent("a", parent="b"), parent("b", parent="a"), group(parent="a"))
        assert found == [
            "trackers[0].parent: goes in a circle: a → b → a. hint: remove 'parent' from one of them",
        ]
        assert "a → a" in faults(parent("a", parent="a"))[0]

    def test_a_parent_selects_nothing(self) -> None:
        (found,) = faults({**parent(), "pattern": "x"}, group())
        assert found.startswith("trackers[0].pattern: selects torrents, though 'hd' names this entry as its parent")

    def test_one_without_children_selects_something(self) -> None:
        (found,) = faults(parent())
        assert found.startswith("trackers[0].pattern: is missing. hint: add it, or another condition")

    def test_the_last_entry_is_no_parent(self) -> None:
        with pytest.raises(ConfigError, match="the last entry must be a catch-all"):
            reads(json.dumps({"trackers": [group(), parent()]}), "c.yaml", {})

    def test_more_than_eight_levels(self) -> None:
        chain = [parent(f"p{i}", parent=f"p{i - 1}") if i else parent("p0") for i in range(9)]
        (found,) = faults(*chain, group(parent="p8"))
        assert found == "trackers[9].parent: is more than 8 levels deep. hint: name a parent further up"
        loaded(*chain[:8], group(parent="p7"))

    def test_guarantees_above_the_parents_ceiling(self) -> None:
        (found,) = faults(parent(cap="5 MB/s"), group(rate="3 MB/s"), group("b", rate="3 MB/s"))
        assert found == (
            "trackers[0].max_upload_speed: is less than the rates that are guaranteed beneath it: hd 3 MB/s, b 3 MB/s. "
            "hint: raise it, or lower their 'rate'"
        )

    def test_guarantees_above_the_line_also_of_groups_further_down(self) -> None:
        (found,) = faults(parent(), group(rate="3 MB/s"), group("b", parent=None, rate="3 MB/s"), uplink="5 MB/s")
        assert found.startswith("global.uplink: is less than the rates that are guaranteed: private 3 MB/s, b 3 MB/s")

    def test_caps_that_only_add_up_to_more_are_no_promise(self) -> None:
        loaded(parent(), group(cap="10 MB/s"), group("b", "10 MB/s"), uplink="12 MB/s")

    def test_a_rate_above_the_cap(self) -> None:
        (found,) = faults(parent(), group(rate="7 MB/s"))
        assert found.startswith("trackers[1].rate: is more than max_upload_speed (6 MB/s)")

    @pytest.mark.parametrize("cap", ["6 MB/s", -1])
    def test_a_cap_that_would_never_count(self, cap: Any) -> None:
        (found,) = faults(parent(cap=-1), group(cap=cap, when_busy=True))
        assert found.startswith("trackers[1].when_busy: ")

    def test_a_cap_counts_where_the_line_or_a_parent_can_be_full(self) -> None:
        loaded(parent(), group(when_busy=True))
        loaded(group(parent=None, when_busy=True), uplink="10 MB/s")

    def test_the_line_of_each_fault_is_told(self) -> None:
        with pytest.raises(ConfigError) as found:
            loaded(parent(), group(), group("b", parent="none"))
        line = found.value.faults[0].line
        assert line is not None
        assert (
            json.dumps({"parent": "none"})[1:-1]
            in json.dumps(
                {"global": {}, "trackers": [parent(), group(), group("b", parent="none"), REST]}, indent=0
            ).split("\n")[line - 1]
        )


class TestRemarks:
    def notes(self, *entries: dict[str, Any], **main: Any) -> list[str]:
        found = loaded(*entries, **main).notes
        return [note for note in found if note.startswith("trackers: ")]

    def test_a_tidy_tree_has_none(self) -> None:
        assert self.notes(parent(), group(rate="1 MB/s", weight=2), group("b"), uplink="20 MB/s") == []

    def test_a_cap_above_that_of_the_parent(self) -> None:
        assert self.notes(parent(), group(cap="20 MB/s")) == [
            "trackers: the cap of 'hd' is more than that of its parent 'private' (15 MB/s)"
        ]

    def test_numbers_without_effect(self) -> None:
        at_night = [{"to": "08:00", "rate": "1 MB/s"}]
        assert self.notes(group(parent=None, schedule=at_night)) == [
            "trackers: the rate of 'hd' has no effect: nothing above it has a cap"
        ]
        assert self.notes(parent(), group(schedule=at_night), group("b"), uplink="20 MB/s") == []
        assert self.notes(group(parent=None, rate="1 MB/s", weight=3)) == [
            "trackers: the rate of 'hd' has no effect: nothing above it has a cap",
            "trackers: the weight of 'hd' has no effect: there is nothing that it shares with others",
        ]

    def test_the_line_holds_back_what_is_beneath_a_parent(self) -> None:
        found = loaded(parent(), group(cap=-1), uplink="20 MB/s").notes
        assert next(note for note in found if "uplink does not hold back" in note).count("rest") == 1
        assert "hd" not in str(found)


class TestTheOtherName:
    """`groups` is another name of `trackers`."""

    def test_it_means_the_same(self) -> None:
        entries = parent(), group()
        assert loaded(*entries, key="groups").config == loaded(*entries).config

    def test_faults_and_remarks_use_the_name_of_the_file(self) -> None:
        with pytest.raises(ConfigError) as found:
            loaded(parent(), group(), group("b", parent="none"), group("b"), key="groups")
        (one, other) = found.value.faults
        assert one.text.startswith("groups[2].parent: there is no entry")
        assert "groups[3].id: is the id of groups[2] already" in other.text
        assert loaded(group(cap="20 MB/s"), parent(), key="groups").notes[0].startswith("groups: the cap of 'hd'")

    def test_both_are_an_error(self) -> None:
        text = json.dumps({"trackers": [REST], "groups": [REST]}, indent=0)
        with pytest.raises(ConfigError, match="groups: is another name of 'trackers', which stands in line 2"):
            reads(text, "c.yaml", {})

    def test_places_are_those_of_the_file(self) -> None:
        origin = loaded(parent(), group(), key="groups").origin(("trackers", 1, "parent"))
        assert origin is not None
        assert origin.line is not None
        assert origin.line > 5

    def test_a_misspelled_one_is_recognised(self) -> None:
        with pytest.raises(ConfigError, match=r"group: is not a setting\. hint: did you mean 'groups'"):
            reads(json.dumps({"group": [REST], "trackers": [REST]}), "c.yaml", {})

    def test_it_may_come_from_the_environment(self) -> None:
        given = {"QGUARDARR__GROUPS": json.dumps([group(parent=None), REST])}
        found = reads("{}", "c.yaml", given)
        assert [entry.id for entry in found.config.trackers] == ["hd", "rest"]
        assert found.origin(("trackers", 0, "id")) == (None, ("QGUARDARR__GROUPS",))
        with pytest.raises(ConfigError, match="QGUARDARR__GROUPS: is another name of QGUARDARR__TRACKERS"):
            reads("{}", "c.yaml", {**given, "QGUARDARR__TRACKERS": given["QGUARDARR__GROUPS"]})


class TestRates:
    @pytest.mark.parametrize(("written", "rate"), [(0, 0), ("0", 0), ("0 MB/s", 0), ("3 MB/s", 3 * MB), (5000, 5000)])
    def test_zero_guarantees_nothing(self, written: object, rate: int) -> None:
        assert parse_rate(written) == rate

    @pytest.mark.parametrize("written", [-1, "unlimited", "-0.5 MB/s", "x", None, True, False, 10, ""])
    def test_others_are_refused(self, written: object) -> None:
        with pytest.raises(SpeedError):
            parse_rate(written)

    @given(st.text() | st.integers() | st.floats())
    def test_a_rate_is_zero_or_a_limit(self, written: object) -> None:
        with contextlib.suppress(SpeedError):
            assert 0 <= parse_rate(written) < UNLIMITED
