"""What is measured of torrents and trackers."""
