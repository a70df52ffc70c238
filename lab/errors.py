"""What goes wrong in the lab."""


class LabError(Exception):
    """Something did not do what the lab needs. The message says what."""


class VersionUnavailable(LabError):
    """A version of qBittorrent could not be installed or built, or is not the one expected."""
