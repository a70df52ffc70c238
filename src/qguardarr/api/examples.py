"""Examples of answers, for the documentation."""

from __future__ import annotations

from typing import Any, Final

from qguardarr import __version__

Json = dict[str, Any]

_HASH: Final = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
_AT: Final = 1_800_000_000.0
_WHY: Final = "fair share of My tracker: 1.2 MB/s; wants more"

# -- paths of the earlier Qguardarr -----------------------------------------------------------------------------------

ROOT: Final[Json] = {
    "name": "Qguardarr", "version": __version__, "status": "healthy",
    "description": "Gives each tracker one shared upload cap in qBittorrent, and holds it.",
    "endpoints": {"health": "/health", "stats": "/stats"}, "next_step": "",
}  # fmt: skip
HEALTH: Final[Json] = {
    "status": "degraded", "state": "holding", "uptime_seconds": 86400.0, "version": __version__,
    "troubles": ["cross-seed: refuses the API key (3 completions wait)"], "last_cycle_time": _AT,
    "last_cycle_duration": 0.02, "rollout_percentage": 100, "update_interval": 2.0, "dry_run": False,
    "active_torrents": 12, "managed_torrents": 480, "api_calls_last_cycle": 2,
}  # fmt: skip
UNHEALTHY: Final[Json] = HEALTH | {
    "status": "unhealthy", "state": "failing", "troubles": [], "reason": "qBittorrent refuses the login: …",
    "login_pause": {"next_try_at": _AT + 900, "ask_from": _AT},
}  # fmt: skip
PLAIN_HEALTH: Final[Json] = {"status": "healthy"}
PLAIN_UNHEALTHY: Final[Json] = {"status": "unhealthy"}
STATS: Final[Json] = {
    "allocation_cycles": 43200, "api_calls_last_cycle": 2, "torrents_processed": 4211, "limits_applied": 1820,
    "errors": 0, "last_cycle_duration": 0.02, "last_cycle_time": _AT, "active_torrents": 12, "managed_torrents": 480,
    "managed_torrent_count": 480, "score_distribution": {"high": 3, "medium": 9, "low": 468, "ignored": 3731},
    "cache_stats": {
        "cache_size": 4211, "cache_hits": 4211, "cache_misses": 0, "hit_rate_percent": 100.0,
        "pattern_matches": 3800, "failed_matches": 411,
    },
    "estimated_memory_mb": 44.2, "strategy": "soft", "dry_run": False,
}  # fmt: skip
TRACKER_STATS: Final[Json] = {
    "private": {
        "name": "My tracker", "configured_limit_mbps": 9.54, "priority": 10, "active_torrents": 12,
        "current_usage_mbps": 9.4, "effective_cap_mbps": 9.54, "borrowed_mbps": 0.0, "efficiency_percent": 98.5,
        "configured_limit": 10_000_000, "cap": 10_000_000, "effective_cap": 10_000_000.0, "borrowed": 0.0,
        "usage_10s": 9_850_000.0, "usage_60s": 9_910_000.0, "utilisation": 0.991, "seconds_over_cap": 3.0,
        "total_torrents": 4211, "hungry_torrents": 3,
    }
}  # fmt: skip
MANAGED: Final[Json] = {
    "generated_at": int(_AT), "total": 1, "counts_by_tracker": {"private": 1},
    "trackers": {
        "private": [
            {
                "hash": _HASH, "current_limit": 1_200_000, "added_at": int(_AT) - 3600, "last_seen": int(_AT),
                "age_seconds": 3600,
            }
        ]
    },
}  # fmt: skip
PREVIEW: Final[Json] = {
    "strategy": "soft", "torrents_considered": 4211, "proposed_count": 1, "proposed_changes": {_HASH: 1_200_000},
    "trackers": {"private": {"base_cap": 10_000_000, "effective_cap": 10_000_000, "borrowed": 0}},
    "summary": {
        "trackers": [
            {
                "id": "private", "base_cap_mbps": 9.54, "base_cap_h": "10 MB/s", "effective_cap_mbps": 9.54,
                "effective_cap_h": "10 MB/s", "borrowed_mbps": 0.0, "borrowed_h": "0 B/s",
            }
        ],
        "top_changes": [
            {
                "hash": _HASH, "new_limit_kib": 1171, "new_limit_h": "1.2 MB/s", "delta_kib": 195,
                "delta_h": "195 KiB/s", "reason": _WHY,
            }
        ],
    },
}  # fmt: skip
MATCH: Final[Json] = {
    "url": "https://tracker.example.org/…", "matched_tracker": "private",
    "matches": [
        {"tracker_id": "private", "pattern": r"tracker\.example\.org", "matches": True},
        {"tracker_id": "default", "pattern": ".*", "matches": True},
    ],
}  # fmt: skip
CONFIG: Final[Json] = {"global": {"update_interval": 2.0}, "auth": {"api_key": "***"}, "trackers": []}
RELOADED: Final[Json] = {"status": "reloaded", "rollout_percentage": 100, "strategy": "soft"}
FORCED: Final[Json] = {"status": "completed", "duration_seconds": 0.02, "timestamp": _AT, "problem": ""}
ROLLOUT: Final[Json] = {"status": "updated", "rollout_percentage": 50, "timestamp": _AT}
ROLLED_BACK: Final[Json] = {
    "status": "completed", "changes_reversed": 480, "already_original": 0, "set_by_hand": 1, "gone": 0, "failed": 0,
    "duration_seconds": 0.4, "reason": "emergency", "timestamp": _AT,
}  # fmt: skip
RESET: Final[Json] = {"status": "ok", "count": 480, "failed": 0, "mode": "real"}
SMOOTHING: Final[Json] = {
    "status": "ok", "cleared_count": 1, "tracker": "private", "strategy": "soft", "timestamp": _AT,
}  # fmt: skip

