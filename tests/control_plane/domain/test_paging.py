"""Page tokens: they give back their position, and only to the list that they are of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidNextToken
from control_plane.domain.paging import Position, read_token, write_token

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)), st.text(max_size=256), st.text())  # noqa: DTZ001 - the zone is the next argument
def test_page_token_gives_back_its_position(created, arn, scope):
    position = Position(created, arn)

    assert read_token(write_token(position, scope=scope), scope=scope) == position


@given(st.text(max_size=100))
def test_invented_page_tokens_are_refused(token):
    with pytest.raises(InvalidNextToken, match="nextToken"):
        read_token(token, scope="datasets")


def test_page_token_of_another_list_is_refused():
    token = write_token(Position(MOMENT, "arn"), scope="datasets")

    with pytest.raises(InvalidNextToken, match="same request"):
        read_token(token, scope="schemas")
