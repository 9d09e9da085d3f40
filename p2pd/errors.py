"""The error tree: ours, theirs, the disk's.

Rules: bytes from outside raise only `PeerError`; anything else that escapes a decoder is a bug.
Every text says what to do next.  `code` is the stable name that the control API and scripts see.
"""


class P2pdError(Exception):
    """The root; never raised itself."""

    code = "internal"
    exit_code = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(P2pdError):
    """The user asked for something that cannot be done as asked."""

    code = "usage"
    exit_code = 2


class FailedError(P2pdError):
    """An error of the user's that is not one of form: the thing exists already, is too large, is in the wrong state."""

    code = "failed"
    exit_code = 1


class HomeInUseError(FailedError):
    """Another process has the home."""

    code = "home_in_use"
    exit_code = 10


class NotFoundError(P2pdError):
    """No such name, message or record."""

    code = "not_found"
    exit_code = 4


class AmbiguousError(NotFoundError):
    """More than one thing answers to the name."""

    code = "ambiguous"


class RefusedError(P2pdError):
    """Blocked, or not permitted."""

    code = "refused"
    exit_code = 5


class TimeUpError(P2pdError):
    """The level waited for is not reached yet."""

    code = "time_up"
    exit_code = 6


class NoNetworkError(P2pdError):
    """The command needs other nodes now, and there are none."""

    code = "no_network"
    exit_code = 7


class QuotaError(P2pdError):
    """A bound is reached."""

    code = "quota"
    exit_code = 8


class LockedError(P2pdError):
    """The passphrase is wanted."""

    code = "locked"
    exit_code = 9


class PeerError(P2pdError):
    """Bytes or behaviour of another node that do not follow the protocol; counted by `reason`, then dropped."""

    code = "peer"
    exit_code = 1

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class UndecryptableError(PeerError):
    """An envelope that cannot be opened now, but perhaps after what came before it."""


class DuplicateError(PeerError):
    """A message that this ratchet has decrypted before."""


class StorageError(P2pdError):
    """The disk's."""

    code = "storage"
    exit_code = 12


class DamagedError(StorageError):
    """The database or a key file is not what was written."""

    code = "damaged"
    exit_code = 13


class ForeignHomeError(StorageError):
    """The home or a file in it is a link, another user's, or open to others."""

    code = "foreign_home"
    exit_code = 15
