"""Every error that Qguardarr raises on purpose, named by what the caller does next.

QguardarrError
├── ConfigError            mend the file; nothing was started, nothing was changed
├── ClientError            qBittorrent did not do what was asked
│   ├── NoAddress          nobody has said where it is: wait until the configuration does
│   ├── Unreachable        no answer, or a garbled one: try again at the next cycle (a read learned nothing)
│   ├── LoginRefused       no session: the client itself knows when to try again, and `next_try_at` says it
│   │   ├── AuthRejected   wrong credentials: a person must correct them
│   │   └── Banned         qBittorrent blocks this address for a while
│   └── Refused            an answer that says no (4xx): a defect or an unsupported version; do not repeat
├── JournalError           the journal cannot be read or written: write nothing to qBittorrent
├── StoreError             the store (rates, overrides, outbox) cannot be read or written: go on without it
├── UnsafePlan             the plan is implausible: it is reported and not applied
└── Busy                   another process holds the lock: try again
"""


class QguardarrError(Exception):
    """Root of all errors raised on purpose. The message is fit for a person and free of secrets."""


class ConfigError(QguardarrError):
    """The configuration is faulty. The message lists every fault with its place and mend."""


class ClientError(QguardarrError):
    """qBittorrent did not do what was asked."""


class NoAddress(ClientError):
    """The configuration does not say where qBittorrent is."""


class Unreachable(ClientError):
    """No answer, or a garbled one. A read learned nothing; a write may or may not have happened."""


class LoginRefused(ClientError):
    """qBittorrent lets nobody in with these credentials now. Times are Unix seconds."""

    def __init__(self, message: str = "", *, next_try_at: float | None = None, ask_from: float = 0.0) -> None:
        super().__init__(message)
        self.next_try_at = next_try_at
        """When the client tries the login again by itself; None: only when asked, or when qBittorrent has restarted."""
        self.ask_from = ask_from
        """From when on it tries again if a person asks."""


class AuthRejected(LoginRefused):
    """The credentials are wrong. Trying again and again would lead to a ban."""


class Banned(LoginRefused):
    """qBittorrent blocks this address after failed logins."""


class Refused(ClientError):
    """qBittorrent answered, and said no."""


class JournalError(QguardarrError):
    """The journal cannot be read or written."""


class StoreError(QguardarrError):
    """The store cannot be read or written. Nothing that holds caps depends on it."""


class UnsafePlan(QguardarrError):
    """The plan would lift limits from an implausible share of torrents."""


class Busy(QguardarrError):
    """Another process holds the lock."""
