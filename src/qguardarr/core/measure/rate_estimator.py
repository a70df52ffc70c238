"""Estimate each torrent's rate from its counter, and tell whether its limit holds it back.

`RefreshClock` tells when qBittorrent refreshed the counters. `RateEstimator` turns the bytes between two refreshes into
a rate over a sliding window, and tells whether the torrent is *backlogged*: it uses its limit and would send more.
Whether that lasts, and the torrent's mean rate, is for `Burstiness` to say.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from typing import Final

from qguardarr.core.measure.burstiness import SLOW_S, Backlog, Burstiness
from qguardarr.core.measure.learnt import Learnt
from qguardarr.core.measure.overrun import OVER, OverrunWatch
from qguardarr.core.measure.swarm_weight import swarm_weight
from qguardarr.core.model import UNLIMITED

RAISE_LAG_S: Final = 0.9
"""Time from a written raise to bytes at the new rate: a quota tick of 0.5 s, then the peers' requests in flight.
× ½: a third more calls with torrents on and off every 15 s; × 2: 40 % more where upload slots are scarce."""
CUT_LAG_S: Final = 0.4
"""Time from a written cut to bytes at the new rate. × 2: 2 % of the cap unused with torrents on and off every 15 s;
× ½: a fifth more calls where they change every second."""
DEEP: Final = 1.5
"""After a cut by more than this factor a torrent is silent for as many seconds as the factor: each peer waits for about
a second's worth of its old rate. × ½: a fifth more calls; × 2: nothing. Real clients are silent for 7–10 s after a cut
to a tenth (docs/measurements.md, "Real clients, observed")."""
MOST_SILENCE_S: Final = 10.0
"""Longest such silence: libtorrent's limit of 20 ticks."""
LEAST_WINDOW_S: Final = 0.9
"""Shortest window: a rate over less is noise. The rest of a refresh interval after a cut must be enough.
× ½: 40 % more calls where demand changes every second; × 2: 0.05 × the cap more in the worst 10 s of a wake-up."""
GROWING: Final = 1.25
"""Growth from refresh to refresh at which a rate is still on its way to a raised limit. After a raise it grows by half
in half a second, and a backlogged torrent stays so (test_one_that_still_grows_after_a_raise_stays_backlogged)."""
WINDOW_S: Final = 4.0
"""A rate is measured over 1 … 2 windows, and again when it jumps. × ½: a fifth more calls where demand changes every
second; × 2: nothing."""
SURGE: Final = 1.5
"""A rate that grows by this factor from one refresh to the next, to SURGE_USE of the limit, may be held back by it.
× ½: 60 % more calls where demand changes every second; × 2: 3 % less in the first 10 s after demand has moved."""
SURGE_USE: Final = 0.7
BLOCK: Final = 16 * 1024
"""Bytes of a block. Under a small limit each peer gets one at a time, and all peers at the same time: the counter moves
in steps of one block for each peer."""
MOST_STEP: Final = 6 * BLOCK
"""Largest step. qBittorrent has four upload slots for each torrent by default."""
QUOTA_S: Final = 0.5
"""Interval of libtorrent's quota ticks: a refresh may show one portion more or less. × ½ or × 2: a third more calls
where demand changes every second."""
DOUBT_S: Final = 0.3
"""Error of a window from that and from the clock together, seconds. × 2: a fifth more calls where demand changes every
second; × ½: nothing."""
USED: Final = 0.85
"""A torrent that used this part of its limit in the newest refresh is not content, whatever its window says: a slow
rise weighs on the window for long. × ½: 2.5 times the calls where demand changes every second; × 2 (never): 1 % of the
cap unused beside large bursts."""
SMALL_CHANGE: Final = 0.12
"""A limit that changes by less than this part is watched on as if it had not changed. × 2: 0.09 × the cap more in the
worst 10 s with torrents on and off every 15 s, a third more calls; × ½: 1 % of the cap unused."""
TELLING: Final = 5
"""A limit must have let this many blocks through before using it up tells of a backlog. × ½ or × 2: only noise."""


