"""Petnames: what our user calls people.

Rules: a name needs no quoting in a shell, is no address, no option and no id; names are told apart without case.
"""

import unicodedata
from collections.abc import Iterable

from p2pd import limits
from p2pd.errors import UsageError
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address

_MARKS = "._-+"


def checked_name(text: str) -> str:
    """A name as it will be kept; raises `UsageError`."""
    name = unicodedata.normalize("NFKC", text.strip().removeprefix("@"))
    if not name or len(name) > limits.NAME_CHARS:
        raise UsageError(f"a name has 1 to {limits.NAME_CHARS} characters")
    if not all(letter.isalnum() or letter in _MARKS for letter in name) or name[0] in "-+":
        raise UsageError(
            "a name has letters, digits and . _ - + only, and begins with none of - and +",
            hint="so that it needs no quoting in a shell",
        )
    return name


def same_name(one: str, other: str) -> bool:
    """Whether two names would be taken for each other."""
    return one.casefold() == other.casefold()


def free_name(wish: str, identity: IdentityKey, taken: Iterable[str]) -> str:
    """A name that nobody has, as near to the wish as the rules allow; without a wish the address's first letters."""
    plain = unicodedata.normalize("NFKC", wish.strip())  # first: it can make one letter into many, and into spaces
    kept = "".join(letter if letter.isalnum() or letter in _MARKS else "-" for letter in plain)
    base = kept.strip("-+")[: limits.NAME_CHARS - 5].rstrip("-+") or encode_address(identity)[4:12]
    used = {name.casefold() for name in taken}
    number, name = 1, base
    while name.casefold() in used:
        number += 1
        name = f"{base}-{number}"
    return name
