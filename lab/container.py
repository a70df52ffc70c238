"""Runs an image that `lab.image` built, as a container engine does it, without one.

A container has its own mounts and processes, the image's files (read-only if wanted), volumes, and a user with a chosen
set of capabilities; its network is the machine's. So its first process is process 1, which ignores signals that it does
not handle. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.errors import LabError

DEFAULT_CAPABILITIES: Final = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setfcap", "setgid", "setpcap", "setuid",
    "sys_chroot",
)  # fmt: skip
"""Those that docker leaves to root in a container."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_TIMEOUT_S: Final = 10.0
_COMMAND_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Options:
    """Arguments of `docker run`."""

    user: str | None = None
    """`UID:GID`; None: as the image says."""
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[Path, str] = field(default_factory=dict)
    """Folder or file outside → path inside. With `:ro` behind the path it is read-only."""
    capabilities: Sequence[str] = DEFAULT_CAPABILITIES
    """Of root; `cap_drop: [ALL]` is ()."""
    read_only: bool = True
    tmpfs: Sequence[str] = ("/tmp",)
    """Mounted for everybody to write."""


class Container:
    """One run of an image. Its output, both streams, goes to `log`."""

    def __init__(
        self, root: Path, config: Mapping[str, Any], options: Options, log: Path, arguments: Sequence[str] | None = None
    ) -> None:
        """`root`: the image's files. `config`: of the image. `arguments`: behind the entrypoint; None: the image's."""
        self.config = config
        self._options = options
        self.log_path = log
        words = [*config["Entrypoint"], *(config["Cmd"] if arguments is None else arguments)]
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", self._script(root, words)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env(),
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    @property
    def pid(self) -> int:
        """Of process 1, as it is called outside."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if found := children.read_text().split():
                    return int(found[0])
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise LabError(f"the container is not running; its log:\n{self.log}")

    def execute(self, *words: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        """`docker exec`: run a command inside. `user`: None: as the container was started."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd"]
        command = [*enter, *self._as_user(user), *words]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self._env(),
            timeout=_COMMAND_TIMEOUT_S,
        )

    def stop(self, within_s: float) -> int:
        """`docker stop`: send the image's stop signal. The exit code; LabError if it outlives the grace."""
        os.kill(self.pid, signal.Signals[self.config.get("StopSignal") or "SIGTERM"])
        return self.wait(within_s)

    def wait(self, within_s: float) -> int:
        """Exit code of process 1."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"the container still runs after {within_s:g} s; its log:\n{self.log}") from None

    def kill(self) -> None:
        """End all that runs inside. Nothing happens if nothing does."""
        if self._process.poll() is None:
            with contextlib.suppress(LabError, ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # the kernel ends the rest
            self._process.wait()

    def _script(self, root: Path, words: Sequence[str]) -> str:
        """Return the program that sets the container up from inside its namespaces and becomes its process 1."""
        target = shlex.quote(str(root))
        lines = [f"mount --bind {target} {target}", f"cd {target}"]  # a mount of its own, to be made read-only
        for path, inside in self._options.volumes.items():
            place, _, mode = inside.partition(":")
            lines.append(f"mount --bind {shlex.quote(str(path))} .{shlex.quote(place)}")
            if mode == "ro":
                lines.append(f"mount -o remount,bind,ro .{shlex.quote(place)}")
        lines += [f"mount -t tmpfs -o mode=1777 tmpfs .{shlex.quote(path)}" for path in self._options.tmpfs]
        lines += ["mount --rbind /dev ./dev", "mount -t proc proc ./proc"]
        if self._options.read_only:
            lines.append("mount -o remount,bind,ro .")
        folder = self.config.get("WorkingDir") or "/"
        become = " ".join(map(shlex.quote, [*self._as_user(None), *words]))
        # The shell was in the folder before the mounts; by its name it is the mounted one.
        inside = f"cd {shlex.quote(folder)} && exec {become}"
        lines.append(f"exec chroot {target} /bin/sh -c {shlex.quote(inside)}")
        return "\n".join(lines)

    def _as_user(self, user: str | None) -> list[str]:
        user_id, _, group_id = (user or self._options.user or self.config.get("User") or "0:0").partition(":")
        kept = ",".join(["-all", *(f"+{name}" for name in self._options.capabilities)])
        return [
            "setpriv",
            f"--reuid={user_id}",
            f"--regid={group_id or 0}",
            "--clear-groups",
            "--inh-caps=-all",
            f"--bounding-set={kept}",
            "--no-new-privs",
            "--",
        ]

    def _env(self) -> dict[str, str]:
        of_image = dict(line.split("=", 1) for line in self.config.get("Env") or ())
        return {"PATH": _PATH, **of_image, **self._options.env}


@contextlib.contextmanager
def running(
    root: Path, config: Mapping[str, Any], options: Options, log: Path, arguments: Sequence[str] | None = None
) -> Iterator[Container]:
    """A container for the length of a block."""
    container = Container(root, config, options, log, arguments)
    try:
        yield container
    finally:
        container.kill()
