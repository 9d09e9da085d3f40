"""Homes that need not solve the node puzzle: the lab runs the public network as it is, on small machines.

Node keys come from numbers that were found to satisfy `limits.NODE_PUZZLE_BITS`; identities and the rest are new each
time.  A daemon replaces a key that does not satisfy the puzzle, so a list that is out of date only costs time.
`python -m tests.nat.homes FIRST` prints numbers that satisfy it, from FIRST on, until it is stopped.
"""

import hashlib
import sys
from contextlib import closing
from pathlib import Path

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.stamp import node_key_bits
from p2pd.net.clock import SystemClock, SystemRandom
from p2pd.peer import own
from p2pd.storage.home import USER_NAME, open_home
from p2pd.storage.keys import master_key
from p2pd.storage.user import SqliteUserStore

NUMBERS = tuple(map(int, (Path(__file__).parent / "node_numbers.txt").read_text().split()))


def node_seed(number: int) -> bytes:
    """The seed of a node key."""
    return hashlib.blake2b(b"p2pd NAT lab, node %d" % number, digest_size=limits.KEY_BYTES).digest()


def satisfies(number: int) -> bool:
    """Whether the key of a number has cost its maker enough."""
    return node_key_bits(SigningKey(node_seed(number)).public) >= limits.NODE_PUZZLE_BITS


def make_home(home: Path, number: int) -> None:
    """A home that was never started, with the node key of a number."""
    open_home(home)
    user = SqliteUserStore(str(home / USER_NAME), own_identity=None, master_key=master_key(home))
    with closing(user), user.transaction():
        own.create(user, node_seed(number), SystemRandom(), SystemClock().now())


if __name__ == "__main__":
    candidate = int(sys.argv[1])
    while True:
        if satisfies(candidate):
            print(candidate, flush=True)
        candidate += 1
