"""A computing centre on one machine: hosts of their own network, a real Slurm and ssh over them.

    python -m deploy.virtual [--nodes 4] [--cpus 4] [COMMAND ...]

runs a command (by default a shell) on the login host, and removes all of it when that ends. Needs
root and Linux; no service manager, no container, no cgroup. Accounts of the machine are accounts
there, too. Where the interpreter or the checkout lies in a home that only its owner may enter, that
home is an empty one as long as the centre is up, but for these two.
"""

NETWORKS_VARIABLE = "IDL_VIRTUAL_NETWORKS"
"""Environment variable of the command: JSON, an open file for each host's network by its name."""

SSH_VARIABLE = "IDL_VIRTUAL_SSH"
"""Environment variable of the command: a configuration file with which ssh reaches every host."""
