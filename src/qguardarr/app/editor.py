"""Edit the configuration for the API: a child process does it, and the daemon takes the result up and says so."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from qguardarr.app.settings import FAULTY, REFUSED, python_command
from qguardarr.core.policy import Policy, selectors
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.matcher import Matcher
from qguardarr.engine.commands import Commands
from qguardarr.engine.editing import (
    EditAction,
    EditOrder,
    EditRefused,
    EditStep,
    FileState,
    Refusal,
    Saved,
    Trial,
    Tried,
)
from qguardarr.engine.effect import Effect, effect, known_of, with_names
from qguardarr.engine.hosts import Search, moved_torrents
from qguardarr.engine.policy_view import Moved
from qguardarr.engine.ports import TorrentLister
from qguardarr.engine.settings import Settings
from qguardarr.engine.turn import Turn
from qguardarr.errors import Busy, ClientError, ConfigError, Fault, QguardarrError, Unreachable

CHILD_TIMEOUT_S: Final = 60.0
TURN_S: Final = 30.0
"""How long one edit waits for another."""
RELOAD_TIMEOUT_S: Final = 140.0
"""Twice as long as the child that reads the file may take, and more: a reload may be under way already."""

T = TypeVar("T")


class Editor:
    """Implements `ConfigEditor`. For any thread; one edit at a time."""

    def __init__(
        self,
        config_path: Path,
        *,
        settings: Callable[[], Settings],
        commands: Commands,
        client: Callable[[str], TorrentLister],
        names: Callable[[Sequence[str]], Mapping[str, str]],
        reload: Callable[[], Future[QguardarrError | None]],
        writing: threading.Lock,
        paused: Callable[[], bool],
        search: Search,
    ) -> None:
        """Prepare it.

        Args:
            settings: returns those in use.
            client: returns the one in use for the qBittorrent with a name.
            names: looks names of torrents up.
            writing: while it is held, no reload begins.
            paused: whether nothing is written to qBittorrent.
            search: for trials.
        """
        self._settings = settings
        self._path = config_path
        self._commands = commands
        self._client = client
        self._names = names
        self._reload = reload
        self._paused = paused
        self._search = search
        self._salt = secrets.token_hex(16)
        self._turn = threading.Lock()
        self._trying = Turn("another trial")
        self._writing = writing

    def read(self) -> FileState:
        """Return the file as it is now. Raises `ConfigError`."""
        return self._ask(self._order("read"), FileState)

    def trial(self, edits: tuple[EditStep, ...], etag: str | None, *, effect: bool, torrents_of: str = "") -> Trial:
        """Return what edits would come to. Raises `ConfigError`, `EditRefused`."""
        tried = self._ask(self._order("try", edits, etag), Tried)
        if not effect or tried.policy is None:
            return tried.trial
        try:
            with self._trying.taken():
                found = self._effect(tried.policy, torrents_of)
        except QguardarrError as error:
            return msgspec.structs.replace(tried.trial, effect_problem=str(error))
        return msgspec.structs.replace(tried.trial, effect=found)

    def save(self, edits: tuple[EditStep, ...], etag: str) -> Saved:
        """Make edits, and have the daemon take them up. Raises `ConfigError`, `EditRefused`, `Busy`."""
        return self._write(self._order("save", edits, etag))

    def undo(self, etag: str) -> Saved:
        """Put back the version before the last save. Raises as `save` does."""
        return self._write(self._order("undo", (), etag))

    def make_user(self, username: str, password: str) -> Saved:
        """Write the first user. Raises as `save` does."""
        edits = (
            EditStep("set", ("auth", "username"), username),
            EditStep("set", ("auth", "password"), password),
        )
        return self._write(self._order("user", edits), wait_s=0.0)  # there is but one first

    def _order(self, action: EditAction, edits: tuple[EditStep, ...] = (), etag: str | None = None) -> EditOrder:
        settings = self._settings()
        return EditOrder(
            action=action,
            salt=settings.api.api_key or self._salt,  # the same after a restart, where there is a key
            database_path=settings.database_path,
            edits=edits,
            etag=etag,
            may_create=settings.file == "absent",
        )

    def _write(self, order: EditOrder, *, wait_s: float = TURN_S) -> Saved:
        """Carry an order out, and wait until the daemon has taken it up. One at a time: `Busy` after `wait_s`."""
        if not self._turn.acquire(timeout=wait_s):
            raise Busy("another edit is being saved; try again in a moment")
        try:
            with self._writing:
                saved = self._ask(order, Saved)
                taken_up = self._reload()
            failure: QguardarrError | None
            try:
                failure = taken_up.result(RELOAD_TIMEOUT_S)
            except TimeoutError:
                failure = Busy("the configuration is still being read; see the status in a moment")
        finally:
            self._turn.release()
        return msgspec.structs.replace(saved, in_effect=failure is None, problem=str(failure or ""))

    def _ask(self, order: EditOrder, kind: type[T]) -> T:
        """Have a child carry an order out. Raises `ConfigError`, `EditRefused`."""
        command = python_command("qguardarr.app.edit_settings", str(self._path))
        try:
            done = subprocess.run(  # noqa: S603 # our own
                command,
                input=msgspec.json.encode(order),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a trace might quote the file
                timeout=CHILD_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"cannot be edited ({type(error).__name__})", place=str(self._path)) from None
        if done.returncode == 0:
            return msgspec.json.decode(done.stdout, type=kind)
        if done.returncode == REFUSED:
            raise EditRefused(msgspec.json.decode(done.stdout, type=Refusal))
        if done.returncode == FAULTY:
            raise ConfigError(faults=msgspec.json.decode(done.stdout, type=list[Fault]))
        reason = f"cannot be edited (the process that edits it ended with {done.returncode})"
        raise ConfigError(reason, place=str(self._path))

    def _effect(self, file: Policy, torrents_of: str) -> Effect:
        """Return what another policy of the file would do. Raises ClientError, Busy."""
        policy, paused = self._commands.with_orders(file), self._paused()
        moved: dict[str, Moved] | None = None
        known, now = self._commands.inspect(lambda whole: (known_of(whole), whole.policy))
        if not known:
            raise Unreachable("qBittorrent has not been read yet")
        if selectors(policy) != selectors(now):
            moved = self._moved(known, now, policy)

        def compare(whole: TorrentRegistry | Joint) -> Effect:
            if whole.policy != now:
                raise Busy("the configuration was changed meanwhile; try again")
            return effect(whole, policy, moved, paused=paused, torrents_of=torrents_of)

        return with_names(self._commands.inspect(compare), self._names)

    def _moved(self, known: Sequence[TorrentRegistry], now: Policy, then: Policy) -> dict[str, Moved]:
        """Return the torrents that would belong to other rules than those of the same ids, by name of the qBittorrent.

        One of several that cannot be asked is left out. Raises ClientError if none can.
        """
        found: dict[str, Moved] = {}
        failed: ClientError | None = None
        for registry in known:
            try:
                found[registry.instance] = self._moved_at(registry, now, then)
            except ClientError as error:
                failed = error
        if failed is not None and not found:
            raise failed
        return found

    def _moved_at(self, registry: TorrentRegistry, now: Policy, then: Policy) -> Moved:
        ids = {tracker.id: index for index, tracker in enumerate(then.classes)}
        rules = [ids.get(tracker.id, len(then.classes) - 1) for tracker in now.classes]

        def rule_of(hash_: str) -> int | None:
            state = registry.get(hash_)
            return None if state is None or state.rule >= len(rules) else rules[state.rule]

        with self._search() as search:
            matcher, at = Matcher(then.classes, then.match_mode, search, registry.instance), time.time()
            if matcher.reads_alike(registry.selection.matcher):  # what is kept of texts is enough
                found = ((s.torrent.hash, matcher.choose(s.verdict, s.torrent, at)) for s in registry.copies())
                return {hash_: rule for hash_, rule in found if rule_of(hash_) not in (None, rule)}
            return moved_torrents(self._client(registry.instance).listed(list(registry.hashes())), matcher, rule_of, at)
