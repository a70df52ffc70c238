"""Qguardarr gives each tracker one shared upload cap in qBittorrent, and holds it."""

__version__ = "0.1.0"
