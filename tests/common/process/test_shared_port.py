"""One port for several processes of one parent, and for nobody else."""

import socket

import pytest

from common.errors import InvalidInput
from common.process.shared_port import shared_port


def test_several_sockets_listen_on_the_port_side_by_side():
    with shared_port("127.0.0.1:0") as address:
        port = int(address.rpartition(":")[2])
        with (
            socket.create_server(("127.0.0.1", port), reuse_port=True),
            socket.create_server(("127.0.0.1", port), reuse_port=True),
            socket.create_connection(("127.0.0.1", port)),
        ):
            assert port > 0


def test_a_port_on_which_somebody_listens_is_refused_though_it_could_be_shared():
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(InvalidInput, match="which cannot be bound"), shared_port(address):
            pass


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:none", "no.such.host.invalid:1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidInput, match="want a free HOST:PORT"), shared_port(address):
        pass
