"""`tailorbird probe`."""

import socket


def test_a_dead_process_is_not_healthy(tailorbird):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    assert tailorbird("probe", f"127.0.0.1:{port}", "--seconds", "0.2") == 1
    assert tailorbird("probe", f"http://127.0.0.1:{port}/health", "--seconds", "0.2") == 1


def test_a_malformed_target_is_refused(tailorbird, capsys):
    assert tailorbird("probe", "gateway") == 1
    assert "HOST:PORT" in capsys.readouterr().err
