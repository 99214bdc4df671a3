"""What connections may cost: many, slow, endless and unread ones leave room for honest clients."""

import json
import re
import socket
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import httpx
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.testing import wait_until
from gateway.admission import CallLimits
from gateway.connections import ConnectionLimits
from tests.gateway.conftest import answer_class, running_gateway
from tests.gateway.wire import CAMPAIGN, RECOMMENDATIONS, answer, connected, received, signed

PATIENT = ConnectionLimits(header_seconds=30, body_seconds=30, send_seconds=30)


@pytest.fixture
def start(endpoint, rpc_keys):
    """Return a function that runs another gateway before the same services, and gives its address."""
    with ExitStack() as stack:

        def started(connections=PATIENT, calls=None):
            return stack.enter_context(
                running_gateway(
                    endpoint.access_keys,
                    endpoint.targets,
                    token=rpc_keys.token("gateway"),
                    connections=connections,
                    calls=calls or CallLimits(),
                )
            )

        yield started


def asked(endpoint, url):
    """Ask as an honest client with a connection of its own does."""
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as connection:
        connection.sendall(head + body)
        return answer(connection)


@pytest.fixture
def gate(endpoint):
    """Hold every GetRecommendations until the test lets go."""
    opened = threading.Event()

    def wait():
        assert opened.wait(60)
        return answer_class("personalize-runtime", "GetRecommendations")()

    endpoint.servicers["personalize-runtime"].answers["GetRecommendations"] = wait
    yield opened
    opened.set()


def test_idle_connections_make_room_for_new_ones(endpoint, start):
    url = start(replace(PATIENT, max_connections=20))
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(url)) for _ in range(60)]

        assert asked(endpoint, url).status == 200
        assert received(idle[0]) == b""


def test_the_longest_idle_connection_goes_first(endpoint, start):
    url = start(replace(PATIENT, max_connections=3))
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with ExitStack() as stack:
        used, idle, *_ = [stack.enter_context(connected(url)) for _ in range(3)]
        used.sendall(head + body)
        assert answer(used).status == 200

        assert asked(endpoint, url).status == 200
        assert received(idle) == b""
        used.sendall(head + body)
        assert answer(used).status == 200


def test_when_every_connection_is_at_work_a_new_one_is_told_to_come_again(endpoint, start, gate):
    url = start(replace(PATIENT, max_connections=5))
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with ExitStack() as stack:
        busy = [stack.enter_context(connected(url)) for _ in range(5)]
        for connection in busy:
            connection.sendall(head + body)
        wait_until(lambda: len(endpoint.servicers["personalize-runtime"].requests) == 5)

        refused = asked(endpoint, url)
        gate.set()
        assert [answer(connection).status for connection in busy] == [200] * 5
        for connection in busy:
            connection.close()

    assert refused.status == 503
    assert refused.headers["x-amzn-errortype"] == "ServiceUnavailableException"
    assert refused.headers["retry-after"] == "1"
    assert len(refused.headers["x-amzn-requestid"]) == 36
    assert asked(endpoint, url).status == 200


def test_headers_that_do_not_end_in_time_are_not_waited_for(start):
    url = start(replace(PATIENT, header_seconds=0.3))
    with connected(url) as slow, connected(url) as silent:
        slow.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\n")

        told = answer(slow)

        assert told.status == 408
        assert told.headers["x-amzn-errortype"] == "RequestTimeoutException"
        assert received(slow) == b""
        assert received(silent) == b""


def test_headers_that_come_drop_by_drop_have_no_more_time(start):
    url = start(replace(PATIENT, header_seconds=0.3))
    stop = threading.Event()
    with connected(url) as slow:

        def drip():
            slow.sendall(b"POST /events HTTP/1.1\r\nX-Slow: ")
            while not stop.wait(0.02):
                try:
                    slow.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert received(slow).startswith(b"HTTP/1.1 408 ")
        finally:
            stop.set()
            dripping.join()


def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(endpoint, start):
    url = start(replace(PATIENT, header_seconds=0.3))
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as connection:
        connection.sendall(head + body)
        assert answer(connection).status == 200
        connection.sendall(b"\r\nPOST /events")

        assert answer(connection).status == 408


def pour(connection, text):
    """Send the same again and again, until the other side has closed."""
    with suppress(ConnectionError):
        while True:
            connection.sendall(text)


@pytest.mark.parametrize(
    "line", [b"X-Header: " + b"x" * 1000 + b"\r\n", b"x" * 1000], ids=["many headers", "one header"]
)
def test_headers_without_end_are_refused_once_they_are_too_large(endpoint, start, line):
    url = start(replace(PATIENT, max_header_bytes=8192))
    with connected(url) as endless:
        endless.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        pour(endless, line)
        told = received(endless)

    assert told == b"" or told.startswith(b"HTTP/1.1 431 ")
    assert asked(endpoint, url).status == 200


