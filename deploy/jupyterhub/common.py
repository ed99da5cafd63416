"""What the hubs of this folder have in common; workstation.py and centre.py load it.

They are read by JupyterHub, which is started with one of them: ``jupyterhub -f workstation.py``.

Environment variables:
    IDL_HUB_PORT: of the pages that people open; the next two ports are the proxy's and the hub's
        own. 8000 by default.
    IDL_HUB_STATE: folder for the hub's data base and keys, which only its user may read.
"""

import os
import sys
from pathlib import Path

c = get_config()

environment = Path(sys.prefix)
port = int(os.environ.get("IDL_HUB_PORT", "8000"))
if "IDL_HUB_STATE" in os.environ:
    state = Path(os.environ["IDL_HUB_STATE"])
elif os.geteuid() == 0:
    state = Path("/var/lib/interactive_dl_hub")
else:
    state = Path.home() / ".local" / "state" / "interactive_dl_hub"
state.mkdir(mode=0o700, parents=True, exist_ok=True)
state.chmod(0o700)

c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{state / 'hub.sqlite'}"
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.ConfigurableHTTPProxy.command = [
    str(environment / "hub" / "node_modules" / ".bin" / "configurable-http-proxy")
]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 1}"
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 2}"

# The users' servers share the environment that this hub runs in; terminals find `idl` in it.
c.Spawner.cmd = [str(environment / "bin" / "jupyterhub-singleuser")]
# Without keys, whoever is on the same host could connect to a kernel or to a controller, and hear
# what is printed.
c.Spawner.environment = {
    "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
    "IPP_ENABLE_CURVE": "1",
}
c.Spawner.args = ["--KernelManager.transport_encryption=auto"]
c.Spawner.default_url = "/lab"
