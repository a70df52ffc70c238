"""Which rule a torrent belongs to."""
