"""Engines in a Slurm job: one allocation, one MPI world.

``request``, ``launchers``, ``script``, ``jobs`` and ``profile`` are text and values; ``commands``
and ``watching`` speak with Slurm; a cluster uses ``_allocation``.
"""
