"""An entry of `trackers`: which torrents it selects, and what they may upload together."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from qguardarr.config.bounds import Overspeed, overspeed_as_mapping
from qguardarr.config.fields import Name, Rate, Section, Speed, Whole
from qguardarr.config.timing import GroupWindow, Quota, quota_of, windows_of
from qguardarr.config.validators import TextError
from qguardarr.core.model import UNLIMITED, ParentGroup, TrackerClass
from qguardarr.core.select.pattern import compile_pattern

SELECTORS: Final = ("pattern",)
"""Keys that say which torrents an entry selects. An entry that others name as their parent has none of them."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _pattern(value: str) -> str:
    if not compile_pattern(value).verbose and _CONTROL.search(value):
        raise TextError(
            "holds a control character, which no announce URL does (double quotes make one of \\b)",
            "write it in single quotes",
        )
    return value


class Group(Section):
    """A group: the torrents that its selector matches share one upload cap, or, if others name it as their parent, the
    groups beneath it do.

    The selector is `pattern`, a regular expression for the announce URL. Further fields that select torrents (tags,
    category, private) belong beside it here, in `core.model.TrackerClass`, and in `core.select.matcher.Matcher`.
    """

    id: Name
    """Short name, unique, used in commands and metrics. No default."""
    name: str = ""
    """Name for people. Default: the id."""
    pattern: Annotated[str, AfterValidator(_pattern)] = ""
    """Regular expression (Python's), case-insensitive, searched anywhere in the announce URL. The first rule that
    matches counts; the last must be `.*`. RE2 searches in linear time; look-around and back-references, which it lacks,
    need a slower search in a process of its own (9 MB). Without it the entry is the parent of others. No default."""
    max_upload_speed: Speed
    """Cap for all its torrents together, bytes/s or text (`10 MB/s`); -1 or `unlimited` for none. No default."""
    parent: Name | None = None
    """Id of the entry whose cap it shares with others: the two, or more, beneath it never use more together, and lend
    each other what they do not use. Up to 8 levels. Default: none, so that only `global.uplink` is above it."""
    rate: Rate | None = None
    """Speed that it always gets while it wants it, bytes/s or text; 0 guarantees nothing. More, up to
    `max_upload_speed`, is lent by the groups beside it, as long as they do not want it themselves. Default:
    `max_upload_speed`, or 0 if that is unlimited."""
    weight: Annotated[Whole, Field(ge=1, le=100)] | None = None
    """Its share of what is lent, beside groups of the same parent and priority, 1 … 100. Default: in proportion to the
    rates if none of them has a weight, else 1."""
    when_busy: bool = False
    """The cap counts only while its parent, or `global.uplink`, is full: what nobody else wants is its own.
    Default false."""
    priority: Annotated[Whole, Field(ge=1, le=10)] = 1
    """Order of borrowing: 1 … 10, higher first. Default 1."""
    overspeed: Annotated[Overspeed | None, BeforeValidator(overspeed_as_mapping)] = None
    """The site's overspeed rule for each torrent, bytes/s or text: what it uploads between two announces ÷ the time
    between them. Sites mostly mean `50 MiB/s`. [What is promised](promises.md#overspeed-rules-of-sites). Default:
    none."""
    schedule: tuple[GroupWindow, ...] = ()
    """Other numbers by time of day, as `[{days: mon-fri, from: "08:00", to: "18:00", cap: 2 MB/s}]`. The first window
    that holds counts; outside of all of them, the numbers above. Default: none."""
    quota: Quota | None = None
    """Bytes that it may upload in each period, as `{bytes: 500 GB, per: month, pace: true}`. Default: none."""

    def in_policy(self) -> TrackerClass:
        """Return it as the core reads it, if it selects torrents."""
        return TrackerClass(
            id=self.id,
            name=self.name or self.id,
            pattern=self.pattern,
            cap=self.max_upload_speed,
            priority=self.priority,
            rate=self._rate,
            weight=self.weight,
            parent=self.parent or "",
            when_busy=self.when_busy,
            overspeed=None if self.overspeed is None else self.overspeed.rule(),
            schedule=windows_of(self.schedule),
            quota=quota_of(self.quota),
        )

    def as_parent(self) -> ParentGroup:
        """Return it as the core reads it, if others name it as their parent."""
        return ParentGroup(
            id=self.id,
            name=self.name or self.id,
            cap=self.max_upload_speed,
            priority=self.priority,
            rate=self.rate,
            weight=self.weight,
            parent=self.parent or "",
            when_busy=self.when_busy,
            schedule=windows_of(self.schedule),
            quota=quota_of(self.quota),
        )

    @property
    def _rate(self) -> int | None:
        """What is guaranteed. Beneath a parent, a group without a cap has nothing of its own."""
        if self.rate is None and self.parent and self.max_upload_speed >= UNLIMITED:
            return 0
        return self.rate
