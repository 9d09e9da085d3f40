"""Where a passphrase comes from: an open file, never the command line nor the environment, which others may read."""

import os

from p2pd import limits
from p2pd.errors import UsageError


def read_passphrase(descriptor: int) -> bytes:
    """What stands in an open file up to a line's end, or its own; the file is closed.

    Raises:
        UsageError: it is no open file, or says too much.
    """
    data = b""
    try:
        while b"\n" not in data and len(data) <= limits.PASSPHRASE_BYTES:
            more = os.read(descriptor, limits.PASSPHRASE_BYTES + 1 - len(data))
            if not more:
                break
            data += more
        os.close(descriptor)
    except OSError as error:
        raise UsageError(
            f"the passphrase cannot be read from file {descriptor}: {error.strerror}",
            hint="open it for reading: p2pd --passphrase-fd 3 3< FILE",
        ) from None
    line, ended, _ = data.partition(b"\n")
    if not ended and len(data) > limits.PASSPHRASE_BYTES:
        raise UsageError(f"a passphrase has at most {limits.PASSPHRASE_BYTES} bytes")
    return line
