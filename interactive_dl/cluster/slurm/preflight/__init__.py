"""Before engines are started on compute nodes: a job of the same request looks at them.

On this host something listens where a cluster's controller would. In the job a program on every
node calls there, and one on the first node starts ranks as a cluster would, and as a plain ``srun``
would (``__main__``). All that they see comes back through the network and as files in a folder that
the nodes should see, so that either may fail. ``_findings`` judges it.
"""

from __future__ import annotations

from interactive_dl.cluster.slurm.preflight._examination import examine

__all__ = ["examine"]
