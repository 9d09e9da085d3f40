"""Fuzzing: mutations that know the shape of what they change, everything that reads foreign bytes, and a kept corpus.

`make secrecy ARGS=fuzz` tries each target at its full size; `test_corpus.py` replays `corpus/` in every check;
`python -m tests.fuzz` keeps one small input for each new outcome.
"""
