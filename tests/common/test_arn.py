"""Resource names."""

import pytest

from common.arn import Arn, ArnFactory
from common.errors import InvalidInput

FACTORY = ArnFactory(region="eu-central-1")


def test_a_made_arn_is_read_back():
    text = FACTORY.make("campaign", "films", account="123456789012")
    assert text == "arn:aws:personalize:eu-central-1:123456789012:campaign/films"
    assert Arn.parse(text, field="campaignArn", kind="campaign").name == "films"


def test_names_may_hold_slashes():
    assert (
        Arn.parse(FACTORY.make("solution", "films/0a1b2c3d", account="123456789012"), field="arn").name
        == "films/0a1b2c3d"
    )


def test_global_resources_have_neither_region_nor_account():
    assert ArnFactory.make_global("recipe", "aws-sims") == "arn:aws:personalize:::recipe/aws-sims"
    assert Arn.parse("arn:aws:personalize:::recipe/aws-sims", field="recipeArn", kind="recipe").region == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "films",
        "arn:aws:s3:::bucket/key",
        "arn:aws:personalize:eu-central-1:123456789012:campaign/",
        "arn:aws:personalize:eu-central-1:123456789012:solution/films",
        "arn:aws:personalize:eu-central-1:123456789012:campaign/" + "x" * 300,
    ],
)
def test_what_is_no_arn_of_the_kind_is_refused_with_the_field_named(text):
    with pytest.raises(InvalidInput, match="`campaignArn`: got") as caught:
        Arn.parse(text, field="campaignArn", kind="campaign")
    assert [item.field for item in caught.value.violations] == ["campaignArn"]
