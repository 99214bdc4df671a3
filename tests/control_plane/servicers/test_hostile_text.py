"""Whatever text a caller sends where something is to be read from it: a value or a refusal, never a fault."""

from __future__ import annotations

import base64
import json
from datetime import UTC

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from common.arn import Arn
from common.errors import InvalidInput, InvalidNextToken, TailorbirdError
from control_plane.domain import paging
from control_plane.domain.campaigns import check_campaign_config
from control_plane.domain.fields import check_kms_key, check_role, check_tag_keys, check_tags
from control_plane.domain.imports import check_data_location
from control_plane.domain.recipes import recipe_arn
from control_plane.domain.schemas import check_dataset_type, check_schema
from control_plane.domain.solutions import check_solution
from control_plane.domain.tuning import check_tuning
from recipes.catalog import RECIPES
from recipes.spec import HyperParameter
from tests.control_plane.messages import campaign_config, solution_config
from tests.control_plane.through_boto3 import personalize
from tests.control_plane.world import ITEMS, make_world

TEXT = st.text(st.characters())
#: Without halves of surrogates, which a message cannot hold.
UNICODE = st.text()
NUMBERLIKE = st.one_of(
    st.text("0123456789.eE+-_ ", max_size=12),
    st.integers(1, 6000).map(lambda digits: "9" * digits),
    st.sampled_from(["nan", "inf", "-inf", "1e400", "1" + "0" * 400, "0x1f", "١٢", "1_0"]),
)
RECIPE = RECIPES["aws-user-personalization"]
KINDS = st.sampled_from(["integer", "float", "boolean", "text"])


