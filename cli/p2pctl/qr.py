"""QR codes in a terminal: two rows of modules in each line of half blocks.

Knows no command.  Rules: light modules are painted and dark ones are left out, as on a dark terminal; where colour may
be used the colours are set, so that it is right on a light one too.  What cannot be shown is an error, not a smear.
"""

import shutil
import sys
from itertools import zip_longest

from p2pctl.terminal import has_colour, show
from p2pd.errors import FailedError

QUIET = 4
"""Light modules on every side, ISO/IEC 18004."""
_HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
"""By the upper and the lower module, 1 for dark."""
_LIGHT_ON_DARK = "\x1b[97;40m"
_END = "\x1b[0m"


def show_qr(text: str) -> None:
    """The code on standard output, with its error where the terminal cannot hold it."""
    lines = qr_lines(text)
    width, columns = len(lines[0]), shutil.get_terminal_size().columns
    if sys.stdout.isatty() and columns < width:
        raise FailedError(f"the code is {width} columns wide, and the terminal {columns}", hint="make it wider")
    try:
        "█▀▄".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        raise FailedError("this terminal cannot show a QR code", hint="it needs UTF-8: see LANG") from None
    begin, end = (_LIGHT_ON_DARK, _END) if has_colour(sys.stdout) else ("", "")
    for line in lines:
        show(f"{begin}{line}{end}")


def qr_lines(text: str) -> list[str]:
    """The code of a text whose letters' case does not matter: in upper case it is a third smaller."""
    import segno

    rows = [bytes(row) for row in segno.make_qr(text.upper(), error="l").matrix_iter(border=QUIET)]
    light = bytes(len(rows[0]))
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=light)
    return ["".join(_HALVES[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs]
