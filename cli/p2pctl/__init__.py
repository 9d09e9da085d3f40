"""The command line of p2pd: a thin client of the daemon's control socket."""
