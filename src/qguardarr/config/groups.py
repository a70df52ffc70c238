"""An entry of `trackers`: which torrents it selects, and what they may upload together."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from qguardarr.config.bounds import Overspeed, Tier, overspeed_as_mapping
from qguardarr.config.fields import Name, Rate, Section, Speed, Whole
from qguardarr.config.selectors import (
    AgeBounds,
    Categories,
    Excluded,
    NamePattern,
    RatioBounds,
    Servers,
    SizeBounds,
    State,
    Tags,
    UrlPattern,
    selector_of,
)
from qguardarr.config.timing import GroupWindow, Quota, quota_of, windows_of
from qguardarr.core.model import UNLIMITED, ParentGroup, TrackerClass


class Group(Section):
    """A group: the torrents that its selector matches share one upload cap, or, if others name it as their parent, the
    groups beneath it do.

    The selector is made of `pattern` and the conditions behind it (`selectors.py`, `core.model.Selector`): a list means
    or, several conditions mean and.
    """

    id: Name
    """Short name, unique, used in commands and metrics. No default."""
    name: str = ""
    """Name for people. Default: the id."""
    pattern: UrlPattern = ""
    """Regular expression (Python's), case-insensitive, searched anywhere in the announce URL. The first rule that
    matches counts; the last must be `.*` and nothing else. RE2 searches in linear time; look-around and
    back-references, which it lacks, need a slower search in a process of its own (9 MB). An entry without it and the
    following conditions is the parent of others. Default: any."""
    category: Categories = ()
    """Torrents of one of these categories, or of one beneath it: `movies` includes `movies/uhd`. One or a list; `''`
    is no category. Default: any."""
    tags: Tags = ()
    """Torrents with at least one of these tags. One or a list; `''` is no tags. Default: any."""
    private: bool | None = None
    """Torrents that are private, or are not. What is not known to be either (before qBittorrent 5.0, and while metadata
    is missing) is selected by neither. Default: either."""
    ratio: RatioBounds | None = None
    """Torrents by ratio, as `{above: 1, below: 3}`: from 1 on, and less than 3. Default: any."""
    age: AgeBounds | None = None
    """Torrents by the time since they were added, as `{above: 30d}`; also `90m`, `12h`, `2w`. Default: any."""
    size: SizeBounds | None = None
    """Torrents by the size of the files that are wanted, as `{below: 10 GiB}`. Default: any."""
    state: State | None = None
    """`seeding`: torrents that are complete; `downloading`: all others. Default: either."""
    torrent_name: NamePattern = ""
    """Regular expression, searched in the torrent's name as `pattern` is in its announce URLs. Default: any."""
    instance: Servers = ()
    """Torrents on one of [several qBittorrents](#several-qbittorrents), by its `name`. One or a list. Default: any."""
    not_: Excluded = Field(default=(), alias="not")
    """Torrents that are left out, by the same conditions: `{tags: slow, state: seeding}` leaves out those for which
    both hold; of a list, none may select the torrent. Default: none."""
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
    tiers: tuple[Tier, ...] = ()
    """Caps for single torrents that have seeded enough: `[{above_ratio: 2, cap: 500 kB/s}, {above_age: 90d, cap: 200
    kB/s}]`. Of those that hold, the lowest counts. Default: none."""
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
            tiers=tuple(tier.tier() for tier in self.tiers),
            schedule=windows_of(self.schedule),
            where=selector_of(self, self.not_),
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
