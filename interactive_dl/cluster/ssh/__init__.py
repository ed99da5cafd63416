"""Engines on hosts that ssh reaches: workstations or servers with one file system, no scheduler.

Processes, all of this user:

- **on the notebook's host**: controller, recorder, and a steward (``ssh.steward``), which starts
  the world of engines, looks after it, and starts it again where hosts are lost;
- **on each host**: a guard (``ssh.host``) at the other end of an ssh connection that the steward
  keeps open. It answers while the host does, and ends what is left of the engines there when it is
  told to, when the steward has ended, and when it has not heard of it for some seconds.
"""
