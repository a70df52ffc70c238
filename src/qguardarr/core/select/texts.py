"""Verdicts on texts: which patterns of all rules match an announce URL or a name, as the bits of one number.

Texts are not kept, verdicts are: so a torrent is selected again when its tags change, without a look at its URLs.
Patterns beyond RE2 are searched no further than needed: a rule that asks for nothing but a pattern takes whatever
matches it, so that the rules behind it do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from qguardarr.core.select.pattern import Backtrack, PatternSet, compile_pattern


class RuleTexts(msgspec.Struct, frozen=True):
    """What a rule asks of one kind of text."""

    pattern: str = ""
    """Searched in the text; empty: any text will do."""
    unless: tuple[str, ...] = ()
    """Patterns of what the rule leaves out."""
    only: bool = False
    """It has no other condition than `pattern`."""


class TextVerdicts:
    """All patterns of the rules for one kind of text. Immutable."""

    def __init__(self, rules: Sequence[RuleTexts], backtrack: Backtrack | None, *, apart: bool = False) -> None:
        """`backtrack`: for patterns beyond RE2; ValueError if there is none. `apart`: texts of a torrent have a verdict
        each, and those of `unless` count for all of them."""
        self._rules = tuple(rule for rule in rules if rule.pattern or rule.unless)
        sources: dict[str, None] = {}
        for rule in rules:
            sources.update(dict.fromkeys(filter(None, (rule.pattern, *rule.unless))))
        self._bits = {source: 1 << number for number, source in enumerate(sources)}
        self._set = PatternSet([compile_pattern(source) for source in sources], backtrack)
        self._always = 0
        if apart:
            self._always = self._bits_of(source for rule in rules for source in rule.unless)
        self._cuts: list[tuple[int, int]] = []
        """For each rule that asks for nothing but a pattern: its bit, and the bits of all rules up to it."""
        upto = self._always
        for rule in rules:
            upto |= self._bits_of((rule.pattern, *rule.unless))
            if rule.only:
                self._cuts.append((self.bit(rule.pattern), upto))

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for objects whose verdicts mean the same."""
        return self._rules, self._always

    @property
    def exact(self) -> bool:
        """Whether no search can fail."""
        return self._set.exact

    def __bool__(self) -> bool:
        return bool(self._bits)

    def bit(self, source: str) -> int:
        """Return the bit of a pattern; 0 for none."""
        return self._bits[source] if source else 0

    def cut(self, verdict: int) -> int:
        """Return a verdict without the bits of rules that can no longer count."""
        for bit, upto in self._cuts:
            if verdict & bit:
                return verdict & upto
        return verdict

    def of(self, forms: Sequence[str], *, whole: bool = False) -> int:
        """Return the verdict on a text, which is given in all forms that are searched. SearchFailed.

        `whole`: also the bits of rules that cannot count.
        """
        found, unsure = 0, dict[int, list[str]]()
        for form in forms:
            for index in self._set.candidates(form):
                if self._set.is_exact(index):
                    found |= 1 << index
                else:
                    unsure.setdefault(1 << index, []).append(form)
        if whole:
            return found | self._bits_found(list(unsure), unsure)
        return self.cut(self._confirmed(found, unsure) if unsure else found)

    def _confirmed(self, found: int, unsure: dict[int, list[str]]) -> int:
        for rule in self._rules:
            found |= self._bits_found(map(self.bit, (rule.pattern, *rule.unless)), unsure)
            if rule.only and found & self.bit(rule.pattern):
                break
        return found | self._bits_found([bit for bit in unsure if bit & self._always], unsure)

    def _bits_found(self, bits: Iterable[int], unsure: dict[int, list[str]]) -> int:
        """Return those bits whose patterns are found in one of the forms that RE2 is unsure of; search each once."""
        found = 0
        for bit in bits:
            if any(self._set.confirmed(bit.bit_length() - 1, form) for form in unsure.pop(bit, ())):
                found |= bit
        return found

    def _bits_of(self, sources: Iterable[str]) -> int:
        bits = 0
        for source in sources:
            bits |= self.bit(source)
        return bits