# -- version 1 --------------------------------------------------------------------------------------------------------

TRACKER: Final[Json] = {
    "id": "private", "name": "My tracker", "configured": 10_000_000, "cap": 2_000_000, "override_until": _AT + 3600,
    "effective": 2_000_000.0, "borrowed": 0.0, "rate": 1_970_000.0, "rate_10s": 1_990_000.0, "rate_60s": 1_980_000.0,
    "demand": None, "utilisation": 0.99, "torrents": 4211, "active": 12, "hungry": 3, "over_cap_s": 3.0,
    "debt_bytes": 0.0, "total_bytes": 7.2e10, "priority": 10,
    "above_limits": 0, "above_limits_rate": 0.0,
}  # fmt: skip
STATUS: Final[Json] = {
    "pid": 4711, "version": __version__, "started_at": _AT - 86400, "at": _AT, "ended_at": None, "state": "holding",
    "problem": "", "problem_kind": "", "problem_since": None, "next_step": "", "troubles": [],
    "config_path": "/config/qguardarr.yaml",
    "reload_error": "", "notes": [], "interval_s": 2.0, "strategy": "soft", "dry_run": False,
    "rollout_percentage": 100, "cycle": 43200, "cycle_s": 0.02, "cycle_calls": 2, "failed_cycles": 0,
    "qbittorrent_url": "http://localhost:8080", "qbittorrent_version": "v5.1.0", "webapi_version": "2.11.4",
    "breaker": "closed", "reads": 43200, "writes": 1820, "logins": 4, "bytes_received": 91_000_000, "torrents": 4211,
    "limited": 480, "planned": 0, "deferred": 0, "written_calls": 1820, "written_limits": 5200, "set_by_hand": 1,
    "set_by_program": 0, "foreign": "", "flushed": 0, "journal_line": 9120, "trackers": [TRACKER], "login_pause": None,
    "webhook": {
        "received": 12, "coalesced": 1, "dropped": 0, "rejected": 0, "queued": 0, "last_at": _AT - 600,
    },
    "cross_seed": {
        "enabled": True, "pending": 0, "forwarded": 5, "refused": 0, "expired": 0, "dropped": 0, "problem": "",
    },
}  # fmt: skip
TORRENT: Final[Json] = {
    "hash": _HASH, "name": "debian-12.iso", "tracker": "private", "activity": "active", "downloading": False,
    "leechers": 4, "rate": 1_180_000.0, "demand": None, "hungry": True, "limit": 1_200_000, "original": None,
    "limited": True, "managed": True, "reason": _WHY,
}  # fmt: skip
TORRENTS: Final[Json] = {"total": 1, "offset": 0, "torrents": [TORRENT]}
TORRENT_RESET: Final[Json] = {
    "restored": [_HASH], "set_by_hand": [], "gone": [], "failed": {}, "never_limited": [],
}  # fmt: skip
OVERRIDE: Final[Json] = {"tracker": "private", "cap": 2_000_000, "until": _AT + 3600}
JOURNAL: Final[Json] = {
    "lines": [
        {"id": 2, "at": _AT, "hash": _HASH, "old": None, "new": 1_200_000, "status": "applied", "reason": _WHY}
    ],
    "next_before_id": 2,
}  # fmt: skip
HISTORY: Final[Json] = {
    "trackers": {
        "private": [
            {
                "at": _AT, "seconds": 60.0, "rate": 1_980_000.0, "peak": 2_010_000.0, "cap": 2_000_000.0,
                "effective": 2_000_000.0, "over_cap_s": 0.0,
            }
        ]
    }
}  # fmt: skip
CONFIGURATION: Final[Json] = {
    "file": "/config/qguardarr.yaml",
    "settings": [
        {
            "setting": "global.uplink", "value": 5_000_000, "source": "environment", "line": None,
            "variables": ["QGUARDARR__GLOBAL__UPLINK"],
        },
        {
            "setting": "qbittorrent.password", "value": "***", "source": "file", "line": 12,
            "variables": ["QBIT_PASSWORD"],
        },
        {"setting": "trackers[0].pattern", "value": ".*", "source": "file", "line": 24, "variables": []},
        {"setting": "logging.level", "value": "INFO", "source": "default", "line": None, "variables": []},
    ],
}  # fmt: skip
PAUSED: Final[Json] = {"paused": "maintenance"}
RESUMED: Final[Json] = {"paused": None}

# -- the rest ---------------------------------------------------------------------------------------------------------

QUEUED: Final[Json] = {"status": "queued", "queue_size": 1, "processing_time_ms": 0.1}
LOGIN: Final[Json] = {"username": "me", "password": "correct horse battery staple"}
SESSION: Final[Json] = {"kind": "session", "user": "me", "csrf_token": "9f86d081…", "expires_in_s": 43200}
EVENTS: Final = 'retry: 3000\n\nid: 43200\nevent: status\ndata: {"state":"holding","trackers":[],"…":"…"}\n\n'
METRICS: Final = 'qguardarr_tracker_upload_60s_bytes_per_second{tracker="private"} 1980000.0\n'
DOCUMENT: Final[Json] = {"openapi": "3.1.0", "info": {"title": "Qguardarr", "version": __version__}, "paths": {}}
PAGE: Final = "<!doctype html>…"
