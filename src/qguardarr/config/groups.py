"""An entry of `trackers`: which torrents it selects, and what they may upload together."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from qguardarr.config.bounds import Overspeed, overspeed_as_mapping
from qguardarr.config.fields import Name, Section, Speed, Whole
from qguardarr.config.timing import GroupWindow, Quota, quota_of, windows_of
from qguardarr.config.validators import TextError
from qguardarr.core.model import TrackerClass
from qguardarr.core.select.pattern import compile_pattern

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _pattern(value: str) -> str:
    if not compile_pattern(value).verbose and _CONTROL.search(value):
        raise TextError(
            "holds a control character, which no announce URL does (double quotes make one of \\b)",
            "write it in single quotes",
        )
    return value


class Group(Section):
    """A rule: the torrents that its selector matches share one upload cap.

    The selector is `pattern`, a regular expression for the announce URL. Further fields that select torrents (tags,
    category, private) belong beside it here, in `core.model.TrackerClass`, and in `core.select.matcher.Matcher`.
    """

    id: Name
    """Short name, unique, used in commands and metrics. No default."""
    name: str = ""
    """Name for people. Default: the id."""
    pattern: Annotated[str, AfterValidator(_pattern)]
    """Regular expression (Python's), case-insensitive, searched anywhere in the announce URL. The first rule that
    matches counts; the last must be `.*`. RE2 searches in linear time; look-around and back-references, which it lacks,
    need a slower search in a process of its own (9 MB). No default."""
    max_upload_speed: Speed
    """Cap for all its torrents together, bytes/s or text (`10 MB/s`); -1 or `unlimited` for none. No default."""
    priority: Annotated[Whole, Field(ge=1, le=10)] = 1
    """Order of borrowing with the strategy `soft`: 1 … 10, higher first. Default 1."""
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
        """Return it as the core reads it."""
        return TrackerClass(
            id=self.id,
            name=self.name or self.id,
            pattern=self.pattern,
            cap=self.max_upload_speed,
            priority=self.priority,
            overspeed=None if self.overspeed is None else self.overspeed.rule(),
            schedule=windows_of(self.schedule),
            quota=quota_of(self.quota),
        )
