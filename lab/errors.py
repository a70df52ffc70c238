"""Errors of the lab."""


class LabError(Exception):
    """A precondition of the lab failed. The message says which."""
