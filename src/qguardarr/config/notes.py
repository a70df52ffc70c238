"""Remarks about settings that are legal but have no effect, or may surprise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from qguardarr.addresses import is_loopback
from qguardarr.config.bounds import useless_tiers
from qguardarr.core.caps.chain import with_caps
from qguardarr.core.model import UNLIMITED, Selector
from qguardarr.core.select.overlap import takes_all_of
from qguardarr.core.select.pattern import compile_pattern
from qguardarr.core.units import format_speed
from qguardarr.secrecy import SHORTEST, is_distinct

if TYPE_CHECKING:
    from qguardarr.config.groups import Group
    from qguardarr.config.schema import Config
    from qguardarr.config.servers import QBittorrent

_CLOSELY_S: Final = 30
_YIELD: Final = 0.03
"""A margin below this is easily used up by libtorrent (see `core.measure.usage_meter`) and the site's clock."""


def notes(config: Config) -> Iterator[str]:
    """Yield one sentence for each remark."""
    main = config.global_
    if main.update_interval > _CLOSELY_S:
        yield (
            f"global.update_interval: caps are looked after only every {main.update_interval:g} s; "
            "2 s costs little and holds them closely"
        )
    for name, server in config.servers.items():
        yield from _connection_notes(_place_of(name), server)
    yield from _selector_notes(config)
    yield from _tree_notes(config)
    for rule in config.trackers:
        guard = rule.overspeed
        if guard is not None and guard.rule().steady >= rule.max_upload_speed:
            yield f"trackers: 'overspeed' of {rule.id!r} has no effect: its cap for all torrents together is lower"
        elif guard is not None and guard.margin < _YIELD:
            yield (
                f"trackers: the margin of {rule.id!r} is less than {_YIELD:.0%}; a torrent may send 2 % more than its "
                "limit, and sites count whole seconds"
            )
        for tier in useless_tiers(rule.tiers):
            yield (
                f"trackers: a tier of {rule.id!r} ({format_speed(tier.cap)}) has no effect: another one holds whenever "
                "it does, with a cap that is no higher"
            )
    free = [group.id for group in with_caps(config.policy(), [], 0.0).classes if not group.is_capped]
    held = main.uplink_quota is not None and main.uplink_quota.pace  # by the quota of the line
    if free and main.uplink < UNLIMITED and not held:
        yield (
            f"global.uplink does not hold back what is unlimited ({', '.join(free)}); give it a cap, such as the "
            "uplink, to have it share the line"
        )
    yield from _secret_notes(config)
    yield from _service_notes(config)


def _place_of(name: str) -> str:
    """Return the key of the file for a qBittorrent."""
    return f"qbittorrent[{name}]" if name else "qbittorrent"


def _connection_notes(place: str, server: QBittorrent) -> Iterator[str]:
    if server.base_url.lower().startswith("https://"):
        if not server.verify_tls:
            yield f"{place}.verify_tls: the certificate is not checked; 'ca_file' would be safer"
        if not server.verify_tls and server.ca_file is not None:
            yield f"{place}.ca_file has no effect with verify_tls: false"
    else:
        for key in sorted({"verify_tls", "ca_file"} & server.model_fields_set):
            yield f"{place}.{key} has no effect without an https url"


