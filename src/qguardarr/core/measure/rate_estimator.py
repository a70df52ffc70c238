"""Measured rate and demand of each torrent, from its counter.

`copies.RefreshClock` tells when each copy of the counters was taken. `RateEstimator` turns the bytes between two
copies into a rate over a sliding window, and into the first question that sharing a cap asks of a torrent: does its
limit hold it back? Whether it does for long, and what the torrent takes in the mean, is for `burstiness.Burstiness` to
say.
"""

from __future__ import annotations

import math
from typing import Final

from qguardarr.core.measure.burstiness import SLOW_S, Backlog, Burstiness
from qguardarr.core.measure.learnt import Learnt
from qguardarr.core.model import UNLIMITED

RAISE_LAG_S: Final = 0.9
"""From a written raise to bytes at the new rate: quota ticks of 0.5 s, then the peers' requests in flight."""
CUT_LAG_S: Final = 0.4
"""From a written cut to bytes at the new rate."""
DEEP: Final = 1.5
"""A cut by more than this: each peer waits for about a second's worth of its old rate, so is silent for as many seconds
as the rate falls by …"""
MOST_SILENCE_S: Final = 10.0
"""… but no longer than this; then all of it comes at once."""
LEAST_WINDOW_S: Final = 0.9
"""A rate over less is noise. What is left of a refresh after a cut must be enough."""
GROWING: Final = 1.25
"""What comes of a raise grows by half in half a second: while the rate still grows so much from copy to copy, a torrent
that wanted more wants more."""
WINDOW_S: Final = 4.0
"""A rate is measured over 1 … 2 windows, and anew when it jumps."""
SURGE: Final = 1.5
"""A rate that grows by this factor from one copy to the next …"""
SURGE_USE: Final = 0.7
"""… and to this fraction of the limit, may well be held back by it already."""
BLOCK: Final = 16 * 1024
"""Bytes of a block. Under a small limit each peer gets a block at a time, all peers at the same time: a lump."""
QUOTA_S: Final = 0.5
"""Quota is handed out so often, seconds: a copy may show one portion more or less …"""
DOUBT_S: Final = 0.3
"""… which together with the clock's error comes to so much, seconds."""
USED: Final = 0.85
"""A torrent that used so much of its limit in the newest copy is not content, whatever its window says: a slow rise
weighs on it for long."""
SMALL_STEP: Final = 0.12
"""A limit that changes by less than this part is watched on as if it had not changed."""
TELLING: Final = 5
"""A limit that was used up tells of hunger once it has let so many blocks through."""
OVERRUN_S: Final = 3.0
"""A torrent that sent this much more than its limit lets through, in seconds of the limit, and a few blocks, runs above
it: a bucket that was filled under the limit in force holds no more."""
OVER: Final = 1.1
"""It does so now if the newest copy shows more than its limit times this."""
FADE_S: Final = 30.0
"""Time constant at which such bytes are forgotten: a limit that yields 2 % more than it says is no overrun."""
SPENT_S: Final = 1.4
"""After a cut what is sent is not counted for this long: the cut's lag, and a second of quota that each peer has."""
MOST_LUMP: Final = 6 * BLOCK
"""qBittorrent has four upload slots for each torrent by default."""


