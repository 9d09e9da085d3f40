"""Petnames: what our user calls people.

Rules: a name needs no quoting in a shell, is no address, no option and no id; names are told apart without case.
A name that comes from others never becomes one that looks like another's: it gets a number (Unicode UTS 39 calls such
names confusable; of its table the letters are here that Latin, Cyrillic, Greek and Armenian share).
"""

import unicodedata
from collections.abc import Iterable

from p2pd import limits
from p2pd.errors import UsageError
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address

_MARKS = "._-+"
_SHAPES = {
    "a": "\u0430\u03b1\u0251",
    "b": "\u042c\u042a\u0184\u0392\u0412",
    "c": "\u0441\u03f2\u0421",
    "d": "\u0501",
    "e": "\u0435\u04bd\u0395\u0415",
    "f": "\u03dd",
    "g": "\u0261\u0581",
    "h": "\u04bb\u0570\u0397\u041d",
    "i": "\u0456\u03b9\u0269\u0131",
    "j": "\u0458\u03f3",
    "k": "\u043a\u03ba\u039a\u041a",
    "l": "1I\u04cf|\u0399\u0406\u04c0",
    "m": "\u043c\u039c\u041c",
    "n": "\u0578\u0572\u039d",
    "o": "0\u043e\u03bf\u03c3\u0585\u039f\u041e",
    "p": "\u0440\u03c1\u03a1\u0420",
    "q": "\u051b\u0566",
    "r": "\u0433",
    "s": "\u0455\u0405",
    "t": "\u0442\u03c4\u03a4\u0422",
    "u": "\u03c5\u057d",
    "v": "\u03bd\u0475",
    "w": "\u051d\u03c9",
    "x": "\u0445\u03c7\u03a7\u0425",
    "y": "\u0443\u03b3\u0423\u03a5",
    "z": "\u0396",
}
"""Letters by the Latin one that they look like."""
_LATIN = {ord(letter): latin for latin, letters in _SHAPES.items() for letter in letters}


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


def looks_alike(one: str, other: str) -> bool:
    """Whether a reader might take one name for the other, letters of other scripts included."""
    return same_name(one, other) or _skeleton(one) == _skeleton(other)


def _skeleton(name: str) -> str:
    """The name in Latin letters of the same shape, capitals first: it is by them that some letters look alike."""
    latin = unicodedata.normalize("NFKC", name).translate(_LATIN).casefold().translate(_LATIN)
    return latin.replace("rn", "m").replace("vv", "w")


def free_name(wish: str, identity: IdentityKey, taken: Iterable[str]) -> str:
    """A name that nobody has, as near to the wish as the rules allow; without a wish the address's first letters."""
    plain = unicodedata.normalize("NFKC", wish.strip())  # first: it can make one letter into many, and into spaces
    kept = "".join(letter if letter.isalnum() or letter in _MARKS else "-" for letter in plain)
    base = kept.strip("-+")[: limits.NAME_CHARS - 5].rstrip("-+") or encode_address(identity)[4:12]
    used = {_skeleton(name) for name in taken}
    number, name = 1, base
    while _skeleton(name) in used:
        number += 1
        name = f"{base}-{number}"
    return name
