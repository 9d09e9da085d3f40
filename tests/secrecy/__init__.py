"""What p2pd promises to keep secret, tried by who wants to know: `make secrecy`, one line for each promise.

Each module has a `run(count, seed)` that gives its line: at full size by `python -m tests.secrecy`, small by
`test_secrecy.py`.  They use the casts, networks and mutations of the other tests; what they add is the counting.
"""
