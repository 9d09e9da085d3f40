"""One short course of events, run by itself: prints the digest of its trace (`test_trace.py`).

python course.py SEED [FILE for the text]
"""

import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from p2pd.sim.adversaries import Dropper, Inventor, Liar
from p2pd.sim.churn import IPFS22, Churn
from p2pd.sim.conditions import Conditions
from p2pd.sim.crashes import CrashedError, Moment
from p2pd.sim.town import Town
from p2pd.sim.trace import Trace


def run(seed: str, trace: Trace) -> str:
    """Friends who write while their town is troubled; its digest."""
    weather = Conditions(loss=0.03, duplication=0.02, reordering=0.05, corruption=0.01)
    town = Town(seed, servers=8, conditions=weather, trace=trace)
    for behaviour in (Dropper, Liar, Inventor):
        town.server(behaviour)
    world = town.world
    alice, bob = town.friends("port-restricted", "symmetric")
    Churn(world, town.servers[4:], IPFS22, seed).start()
    for number in range(4):
        alice.send("bob", f"one {number}" + "x" * 900 * number)
        bob.send("alice", f"two {number}" + "y" * 9_000 * number)
        world.run(2)
    cut = world.cut([bob.host])
    alice.send("bob", "into the cut")
    world.run(30)
    world.heal(cut)
    world.crash_at(bob.host, Moment.AFTER_COMMIT, after=5)
    world.run(600)
    town.move(alice, "address-restricted")
    bob.up()
    alice.down(power=True)
    with suppress(CrashedError):  # where he had too little to commit meanwhile, he ends here
        bob.send("alice", "for later")
    world.run(1_200)
    alice.up()
    world.run(6_000)
    return trace.digest()


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w") if len(sys.argv) > 2 else nullcontext() as sink:
        sys.stdout.write(run(sys.argv[1], Trace(sink)) + "\n")
