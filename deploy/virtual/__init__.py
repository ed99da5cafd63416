"""A computing centre on one machine: hosts of their own network, and a real Slurm over them.

    python -m deploy.virtual [--nodes 4] [--cpus 4] [COMMAND ...]

runs a command (by default a shell) on the login host, and removes all of it when that ends. Needs
root and Linux; no service manager, no container, no cgroup.
"""

NETWORKS_VARIABLE = "IDL_VIRTUAL_NETWORKS"
"""Environment variable of the command: JSON, an open file for each host's network by its name."""
