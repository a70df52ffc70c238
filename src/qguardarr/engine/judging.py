"""Tell people why a torrent has the rule that it has, or would have it."""

from __future__ import annotations

import msgspec

from qguardarr.core.model import Torrent, TrackerClass
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.conditions import Field
from qguardarr.core.select.words import fulfilled, missing


class RuleJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a rule selects a torrent, and by which condition, or why not."""

    tracker: str
    """Id of the rule."""
    matches: bool
    """Whether all its conditions hold."""
    condition: str
    """The first condition that does not hold, as it is called in the configuration; empty if all do."""
    reason: str
    """In words: what matched, or what did not."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Which rule a torrent would get."""

    instance: str = ""
    """Name of the qBittorrent that it would be on; empty for the only one."""
    tracker: str
    """Id of the rule."""
    rules: tuple[RuleJudgement, ...]
    """All rules, in the order of the configuration. Of those that match, the first counts, or, with
    `match_mode: strictest`, the one with the lowest cap among the first of each announce URL."""


def judge(registry: TorrentRegistry, urls: tuple[str, ...], about: Torrent, now: float) -> Judged:
    """Return which rule a torrent would get, and for each rule why it would select it, or would not.

    `about`: all but its announce URLs. `now`: Unix seconds. Raises SearchFailed.
    """
    rules, matcher = registry.policy.classes, registry.selection.matcher
    failing = [*matcher.failing(matcher.whole_verdict(urls, about.name), about, now), None]
    here = registry.instance
    found = tuple(_judgement(rule, field, about, now, here) for rule, field in zip(rules, failing, strict=False))
    rule = rules[min(matcher.match(urls, about, now), len(rules) - 1)].id
    return Judged(instance=here, tracker=rule, rules=found)


def why_selected(registry: TorrentRegistry, hash_: str, now: float) -> tuple[RuleJudgement, ...]:
    """Return why a torrent has its rule and none before it, from memory; empty if it is not known."""
    state, rules, matcher = registry.get(hash_), registry.policy.classes, registry.selection.matcher
    if state is None:
        return ()
    failing = [*matcher.failing(state.verdict, state.torrent, now), None]
    judged = zip(rules[: state.rule + 1], failing, strict=False)
    return tuple(_judgement(rule, field, state.torrent, now, registry.instance) for rule, field in judged)


def _judgement(rule: TrackerClass, field: Field | None, about: Torrent, now: float, instance: str) -> RuleJudgement:
    """Say whether a rule selects a torrent. `field`: the first condition that does not hold."""
    if field is None:
        words, called = fulfilled(rule.selector, about, now, instance), ""
    else:
        words = missing(field, rule.selector, about, now, instance)
        called = "torrent_name" if field == "name" else field
    return RuleJudgement(tracker=rule.id, matches=field is None, condition=called, reason=words)
