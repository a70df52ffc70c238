"""Streaming JSON, and what becomes of qBittorrent's fields. No I/O."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.adapters.qbittorrent.merge import Merge
from qguardarr.adapters.qbittorrent.stream import GarbledError, array_items, object_items
from qguardarr.adapters.qbittorrent.wire import TorrentDelta, Urls, limit_from_wire, limit_to_wire, merged
from qguardarr.core.model import MAX_LIMIT, UNLIMITED, Activity, Labels, Torrent, float32

HASH = "a" * 40
NEW = TorrentDelta(state="stalledUP", up_limit=0, uploaded_session=0, magnet_uri="magnet:?xt=urn:btih:aa&dn=x")


def _with(one: TorrentDelta, other: TorrentDelta) -> TorrentDelta:
    """Both as one answer."""
    fields = {name: value for name, value in msgspec.structs.asdict(other).items() if value is not msgspec.UNSET}
    return msgspec.structs.replace(one, **fields)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _chunks(text: str, size: int) -> Iterator[bytes]:
    data = text.encode()
    return (data[start : start + size] for start in range(0, len(data), size))


def _read(chunks: Iterator[bytes]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for key, name, value in object_items(chunks, split="torrents", keep=frozenset({"rid", "kept"})):
        if key == "torrents":
            read.setdefault(key, {})[name] = value
        else:
            read[key] = value
    return read


@given(
    torrents=st.dictionaries(st.text(), _values, min_size=1),
    kept=_values,
    skipped=_values,
    size=st.integers(1, 40),
    indent=st.none() | st.just(2),
    escaped=st.booleans(),
)
def test_an_object_is_read_alike_however_it_is_cut_into_pieces(
    torrents: dict[str, Any], kept: object, skipped: object, size: int, indent: int | None, escaped: bool
) -> None:
    document = {"before": skipped, "rid": 12, "torrents": torrents, "trackers": skipped, "kept": kept}
    text = json.dumps(document, indent=indent, ensure_ascii=escaped)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate cannot travel
        return
    assert _read(_chunks(text, size)) == {"rid": 12, "torrents": torrents, "kept": kept}


@given(items=st.lists(_values), size=st.integers(1, 40))
def test_an_array_is_read_alike_however_it_is_cut_into_pieces(items: list[Any], size: int) -> None:
    assert list(array_items(_chunks(json.dumps(items), size))) == items


@given(data=st.data())
def test_a_cut_answer_is_never_taken_for_a_whole_one(data: st.DataObject) -> None:
    text = json.dumps({"rid": 7, "torrents": {"a": {"x": "]}"}}, "trackers": {"u": ["a", 'b"\\']}})
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(GarbledError):
        _read(_chunks(text[:end], 9))


@pytest.mark.parametrize(
    "text",
    ["", "  ", "<html></html>", "[]", '"text"', '{"rid": 1} x', '{"rid" 1}', "{1: 2}", '{"torrents": [1]}', "{" * 50],
)
def test_what_is_no_object_is_garbled(text: str) -> None:
    with pytest.raises(GarbledError):
        _read(_chunks(text, 5))


@pytest.mark.parametrize("text", ["", "{}", "[1", "[1,]", "[1] [", "[" * 100_000])
def test_what_is_no_array_is_garbled(text: str) -> None:
    with pytest.raises(GarbledError):
        list(array_items(_chunks(text, 100)))


def test_bytes_that_are_no_utf8_are_garbled() -> None:
    with pytest.raises(GarbledError):
        list(array_items(iter([b'["\xff\xfe"]'])))


@pytest.mark.parametrize(("wire", "limit"), [(0, UNLIMITED), (-1, UNLIMITED), (1, 1), (MAX_LIMIT, MAX_LIMIT)])
def test_no_limit_on_the_wire_is_unlimited(wire: int, limit: int) -> None:
    assert limit_from_wire(wire) == limit


def test_unlimited_is_written_as_zero() -> None:
    assert limit_to_wire(UNLIMITED) == 0
    assert limit_to_wire(MAX_LIMIT) == MAX_LIMIT


@pytest.mark.parametrize("limit", [0, -1, UNLIMITED + 1, 2**32, True, 1.5, "5", None])
def test_what_qbittorrent_would_misunderstand_is_never_written(limit: Any) -> None:
    with pytest.raises(ValueError, match="not a limit"):
        limit_to_wire(limit)


@pytest.mark.parametrize(
    ("state", "activity", "downloading"),
    [
        ("uploading", Activity.ACTIVE, False),
        ("forcedUP", Activity.ACTIVE, False),
        ("downloading", Activity.ACTIVE, True),
        ("forcedDL", Activity.ACTIVE, True),
        ("stalledUP", Activity.IDLE, False),
        ("stalledDL", Activity.IDLE, True),
        ("metaDL", Activity.IDLE, True),
        ("forcedMetaDL", Activity.IDLE, True),
        ("queuedUP", Activity.IDLE, False),
        ("checkingDL", Activity.IDLE, True),
        ("pausedUP", Activity.STOPPED, False),
        ("stoppedDL", Activity.STOPPED, True),
        ("error", Activity.STOPPED, False),
        ("missingFiles", Activity.STOPPED, False),
        ("moving", Activity.IDLE, False),
        ("a state of the future", Activity.IDLE, False),
    ],
)
def test_states_of_all_versions_are_understood(state: str, activity: Activity, downloading: bool) -> None:
    torrent = merged(None, HASH, _delta(state=state, progress=1.0), Urls())
    assert torrent is not None
    assert (torrent.activity, torrent.downloading) == (activity, downloading)


def test_progress_tells_what_the_state_does_not() -> None:
    torrent = merged(None, HASH, _delta(state="moving", progress=0.4), Urls())
    assert torrent is not None
    assert torrent.downloading


def _delta(**changes: Any) -> TorrentDelta:
    delta = TorrentDelta(state="stalledUP", up_limit=0, uploaded_session=0, magnet_uri="magnet:?xt=urn:btih:aa&dn=x")
    for name, value in changes.items():
        setattr(delta, name, value)
    return delta


def test_all_announce_urls_are_decoded_in_order_and_once_each() -> None:
    magnet = (
        "magnet:?xt=urn:btih:aa&dn=a%26tr%3Dx&tr=http%3A%2F%2Fa%2Fp%2520q%3Fx%3D1%26y&tr=udp%3A%2F%2Fb&tr=udp%3A%2F%2Fb"
    )
    assert Urls().of(magnet, "") == ("http://a/p%20q?x=1&y", "udp://b")


def test_equal_announce_urls_are_one_object() -> None:
    urls = Urls()
    first = urls.of("magnet:?xt=1&tr=http%3A%2F%2Fa&tr=udp%3A%2F%2Fb", "")
    assert urls.of("magnet:?xt=2&dn=other&tr=http%3A%2F%2Fa&tr=udp://b&ws=c", "") is first


def test_announce_urls_that_are_all_different_do_not_pile_up() -> None:
    urls = Urls()
    tracemalloc.start()
    try:
        for passkey in range(2000):
            urls.of(f"magnet:?xt=1&tr=http%3A%2F%2Fa%2F{passkey:032x}", "")
        before = tracemalloc.get_traced_memory()[0]
        for passkey in range(2000, 20_000):
            urls.of(f"magnet:?xt=1&tr=http%3A%2F%2Fa%2F{passkey:032x}", "")
        assert tracemalloc.get_traced_memory()[0] < 1.1 * before
    finally:
        tracemalloc.stop()


def test_the_tracker_field_stands_in_for_a_magnet_link_without_trackers() -> None:
    torrent = merged(None, HASH, _delta(tracker="http://only"), Urls())
    assert torrent is not None
    assert torrent.urls == ("http://only",)


def test_a_change_of_the_working_tracker_does_not_hide_the_others() -> None:
    urls = Urls()
    before = merged(None, HASH, _delta(magnet_uri="magnet:?xt=1&tr=http%3A%2F%2Fa&tr=http%3A%2F%2Fb"), urls)
    assert merged(before, HASH, TorrentDelta(tracker="http://b"), urls) is before


def test_equal_limits_are_one_object() -> None:
    first, second = (limit_from_wire(int(text)) for text in ("123456", "123456"))
    assert first is second


def test_seconds_of_activity_are_kept_for_active_torrents_only() -> None:
    urls = Urls()
    active = merged(None, HASH, msgspec.structs.replace(NEW, state="uploading", time_active=70), urls)
    assert active is not None
    assert active.active_s == 70
    still = merged(active, HASH, TorrentDelta(uploaded_session=5), urls)
    assert still is not None
    assert still.active_s == 70
    idle = merged(still, HASH, TorrentDelta(state="stalledUP", time_active=72), urls)
    assert idle is not None
    assert idle.active_s == 0
    assert merged(idle, HASH, TorrentDelta(time_active=80), urls) is idle


def test_a_change_of_nothing_of_ours_is_no_change() -> None:
    before = merged(None, HASH, NEW, Urls())
    assert merged(before, HASH, TorrentDelta(), Urls()) is before


def test_a_partial_change_keeps_the_rest() -> None:
    before = Torrent(HASH, ("http://a",), Activity.ACTIVE, 5000, 10, 1, 2, False, 7)
    after = merged(before, HASH, TorrentDelta(uploaded_session=20, num_incomplete=-1), Urls())
    assert after == Torrent(HASH, ("http://a",), Activity.ACTIVE, 5000, 20, 1, 0, False, 7)


def test_labels_and_numbers_to_select_by_are_read() -> None:
    named = TorrentDelta(
        category="movies/uhd",
        tags="gold, keep,slow, gold",
        private=True,
        ratio=1.3,
        size=5 * 2**30,
        added_on=1_700_000_000,
        uploaded=7_000,
    )
    first = merged(None, HASH, _with(NEW, named), Urls())
    other = merged(None, "b" * 40, _with(NEW, named), Urls())
    assert first is not None
    assert other is not None
    assert first.labels == Labels("movies/uhd", ("gold", "keep", "slow"), private=True)
    assert first.labels is other.labels
    assert first.ratio == float32(1.3)
    assert (first.size, first.added_on, first.uploaded_ever) == (5 * 2**30, 1_700_000_000, 7_000)


def test_a_changed_label_keeps_the_others() -> None:
    before = merged(None, HASH, _with(NEW, TorrentDelta(category="movies", tags="a, b", private=False)), Urls())
    tagged = merged(before, HASH, TorrentDelta(tags="b, c"), Urls())
    assert tagged is not None
    assert tagged.labels == Labels("movies", ("b", "c"), private=False)
    moved = merged(tagged, HASH, TorrentDelta(category=""), Urls())
    assert moved is not None
    assert moved.labels == Labels("", ("b", "c"), private=False)
    unknown = merged(moved, HASH, TorrentDelta(private=None), Urls())
    assert unknown is not None
    assert unknown.labels == Labels("", ("b", "c"), private=None)


@pytest.mark.parametrize(("shown", "ratio"), [(-1, math.inf), (0, 0.0), (1e30, math.inf), (2.5, 2.5)])
def test_an_endless_ratio_is_infinite(shown: float, ratio: float) -> None:
    torrent = merged(None, HASH, _with(NEW, TorrentDelta(ratio=shown)), Urls())
    assert torrent is not None
    assert torrent.ratio == ratio


def test_numbers_that_are_garbage_are_bounded() -> None:
    odd = TorrentDelta(size=-1, added_on=2**40, uploaded=-5)
    torrent = merged(None, HASH, _with(NEW, odd), Urls())
    assert torrent is not None
    assert (torrent.size, torrent.added_on, torrent.uploaded_ever) == (0, 2**32 - 1, 0)


def test_a_change_of_an_unknown_torrent_shows_that_something_was_lost() -> None:
    merge = Merge({}.get, Urls(), full=False)
    merge.add(HASH, TorrentDelta(uploaded_session=5))
    assert merge.incomplete
    assert not merge.seen


def magnet(*urls: str) -> str:
    return "magnet:?xt=urn:btih:0&dn=x" + "".join(f"&tr={quote(url, safe='')}" for url in urls)


def test_of_very_many_trackers_the_first_and_the_working_one_count() -> None:
    many = [f"http://{n}.invalid/announce" for n in range(10_000)]
    urls = Urls()
    found = urls.of(magnet(*many), many[9_000])
    assert len(found) == 256
    assert found[0] == many[9_000]
    assert list(found[1:]) == many[:255]
    assert urls.of(magnet(*many), many[3]) == tuple(many[:256])
    assert urls.of(magnet(*many), many[9_000]) is found


def test_a_link_is_looked_at_up_to_a_bound_and_no_url_is_cut_in_two() -> None:
    long = [f"http://{n}.invalid/{'x' * 900}" for n in range(100)]
    found = Urls().of(magnet(*long), "")
    assert 30 < len(found) < 40
    assert list(found) == long[: len(found)]


def test_urls_too_long_to_be_matched_are_left_out() -> None:
    endless, short = "http://a.invalid/" + "x" * 1_000_000, "http://b.invalid/"
    assert Urls().of(magnet(short, "http://c.invalid/" + "y" * 1100), "") == (short,)
    assert Urls().of(magnet(endless, short), short) == (short,)
    assert Urls().of(magnet(endless), endless) == ()
    assert Urls().of("", endless) == ()


@pytest.mark.parametrize("piece", [1000, 65_536])
def test_a_text_of_megabytes_is_skipped_however_it_is_cut(piece: int) -> None:
    """Each `\\"` was a place to go back to: a key of a megabyte took seconds."""
    key = "http://a.invalid/" + '\\\\\\"x' * 300_000
    text = json.dumps({"trackers": {key: ["1"]}, "rid": 3, "torrents": {}}).encode()
    chunks = (text[at : at + piece] for at in range(0, len(text), piece))
    assert list(object_items(chunks, split="torrents", keep=frozenset({"rid"}))) == [("rid", "", 3)]
