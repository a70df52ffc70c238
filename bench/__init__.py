"""Measurements: how well caps are held (`hold`), what many torrents cost (`scale`), how fast rules match (`match`)."""
