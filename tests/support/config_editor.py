"""A configuration in a folder, and the process that edits it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEXT = """\
# mine
trackers:
  - id: all   # everything
    pattern: '.*'
    max_upload_speed: 1 MB/s

auth:
  username: me
  password: a secret of mine   # keep
"""


class Folder:
    """A configuration, and the process that edits it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config" / "qguardarr.yaml"
        self.database = folder / "data" / "journal.db"
        self.config.parent.mkdir()
        self.database.parent.mkdir()
        self.config.write_text(TEXT)
        self.config.chmod(0o640)

    def command(self, config: Path | None = None) -> list[str]:
        return [sys.executable, "-m", "qguardarr.app.edit_settings", str(config or self.config)]

    def order(self, action: str, edits: Sequence[Any] = (), **rest: Any) -> bytes:
        order = {"action": action, "salt": "salt", "database_path": str(self.database), "edits": edits, **rest}
        return json.dumps(order).encode()

    def run(
        self, action: str, edits: Sequence[Any] = (), *, prefix: Sequence[str] = (), config: Path | None = None,
        environment: dict[str, str] | None = None, **rest: Any,
    ) -> tuple[int, Any]:  # fmt: skip
        """Exit code and answer."""
        done = subprocess.run(
            [*prefix, *self.command(config)],
            input=self.order(action, edits, **rest),
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, **(environment or {})},
        )
        assert not done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    def versions(self) -> list[Path]:
        return sorted(self.folder.glob("data/journal.db.config/*"))
