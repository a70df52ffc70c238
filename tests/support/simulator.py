"""A simulated qBittorrent in virtual time: token buckets, lumps, stale counters, demands that change, failures.

The model keeps what matters to a control loop, as measured on real ones (5.1.0):

* Quota is handed out every 0.5 s, while something waits for it. A torrent that is idle gathers none; one that flows
  below its limit has 1 … 1.5 s of it in store. What is in store beyond a second of the *present* limit goes out
  without waiting, whatever the limit: a store gathered under a high limit outlives the lowering, idleness, a stop, and
  unlimited times in between. Only a request that waits at a tick cuts it down, to three seconds of the limit in force
  then; so a limit above the store, then a low one before the tick, empties it.
* Under a limit that is small for its peers, a greedy torrent sends nothing until each peer has a block (16 KiB), then
  all blocks at once, and so on. A torrent that takes less than its limit flows smoothly.
* What a torrent sends grows by at most half in each tick, from a lump on: send buffers grow with the rate.
* A limit that holds a torrent back yields 1.00 … 1.02 × the limit.
* Counters and limits are shown as copied at the last refresh, every 1.500 s ± 5 ms; `active_s` are whole seconds then.
* A torrent is `stalledUP` for one more refresh after its first bytes, and `uploading` until its smoothed speed is gone.
* Real clients (`Bursty`) ask for nothing until a burst is due, and then for all of it at once.
* Optional: a limit that held a torrent back and is cut deeply silences it for 10 s; then come bursts.

What was sent (`SimTorrent.uploads`) is the ground truth.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from lab.site import Announce
from qguardarr.core.model import NO_LABELS, UNLIMITED, Activity, Labels, Observation, Torrent
from qguardarr.engine.ports import Known
from qguardarr.errors import ClientError, Refused, Unreachable

TICK_S = 0.5
SITE_CLOCK = 1_700_000_000.37
"""Unix time of a site when a simulation begins."""
LINE = 60e6
"""What a peer takes that takes all it can get, bytes/s."""
BLOCK = 16 * 1024
SLOTS = 4
"""Peers of a torrent that are served at a time."""
QUOTA_MOST_S = 3.0
"""Seconds of the limit that may be in store when quota is handed out."""
SAVED_AFTER_S = 1.0
"""A limit written less than this before a crash is lost."""
RAMP = 1.5
"""Growth of what a torrent sends from one tick to the next, at most."""
DEEP_CUT = 10.0
SILENCE_S = 10.0
SPEED_DECAY = 0.8
"""Of qBittorrent's displayed speed, each second."""


@dataclass
class Bursty:
    """A client with a limit of its own: it asks for nothing until `burst` bytes are due, then for all at once."""

    mean: float
    """Bytes/s that it may take; `math.inf` for all that it can get."""
    burst: float
    """Bytes."""
    peak: float = math.inf
    """Bytes/s at which it takes a burst, at most."""
    due: float = 0.0
    pulling: bool = False

    def wants(self) -> float:
        """Bytes that it would take in the tick that ends now."""
        if self.mean == math.inf:
            return min(self.peak, LINE) * TICK_S
        self.due = min(self.due + self.mean * TICK_S, 2.0 * self.burst)
        self.pulling = self.pulling or self.due >= self.burst
        return min(self.due, self.peak * TICK_S) if self.pulling else 0.0

    def takes(self, sent: float) -> None:
        if self.mean < math.inf:
            self.due -= sent
            self.pulling = self.pulling and self.due > 1.0


