"""Hyper-parameter search: the space, what happens in a search, and every decision about it.

All of this is pure: no cluster, no clock, no file. Who owns which state:

    journal (events.py)   the truth; one writer
      └─> Book (book.py)          a fold of it: trials, queue, limits, space, actions
            ├─> plan (planner.py)     book + engines -> what to start, stop, quarantine, ask for
            ├─> Study (study.py)      book -> an Optuna study, for asking and judging; disposable
            └─> frame.py              book -> tables

Who runs a search, in turn: asks ``plan`` what to do; does it and writes its event; ``Book.add``s
what was written; tells the ``Study`` of trials created and ended.
"""
