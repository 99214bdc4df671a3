"""Checks of single fields: names, roles, keys, page sizes, tags."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, TooManyTagKeys, TooManyTags
from control_plane.domain.fields import (
    check_kms_key,
    check_name,
    check_page_size,
    check_role,
    check_tag_keys,
    check_tags,
    merge_tags,
)


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


@pytest.mark.parametrize(("requested", "size"), [(None, 100), (1, 1), (100, 100)])
def test_page_size_is_the_requested_one_or_100(requested, size):
    assert check_page_size(requested) == size


@pytest.mark.parametrize("requested", [0, -1, 101])
def test_page_size_out_of_range_is_refused(requested):
    with pytest.raises(InvalidInput, match="`maxResults`"):
        check_page_size(requested)


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
