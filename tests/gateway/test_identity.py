"""Who calls, as services behind the gateway see it."""

import pytest

from common.auth import Caller


@pytest.mark.parametrize("account", [None, "123456789012"])
@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("personalize", "list_recipes", {}),
        (
            "personalize-events",
            "put_items",
            {
                "datasetArn": "arn:aws:personalize:us-east-1:000000000000:dataset/films/ITEMS",
                "items": [{"itemId": "1"}],
            },
        ),
        (
            "personalize-runtime",
            "get_recommendations",
            {"campaignArn": "arn:aws:personalize:us-east-1:000000000000:campaign/films"},
        ),
    ],
)
def test_services_see_the_key_and_its_account(endpoint, service, operation, arguments, account):
    key = endpoint.access_keys.create("shop", account=account)
    client = endpoint.client(service, key=key)

    getattr(client, operation)(**arguments)
    client.close()

    assert endpoint.servicers[service].callers == [Caller("gateway", key.access_key_id, account or "000000000000")]
