"""What can befall nodes: each happening is a function that draws from the stage's chance whom, how and how long.

Knows no protocol.  Rules: what begins here ends by itself after a while, or when the stage is healed; a happening that
finds nobody to befall does nothing.
"""

from collections.abc import Callable
from random import Random

from p2pd import limits
from p2pd.sim.conditions import Conditions
from p2pd.sim.crashes import Moment
from p2pd.sim.nat import KINDS, Carried
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Stage

Happening = Callable[[Stage], None]

_SECONDS = (0.3, 2.0, 8.0, 40.0, 150.0, 600.0)
_STALL_S = 60.0
_FULL_S = 60.0
"""Not longer: the engine is built anew every second meanwhile, which is dear to simulate."""
_SMALL_MTU_BYTES = limits.QUIC_DATAGRAM_BYTES - 1
"""Datagrams of the DHT pass, and nothing of QUIC's."""
_JUMPS_S = (1.0, 30.0, 700.0, 7_200.0, 90_000.0)
"""Of clocks: from below the tolerance of ten minutes to more than a day."""


def kill(stage: Stage) -> None:
    """A process ends at once, or the machine with it; it comes back."""
    resident = _someone(stage)
    if resident is not None:
        stage.revive_after = _while
        resident.down(power=stage.random.random() < 0.3)


def stop(stage: Stage) -> None:
    """A daemon is stopped as it should be, and started again."""
    resident = _someone(stage)
    if resident is not None:
        stage.revive_after = _while
        resident.stop()


def crash(stage: Stage) -> None:
    """A process, or its machine, ends at one of its next commits or effects."""
    resident = _someone(stage)
    if resident is not None:
        moment = stage.random.choice(list(Moment))
        after, power = stage.random.choice((1, 1, 2, 3, 5, 9)), stage.random.random() < 0.3
        stage.revive_after = _while
        stage.world.crash_at(resident.host, moment, after=after, power=power)


def bug(stage: Stage) -> None:
    """A turn meets an unexpected exception: undone, and the engine is built anew; three end the process."""
    resident = _someone(stage)
    if resident is not None:
        stage.revive_after = _while
        stage.world.break_turn(resident.host, stage.random.choice((1, 1, 1, 2, 3)))


def full_disk(stage: Stage) -> None:
    """A disk takes nothing more for a while."""
    resident = _someone(stage)
    if resident is not None:
        stage.world.full_disk(resident.host)
        stage.world.after(min(_while(stage), _FULL_S), lambda: resident.disk.set_full(False))


def suspend(stage: Stage) -> None:
    """A machine sleeps: its steady clock stands still."""
    resident = _someone(stage)
    if resident is not None:
        stage.world.sleep(resident.host)
        stage.world.after(_while(stage), lambda: stage.world.wake(resident.host))


def stall(stage: Stage) -> None:
    """A process is not run for a while."""
    resident = _someone(stage)
    if resident is not None:
        stage.world.stall(resident.host, min(_while(stage), _STALL_S))


def silence(stage: Stage) -> None:
    """A host swallows everything for a while."""
    resident = _someone(stage)
    if resident is not None:
        stage.world.silence(resident.host)
        stage.world.after(_while(stage), lambda: stage.world.silence(resident.host, False))


def jump(stage: Stage) -> None:
    """A wall clock jumps, either way, and back again after a while."""
    resident = _someone(stage)
    if resident is not None:
        stage.jump(resident.host, stage.random.choice((-1, 1)) * stage.random.choice(_JUMPS_S))
        stage.world.after(_while(stage), lambda: stage.set_right(resident.host))


def leap(stage: Stage) -> None:
    """A steady clock leaps forward, and its wall clock with it or not; back it never goes."""
    resident = _someone(stage)
    if resident is not None:
        seconds = stage.random.choice(_JUMPS_S)
        if stage.random.random() < 0.5:
            stage.jump(resident.host, seconds)
            stage.world.after(_while(stage), lambda: stage.set_right(resident.host))
        stage.world.jump_steady(resident.host, seconds)


def cut(stage: Stage) -> None:
    """Some hosts are apart from the others for a while, or cannot send to them."""
    hosts = stage.world.hosts()
    these = stage.random.sample(hosts, stage.random.randint(1, max(1, len(hosts) // 2)))
    apart = stage.world.cut(these, one_way=stage.random.random() < 0.3)
    stage.world.after(_while(stage), lambda: stage.world.heal(apart))


def no_way(stage: Stage) -> None:
    """Two people have no direct way to each other for a while, as behind routers that let nothing in."""
    if len(stage.people) > 1:
        one, other = stage.random.sample(stage.people, 2)
        between = stage.world.cut([one.host], [other.host])
        stage.world.after(_while(stage), lambda: stage.world.heal(between))


def move(stage: Stage) -> None:
    """Somebody goes elsewhere: another address, another router."""
    if stage.people:
        stage.town.move(stage.random.choice(stage.people), some_kind(stage.random))


def block(stage: Stage) -> None:
    """A router lets no QUIC through for a while, or nothing at all."""
    if stage.people:
        person = stage.random.choice(stage.people)
        person.block(*stage.random.choice(((Carried.QUIC,), tuple(Carried))))
        stage.world.after(_while(stage), person.block)


def restart_router(stage: Stage) -> None:
    """A router forgets whom it let through."""
    if stage.people:
        stage.random.choice(stage.people).restart_router()


def weather(stage: Stage) -> None:
    """Other conditions between all, or round one host, until they change again."""
    draw = stage.random
    slow_s = draw.choice((0.04, 0.04, 0.2, 1.0))
    conditions = Conditions(
        latency_s=(0.005, slow_s),
        loss=draw.choice((0.0, 0.02, 0.1, 0.3)),
        duplication=draw.choice((0.0, 0.0, 0.1)),
        reordering=draw.choice((0.0, 0.1, 0.3)),
        reordering_s=draw.choice((0.05, 0.5, 3.0)),
        corruption=draw.choice((0.0, 0.0, 0.05)),
        mtu_bytes=draw.choice((limits.QUIC_DATAGRAM_BYTES, limits.QUIC_DATAGRAM_BYTES, _SMALL_MTU_BYTES)),
    )
    host = draw.choice(stage.world.hosts()) if draw.random() < 0.4 else None
    stage.world.weather.set(conditions, host)


def some_kind(random: Random) -> str:
    """How somebody is connected who is not blocked: half of the time in the open."""
    if random.random() < 0.5:
        return "public"
    return random.choice([kind for kind in KINDS if not kind.endswith("blocked")])


def _someone(stage: Stage) -> Resident | None:
    """People as often as servers, however few they are."""
    group = stage.people if stage.random.random() < 0.5 else stage.town.residents
    there = [resident for resident in group if resident.is_up]
    return stage.random.choice(there) if there else None


def _while(stage: Stage) -> float:
    return stage.random.choice(_SECONDS) * stage.random.uniform(0.5, 1.5)


MENU: tuple[tuple[Happening, int], ...] = (
    (kill, 8),
    (stop, 3),
    (crash, 12),
    (bug, 4),
    (full_disk, 4),
    (suspend, 4),
    (stall, 3),
    (silence, 3),
    (jump, 4),
    (leap, 2),
    (cut, 5),
    (no_way, 8),
    (move, 4),
    (block, 3),
    (restart_router, 2),
    (weather, 5),
)
"""Everything, and how often of all."""


def anything(stage: Stage) -> None:
    """One of all, by their weights."""
    happenings, weights = zip(*MENU, strict=True)
    stage.random.choices(happenings, weights)[0](stage)
