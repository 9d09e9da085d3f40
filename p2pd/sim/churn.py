"""People who come and go: sessions and absences drawn from what was measured of real networks.

Knows nothing of what runs.
Rules: sessions are Weibull, by the fits that the figures for redundancy rest on (`docs/threat-model.md`): IPFS' of
Trautwein et al. 2022, Mainline's of the Helsinki measurements; absences are exponential, with the mean that gives the
availability.  The first session is drawn like any other, though the one that an onlooker meets is longer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import gamma
from random import Random
from typing import Protocol

from p2pd import limits
from p2pd.sim.network import World

_BEGIN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Sessions:
    """How long somebody is there, and how much of the time."""

    shape: float
    scale_h: float
    availability: float

    @property
    def session_mean_s(self) -> float:
        """Of the Weibull distribution."""
        return self.scale_h * limits.HOUR_S * gamma(1 + 1 / self.shape)

    @property
    def absence_mean_s(self) -> float:
        """What makes up the availability."""
        return self.session_mean_s * (1 - self.availability) / self.availability

    def session_s(self, random: Random) -> float:
        """One session."""
        return random.weibullvariate(self.scale_h * limits.HOUR_S, self.shape)

    def absence_s(self, random: Random) -> float:
        """One absence."""
        return random.expovariate(1 / self.absence_mean_s)


IPFS22 = Sessions(0.52, 1.94, 0.35)
MLDHT = Sessions(0.426, 7.9, 0.35)
"""Its availability was not measured; that of IPFS."""
PC8H = Sessions(1.5, 6.5, 0.25)
"""Office computers."""
MEASURED = (PC8H, IPFS22, MLDHT)
"""By a seed's remainder: many seeds play all of them."""


class Resident(Protocol):
    """Who comes and goes; `p2pd.sim.resident` has them."""

    def up(self) -> None:
        """Come."""
        ...

    def stop(self) -> None:
        """Go, and say so."""
        ...

    def down(self) -> None:
        """Vanish."""
        ...


class Churn:
    """Lets residents come and go from `start` until `stop`, which leaves everybody as they are."""

    def __init__(
        self,
        world: World,
        residents: Sequence[Resident],
        sessions: Sessions,
        seed: object = 0,
        *,
        killed: float = 0.5,
        for_good: float = 0.0,
        newcomer: Callable[[], Resident] | None = None,
    ) -> None:
        """`killed` is the share of sessions that end as by kill -9; `for_good` of those that are the last.

        `newcomer` gives somebody who is down so far, and comes in the place of who has gone for good.
        """
        self.comings = self.goings = 0
        self._world = world
        self._residents = residents
        self._sessions = sessions
        self._killed = killed
        self._for_good = for_good
        self._newcomer = newcomer
        self._random = Random(repr(("churn", seed)))
        self._on = False

    def start(self) -> None:
        """As many as are to be there at once go on; the others go within a minute."""
        self._on = True
        for resident in self._residents:
            stays = self._random.random() < self._sessions.availability
            wait_s = self._sessions.session_s(self._random) if stays else self._random.uniform(0, _BEGIN_WITHIN_S)
            self._world.after(wait_s, partial(self._go, resident))

    def stop(self) -> None:
        """Nobody comes or goes any more."""
        self._on = False

    def _go(self, resident: Resident) -> None:
        if not self._on:
            return
        self.goings += 1
        if self._random.random() < self._killed:
            resident.down()
        else:
            resident.stop()
        if self._random.random() < self._for_good:
            if self._newcomer is None:
                return
            resident = self._newcomer()
        self._world.after(self._sessions.absence_s(self._random), partial(self._come, resident))

    def _come(self, resident: Resident) -> None:
        if not self._on:
            return
        self.comings += 1
        resident.up()
        self._world.after(self._sessions.session_s(self._random), partial(self._go, resident))
