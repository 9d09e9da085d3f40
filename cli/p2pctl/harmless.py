"""Text that came from others, made fit to be seen: control, escape, bidi and invisible characters become marks.

Knows nothing of where the text goes; `terminal` prints it.
Rules: what is left prints one glyph at a place the reader can predict: no terminal obeys it, nothing runs backwards by
command, nothing hides.  Joiners and emoji presentation stay where a script or an emoji needs them, and only in texts.
Source: Trojan Source (CVE-2021-42574); ECMA-48 for what terminals obey.
"""

_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
"""Unicode's own pictures of the ASCII control characters."""
_IN_TEXT = {code: glyph for code, glyph in _VISIBLE.items() if code not in (0x09, 0x0A)}

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks by category that show nothing; the rest of what is invisible has a category of its own."""
_HIDING = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
_JOINERS = frozenset("\u200c\u200d")
_EMOJI_STYLE = "\ufe0f"


def harmless(text: str) -> str:
    """A text of several lines with everything harmful made visible; newlines and tabs stay."""
    marked = text.translate(_IN_TEXT)
    return marked if marked.isascii() else _mark(marked, "\n\t", joins=True)


def harmless_line(text: str) -> str:
    """The same for names and whatever else must stay on its line: nothing invisible is left, nor newlines or tabs."""
    marked = text.translate(_VISIBLE)
    return marked if marked.isascii() else _mark(marked, "", joins=False)


def _mark(text: str, kept: str, *, joins: bool) -> str:
    from unicodedata import category

    shown = []
    for place, letter in enumerate(text):
        hiding = category(letter) in _HIDING or letter in _INVISIBLE or _varies(letter) or _is_reserved(letter)
        if not hiding or letter in kept or (joins and _is_needed(text, place)):
            shown.append(letter)
        else:
            shown.append(f"<U+{ord(letter):04X}>")
    return "".join(shown)


def _varies(letter: str) -> bool:
    """Whether it is a variation selector: by category a mark, in truth invisible and able to carry hidden data."""
    return "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef" or "\u180b" <= letter <= "\u180f"


def _is_reserved(letter: str) -> bool:
    """Whether it is a code point that Unicode reserves for the invisible, assigned or not (DerivedCoreProperties)."""
    return letter == "\u2065" or "\ufff0" <= letter <= "\ufff8" or "\U000e0000" <= letter <= "\U000e0fff"


def _is_needed(text: str, place: int) -> bool:
    """Whether an invisible character does its lawful work here: joins emoji or letters of a script that joins."""
    letter, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if letter == _EMOJI_STYLE:
        return _is_emoji(before) or (before in "#*0123456789" and after == "\u20e3")
    if letter not in _JOINERS:
        return False
    before = text[place - 2 : place - 1] if before == _EMOJI_STYLE else before
    return (_is_emoji(before) and _is_emoji(after)) or (_joins(before) and _joins(after))


def _is_emoji(letter: str) -> bool:
    from unicodedata import category

    return bool(letter) and not letter.isascii() and category(letter) in ("So", "Sk", "Sm")


def _joins(letter: str) -> bool:
    from unicodedata import category

    # Latin, Greek and Cyrillic have two cases and need no joiners; the scripts that do have one.
    return bool(letter) and category(letter) in ("Lo", "Mn", "Mc")
