"""Grows the corpus: `python -m tests.fuzz [COUNT] [SEED]`."""

import sys

from tests.fuzz.corpus import FOLDER, file_of, grown
from tests.fuzz.targets import TARGETS


def main() -> None:
    """Try each target so often, and keep what was new."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    seed = sys.argv[2] if len(sys.argv) > 2 else "1"
    FOLDER.mkdir(exist_ok=True)
    for name, target in TARGETS.items():
        lines = [data.hex() for data in grown(name, target, count, f"{seed} {name}")]
        file_of(name).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        sys.stdout.write(f"{name}: {len(lines)}\n")


if __name__ == "__main__":
    main()
