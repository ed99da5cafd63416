"""JupyterHub on a workstation: whoever has an account logs in with its password.

    make hub        # as root for all accounts, else for your own; http://127.0.0.1:8000

It listens on 127.0.0.1 alone. Clusters are local ones, ``idl.Cluster(engines=4)``.
"""

import getpass
import os
from pathlib import Path

c = get_config()
load_subconfig(str(Path(__file__).with_name("common.py")))

c.JupyterHub.authenticator_class = "pam"
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.PAMAuthenticator.open_sessions = False
if os.geteuid() == 0:
    c.PAMAuthenticator.allow_all = True
else:
    # Only root may start servers of other accounts.
    c.PAMAuthenticator.allowed_users = {getpass.getuser()}
