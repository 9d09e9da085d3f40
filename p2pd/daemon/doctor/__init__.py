"""What `p2pctl doctor` runs: `python -m p2pd.daemon.doctor` looks at one home, its daemon and its network.

It is a process of its own, so that it works with the daemon running or stopped, and never holds the daemon up.
Rules: it changes nothing in the home, unless it is told to set a damaged `dht.db` aside; every check ends with one
finding, whatever happens; a finding that is not `ok` says what to do next.
"""
