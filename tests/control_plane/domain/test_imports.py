"""Locations of files and modes of imports."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.imports import ImportMode, check_data_location, check_import_mode


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


def test_a_bucket_without_a_slash_is_refused_with_the_location_of_all_its_files():
    with pytest.raises(InvalidInput, match="all files of the bucket are s3://bucket/"):
        check_data_location("s3://bucket")


def test_a_location_that_is_too_long_is_refused_with_the_limit():
    with pytest.raises(InvalidInput, match="want at most 256 characters"):
        check_data_location("s3://bucket/" + "a" * 256)


@pytest.mark.parametrize("location", ["file:///data/a#1.csv", "file:///data/?/a.csv"])
def test_a_path_that_a_url_would_cut_is_refused(location):
    with pytest.raises(InvalidInput, match="want a path where `\\?` is written as %3F and `#` as %23"):
        check_data_location(location)


def test_data_on_the_web_is_refused_as_not_built():
    with pytest.raises(InvalidInput, match="not built yet"):
        check_data_location("https://example.com/films.csv")


def test_first_import_must_be_full():
    assert check_import_mode(None, imported_before=False) is ImportMode.FULL
    assert check_import_mode("INCREMENTAL", imported_before=True) is ImportMode.INCREMENTAL
    with pytest.raises(InvalidInput, match="`importMode`: got 'INCREMENTAL', want FULL"):
        check_import_mode("INCREMENTAL", imported_before=False)
