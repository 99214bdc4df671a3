"""What policies permit, and which documents are none."""

import json

import pytest

from common.auth import Decision, access_denied, check_policy, policy_set
from common.errors import InvalidInput, PermissionDenied

FILMS = "arn:aws:personalize:us-east-1:123456789012:campaign/films"
SHOES = "arn:aws:personalize:us-east-1:123456789012:campaign/shoes"


def statement(effect="Allow", action="personalize:*", resource="*", **elements):
    return {"Effect": effect, "Action": action, "Resource": resource, **elements}


def document(*statements, **elements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **elements})


def decide(operation, resource, *documents):
    return policy_set(tuple(check_policy(text) for text in documents)).decide(operation, resource)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([statement()], Decision.ALLOWED),
        ([statement(action="*")], Decision.ALLOWED),
        ([statement(action="personalize:GetRecommendations")], Decision.ALLOWED),
        ([statement(action="PERSONALIZE:getrecommendations")], Decision.ALLOWED),
        ([statement(action="personalize:Get*")], Decision.ALLOWED),
        ([statement(action="personalize:?etRecommendations")], Decision.ALLOWED),
        ([statement(action=["s3:*", "personalize:Get*"])], Decision.ALLOWED),
        ([statement(resource=FILMS)], Decision.ALLOWED),
        ([statement(resource=[SHOES, "arn:aws:personalize:*:*:campaign/fil?s"])], Decision.ALLOWED),
        ([statement(action="personalize:Put*")], Decision.IMPLICIT_DENY),
        ([statement(action="s3:*")], Decision.IMPLICIT_DENY),
        ([statement(resource=SHOES)], Decision.IMPLICIT_DENY),
        ([statement(resource=FILMS.upper().replace("ARN", "arn", 1))], Decision.IMPLICIT_DENY),
        ([statement(resource=FILMS[:-1])], Decision.IMPLICIT_DENY),
        ([statement("Deny", action="personalize:Delete*")], Decision.IMPLICIT_DENY),
        ([statement("Deny")], Decision.EXPLICIT_DENY),
        ([statement(), statement("Deny", resource="arn:*films")], Decision.EXPLICIT_DENY),
        ([statement("Deny", resource="arn:*films"), statement()], Decision.EXPLICIT_DENY),
        ([statement(), statement("Deny", resource=SHOES)], Decision.ALLOWED),
    ],
)
def test_decision(statements, expected):
    assert decide("GetRecommendations", FILMS, document(*statements)) is expected


def test_everything_but_something():
    without_deletions = {"Effect": "Allow", "NotAction": "personalize:Delete*", "NotResource": [SHOES, "arn:*hats"]}

    assert decide("DescribeCampaign", FILMS, document(without_deletions)) is Decision.ALLOWED
    assert decide("DeleteCampaign", FILMS, document(without_deletions)) is Decision.IMPLICIT_DENY
    assert decide("DescribeCampaign", SHOES, document(without_deletions)) is Decision.IMPLICIT_DENY


def test_a_denial_in_one_policy_wins_over_permissions_in_others():
    allowing, denying = document(statement()), document(statement("Deny", action="personalize:DeleteCampaign"))

    assert decide("DeleteCampaign", FILMS, allowing, denying) is Decision.EXPLICIT_DENY
    assert decide("DeleteCampaign", FILMS, denying, allowing) is Decision.EXPLICIT_DENY
    assert decide("DescribeCampaign", FILMS, denying, allowing) is Decision.ALLOWED


def test_one_statement_needs_no_list_and_a_version_is_not_needed():
    assert decide("ListRecipes", "*", json.dumps({"Statement": statement(Sid="ReadAll1")})) is Decision.ALLOWED


def test_a_name_for_all_resources_is_matched_by_stars_alone():
    assert decide("PutEvents", "*", document(statement(resource=f"{FILMS}*"))) is Decision.IMPLICIT_DENY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "`policy`"),
        ("[]", "`policy`: got \\[\\]"),
        ("{}", "`policy.Statement`: got None"),
        (document(), "`policy.Statement`: got \\[\\]"),
        (json.dumps({"Version": "2026-01-01", "Statement": statement()}), "`policy.Version`: got '2026-01-01'"),
        (document(statement(), Owner="x"), "`policy`: got 'Owner'"),
        (document(statement(), Id=3), "`policy.Id`"),
        (document("x"), "`policy.Statement\\[0\\]`: got 'x'"),
        (document(statement(), statement("allow")), "`policy.Statement\\[1\\].Effect`: got 'allow'"),
        (document({"Action": "*", "Resource": "*"}), "Effect`: got None"),
        (document(statement(Condition={})), "Statement\\[0\\].Condition`: got one, want no conditions"),
        (document(statement(Principal="*")), "Principal`: got one, want no principal"),
        (document(statement(NotPrincipal="*")), "NotPrincipal`"),
        (document(statement(Ressource="*")), "got 'Ressource', want elements among"),
        (document(statement(Sid="a b")), "Sid`"),
        (document({"Effect": "Allow", "Resource": "*"}), "got 'neither', want one of Action and NotAction"),
        (document({"Effect": "Allow", "Action": "*"}), "want one of Resource and NotResource"),
        (document(statement(NotAction="*")), "got 'Action and NotAction'"),
        (document(statement(action=[])), "Action`: got \\[\\]"),
        (document(statement(action=[["*"]])), "Action`"),
        (document(statement(action="GetRecommendations")), "Action`: got 'GetRecommendations'"),
        (document(statement(action="personalize:Get Recommendations")), "Action`"),
        (document(statement(resource="campaign/films")), "Resource`: got 'campaign/films'"),
        (document(statement(resource="arn:aws:personalize:::recipe/${aws:username}")), "Resource`"),
        (document(statement(resource={"a": 1})), "Resource`"),
        ('{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}', "twice"),
        (document(statement(resource=f"arn:{'x' * 6200}")), "want at most 6144"),
        (document(statement(resource=f"arn:{'x' * 30_000}")), "want at most"),
        ("[" * 20_000, "`policy`"),
    ],
)
def test_what_is_not_understood_is_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        check_policy(text)


def test_white_space_is_not_kept():
    spaced = json.dumps(json.loads(document(statement())), indent=8)

    assert check_policy(spaced) == json.dumps(json.loads(spaced), separators=(",", ":"))


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (Decision.EXPLICIT_DENY, "with an explicit deny in an identity-based policy"),
        (Decision.IMPLICIT_DENY, "because no identity-based policy allows the personalize:CreateSolution action"),
    ],
)
def test_denials_are_worded_as_aws_words_them(decision, reason):
    error = access_denied(decision, account="123456789012", user="shop", operation="CreateSolution", resource=FILMS)

    assert isinstance(error, PermissionDenied)
    assert error.reason == "AccessDeniedException"
    assert error.message == (
        "User: arn:aws:iam::123456789012:user/shop is not authorized to perform: personalize:CreateSolution on "
        f"resource: {FILMS} {reason}"
    )
