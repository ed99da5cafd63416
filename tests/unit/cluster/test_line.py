"""The line between nodes and the host of the notebook."""

from __future__ import annotations

import zmq

from interactive_dl.cluster.examination._line import Caller, Listener


def test_a_stranger_who_sends_two_frames_does_not_end_the_line() -> None:
    with Listener("127.0.0.1", "token") as listener, zmq.Context() as context:
        stranger = context.socket(zmq.REQ)
        stranger.linger = 0
        stranger.connect(f"tcp://127.0.0.1:{listener.port}")
        stranger.send_multipart([b"one", b"two"])
        assert stranger.poll(5000)
        assert stranger.recv() == b""
        stranger.close()
        caller = Caller("127.0.0.1", listener.port, "token", 5.0)
        caller.bring("node", b"facts")
        assert listener.answers("node") == [b"facts"]
        caller.close()
