"""From nothing to a held cap on a real qBittorrent: the first start, and what it tells its person to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import GREEDY, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import DaemonProcess, until
from tests.support.held import check_last_phase

SCENARIO = Scenario("all_greedy", (TrackerSpec("t1", 1 * MB, 4),), (Phase(23.0, {"t1": (GREEDY,) * 4}),))


def test_a_person_who_follows_the_next_steps_has_a_held_cap(tmp_path: Path) -> None:
    config = tmp_path / "qguardarr.yaml"
    with Rig(SCENARIO, "5.1.0") as rig:
        given = {
            "QGUARDARR_CONFIG": str(config),
            "QGUARDARR_FIRST_START": "1",
            "QGUARDARR__GLOBAL__PORT": str(free_port()),
            "QBIT_URL": rig.qbittorrent.url,
            "QBIT_USERNAME": rig.qbittorrent.username,
            "QBIT_PASSWORD": QBittorrent.password,
        }

        def run(*arguments: str) -> str:
            command = [sys.executable, "-m", "qguardarr", *arguments]
            done = subprocess.run(
                command, env={**os.environ, **given}, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        def limits() -> list[int]:
            return list(rig.qbittorrent.web.upload_limits().values())

        running = DaemonProcess(config, tmp_path / "data" / "qguardarr.db", given)
        try:
            assert "`qguardarr trackers --yaml`" in running.wait_for_state("observing").next_step
            assert not any(limits())
            text, rules = config.read_text(), run("trackers", "--yaml")
            capped = rules[rules.index("trackers:") :].replace(
                "max_upload_speed: unlimited", "max_upload_speed: 1 MB/s", 1
            )
            config.write_text(re.sub(r"(?s)\ntrackers:\n.*?\n\n", lambda _: f"\n{capped}\n", text))
            until(lambda: "`qguardarr preview`" in (s.next_step if (s := running.status) else ""), lambda: running.log)
            assert "1 MB/s" in run("preview")
            assert not any(limits())
            config.write_text(config.read_text().replace("dry_run: true", "dry_run: false"))
            running.wait_for_state("holding")
            until(lambda: all(limits()), "all are parked")
            check_last_phase(rig.run())
            assert running.wait_for_state("holding").next_step == ""
            run("rollback", "--yes")
            assert not any(limits())
            assert QBittorrent.password not in running.log + config.read_text()
        finally:
            running.kill()
