"""Examples of each command, as its `--help` shows them."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "serve": (
        "qguardarr serve",
        "qguardarr serve --config /etc/qguardarr/qguardarr.yaml",
    ),
    "init": (
        "qguardarr init",
        "qguardarr init --url http://nas:8080 --username admin",
        "qguardarr init --non-interactive --cap tracker.example.org=10MB/s",
    ),
    "check": (
        "qguardarr check --connect",
        "qguardarr check --sources",
    ),
    "trackers": (
        "qguardarr trackers",
        "qguardarr trackers --url http://nas:8080 --username admin --yaml",
    ),
    "preview": (
        "qguardarr preview --limit 20",
        "qguardarr preview --json",
    ),
    "status": (
        "qguardarr status",
        "qguardarr status --json",
    ),
    "health": ("qguardarr health --config /config/qguardarr.yaml",),
    "rollback": (
        "qguardarr rollback",
        "qguardarr rollback --yes --json",
    ),
    "reset": (
        "qguardarr reset 8c31 77aa",
        "qguardarr reset --yes",
    ),
    "pause": ("qguardarr pause --reason 'moving house'",),
    "resume": ("qguardarr resume",),
    "history": (
        "qguardarr history --limit 10",
        "qguardarr history --hash 8c31 --json",
    ),
    "backup": ("qguardarr backup /mnt/backup/qguardarr.db",),
    "restore": ("qguardarr restore /mnt/backup/qguardarr.db",),
    "begin-anew": ("qguardarr begin-anew",),
    "api-key": (
        "qguardarr api-key",
        "qguardarr api-key --new",
    ),
    "hash-password": ("qguardarr hash-password",),
    "install-hook": (
        "qguardarr install-hook",
        "qguardarr install-hook --url http://nas:8089 --header-file /config/header",
        "qguardarr install-hook --remove",
    ),
    "notify-test": ("qguardarr notify-test",),
}


def epilog(command: str) -> str:
    """Return the end of a command's help. Its lines are kept as they are."""
    lines = EXAMPLES.get(command, ())
    return "\n  ".join(("\b\nExample:" if len(lines) == 1 else "\b\nExamples:", *lines)) if lines else ""
