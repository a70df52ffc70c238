"""What goes wrong in the lab."""


class LabError(Exception):
    """Something did not do what the lab needs. The message says what."""
