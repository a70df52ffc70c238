"""Divide a line between trackers, and a cap among torrents."""