#: Schemas that a client wrote by hand, or to do harm.
SCHEMAS = {
    "no fields": '{"type": "record", "name": "Items"}',
    "nested": "[" * 9000,
    "types in types": '{"type":' * 1500,
    "a list for a name": '{"type": "record", "name": ["Items"], "fields": []}',
    "a number for a namespace": ITEMS[:-1] + ', "namespace": 5}',
    "500 digits": ITEMS[:-1] + ', "version": ' + "9" * 500 + "}",
    "half a surrogate pair": ITEMS[:-1] + ', "doc": "\\ud800"}',
    "not JSON": "schema",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    world = make_world(folder)
    with personalize(world.plane, folder) as made:
        yield made
    world.metadata_store.close()


def code_and_message(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_malformed_schema_is_refused_with_the_reason(client, schema):
    code, message = code_and_message(client.create_schema, name="films", schema=schema)

    assert (code, message[:7]) == ("InvalidInputException", "`schema")


@pytest.mark.parametrize("digits", [309, 500, 1000])
def test_a_number_of_any_length_is_refused_with_the_reason(client, digits):
    group = client.create_dataset_group(name=f"films-{digits}")["datasetGroupArn"]
    config = {"algorithmHyperParameters": {"bptt": "9" * digits}}

    code, message = code_and_message(
        client.create_solution, name="films", datasetGroupArn=group, recipeArn=recipe_arn(RECIPE), solutionConfig=config
    )

    assert (code, "algorithmHyperParameters.bptt" in message) == ("InvalidInputException", True)


def accepted_or_refused(call, *arguments, **options):
    """Return whether a call took its arguments; a refusal has a message that can be sent."""
    try:
        call(*arguments, **options)
    except TailorbirdError as error:
        error.message.encode()
        return False
    return True


@given(KINDS, NUMBERLIKE | TEXT)
def test_hyperparameters_are_in_range_or_not(kind, text):
    rule = HyperParameter(kind, None, "A test's.", low=1, high=100, choices=("adam",))

    assert rule.accepts(text) in (True, False)


@pytest.mark.parametrize("digits", [309, 500, 5000])
def test_numbers_of_any_number_of_digits_are_out_of_range(digits):
    assert not HyperParameter("integer", None, "A test's.", low=1).accepts("9" * digits)
    assert not HyperParameter("float", None, "A test's.", low=1).accepts("9" * digits)


@given(st.dictionaries(UNICODE | st.sampled_from(list(RECIPE.hyper_parameters)), NUMBERLIKE | UNICODE, max_size=3))
def test_solutions_with_any_parameters_are_accepted_or_refused(values):
    config = {"algorithmHyperParameters": values, "eventValueThreshold": next(iter(values.values()), "1")}

    assert accepted_or_refused(check_solution, RECIPE, solution_config(config), perform_hpo=False) in (True, False)


@given(NUMBERLIKE | UNICODE, st.floats(), st.floats(), UNICODE)
def test_tuning_with_any_numbers_is_accepted_or_refused(count, low, high, name):
    ranges = {"continuousHyperParameterRanges": [{"name": name, "minValue": low, "maxValue": high}]}
    widest = {
        "integerHyperParameterRanges": [{"name": "hidden_dimension", "minValue": -(2**31), "maxValue": 2**31 - 1}]
    }
    for wanted_ranges in (ranges, widest, {}):
        config = {
            "hpoConfig": {
                "hpoResourceConfig": {"maxNumberOfTrainingJobs": count},
                "algorithmHyperParameterRanges": wanted_ranges,
            }
        }
        assert accepted_or_refused(check_tuning, RECIPE, solution_config(config), perform_hpo=True) in (True, False)


@given(NUMBERLIKE | UNICODE, st.floats())
def test_campaigns_with_any_configuration_are_accepted_or_refused(text, share):
    config = {"itemExplorationConfig": {"explorationWeight": text}, "rankingInfluence": {"FRESHNESS": share}}

    assert accepted_or_refused(check_campaign_config, campaign_config(config), RECIPE, latest=False) in (True, False)


@given(TEXT | st.text("arn:aws:personalize:us-east-1:0123456789/campaign\n", max_size=300))
def test_any_text_is_an_arn_that_reads_back_or_refused(text):
    def read() -> None:
        assert str(Arn.parse(text, field="campaignArn")) == text

    assert accepted_or_refused(read) in (True, False)


def test_an_arn_with_a_line_break_behind_it_is_none():
    with pytest.raises(InvalidInput):
        Arn.parse("arn:aws:personalize:eu-west-1:123456789012:campaign/films\n", field="campaignArn")


@given(TEXT, TEXT)
def test_other_texts_of_requests_are_accepted_or_refused(text, other):
    for check in (check_dataset_type, check_data_location):
        assert accepted_or_refused(check, text) in (True, False)
    assert accepted_or_refused(check_schema, text, None) in (True, False)
    for field_check in (check_role, check_kms_key):
        assert accepted_or_refused(field_check, "field", text) in (True, False)
    assert accepted_or_refused(check_tags, [(text, other), (other, text)]) in (True, False)
    assert accepted_or_refused(check_tag_keys, [text, other]) in (True, False)


def forged(body: bytes, scope: str = "datasets") -> str:
    """Return a token whose digest is right: its making is public."""
    return base64.urlsafe_b64encode(paging._digest(body, scope) + body).decode()


@given(st.binary(max_size=200))
def test_any_body_behind_a_right_digest_is_a_position_or_refused(body):
    try:
        position = paging.read_token(forged(body), scope="datasets")
    except InvalidNextToken:
        return
    assert isinstance(position.arn, str)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1000,
        b"7",
        b'["2026-01-01"]',
        b'["soon", "arn"]',
        b'[5, "arn"]',
        b'["2026-01-01T00:00:00+00:00", 5]',
        b'["2026-01-01T00:00:00+00:00", "\\ud800"]',
        b'["0001-01-01T00:00:00+14:00", "arn"]',
        b'["9999-12-31T23:00:00-14:00", "arn"]',
        b"\xff",
    ],
    ids=repr,
)
def test_forged_tokens_are_refused(body):
    with pytest.raises(InvalidNextToken):
        paging.read_token(forged(body), scope="datasets")


def test_positions_of_tokens_have_a_time_zone():
    body = json.dumps(["2026-01-01T00:00:00", "arn"]).encode()

    assert paging.read_token(forged(body), scope="datasets").created.tzinfo is UTC


def test_a_token_of_any_length_is_refused_before_it_is_read():
    with pytest.raises(InvalidNextToken):
        paging.read_token("A" * 4_000_000, scope="datasets")
