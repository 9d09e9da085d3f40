"""Libraries that ours import and we use nothing of: a small module stands in for each while ours are being imported.

They would cost a third of the daemon's start and a sixth of its memory.  Who leaves one out says why beside it: nothing
that we call may reach into it, and what is reached for all the same raises `AttributeError`.
Rules: what is loaded already stays; what stands in is gone when the import is over, so that others get the real one.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def standing_in(modules: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
    """While inside, importing one of the modules, by its full name, gives one with these attributes and no others."""
    placed: dict[str, ModuleType] = {}
    for name, attributes in modules.items():
        if name not in sys.modules:
            placed[name] = ModuleType(name, "Stands in for a library that is not used.")
            vars(placed[name]).update(attributes)
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
