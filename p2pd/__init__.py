"""A chat daemon with no server anywhere: see `docs/architecture.md`."""

__version__ = "0.1.0.dev0"
