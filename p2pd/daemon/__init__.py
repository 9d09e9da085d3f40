"""The daemon: a home opened, its parts put together, and the control API over them."""
