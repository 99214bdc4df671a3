"""Names, roles, tags, page tokens."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput, InvalidNextToken, LimitExceeded, TooManyTagKeys, TooManyTags
from control_plane.domain.fields import (
    check_kms_key,
    check_name,
    check_page_size,
    check_role,
    check_tag_keys,
    check_tags,
    merge_tags,
)
from control_plane.domain.imports import ImportMode, check_data_location, check_import_mode
from control_plane.domain.jobs import FailedAttempt, failure_reason
from control_plane.domain.paging import Position, read_token, write_token
from control_plane.domain.quotas import Quotas

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@pytest.mark.parametrize("name", ["a", "9lives", "Films_2026-x", "x" * 63])
def test_good_names_pass(name):
    assert check_name("name", name) == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "ä", "x" * 64, "a\n"])
def test_bad_names_are_refused(name):
    with pytest.raises(InvalidInput, match="`name`: got"):
        check_name("name", name)


def test_role_must_be_the_arn_of_a_role():
    assert check_role("roleArn", "arn:aws:iam::123456789012:role/service/Personalize")
    with pytest.raises(InvalidInput, match="roleArn"):
        check_role("roleArn", "Personalize")


def test_key_must_be_the_arn_of_a_key():
    assert check_kms_key("kmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/abc")
    with pytest.raises(InvalidInput, match="kmsKeyArn"):
        check_kms_key("kmsKeyArn", "abc")


@pytest.mark.parametrize(("asked", "size"), [(None, 100), (1, 1), (100, 100)])
def test_page_size_is_the_one_asked_for_or_100(asked, size):
    assert check_page_size(asked) == size


@pytest.mark.parametrize("asked", [0, -1, 101])
def test_page_size_out_of_range_is_refused(asked):
    with pytest.raises(InvalidInput, match="`maxResults`"):
        check_page_size(asked)


@pytest.mark.parametrize(
    "tags", [[("", "x")], [("aws:owner", "x")], [("a", "x"), ("a", "y")], [("a!", "x")], [("a", "x" * 257)]]
)
def test_bad_tags_are_refused(tags):
    with pytest.raises(InvalidInput, match="tag"):
        check_tags(tags)


def test_tags_may_use_letters_of_any_script():
    assert check_tags([("équipe", "映画 1")]) == {"équipe": "映画 1"}


def test_a_resource_carries_at_most_50_tags():
    fifty = [(f"k{number}", "") for number in range(50)]

    with pytest.raises(TooManyTags, match="51"):
        merge_tags(check_tags(fifty), {"one more": ""})
    with pytest.raises(TooManyTags, match="51"):
        check_tags([*fifty, ("one more", "")])


def test_too_many_tag_keys_are_refused():
    with pytest.raises(TooManyTagKeys, match="201"):
        check_tag_keys(["k"] * 201)


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


def test_used_up_quota_names_the_setting_that_raises_it():
    quotas = Quotas(schemas=2)
    quotas.check("schemas", used=1)

    with pytest.raises(LimitExceeded, match=r"`schemas`: got 3, want at most 2.*TAILORBIRD_MAX_SCHEMAS"):
        quotas.check("schemas", used=2)


@pytest.mark.parametrize(
    "location", ["s3://bucket/key.csv", "s3://bucket/folder/", "s3://bucket/", "s3://abc/x", "file:///data/films.csv"]
)
def test_data_may_lie_in_buckets_and_files(location):
    assert check_data_location(location) == location


@pytest.mark.parametrize("location", ["s3://bucket", "s3://B/key", "file://host", "/data/films.csv", "films.csv", ""])
def test_other_data_locations_are_refused(location):
    with pytest.raises(InvalidInput, match=r"dataSource\.dataLocation"):
        check_data_location(location)


@pytest.mark.parametrize("bucket", ["ab", "a" * 64, "Films", "my_films", "-films", ""])
def test_a_name_that_no_bucket_can_have_is_refused_with_the_rule(bucket):
    with pytest.raises(InvalidInput, match="3 to 63 lower-case letters, digits, dots and hyphens"):
        check_data_location(f"s3://{bucket}/x")


def test_a_bucket_without_a_slash_is_told_how_all_of_it_is_written():
    with pytest.raises(InvalidInput, match="all files of the bucket are s3://bucket/"):
        check_data_location("s3://bucket")


def test_a_location_that_is_too_long_is_refused_with_the_limit():
    with pytest.raises(InvalidInput, match="want at most 256 characters"):
        check_data_location("s3://bucket/" + "a" * 256)


def test_data_on_the_web_is_said_to_be_not_built():
    with pytest.raises(InvalidInput, match="not built yet"):
        check_data_location("https://example.com/films.csv")


def test_first_import_must_be_full():
    assert check_import_mode(None, imported_before=False) is ImportMode.FULL
    assert check_import_mode("INCREMENTAL", imported_before=True) is ImportMode.INCREMENTAL
    with pytest.raises(InvalidInput, match="`importMode`: got 'INCREMENTAL', want FULL"):
        check_import_mode("INCREMENTAL", imported_before=False)


def test_reason_of_bad_data_is_told_as_it_is():
    told = failure_reason("import", [FailedAttempt(1, "w", "line 7 has no USER_ID")], retryable=False, request_id="r")

    assert told == "line 7 has no USER_ID"


def test_reason_after_several_attempts_tells_each_and_what_to_do():
    attempts = [
        FailedAttempt(1, "w-1", "out of memory."),
        FailedAttempt(2, "w-2", "silent"),
        FailedAttempt(3, "w-1", "disk full"),
    ]

    told = failure_reason("training", attempts, retryable=True, request_id="req-9")

    assert told == (
        "The training was given up after 3 attempts. Attempt 1 (w-1): out of memory. Attempt 2 (w-2): silent. "
        "Attempt 3 (w-1): disk full. The trainer's log has the details under request id req-9; mend what it names and "
        "ask for the work again."
    )


def test_reason_of_a_hopeless_later_attempt_says_so():
    attempts = [FailedAttempt(1, "w", "silent"), FailedAttempt(2, "w", "no rows")]

    told = failure_reason("import", attempts, retryable=False, request_id="")

    assert told.startswith("The import failed in attempt 2 and cannot succeed by trying again. Attempt 1 (w): silent.")
