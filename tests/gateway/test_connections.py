"""Limits of connections: many, slow, endless and unread ones leave room for other clients."""

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
from tests.gateway.conftest import response_class, running_gateway
from tests.gateway.wire import CAMPAIGN, RECOMMENDATIONS, connected, read_response, received, signed

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


def request_once(endpoint, url):
    """Send one valid request on a new connection, and return its response."""
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as connection:
        connection.sendall(head + body)
        return read_response(connection)


@pytest.fixture
def may_respond(endpoint):
    """Hold every GetRecommendations until the test lets go."""
    opened = threading.Event()

    def wait():
        assert opened.wait(60)
        return response_class("personalize-runtime", "GetRecommendations")()

    endpoint.servicers["personalize-runtime"].responses["GetRecommendations"] = wait
    yield opened
    opened.set()


def test_idle_connections_make_room_for_new_ones(endpoint, start):
    url = start(replace(PATIENT, max_connections=20))
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(url)) for _ in range(60)]

        assert request_once(endpoint, url).status == 200
        assert received(idle[0]) == b""


def test_the_longest_idle_connection_goes_first(endpoint, start):
    url = start(replace(PATIENT, max_connections=3))
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with ExitStack() as stack:
        used, idle, *_ = [stack.enter_context(connected(url)) for _ in range(3)]
        used.sendall(head + body)
        assert read_response(used).status == 200

        assert request_once(endpoint, url).status == 200
        assert received(idle) == b""
        used.sendall(head + body)
        assert read_response(used).status == 200


def test_when_every_connection_is_busy_a_new_one_gets_503(endpoint, start, may_respond):
    url = start(replace(PATIENT, max_connections=5))
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with ExitStack() as stack:
        busy = [stack.enter_context(connected(url)) for _ in range(5)]
        for connection in busy:
            connection.sendall(head + body)
        wait_until(lambda: len(endpoint.servicers["personalize-runtime"].requests) == 5)

        refused = request_once(endpoint, url)
        may_respond.set()
        assert [read_response(connection).status for connection in busy] == [200] * 5
        for connection in busy:
            connection.close()

    assert refused.status == 503
    assert refused.headers["x-amzn-errortype"] == "ServiceUnavailableException"
    assert refused.headers["retry-after"] == "1"
    assert len(refused.headers["x-amzn-requestid"]) == 36
    assert request_once(endpoint, url).status == 200


def test_headers_that_do_not_end_in_time_are_not_waited_for(start):
    url = start(replace(PATIENT, header_seconds=0.3))
    with connected(url) as slow, connected(url) as silent:
        slow.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\n")

        response = read_response(slow)

        assert response.status == 408
        assert response.headers["x-amzn-errortype"] == "RequestTimeoutException"
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
        assert read_response(connection).status == 200
        connection.sendall(b"\r\nPOST /events")

        assert read_response(connection).status == 408


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
        response = received(endless)

    assert response == b"" or response.startswith(b"HTTP/1.1 431 ")
    assert request_once(endpoint, url).status == 200


def test_large_headers_are_refused_with_a_modelled_error(start):
    url = start(replace(PATIENT, max_header_bytes=8192))
    with connected(url) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nX-Large: " + b"x" * 8192 + b"\r\n\r\n")

        response = read_response(connection)

    assert response.status == 431
    assert response.headers["x-amzn-errortype"] == "RequestHeaderFieldsTooLargeException"
    assert len(response.headers["x-amzn-requestid"]) == 36


def test_headers_may_have_any_size_up_to_the_limit_whatever_body_follows(endpoint, start):
    url = start(replace(PATIENT, max_header_bytes=8192))
    body = RECOMMENDATIONS + b" " * 30_000
    head, _ = signed(endpoint.key, url, "/recommendations", body, headers={"X-Large": "x" * 7000})
    with connected(url) as connection:
        connection.sendall(head + body)

        assert read_response(connection).status == 200