class RateEstimator:
    """One torrent that uploads, or did so lately. Rates are payload bytes/s, times monotonic seconds."""

    __slots__ = (
        "backlogged",
        "base_at",
        "base_bytes",
        "burstiness",
        "demand_bound",
        "last_at",
        "last_bytes",
        "latest",
        "limit",
        "measured",
        "mid_at",
        "mid_bytes",
        "moved_at",
        "overrun",
        "rate",
        "settled_at",
        "silent_until",
        "step",
        "weight",
    )

    def __init__(self, at: float, uploaded: int, limit: int) -> None:
        self.step = BLOCK
        """Bytes by which the counter moves at a time under a small limit: differences below this tell nothing."""
        self.limit = limit
        """Limit in force, bytes/s or UNLIMITED."""
        self.rate = 0.0
        """Rate over the window."""
        self.backlogged = False
        """It uses its limit and would send more; how much more, and for how long, is unknown."""
        self.burstiness = Burstiness(at, float(uploaded), limit)
        self.overrun = OverrunWatch(at)
        self.demand_bound = math.inf
        """Most that it may want, bytes/s, where that is known of a backlogged one: it came close to its limit."""
        self.moved_at = at
        """Time of the last refresh that showed progress."""
        self.measured = False
        """Whether `rate` is known."""
        self.settled_at = at
        """Until then a step of the counter is no jump of the rate: else each would begin the window again."""
        self.weight = 0.0
        """Sticky weight of the `weighted` strategy; 0.0 until first asked for."""
        self.latest = 0.0
        """Rate between the two newest refreshes."""
        self.silent_until = -math.inf
        """Until then a deep cut silences it."""
        self.base_at = self.mid_at = self.last_at = at
        self.base_bytes = self.mid_bytes = self.last_bytes = float(uploaded)

    @property
    def window_s(self) -> float:
        """Seconds that `rate` was measured over; negative while a new limit has not yet taken effect."""
        return self.last_at - self.base_at

    @property
    def backlog(self) -> Backlog:
        """Whether it is backlogged, and for how long."""
        return self.burstiness.backlog(self.backlogged)

    @property
    def expected(self) -> float:
        """Mean rate, bytes/s."""
        level = self.burstiness.mean.level
        return level if level >= 0.0 and not self.burstiness.slow else self.rate

    @property
    def overruns(self) -> bool:
        """Whether it sends more than its limit lets through: quota saved under an earlier limit."""
        return self.overrun.is_over(self.latest, self.limit, self.step)

    @property
    def heeds_limit(self) -> bool:
        """Whether its bucket surely holds nothing saved: it keeps to its limit, and no freed bytes are on their way."""
        return self.base_at >= self.overrun.counted_from and self.rate <= OVER * self.limit and not self.overruns

    def measure(self, at: float, uploaded: int, leechers: int, *, bearable: float = 0.0) -> int:
        """Take in the counter of a new refresh and return the bytes uploaded since the last one.

        Args:
            at: time of the refresh.
            uploaded: the counter, bytes. It falls to 0 when the torrent or qBittorrent is restarted.
            leechers: connected leechers.
            bearable: bytes of a burst that its tracker's cap can bear.
        """
        self.step = min(MOST_STEP, BLOCK * max(1, leechers))
        before_at, before_bytes = self.last_at, self.last_bytes
        elapsed, moved = at - before_at, uploaded - before_bytes
        self.last_at, self.last_bytes = at, float(uploaded)
        if moved < 0:
            self._rebase(at, uploaded)
            self.burstiness.begin(at, self.last_bytes, self.limit)
            return uploaded
        if moved > 0:
            self.moved_at = at
        self.burstiness.sample(at, self.last_bytes, self.limit, self.step)
        if elapsed > 0.0:
            self._count_excess(at, moved, elapsed)
        if at - self.base_at < LEAST_WINDOW_S or elapsed <= 0.0:
            return int(moved)
        self.measured = True
        before, latest = self.rate, moved / elapsed
        surged = SURGE_USE * self.limit < latest <= 2.0 * self.limit and latest > SURGE * before and moved >= 3 * BLOCK
        window = self._slide_window(before_at, before_bytes, latest)
        self.backlogged = self.backlogged or surged  # until more is seen
        growing = latest > GROWING * before and window < WINDOW_S and moved > 3 * BLOCK
        growing = growing or (latest > USED * self.limit and 3 * self.step < self.limit * elapsed)
        self._classify(window, growing=growing)
        slow = 2 * self.step > SLOW_S * self.limit
        self.burstiness.judge(moved, elapsed, held_back=self.backlogged, slow=slow, bearable=bearable)
        return int(moved)

    def relimit(self, limit: int, at: float) -> None:
        """Take in that a new limit was written at `at`. Known demand stays until the limit has shown its effect."""
        lag = RAISE_LAG_S if limit > self.limit else CUT_LAG_S
        self.burstiness.relimit(self.limit, limit, max(at, self.last_at) + lag)
        if abs(limit - self.limit) <= SMALL_CHANGE * self.limit:
            self.limit = limit
            return
        self.demand_bound = math.inf
        rate = min(self.rate, float(self.limit))  # the measured rate may be from before the limit that ends now
        silenced = self.backlogged and rate > DEEP * limit
        if silenced:
            lag = min(MOST_SILENCE_S, rate / limit)
        start = max(max(at, self.last_at) + lag, self.silent_until)
        heeded = self.latest <= OVER * self.limit  # else no cut explains what it sends
        self.overrun.relimit(at, cut=limit < self.limit and heeded, over=self.overruns)
        self.limit = limit
        self.settled_at = min(self.settled_at, start + self._telling_s())
        self._rebase(start, self.last_bytes + rate * (start - self.last_at))
        if silenced:
            self.silent_until = start
            self.burstiness.skip(start)

    def wake(self, moved: int | None, elapsed: float) -> None:
        """Take in that it moved `moved` bytes (None if never seen before) in `elapsed` seconds, after it was idle.

        It counts as backlogged if that is at least half of what its limit lets through.
        """
        self.measured = True
        if moved is not None and elapsed > 0.0:
            self.overrun.counted_from -= elapsed
            self._count_excess(self.last_at, moved, elapsed)
        self.backlogged = self.limit < UNLIMITED and (moved is None or moved >= 0.5 * self.limit * elapsed)

    def weigh(self, leechers: int, swarm_leechers: int) -> None:
        """Set `weight`. Of a torrent that moved nothing for 10 s, half of the demand counts."""
        quiet = self.last_at - self.moved_at > 10.0
        self.weight = swarm_weight(self.weight, leechers, swarm_leechers, quiet=quiet)

    def learnt(self, hash: str, epoch: float) -> Learnt | None:
        """Return the knowledge that outlives a restart; None if there is none. `epoch`: see `memory_of`."""
        if not self.measured or (self.rate == 0.0 and self.window_s < LEAST_WINDOW_S):
            return None
        return Learnt(
            hash=hash,
            at=epoch + self.moved_at,
            limit=self.limit,
            rate=int(self.rate),
            lump=self.step,
            weight=self.weight,
            hungry=self.backlogged,
            lasting=self.burstiness.lasting,
            mean=int(max(0.0, self.burstiness.mean.level)),
            spread=int(self.burstiness.mean.spread),
            use=max(0.0, self.burstiness.use.level),
            burst=int(self.burstiness.burst),
        )

    def recall(self, learnt: Learnt) -> None:
        """Go on from what was known before a restart, as if measured just now, if the limit is still the same."""
        self.weight = learnt.weight
        if abs(learnt.limit - self.limit) > SMALL_CHANGE * self.limit:
            return
        self.measured = True
        self.rate = float(learnt.rate)
        self.backlogged = learnt.hungry and self.limit < UNLIMITED
        self.step = max(BLOCK, min(MOST_STEP, learnt.lump))
        span = self._span_s()
        self._rebase(self.last_at - span, self.last_bytes - self.rate * span)
        self.burstiness.recall(learnt)

    def _count_excess(self, at: float, moved: float, elapsed: float) -> None:
        self.latest = moved / elapsed
        self.overrun.count(at, self.latest, elapsed, limit=self.limit, step=self.step, backlogged=self.backlogged)

    def _slide_window(self, before_at: float, before_bytes: float, latest: float) -> float:
        """Set `rate`; start the window at the refresh before if the rate jumped. Returns the window in seconds."""
        at, uploaded = self.last_at, self.last_bytes
        elapsed, window = at - before_at, at - self.base_at
        rate = max(0.0, (uploaded - self.base_bytes) / window)
        noise = 1.5 * BLOCK if not self.backlogged and at >= self.settled_at else self.step
        noise = max(noise, QUOTA_S * rate, 0.25 * rate * elapsed)
        if before_at > self.base_at and abs(latest - rate) * elapsed > noise:
            self.base_at, self.base_bytes = self.mid_at, self.mid_bytes = before_at, before_bytes
            window, rate = elapsed, latest
            if self.limit * elapsed < self.step:
                self.settled_at = at + self._telling_s()
        elif at - self.mid_at >= self._span_s():
            self.base_at, self.base_bytes = self.mid_at, self.mid_bytes
            self.mid_at, self.mid_bytes = at, uploaded
        self.rate = rate
        return window

    def _rebase(self, at: float, uploaded: float) -> None:
        self.base_at = self.mid_at = at
        self.base_bytes = self.mid_bytes = uploaded

    def _span_s(self) -> float:
        """Return how long to look: longer under a small limit, where the counter moves in steps."""
        return min(15.0, max(WINDOW_S, 6 * self.step / max(1.0, self.limit)))

    def _telling_s(self) -> float:
        """Return how long the limit takes to let enough through to tell something."""
        return max(TELLING * BLOCK, 3 * self.step) / self.limit

    def _classify(self, window: float, *, growing: bool) -> None:
        """Set `backlogged` and `demand_bound`. `growing`: the rate is still on its way up."""
        if self.limit >= UNLIMITED:
            self.backlogged = False
            return
        allowed, used = self.limit * window, self.rate * window
        doubt = 0.04 + DOUBT_S / window
        most = used + (self.step if self.backlogged else BLOCK)
        if used >= (1.0 - min(doubt, 0.08)) * allowed:
            self.backlogged = self.backlogged or allowed >= TELLING * BLOCK
        elif most < (1.0 - doubt - 0.03) * allowed and not growing:
            self.backlogged = False
        bounded = self.backlogged and window >= 2.0 and most < (1.0 - doubt) * allowed
        self.demand_bound = most / window if bounded else math.inf