class RateEstimator:
    """A torrent that uploads, or did so lately: its rate, and whether its limit is what holds it back."""

    __slots__ = (
        "appetite",
        "base_at",
        "base_bytes",
        "burstiness",
        "counted_from",
        "excess",
        "flush_after",
        "flushes",
        "hungry",
        "last_at",
        "last_bytes",
        "latest",
        "limit",
        "lump",
        "measured",
        "mid_at",
        "mid_bytes",
        "moved_at",
        "overran_at",
        "rate",
        "settled_at",
        "silent_until",
        "spent",
        "weight",
    )

    def __init__(self, at: float, uploaded: int, limit: int) -> None:
        self.lump = BLOCK
        """Bytes that come at once: differences below this tell nothing."""
        self.limit = limit
        """Limit in force, bytes/s or UNLIMITED."""
        self.rate = 0.0
        """Payload bytes/s over the window."""
        self.hungry = False
        """The limit holds it back: it wants more, no one knows how much nor for how long."""
        self.burstiness = Burstiness(at, float(uploaded), limit)
        self.appetite = math.inf
        """The most that it may want, bytes/s, where that is known of a hungry one: it came close to its limit."""
        self.moved_at = at
        """Last copy that showed progress, seconds."""
        self.measured = False
        """`rate` is known."""
        self.settled_at = at
        """Until then a lump under a small limit is no jump of the rate: each would begin the window anew, which would
        never be long enough to tell."""
        self.weight = 0.0
        """Sticky weight of the `weighted` strategy; 0.0 until first asked for."""
        self.latest = 0.0
        """Payload bytes/s between the two newest copies."""
        self.excess = 0.0
        """Bytes sent beyond what the limit lets through, fading; less than 0 in the silence after a deep cut."""
        self.spent = 0.0
        """Bytes beyond the limit since it has been running above it."""
        self.counted_from = at
        """`excess` counts what was sent between copies from then on, seconds."""
        self.overran_at = -math.inf
        """Last copy that showed it run above its limit, seconds."""
        self.flushes = 0
        """Times that its bucket was flushed (see `saved_quota`) without lasting effect."""
        self.flush_after = -math.inf
        """Not to be flushed (again) before, seconds."""
        self.silent_until = -math.inf
        """Until then a deep cut silences it, seconds."""
        self.base_at = self.mid_at = self.last_at = at
        self.base_bytes = self.mid_bytes = self.last_bytes = float(uploaded)

    @property
    def window_s(self) -> float:
        """Seconds that `rate` was measured over; negative while a new limit has not yet taken effect."""
        return self.last_at - self.base_at

    @property
    def backlog(self) -> Backlog:
        """Whether it is backlogged, and for how long."""
        return self.burstiness.backlog(self.hungry)

    @property
    def expected(self) -> float:
        """What it takes in the mean, bytes/s."""
        level = self.burstiness.mean.level
        return level if level >= 0.0 and not self.burstiness.slow else self.rate

    @property
    def overruns(self) -> bool:
        """It sends more than its limit lets through: quota that was saved under an earlier limit."""
        return self.limit < UNLIMITED and self.latest > OVER * self.limit and self.excess > self._tolerated

    @property
    def heeds_limit(self) -> bool:
        """Its rate is no more than the limit lets through: its bucket holds nothing that was saved. Not known, so not
        said, while what a flush frees may still be on its way."""
        return self.base_at >= self.counted_from and self.rate <= OVER * self.limit and not self.overruns

    def measure(self, at: float, uploaded: int, leechers: int, *, trifle: float = 0.0) -> int:
        """Take in the counter of a new copy taken at `at`; returns the bytes uploaded since the last copy.

        `trifle`: bytes of a burst that its tracker's cap can bear.
        """
        self.lump = min(MOST_LUMP, BLOCK * max(1, leechers))
        elapsed, moved = at - self.last_at, uploaded - self.last_bytes
        if moved < 0:  # stopped and started, or qBittorrent restarted: the counter began at 0 again
            self._rebase(at, uploaded)
            self.last_at, self.last_bytes = at, float(uploaded)
            self.burstiness.begin(at, float(uploaded), self.limit)
            return uploaded
        if moved > 0:
            self.moved_at = at
        self.burstiness.sample(at, float(uploaded), self.limit, self.lump)
        before_at, before_bytes = self.last_at, self.last_bytes
        self.last_at, self.last_bytes = at, float(uploaded)
        if elapsed > 0.0:
            self._count_excess(at, moved, elapsed)
        window = at - self.base_at
        if window < LEAST_WINDOW_S or elapsed <= 0.0:
            return int(moved)
        self.measured = True
        rate = max(0.0, (uploaded - self.base_bytes) / window)
        latest = moved / elapsed
        near = SURGE_USE * self.limit < latest <= 2.0 * self.limit
        surged = near and latest > SURGE * self.rate and moved >= 3 * BLOCK
        noise = 1.5 * BLOCK if not self.hungry and at >= self.settled_at else self.lump
        noise = max(noise, QUOTA_S * rate, 0.25 * rate * elapsed)
        if before_at > self.base_at and abs(latest - rate) * elapsed > noise:
            self.base_at, self.base_bytes = self.mid_at, self.mid_bytes = before_at, before_bytes
            window, rate = elapsed, latest
            if self.limit * elapsed < self.lump:
                self.settled_at = at + self._telling_s()
        elif at - self.mid_at >= self._span_s():
            self.base_at, self.base_bytes = self.mid_at, self.mid_bytes
            self.mid_at, self.mid_bytes = at, float(uploaded)
        growing = latest > GROWING * self.rate and window < WINDOW_S and moved > 3 * BLOCK
        self.rate = rate
        self.hungry = self.hungry or surged  # until more is seen
        growing = growing or (latest > USED * self.limit and 3 * self.lump < self.limit * elapsed)
        self._classify(window, growing=growing)
        slow = 2 * self.lump > SLOW_S * self.limit
        self.burstiness.judge(moved, elapsed, held_back=self.hungry, slow=slow, trifle=trifle)
        return int(moved)

    def _telling_s(self) -> float:
        """How long the limit takes to let enough through to tell something."""
        return max(TELLING * BLOCK, 3 * self.lump) / self.limit

    def relimit(self, limit: int, at: float) -> None:
        """A new limit was written at `at`. What is known of the demand stays until the limit has shown its effect."""
        lag = RAISE_LAG_S if limit > self.limit else CUT_LAG_S
        self.burstiness.relimit(self.limit, limit, max(at, self.last_at) + lag)
        if abs(limit - self.limit) <= SMALL_STEP * self.limit:
            self.limit = limit
            return
        self.appetite = math.inf
        rate = min(self.rate, float(self.limit))  # what was measured may be from before the limit that ends now
        silenced = self.hungry and rate > DEEP * limit
        if silenced:
            lag = min(MOST_SILENCE_S, rate / limit)
        start = max(max(at, self.last_at) + lag, self.silent_until)
        if limit < self.limit and self.latest <= OVER * self.limit:  # else it heeds no limit, and no cut explains that
            self.counted_from = at + SPENT_S
        if not self.overruns:
            self.excess = min(0.0, self.excess)
        self.limit = limit
        self.settled_at = min(self.settled_at, start + self._telling_s())
        self._rebase(start, self.last_bytes + rate * (start - self.last_at))
        if silenced:
            self.silent_until = start
            self.burstiness.skip(start)

    def wake(self, moved: int | None, elapsed: float) -> None:
        """It moved after having been idle, `moved` bytes in `elapsed` seconds (None: never seen before).

        What it wants is unknown. If the bytes are fewer than its limit would have let through in half of the time, it
        counts as content until more is seen; else as wanting more.
        """
        self.measured = True
        if moved is not None and elapsed > 0.0:
            self.counted_from -= elapsed
            self._count_excess(self.last_at, moved, elapsed)
        self.hungry = self.limit < UNLIMITED and (moved is None or moved >= 0.5 * self.limit * elapsed)

    def flush(self, at: float, *, again_s: float, again_most_s: float) -> None:
        """Its bucket is being flushed at `at`."""
        self.excess = self.spent = 0.0
        self.counted_from = at + SPENT_S
        self.flush_after = at + min(again_most_s, again_s * 2.0 ** max(0, self.flushes - 1))
        self.flushes += 1

    def learnt(self, hash: str, epoch: float) -> Learnt | None:
        """What is known of it, to outlive a restart; None if that is nothing. `epoch`: see `TorrentRegistry.learnt`."""
        if not self.measured or (self.rate == 0.0 and self.window_s < LEAST_WINDOW_S):
            return None
        return Learnt(
            hash=hash,
            at=epoch + self.moved_at,
            limit=self.limit,
            rate=int(self.rate),
            lump=self.lump,
            weight=self.weight,
            hungry=self.hungry,
            lasting=self.burstiness.lasting,
            mean=int(max(0.0, self.burstiness.mean.level)),
            spread=int(self.burstiness.mean.spread),
            use=max(0.0, self.burstiness.use.level),
            burst=int(self.burstiness.burst),
        )

    def recall(self, learnt: Learnt) -> None:
        """Go on from what was known before a restart, as if measured just now, if the limit is still the same."""
        self.weight = learnt.weight
        if abs(learnt.limit - self.limit) > SMALL_STEP * self.limit:
            return
        self.measured = True
        self.rate = float(learnt.rate)
        self.hungry = learnt.hungry and self.limit < UNLIMITED
        self.lump = max(BLOCK, min(MOST_LUMP, learnt.lump))
        span = self._span_s()
        self._rebase(self.last_at - span, self.last_bytes - self.rate * span)
        self.burstiness.recall(learnt)

    @property
    def _tolerated(self) -> float:
        return OVERRUN_S * self.limit + 2 * self.lump

    def _count_excess(self, at: float, moved: float, elapsed: float) -> None:
        self.latest = moved / elapsed
        if self.limit >= UNLIMITED or at - elapsed < self.counted_from - 0.01:
            return
        least = -MOST_SILENCE_S * self.limit if self.hungry else 0.0
        excess = self.excess * math.exp(-elapsed / FADE_S) + (self.latest - self.limit) * elapsed
        self.excess = max(min(least, self.excess), min(excess, 2.0 * self._tolerated))
        self.spent = self.spent + max(0.0, self.latest - self.limit) * elapsed if self.excess > 0.0 else 0.0
        if self.overruns:
            self.overran_at = at

    def weigh(self, leechers: int, swarm_leechers: int) -> None:
        """Set `weight` for the `weighted` strategy: 1 … 4, growing with the square root of the swarm's demand.

        Demand is the connected leechers, and a tenth of the swarm's (at most ten); half of it counts when nothing moved
        for 10 s. What the torrent uploads now is not asked, so speed does not beget speed. Weights are powers of √2 and
        change only when they are off by more than that, so that a leecher who comes or goes rewrites nothing.
        """
        demand = leechers + min(10.0, swarm_leechers / 10)
        if self.last_at - self.moved_at > 10.0:
            demand /= 2
        ideal = max(1.0, min(4.0, math.sqrt(1 + demand / 2)))
        if not self.weight / 1.5 < ideal < self.weight * 1.5:
            self.weight = 2 ** (round(2 * math.log2(ideal)) / 2)

    def _rebase(self, at: float, uploaded: float) -> None:
        self.base_at = self.mid_at = at
        self.base_bytes = self.mid_bytes = uploaded

    def _span_s(self) -> float:
        """Small limits come in lumps: look longer."""
        return min(15.0, max(WINDOW_S, 6 * self.lump / max(1.0, self.limit)))

    def _classify(self, window: float, *, growing: bool) -> None:
        if self.limit >= UNLIMITED:
            self.hungry = False
            return
        allowed = window * self.limit
        used = self.rate * window
        doubt = 0.04 + DOUBT_S / window
        most = used + (self.lump if self.hungry else BLOCK)
        if used >= (1.0 - min(doubt, 0.08)) * allowed:
            self.hungry = self.hungry or allowed >= TELLING * BLOCK
        elif most < (1.0 - doubt - 0.03) * allowed and not growing:
            self.hungry = False
        self.appetite = most / window if self.hungry and window >= 2.0 and most < (1.0 - doubt) * allowed else math.inf
