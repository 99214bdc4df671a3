"""`tailorbird doctor`."""

import socket


def test_doctor_fails_when_a_port_is_taken(tailorbird, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        assert tailorbird("doctor", "--data-dir", str(tmp_path), "--port-base", port) == 1
