"""The next step for a person, from the first start to held caps, with the place of each setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from qguardarr.core.model import UNLIMITED

if TYPE_CHECKING:
    from qguardarr.config.load import Loaded

_LOGIN: Final = ("username", "api_key", "password")


def first_steps(loaded: Loaded, path: Path) -> dict[str, str]:
    """Return the fields of `qguardarr.engine.next_step.NextSteps`. `path`: the configuration file."""
    config, file = loaded.config, str(path.absolute())
    variables = loaded.overrides.variables

    def place(*keys: str) -> str:
        variable = variables.get(keys)
        if variable is not None:
            return f"{variable}, and start Qguardarr again"
        return f"{file}; it is taken up when you save"

    capped = any(rule.max_upload_speed < UNLIMITED for rule in config.trackers)
    address = variables.get(("qbittorrent", "url"))
    login = next((variables[found] for key in _LOGIN if (found := ("qbittorrent", key)) in variables), None)
    return {
        "address": (
            f"Write qBittorrent's address into {file} as qbittorrent.url, with username and password; it is taken up "
            "when you save. Or set QBIT_URL, QBIT_USERNAME and QBIT_PASSWORD, and start Qguardarr again."
        ),
        "login": (
            f"See whether qBittorrent runs; check its address ({address or f'qbittorrent.url in {file}'}) and login "
            f"({login or f'username and password in {file}'})."
        ),
        "caps": ""
        if capped
        else (
            "Give your trackers caps: `qguardarr trackers --yaml` prints a rule for each; set max_upload_speed in "
            f"them, and put them into {place('trackers')}."
        ),
        "live": ""
        if not config.global_.dry_run
        else (
            "Look at `qguardarr preview`. If you like what it would write, set global.dry_run to false in "
            f"{place('global', 'dry_run')}."
        ),
    }