def _selector_notes(config: Config) -> Iterator[str]:
    """Yield remarks about patterns that are slow to search, and groups that never get a torrent."""
    groups = config.policy().classes[:-1]
    everywhere = {server.name for server in config.qbittorrents}
    for group in groups:
        for selector in (group.where, *group.where.unless):
            if selector.instance and everywhere <= set(selector.instance):
                named = "all qBittorrents" if len(everywhere) > 1 else "the only qBittorrent"
                if selector in group.where.unless and msgspec.structs.replace(selector, instance=()) == Selector():
                    yield f"trackers: {group.id!r} never gets a torrent: it leaves out those on {named}"
                else:
                    yield f"trackers: 'instance' of {group.id!r} has no effect: it names {named}"
        texts = [text for s in (group.selector, *group.where.unless) for text in (s.pattern, s.name) if text]
        if not all(compile_pattern(text).exact for text in texts):
            yield (
                f"trackers: the pattern of {group.id!r} is matched by a slower search in a process of its own; without "
                "look-around, back-references and possessive repeats it would need none"
            )
    for number, group in enumerate(groups):
        before = next((one for one in groups[:number] if takes_all_of(one.selector, group.selector)), None)
        if before is not None:
            yield (
                f"trackers: {group.id!r} never gets a torrent, since {before.id!r} before it takes all that it would; "
                "move it up, or narrow that one"
            )


def _tree_notes(config: Config) -> Iterator[str]:
    """Yield remarks about groups whose numbers have no effect beside others."""
    main, by_id = config.global_, {group.id: group for group in config.trackers}
    siblings = Counter(group.parent for group in config.trackers)
    for group in config.trackers:
        above: list[Group] = []
        while (parent := by_id.get((above[-1] if above else group).parent or "")) is not None:
            above.append(parent)
        bounds = [("global.uplink", main.uplink), *((f"its parent {up.id!r}", up.max_upload_speed) for up in above)]
        name, least = min(bounds[::-1], key=lambda bound: bound[1])
        if least < group.max_upload_speed < UNLIMITED:
            words = "" if name.endswith("uplink") else "that of "
            yield f"trackers: the cap of {group.id!r} is more than {words}{name} ({format_speed(least)})"
        is_shared = least < UNLIMITED or main.allocation_strategy == "soft"
        at_times = any(window.rate is not None for window in group.schedule)
        if (group.rate is not None or at_times) and not is_shared:
            yield f"trackers: the rate of {group.id!r} has no effect: nothing above it has a cap"
        if group.weight is not None and (not is_shared or siblings[group.parent] < 2):
            yield f"trackers: the weight of {group.id!r} has no effect: there is nothing that it shares with others"


def _secret_notes(config: Config) -> Iterator[str]:
    logins = [(_place_of(name), server) for name, server in config.servers.items()]
    for name, section in (*logins, ("auth", config.auth)):
        password = None if section is None else section.password
        if password is not None and not is_distinct(password.get_secret_value()):
            yield (
                f"{name}.password has fewer than {SHORTEST} characters or is a common word, so it could not be told "
                "from other text if a message of another program repeated it; a longer one is hidden wherever it stands"
            )


def _service_notes(config: Config) -> Iterator[str]:
    http, told = config.http, config.notifications
    public = not is_loopback(config.global_.host)
    if config.auth is None and public:
        yield (
            f"auth: nobody is asked for a key at {config.global_.host}: whoever reaches port {config.global_.port} can "
            "change your limits"
        )
    elif config.auth is None and http.trusted_proxies:
        yield "auth: nobody is asked for a key: whoever reaches the proxy can change your limits, unless it asks itself"
    if http.metrics == "open" and public and config.auth is not None:
        yield f"http.metrics: whoever reaches {config.global_.host} can read your trackers' names and rates"
    if any(proxy.endswith("/0") for proxy in http.trusted_proxies):
        yield "http.trusted_proxies: a network of prefix 0 is everybody, who may then pass for anybody"
    forwarding = config.auth is not None and config.auth.forward_header is not None
    if forwarding and all(proxy.endswith("/0") for proxy in http.trusted_proxies):
        yield "auth.forward_header has no effect: http.trusted_proxies does not name the proxy"
    if http.allowed_hosts and config.auth is not None and not forwarding:
        yield "http.allowed_hosts has no effect while a key is asked for"
    for key in sorted({"events", "after", "repeat"} & told.model_fields_set):
        if not told.urls:
            yield f"notifications.{key} has no effect without notifications.urls"
