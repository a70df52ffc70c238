"""Measurements of torrents and trackers."""
