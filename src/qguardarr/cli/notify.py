"""`notify-test`: send a test notification."""

from __future__ import annotations

import sys

from qguardarr.cli.opening import config_at, quiet_logs
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.terminal import out, print_json, working
from qguardarr.errors import ConfigError
from qguardarr.exits import Exit


def notify_test(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Send a test message to all `notifications.urls`.

    Exit code 1 if it did not arrive everywhere.
    """
    loaded = config_at(config, "notifications")
    urls = [url.get_secret_value() for url in loaded.notifications.urls]
    if not urls:
        reason, hint = "notifications.urls is empty: nobody is notified", "add an Apprise URL"
        raise ConfigError(reason, place=str(config), hint=hint)
    quiet_logs()
    from qguardarr.adapters.notify import Notifier
    from qguardarr.app.settings import python_command

    notifier = Notifier(python_command("qguardarr.adapters.notify_child"))
    notifier.configure(urls)
    with working(f"Sending to {len(urls)} {'address' if len(urls) == 1 else 'addresses'}"):
        results = notifier.test()
    if as_json:
        print_json([{"place": r.place, "service": r.service, "ok": r.ok, "problem": r.problem} for r in results])
    else:
        for result in results:
            out(str(result))
    sys.exit(Exit.OK if all(result.ok for result in results) else Exit.INCOMPLETE)