@dataclass
class SimTorrent:
    hash: str
    url: str
    demand: float = 0.0
    """Bytes/s that its peers take; `math.inf` for all they can get."""
    limit: int = UNLIMITED
    leechers: int = 4
    swarm_leechers: int = 4
    more_urls: tuple[str, ...] = ()
    """Announce URLs beyond the first."""
    downloading: bool = False
    stopped: bool = False
    clients: list[Bursty] = field(default_factory=list)
    """Real clients, with demands of their own, in addition to `demand`."""
    yields: float = 1.01
    """Payload that comes of a limit that holds it back, ÷ the limit."""
    uploads: list[float] = field(default_factory=list)
    """Bytes sent in each tick since the simulation began: the ground truth."""
    sent: float = 0.0
    """Bytes since it was started: what `uploaded_session` counts."""
    store: float = 0.0
    """Quota that flowing below the limit has left over."""
    queued: bool = False
    """A request waits for the next tick."""
    ticked_at: float = 0.0
    pending: float = 0.0
    """Quota handed to peers that wait for the rest of a block."""
    silent_until: float = -math.inf
    held: bool = False
    """Its limit holds it back."""
    shown: int = 0
    shown_limit: int = UNLIMITED
    speed: float = 0.0
    was_moving: bool = False
    activity: Activity = Activity.IDLE
    saved_limit: int = UNLIMITED
    """What a crash leaves in force."""
    written_at: float = -math.inf
    sent_before: float = 0.0
    """Bytes until it was started last."""
    labels: Labels = NO_LABELS
    name: str = ""
    ratio: float = 0.0
    size: int = 16 * 2**20
    added_on: int = 0
    """Seconds of Unix time."""
    told_at: float = 0.0
    """When it announces next, if it has a site."""
    counted: float = 0.0
    """`sent` at libtorrent's last tick of a second: what an announce tells."""
    shown_until_announce: int = -1
    v1: str = ""
    """Its v1 info hash, if that is not its id."""

    def tick(self, now: float, noise: float) -> None:
        reach = max(RAMP * (self.uploads[-1] if self.uploads else 0.0), BLOCK * max(1, min(SLOTS, self.leechers)))
        wants = [client.wants() for client in self.clients]
        want = 0.0 if self.stopped else min(min(self.demand * noise, LINE) * TICK_S + sum(wants), reach)
        sent = 0.0
        self.held = False
        if self.limit >= UNLIMITED:
            sent, self.pending = want, 0.0
        elif want > 0.0:
            fresh = self.limit * TICK_S
            passed = min(want, max(0.0, self.store - self.limit))
            self.store -= passed
            rest = want - passed
            if rest > 0.0 or self.queued:
                self.store = min(self.store + fresh, QUOTA_MOST_S * self.limit)
            if rest <= fresh:
                sent = want
                self.store = max(0.0, min(self.store + self.pending - rest, max(self.store, float(self.limit))))
                self.pending = 0.0
            else:
                self.held = True
                self.pending, self.store = self.pending + self.store + fresh * (self.yields - 1.0), 0.0
                released = self._released(now, rest, fresh)
                self.pending = min(self.pending - released, SILENCE_S * self.limit + SLOTS * BLOCK)
                sent = passed + released
        for client, part in zip(self.clients, wants, strict=True):
            client.takes(sent * part / sum(wants) if part else 0.0)
        self.queued, self.ticked_at = False, now
        self.sent += sent
        if now % (2 * TICK_S) < TICK_S:
            self.counted = self.sent
        self.uploads.append(sent)

    def _released(self, now: float, want: float, fresh: float) -> float:
        """Bytes that go out of those that the quota would allow."""
        if now < self.silent_until:
            return 0.0
        lump = float(BLOCK * max(1, min(SLOTS, self.leechers)))
        if fresh < lump:
            return min(LINE * TICK_S, self.pending // lump * lump)
        return min(self.pending, want)

    def refresh(self, elapsed: float) -> None:
        """Copy what a reader sees."""
        moved = self.sent - self.shown
        decay = SPEED_DECAY**elapsed
        self.speed = decay * self.speed + (1 - decay) * max(0.0, moved) / elapsed
        moving = self.speed >= 1.0
        if self.stopped:
            self.activity = Activity.STOPPED
        else:
            self.activity = Activity.ACTIVE if self.downloading or (moving and self.was_moving) else Activity.IDLE
        self.was_moving = moving
        self.shown, self.shown_limit = int(self.sent), self.limit

    def set_limit(self, limit: int, now: float, *, deep_cuts: bool = False) -> None:
        requests = (
            (now - max(self.written_at, self.ticked_at)) * (self.uploads[-1] if self.uploads else 0.0) / TICK_S / BLOCK
        )
        if self.limit < UNLIMITED and self.store < self.limit and requests >= 1.0:
            self.queued = True
        if deep_cuts and self.held and limit * DEEP_CUT < self.limit < UNLIMITED:
            self.silent_until = now + SILENCE_S
        if now - self.written_at > SAVED_AFTER_S:
            self.saved_limit = self.limit
        self.limit, self.written_at = limit, now

    def crash(self, now: float) -> None:
        """qBittorrent dies and comes back: counters begin at 0, limits not yet saved are lost."""
        if now - self.written_at <= SAVED_AFTER_S:
            self.limit = self.saved_limit
        self.written_at = -math.inf
        self.saved_limit = self.shown_limit = self.limit
        self.store, self.queued = 0.0, False
        self.start_again()

    def start_again(self) -> None:
        """It is stopped and started; its peers are new, its quota is not."""
        self.sent_before += self.sent
        self.sent = self.counted = self.pending = self.speed = 0.0
        self.shown, self.was_moving, self.silent_until = 0, False, -math.inf


class SimQBittorrent:
    """Implements `TorrentClient` over simulated torrents. Time is advanced by `run_until`."""

    def __init__(
        self,
        torrents: Sequence[SimTorrent],
        *,
        refresh_s: float = 1.5,
        seed: int = 1,
        jitter: float = 0.05,
        deep_cuts: bool = False,
        refresh_slip_s: float = 0.0,
        announce_every_s: float = 0.0,
    ) -> None:
        """`announce_every_s`: torrents announce to a site this often; 0: they have none."""
        self.random = random.Random(seed)
        self.torrents: dict[str, SimTorrent] = {}
        self.refresh_s = refresh_s
        self.refresh_slip_s = refresh_slip_s
        """The refresh timer is late by up to this, seconds."""
        self.jitter = jitter
        self.deep_cuts = deep_cuts
        self.announce_every_s = announce_every_s
        self.announces: list[Announce] = []
        """What the site was told."""
        self._starts = 0
        self.now = 0.0
        self.calls = 0
        """Limit-writing calls, those without an answer included."""
        self.changed = 0
        """Limits that calls changed."""
        self.reads = 0
        self.writes: list[tuple[float, int, tuple[str, ...]]] = []
        """Each call: time, limit, torrents."""
        self.global_limit: int | None = UNLIMITED
        self.read_faults: list[ClientError | None] = []
        """For the coming reads: an error to raise, or None for a read that works."""
        self.write_faults: list[str] = []
        """For the coming writes: "ok", "lost" (no answer, not done), "unanswered" (no answer, done), "refused"."""
        self.down_until = -math.inf
        """No answers before this time, seconds."""
        self.script: list[tuple[float, Callable[[], None]]] = []
        self._next_tick = TICK_S
        self._next_refresh = self.random.uniform(0, refresh_s)
        self._phase = self.random.random()
        self._started_at = -100.0
        self._seconds = 100
        self.refreshed_at = 0.0
        self._full = True
        self._told: dict[str, Torrent] = {}
        for torrent in torrents:
            self.add(torrent)

    # -- what happens to it -------------------------------------------------------------------------------------------

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at that time."""
        self.script.append((time_s, action))
        self.script.sort(key=lambda entry: entry[0])

    def add(self, torrent: SimTorrent) -> SimTorrent:
        """A torrent is added; it shows at once."""
        torrent.yields = self.random.uniform(1.0, 1.02)
        torrent.uploads = [0.0] * round((self._next_tick - TICK_S) / TICK_S)
        torrent.shown_limit = torrent.saved_limit = torrent.limit
        torrent.activity = Activity.STOPPED if torrent.stopped else Activity.IDLE
        self.torrents[torrent.hash] = torrent
        if self.announce_every_s and not torrent.stopped:
            self.announce(torrent.hash, "started")
        return torrent

    def announce(self, hash_: str, event: str = "") -> None:
        """A torrent announces to its site: it was due, something happened, or a person asked for it."""
        torrent = self.torrents[hash_]
        torrent.told_at = self.now + self.announce_every_s
        came = SITE_CLOCK + self.now + self.random.uniform(0.02, 0.3)
        self.announces.append(Announce(came, hash_, f"peer {self._starts}", int(torrent.counted), event))

    def stop(self, hash_: str) -> None:
        """A person stops a torrent."""
        self.torrents[hash_].stopped = True
        self.announce(hash_, "stopped")

    def start(self, hash_: str) -> None:
        """A person starts it again."""
        self.torrents[hash_].stopped = False
        self.torrents[hash_].start_again()
        self.announce(hash_, "started")

    def complete(self, hash_: str) -> None:
        """A torrent has all its pieces."""
        self.torrents[hash_].downloading = False
        self.announce(hash_, "completed")

    def remove(self, hash_: str) -> SimTorrent:
        """A torrent is deleted."""
        return self.torrents.pop(hash_)

    def metadata_arrives(self, hash_: str, new: str, *, told: bool) -> None:
        """A hybrid torrent that was added by its v1 magnet gets another id; 5.1 never says that the old one is gone."""
        torrent = self.torrents.pop(hash_)
        torrent.hash, torrent.v1 = new, hash_
        self.torrents[new] = torrent
        if not told:
            self._told.pop(hash_, None)

    def set_by_hand(self, hash_: str, limit: int) -> None:
        """A person sets a limit in qBittorrent."""
        self.torrents[hash_].set_limit(limit, self.now, deep_cuts=self.deep_cuts)

    def restart(self, *, down_s: float = 5.0) -> None:
        """It is killed and comes back after `down_s` seconds: counters at 0, the newest writes lost."""
        for torrent in self.torrents.values():
            torrent.crash(self.now)
            torrent.told_at = self.now + down_s
        self._starts += 1
        self._started_at = self.now + down_s
        self._seconds = 0
        self.down_until = self.now + down_s
        self._full = True

    def run_until(self, until: float) -> None:
        """Let virtual time pass."""
        while True:
            action_at = self.script[0][0] if self.script else math.inf
            event = min(self._next_tick, self._next_refresh, action_at)
            if event > until:
                break
            self.now = event
            if event == self._next_tick:  # the half second that ends now
                self._tick()
            elif event == action_at:
                self.script.pop(0)[1]()
            else:
                self._refresh()
        self.now = until

    def _tick(self) -> None:
        for torrent in self.torrents.values():
            noise = self.random.uniform(-self.jitter, self.jitter)
            if self.now < self.down_until:
                torrent.uploads.append(0.0)
            else:
                torrent.tick(self.now, 1 + noise)
            if self.announce_every_s and not torrent.stopped and max(torrent.told_at, self.down_until) <= self.now:
                self.announce(torrent.hash)
        self._next_tick += TICK_S

    def _refresh(self) -> None:
        elapsed = max(0.1, self.now - self.refreshed_at)
        for torrent in self.torrents.values():
            torrent.refresh(elapsed)
            if self.announce_every_s:
                left = torrent.told_at - self.now
                torrent.shown_until_announce = int(left) if torrent.activity is Activity.ACTIVE else -1
        self.refreshed_at = self.now
        self._seconds = max(0, int(self.now - self._started_at + self._phase))
        late = self.random.uniform(-0.005, 0.005) + self.random.uniform(0.0, self.refresh_slip_s)
        self._next_refresh += self.refresh_s + late

    # -- what it answers ----------------------------------------------------------------------------------------------

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        self.reads += 1
        error = self.read_faults.pop(0) if self.read_faults else None
        if error is None and self.now < self.down_until:
            error = Unreachable("connection refused")
        if error is not None:
            self._full = True
            raise error
        seen = {}
        for torrent in self.torrents.values():
            before = self._told.get(torrent.hash)
            shown = self._shown(torrent, torrent.name if names else "")
            if self._full or before is None or shown != msgspec.structs.replace(before, active_s=shown.active_s):
                seen[torrent.hash] = self._told[torrent.hash] = shown
        gone = frozenset(h for h in self._told if h not in self.torrents)
        for hash_ in gone:
            del self._told[hash_]
        full, self._full = self._full, False
        return Observation(
            at=self.now,
            full=full,
            torrents=seen,
            removed=frozenset() if full else gone,
            global_limit=self.global_limit,
            refresh_s=self.refresh_s,
            names_all_changes=True,
        )

    def _shown(self, torrent: SimTorrent, name: str) -> Torrent:
        return Torrent(
            hash=torrent.hash,
            urls=(torrent.url, *torrent.more_urls),
            activity=torrent.activity,
            up_limit=torrent.shown_limit,
            uploaded=torrent.shown,
            leechers=torrent.leechers if torrent.was_moving or torrent.demand or torrent.clients else 0,
            swarm_leechers=torrent.swarm_leechers,
            downloading=torrent.downloading,
            active_s=self._seconds,
            labels=torrent.labels,
            ratio=torrent.ratio,
            size=torrent.size,
            added_on=torrent.added_on,
            uploaded_ever=int(torrent.sent_before) + torrent.shown,
            name=name,
            reannounce=torrent.shown_until_announce,
        )

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        assert 1 <= limit <= UNLIMITED, limit
        assert hashes
        self.calls += 1
        fault = self.write_faults.pop(0) if self.write_faults else "ok"
        if self.now < self.down_until:
            fault = "lost"
        if fault in ("ok", "unanswered"):
            self.writes.append((self.now, limit, tuple(hashes)))
            for hash_ in hashes:
                torrent = self.torrents.get(hash_)
                if torrent is not None and torrent.limit != limit:
                    torrent.set_limit(limit, self.now, deep_cuts=self.deep_cuts)
                    self.changed += 1
        if fault == "refused":
            raise Refused("HTTP 400")
        if fault != "ok":
            self._full = True
            raise Unreachable("no answer within 30 s")

    def upload_limits(self, hashes: Sequence[str]) -> dict[str, int]:
        if self.now < self.down_until:
            raise Unreachable("connection refused")
        return {h: self.torrents[h].limit for h in hashes if h in self.torrents}

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        return {h: h for h in hashes if h in self.torrents}

    def retry_login(self) -> None:
        pass

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:
        wanted = self.torrents if hashes is None else hashes
        return {h: self.torrents[h].v1 or h for h in wanted if h in self.torrents}

    def request_full(self) -> None:
        self._full = True

    def close(self) -> None:
        pass
