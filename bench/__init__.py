"""How fast p2pd is here and now, each figure beside its goal and beside floors measured in the same run.

`make bench`, or `python -m bench FIGURE...`; `docs/performance.md` says what the figures mean.
"""