def test_large_headers_are_refused_with_a_modelled_error(start):
    url = start(replace(PATIENT, max_header_bytes=8192))
    with connected(url) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nX-Large: " + b"x" * 8192 + b"\r\n\r\n")

        told = answer(connection)

    assert told.status == 431
    assert told.headers["x-amzn-errortype"] == "RequestHeaderFieldsTooLargeException"
    assert len(told.headers["x-amzn-requestid"]) == 36


def test_headers_may_have_any_size_up_to_the_limit_whatever_body_follows(endpoint, start):
    url = start(replace(PATIENT, max_header_bytes=8192))
    body = RECOMMENDATIONS + b" " * 30_000
    head, _ = signed(endpoint.key, url, "/recommendations", body, headers={"X-Large": "x" * 7000})
    with connected(url) as connection:
        connection.sendall(head + body)

        assert answer(connection).status == 200


@pytest.mark.parametrize("length", [b"4000000", b"10"], ids=["large", "small"])
def test_an_unsigned_request_is_refused_before_its_body_has_come(start, length):
    url = start()
    with connected(url) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n{")

        told = answer(connection)

        assert told.status == 403
        assert told.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
        assert received(connection) == b""  # what is missing is not waited for


def test_a_request_of_an_unknown_key_is_refused_before_its_body_has_come(endpoint, start):
    url = start()
    head, _ = signed(replace(endpoint.key, access_key_id="TBUNKNOWN"), url, "/events", b"x" * 1_000_000)
    with connected(url) as connection:
        connection.sendall(head)

        assert answer(connection).headers["x-amzn-errortype"] == "UnrecognizedClientException"


def test_a_connection_goes_on_after_a_refusal_when_the_body_has_come(endpoint, start):
    url = start()
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        assert answer(connection).status == 403
        connection.sendall(b"x" * 300_000)
        connection.sendall(head + body)

        assert answer(connection).status == 200


def test_a_body_that_says_that_it_is_too_large_is_not_received(endpoint, start):
    url = start(calls=CallLimits(max_body_bytes=1000))
    head, _ = signed(endpoint.key, url, "/events", b"x" * 1001)
    with connected(url) as connection:
        connection.sendall(head)

        assert answer(connection).status == 413


def test_a_body_that_does_not_end_in_time_is_not_waited_for(endpoint, start):
    url = start(replace(PATIENT, body_seconds=0.3))
    head, body = signed(endpoint.key, url, "/events", b"x" * 1000)
    with connected(url) as connection:
        connection.sendall(head + body[:-1])

        told = answer(connection)

        assert told.status == 408
        assert told.headers["x-amzn-errortype"] == "RequestTimeoutException"
        assert received(connection) == b""


def test_unfinished_bodies_together_have_a_limit_and_leave_when_their_clients_do(endpoint, start):
    url = start(calls=CallLimits(max_buffered_bytes=1_000_000))
    head, body = signed(endpoint.key, url, "/events", b"x" * 400_000)
    with ExitStack() as stack:
        unfinished = [stack.enter_context(connected(url)) for _ in range(3)]
        for connection in unfinished:
            connection.sendall(head + body[:-1])

        told = first_answer(unfinished)
        assert told.status == 429
        assert told.headers["x-amzn-errortype"] == "ThrottlingException"
        assert asked(endpoint, url).status == 200


def first_answer(connections):
    """Return the answer that any of several connections gets."""
    for connection in connections:
        connection.setblocking(False)
    found = []

    def ready():
        for connection in connections:
            try:
                connection.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            found.append(connection)
        return bool(found)

    wait_until(ready)
    found[0].settimeout(30)
    return answer(found[0])


REQUESTS = {
    "personalize-runtime": ("/recommendations", RECOMMENDATIONS, None),
    "personalize": ("/", b"{}", "AmazonPersonalize.ListRecipes"),
}


@pytest.fixture
def full(endpoint, start, gate):
    """Return a function that fills the places for calls of one service of a new gateway, and gives its address."""
    endpoint.servicers["personalize"].answers["ListRecipes"] = lambda: gate.wait(60) and None
    with ExitStack() as stack:

        def filled(service, places=3):
            url = start(calls=CallLimits(max_calls_in_flight=places))
            path, content, target = REQUESTS[service]
            head, body = signed(endpoint.key, url, path, content, target=target)
            busy = [stack.enter_context(connected(url)) for _ in range(places)]
            for connection in busy:
                connection.sendall(head + body)
            wait_until(lambda: len(endpoint.servicers[service].requests) == places)
            return url, busy

        yield filled


@pytest.mark.parametrize(("service", "status"), [("personalize-runtime", 429), ("personalize", 400)])
def test_calls_beyond_the_limit_are_throttled_at_once_and_later_ones_are_not(endpoint, full, gate, service, status):
    url, busy = full(service)
    client = replace(endpoint, url=url, clients={}).client(service)
    ask = client.list_recipes if service == "personalize" else partial(client.get_recommendations, campaignArn=CAMPAIGN)

    with pytest.raises(ClientError) as caught:
        ask()
    gate.set()
    assert [answer(connection).status for connection in busy] == [200] * 3

    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert ask()["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.close()


def test_a_service_that_hangs_takes_no_place_of_another_and_none_of_health(endpoint, full):
    del endpoint.servicers["personalize-runtime"].answers["GetRecommendations"]
    url, _ = full("personalize")

    assert asked(endpoint, url).status == 200
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_call_that_finds_no_place_is_refused_before_its_signature_is_looked_at(endpoint, full):
    url, _ = full("personalize-runtime")

    assert httpx.post(f"{url}/recommendations").headers["x-amzn-errortype"] == "ThrottlingException"


def test_a_client_that_sends_far_ahead_is_cut(endpoint, start, gate):
    url = start()
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as hasty:
        hasty.sendall((head + body) * 100)

        assert received(hasty) == b""

    gate.set()
    assert asked(endpoint, url).status == 200
    assert len(endpoint.servicers["personalize-runtime"].requests) <= 2


def test_a_few_requests_sent_ahead_are_answered_in_order(endpoint, start):
    url = start()
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as hasty:
        hasty.sendall((head + body) * 3 + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", received(hasty))

    assert statuses == [b"200", b"200", b"200", b"404"]


def test_a_client_that_does_not_read_is_cut(endpoint, start):
    made = answer_class("personalize-runtime", "GetRecommendations")()
    for number in range(30_000):
        made.item_list.add(item_id=f"item-{number:0200}")
    endpoint.servicers["personalize-runtime"].answers["GetRecommendations"] = made
    url = start(replace(PATIENT, send_seconds=0.3))
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url, receive_bytes=4096) as deaf:
        deaf.sendall(head + body)
        wait_until(lambda: is_reset(deaf))


def is_reset(connection):
    """Tell whether the other side has cut the connection, without reading what it sent."""
    try:
        connection.sendall(b"x")
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 500 + b"\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nXYZ\r\n",
    ],
    ids=["tls", "nonsense", "path", "address", "digits", "negative", "chunk"],
)
def test_what_is_no_http_is_refused_with_a_modelled_error(start, sent):
    url = start()
    with connected(url) as connection:
        connection.sendall(sent)
        told = answer(connection)

    assert 400 <= told.status < 500
    assert json.loads(told.body)["message"]
    assert told.headers["x-amzn-errortype"].endswith("Exception")
    assert len(told.headers["x-amzn-requestid"]) == 36


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    path=st.sampled_from([b"/", b"/events", b"/recommendations", b"/nothing", b"/events/", b"/%ED%A0%80", b"/health"])
    | st.binary(max_size=20).map(lambda text: b"/" + text.translate(None, b" \r\n\0")),
    host=st.sampled_from([b"x", b"[", b"\xed\xa0\x80", b"%ED%A0%80", b"127.0.0.1:99999999999"]),
    header=st.sampled_from(
        [b"Authorization", b"X-Amz-Target", b"X-Amz-Date", b"Origin", b"Content-Type", b"X-Amz-\xc3"]
    ),
    value=st.binary(max_size=60).map(lambda text: text.translate(None, b"\r\n\0")),
    method=st.sampled_from([b"POST", b"GET", b"OPTIONS", b"HEAD", b"PUT"]),
)
def test_no_text_in_a_path_or_a_header_breaks_an_answer(endpoint, path, host, header, value, method):
    with connected(endpoint.url) as connection:
        connection.sendall(
            b"%s %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
            % (method, path, host, header, value)
        )
        text = received(connection)

    status = int(text.split()[1])
    assert status < 500
    assert status < 300 or b"x-amzn-requestid: " in text


def test_half_a_surrogate_is_refused_by_every_operation_with_a_request_id(endpoint):
    with ExitStack() as stack:
        connection = stack.enter_context(connected(endpoint.url))
        for target in ("AmazonPersonalize.DescribeCampaign", "AmazonPersonalize.ListCampaigns"):
            head, body = signed(endpoint.key, endpoint.url, "/", rb'{"campaignArn":"\ud800"}', target=target)
            connection.sendall(head + body)
            told = answer(connection)

            assert told.status == 400
            assert json.loads(told.body)["__type"] == "SerializationException"
            assert len(told.headers["x-amzn-requestid"]) == 36
