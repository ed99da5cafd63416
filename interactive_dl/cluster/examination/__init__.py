"""What a cluster's machines see of each other, before any engine is started on them.

Whoever examines them has a listener where the controller would be (``_line``), and leaves a mark in
a folder that they should share. A program on each machine calls and reads (``_sight``), and tells
what it has (``_facts``). Ranks are started as a cluster's would be; how that ended is an ``Ended``.
``_findings`` judges, in the same words for hosts of ssh (``ssh._examination``) and for nodes of a
job (``slurm.preflight``).
"""
