"""What a person should know about settings that are legal: those without effect, and those that may surprise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import format_speed

if TYPE_CHECKING:
    from qguardarr.config.schema import Config

_CLOSELY_S: Final = 30

_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "host": "there is no HTTP API yet",
    "port": "there is no HTTP API yet",
    "dry_run_store_path": "a dry run keeps nothing on disk",
}
"""Keys of `global` that load, since files of the earlier Qguardarr have them, but that no code reads."""


def notes(config: Config) -> Iterator[str]:
    """One sentence for each."""
    main, server = config.global_, config.qbittorrent
    for key, why in _WITHOUT_EFFECT.items():
        if key in main.model_fields_set:
            yield f"global.{key} has no effect in this version: {why}"
    if config.cross_seed.enabled:
        yield "cross_seed has no effect in this version: nothing is forwarded"
    if not config.rollback.track_all_changes:
        yield "rollback.track_all_changes has no effect: a rollback is exact only if every change is journalled"
    if main.update_interval > _CLOSELY_S:
        yield (
            f"global.update_interval: caps are looked after only every {main.update_interval:g} s; "
            "2 s costs little and holds them closely"
        )
    if server.base_url.lower().startswith("https://"):
        if not server.verify_tls:
            yield "qbittorrent.verify_tls: the certificate is not checked; 'ca_file' would be safer"
        if not server.verify_tls and server.ca_file is not None:
            yield "qbittorrent.ca_file has no effect with verify_tls: false"
    else:
        for key in sorted({"verify_tls", "ca_file"} & server.model_fields_set):
            yield f"qbittorrent.{key} has no effect without an https url"
    for rule in config.trackers:
        if main.uplink < rule.max_upload_speed < UNLIMITED:
            yield f"trackers: the cap of {rule.id!r} is more than global.uplink ({format_speed(main.uplink)})"
