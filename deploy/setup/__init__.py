"""Set-up of the checkout's ``.venv``, Horovod's wheel included: ``make setup``.

Standard library only: it runs before anything is installed.
"""
