"""The lab: real qBittorrent, local trackers and a swarm of real peers on 127.0.0.1, with the truth about every byte.

    from lab.peers import Swarm
    from lab.qbittorrent import QBittorrent
    from lab.torrents import make_torrent
    from lab.tracker import Trackers

    with Trackers(["t1", "t2"]) as trackers, QBittorrent("4.5.2", folder) as qbittorrent:
        torrents = [make_torrent(f"t1-{n}", [trackers["t1"].announce_url]) for n in range(10)]
        qbittorrent.add(torrents)                                # files, seeding at once
        qbittorrent.wait_until_seeding(len(torrents))
        # qbittorrent.url, .username, .password: for whoever is tested; qbittorrent.web: the lab's own client
        with Swarm((qbittorrent.host, qbittorrent.peer_port)) as swarm:
            swarm.join({t.info_hash: t.size for t in torrents}, peers=4)
            swarm.wait_until_connected()
            swarm.set_demand({torrents[0].info_hash: None, torrents[1].info_hash: 300_000})   # None = greedy; bytes/s
            …
            swarm.counts()                                       # payload bytes so far, by info hash
            swarm.series(torrents[0].info_hash)                  # [(CLOCK_MONOTONIC seconds, bytes so far), …]

A whole scenario (see `lab.scenario`), with everything started, connected and measured:

    from lab.rig import Rig
    from lab.scenario import BUILT_IN

    with Rig(BUILT_IN["hungry_moves"](), "5.3.0") as rig:
        …                                                        # start whatever guards rig.qbittorrent.url
        outcome = rig.run(on_cap=tell_the_guard, watch=show)
    outcome.measures["t1"].worst_10s, outcome.measures["t1"].spans[0].settling_s
"""
