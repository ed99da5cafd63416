"""JupyterHub on a centre's login host: each person's server is a Slurm job of their own.

    .venv/bin/python -m jupyterhub -f deploy/jupyterhub/centre.py      # as root

It is to be loaded by a file of the site's own, which says what its jobs may use, and who may log
in how; by default it is whoever has an account, with its password:

    load_subconfig("/opt/interactive_dl/deploy/jupyterhub/centre.py")
    c.SlurmSpawner.req_partition = "interactive"
    c.SlurmSpawner.req_runtime = "8:00:00"
    c.SlurmSpawner.req_memory = "8G"
    c.SlurmSpawner.req_nprocs = "4"

Environment variables, besides those in common.py:
    IDL_HUB_INTERFACE: network interface on which compute nodes reach this host; by default the one
        that leads to Slurm.
"""

import os
import sys
from pathlib import Path

# It adds to the hub where servers report their ports.
import batchspawner  # noqa: F401

from interactive_dl.cluster.slurm.commands import listen_address

c = get_config()
load_subconfig(str(Path(__file__).with_name("common.py")))

c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allow_all = True
c.PAMAuthenticator.open_sessions = False

# Servers report to the hub from their nodes.
address = listen_address(os.environ.get("IDL_HUB_INTERFACE"))
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_bind_url.replace("127.0.0.1", address)

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.BatchSpawnerBase.exec_prefix = "runuser -u {username} --"
c.BatchSpawnerBase.batchspawner_singleuser_cmd = str(
    Path(sys.prefix) / "bin" / "batchspawner-singleuser"
)
c.Spawner.env_keep = ["LANG", "LC_ALL", "PATH", "SLURM_CONF"]
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 120
# A server listens where the hub looks for it: on the address of its node's name.
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --job-name=jupyterhub
#SBATCH --output={{homedir}}/.jupyterhub.log
#SBATCH --chdir={{homedir}}
#SBATCH --export={{keepvars}}
#SBATCH --no-requeue
{% if partition %}#SBATCH --partition={{partition}}
{% endif %}{% if account %}#SBATCH --account={{account}}
{% endif %}{% if qos %}#SBATCH --qos={{qos}}
{% endif %}{% if reservation %}#SBATCH --reservation={{reservation}}
{% endif %}{% if runtime %}#SBATCH --time={{runtime}}
{% endif %}{% if memory %}#SBATCH --mem={{memory}}
{% endif %}{% if gres %}#SBATCH --gres={{gres}}
{% endif %}{% if nprocs %}#SBATCH --cpus-per-task={{nprocs}}
{% endif %}{% if options %}#SBATCH {{options}}
{% endif %}
umask 077
{{prologue}}
address=$(getent ahostsv4 "$SLURMD_NODENAME" | { read -r first rest; echo "$first"; })
exec {{cmd}} --ServerApp.ip="${address:?this node does not know its own address}"
"""
