"""The numbers of links that the core chooses: one row for all, since a link may go over a relay or over none."""


class LinkNumbers:
    """Counts from 1; those of incoming links, which the world chooses, are negative."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """One that was never used."""
        self._last += 1
        return self._last
