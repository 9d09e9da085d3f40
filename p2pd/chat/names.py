"""Petnames: what our user calls people.

Rules: a name needs no quoting in a shell, is no address, no option and no id; names are told apart without case.
A name that comes from others never becomes one that looks like another's: it gets a number (Unicode UTS 39 calls such
names confusable; of its table the letters are here that Latin shares with Cyrillic, Greek, Armenian, Cherokee and Lisu,
its own small capitals, and what is as round as an o).  What shows nothing makes no difference between two names.
"""

import unicodedata
from collections.abc import Iterable

from p2pd import limits
from p2pd.errors import UsageError
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address

_MARKS = "._-+"
_SHAPES = {
    "a": "\u0430\u03b1\u0251\u13aa\ua4ee",
    "b": "\u042c\u042a\u0184\u0392\u0412\u13f4\ua4d0",
    "c": "\u0441\u03f2\u0421\u1d04\u13df\ua4da",
    "d": "\u0501\u13a0\ua4d3",
    "e": "\u0435\u04bd\u0395\u0415\u0454\u13ac\ua4f0",
    "f": "\u03dd\ua4dd",
    "g": "\u0261\u0581\u13c0\ua4d6",
    "h": "\u04bb\u0570\u0397\u041d\u13bb\ua4e7",
    "i": "\u0456\u03b9\u0269\u0131\u026a\ua4f2",
    "j": "\u0458\u03f3\u13ab\ua4d9",
    "k": "\u043a\u03ba\u039a\u041a\u13e6\ua4d7",
    "l": "1I\u04cf|\u0399\u0406\u04c0\u01c0\u13de\ua4e1",
    "m": "\u043c\u039c\u041c\u13b7\ua4df",
    "n": "\u0578\u0572\u039d\ua4e0",
    "o": "0\u043e\u03bf\u03c3\u0585\u039f\u041e\u1d0f"
    "\u0966\u09e6\u0a66\u0ae6\u0b66\u0c66\u0ce6\u0d66\u0e50\u0ed0\u1040\u101d\u0d20\u0b20\u05e1\u0665\u0647\u2c9f\ua4f3",
    "p": "\u0440\u03c1\u03a1\u0420\u13e2\ua4d1",
    "q": "\u051b\u0566",
    "r": "\u0433\u1d26\u13a1\ua4e3",
    "s": "\u0455\u0405\ua731\u13da\ua4e2",
    "t": "\u0442\u03c4\u03a4\u0422\u13a2\ua4d4",
    "u": "\u03c5\u057d\u1d1c\ua4f4",
    "v": "\u03bd\u0475\u1d20\u13d9\ua4e6",
    "w": "\u051d\u03c9\u1d21\u13b3\ua4ea",
    "x": "\u0445\u03c7\u03a7\u0425\ua4eb\u00d7",
    "y": "\u0443\u03b3\u0423\u03a5\u0263\u028f\u13bd\ua4ec",
    "z": "\u0396\u1d22\u13c3\ua4dc",
}
"""Letters by the Latin one that they look like."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks by category that show nothing."""
_UNSEEN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))
_LATIN = {ord(letter): latin for latin, letters in _SHAPES.items() for letter in letters}


def checked_name(text: str) -> str:
    """A name as it will be kept; raises `UsageError`."""
    name = unicodedata.normalize("NFKC", text.strip().removeprefix("@"))
    if not name or len(name) > limits.NAME_CHARS:
        raise UsageError(f"a name has 1 to {limits.NAME_CHARS} characters")
    if not all(_may_be_named(letter) for letter in name) or name[0] in "-+":
        raise UsageError(
            "a name has letters, digits and . _ - + only, and begins with none of - and +",
            hint="so that it needs no quoting in a shell",
        )
    return name


def same_name(one: str, other: str) -> bool:
    """Whether two names would be taken for each other, also where a keyboard writes letter and accent apart."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def looks_alike(one: str, other: str) -> bool:
    """Whether a reader might take one name for the other, letters of other scripts included."""
    return same_name(one, other) or _skeleton(one) == _skeleton(other)


def _skeleton(name: str) -> str:
    """The name in Latin letters of the same shape, capitals first: it is by them that some letters look alike."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if not _shows_nothing(letter))
    latin = seen.translate(_LATIN).casefold().translate(_LATIN)
    return latin.replace("rn", "m").replace("vv", "w")


def _may_be_named(letter: str) -> bool:
    return (letter.isalnum() and letter not in _BLANK) or letter in _MARKS


def _shows_nothing(letter: str, *, but: str = "") -> bool:
    """Whether a letter is invisible or only a gap: names have none, and a claimed one must not differ by one alone."""
    if letter in but:
        return False
    is_variation = "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"
    return letter in _BLANK or is_variation or unicodedata.category(letter) in _UNSEEN


def free_name(wish: str, identity: IdentityKey, taken: Iterable[str]) -> str:
    """A name that nobody has, as near to the wish as the rules allow; without a wish the address's first letters."""
    plain = unicodedata.normalize("NFKC", wish.strip())  # first: it can make one letter into many, and into spaces
    kept = "".join(letter if _may_be_named(letter) else "-" for letter in plain if not _shows_nothing(letter, but=" "))
    base = kept.strip("-+")[: limits.NAME_CHARS - 5].rstrip("-+") or encode_address(identity)[4:12]
    used = {_skeleton(name) for name in taken}
    number, name = 1, base
    while _skeleton(name) in used:
        number += 1
        name = f"{base}-{number}"
    return name