@pytest.mark.parametrize("length", [b"4000000", b"10"], ids=["large", "small"])
def test_an_unsigned_request_is_refused_before_its_body_has_come(start, length):
    url = start()
    with connected(url) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n{")

        response = read_response(connection)

        assert response.status == 403
        assert response.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
        assert received(connection) == b""  # what is missing is not waited for


def test_a_request_of_an_unknown_key_is_refused_before_its_body_has_come(endpoint, start):
    url = start()
    head, _ = signed(replace(endpoint.key, access_key_id="TBUNKNOWN"), url, "/events", b"x" * 1_000_000)
    with connected(url) as connection:
        connection.sendall(head)

        assert read_response(connection).headers["x-amzn-errortype"] == "UnrecognizedClientException"


def test_a_connection_is_reused_after_a_rejection_when_the_body_has_come(endpoint, start):
    url = start()
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as connection:
        connection.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        assert read_response(connection).status == 403
        connection.sendall(b"x" * 300_000)
        connection.sendall(head + body)

        assert read_response(connection).status == 200


def test_a_body_that_says_that_it_is_too_large_is_not_received(endpoint, start):
    url = start(calls=CallLimits(max_body_bytes=1000))
    head, _ = signed(endpoint.key, url, "/events", b"x" * 1001)
    with connected(url) as connection:
        connection.sendall(head)

        assert read_response(connection).status == 413


def test_a_body_that_does_not_end_in_time_is_not_waited_for(endpoint, start):
    url = start(replace(PATIENT, body_seconds=0.3))
    head, body = signed(endpoint.key, url, "/events", b"x" * 1000)
    with connected(url) as connection:
        connection.sendall(head + body[:-1])

        response = read_response(connection)

        assert response.status == 408
        assert response.headers["x-amzn-errortype"] == "RequestTimeoutException"
        assert received(connection) == b""


def test_unfinished_bodies_together_have_a_limit_and_leave_when_their_clients_do(endpoint, start):
    url = start(calls=CallLimits(max_buffered_bytes=1_000_000))
    head, body = signed(endpoint.key, url, "/events", b"x" * 400_000)
    with ExitStack() as stack:
        unfinished = [stack.enter_context(connected(url)) for _ in range(3)]
        for connection in unfinished:
            connection.sendall(head + body[:-1])

        response = first_response(unfinished)
        assert response.status == 429
        assert response.headers["x-amzn-errortype"] == "ThrottlingException"
        assert request_once(endpoint, url).status == 200


def first_response(connections):
    """Return the response that any of several connections gets first."""
    for connection in connections:
        connection.setblocking(False)
    readable = []

    def ready():
        for connection in connections:
            try:
                connection.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            readable.append(connection)
        return bool(readable)

    wait_until(ready)
    readable[0].settimeout(30)
    return read_response(readable[0])


REQUESTS = {
    "personalize-runtime": ("/recommendations", RECOMMENDATIONS, None),
    "personalize": ("/", b"{}", "AmazonPersonalize.ListRecipes"),
}


@pytest.fixture
def full(endpoint, start, may_respond):
    """Return a function that fills the places for calls of one service of a new gateway, and gives its address."""
    endpoint.servicers["personalize"].responses["ListRecipes"] = lambda: may_respond.wait(60) and None
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
def test_calls_beyond_the_limit_are_throttled_at_once_and_later_ones_are_not(
    endpoint, full, may_respond, service, status
):
    url, busy = full(service)
    client = replace(endpoint, url=url, clients={}).client(service)
    send = (
        client.list_recipes if service == "personalize" else partial(client.get_recommendations, campaignArn=CAMPAIGN)
    )

    with pytest.raises(ClientError) as caught:
        send()
    may_respond.set()
    assert [read_response(connection).status for connection in busy] == [200] * 3

    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert send()["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.close()


def test_a_service_that_hangs_takes_no_place_of_another_and_none_of_health(endpoint, full):
    del endpoint.servicers["personalize-runtime"].responses["GetRecommendations"]
    url, _ = full("personalize")

    assert request_once(endpoint, url).status == 200
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_call_beyond_the_limit_is_refused_before_its_signature_is_verified(endpoint, full):
    url, _ = full("personalize-runtime")

    assert httpx.post(f"{url}/recommendations").headers["x-amzn-errortype"] == "ThrottlingException"


def test_a_client_that_sends_far_ahead_is_cut(endpoint, start, may_respond):
    url = start()
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as hasty:
        hasty.sendall((head + body) * 100)

        assert received(hasty) == b""

    may_respond.set()
    assert request_once(endpoint, url).status == 200
    assert len(endpoint.servicers["personalize-runtime"].requests) <= 2


def test_a_few_requests_sent_ahead_are_answered_in_order(endpoint, start):
    url = start()
    head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
    with connected(url) as hasty:
        hasty.sendall((head + body) * 3 + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", received(hasty))

    assert statuses == [b"200", b"200", b"200", b"404"]


def test_a_client_that_does_not_read_is_cut(endpoint, start):
    made = response_class("personalize-runtime", "GetRecommendations")()
    for number in range(30_000):
        made.item_list.add(item_id=f"item-{number:0200}")
    endpoint.servicers["personalize-runtime"].responses["GetRecommendations"] = made
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
        response = read_response(connection)

    assert 400 <= response.status < 500
    assert json.loads(response.body)["message"]
    assert response.headers["x-amzn-errortype"].endswith("Exception")
    assert len(response.headers["x-amzn-requestid"]) == 36


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
            response = read_response(connection)

            assert response.status == 400
            assert json.loads(response.body)["__type"] == "SerializationException"
            assert len(response.headers["x-amzn-requestid"]) == 36
