"""A minute of the real thing: qBittorrent, trackers and peers on 127.0.0.1, and Qguardarr holding three caps.

python -m demo            # with the machine's own qBittorrent
python -m demo 5.3.0      # with another version that the lab knows
python -m demo --stay     # afterwards all goes on, and the page stays open, until Ctrl-C
"""
