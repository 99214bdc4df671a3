"""A quota that is used up."""

from __future__ import annotations

import pytest

from common.errors import LimitExceeded
from control_plane.domain.quotas import Quotas


def test_used_up_quota_names_the_setting_that_raises_it():
    quotas = Quotas(schemas=2)
    quotas.check("schemas", used=1)

    with pytest.raises(LimitExceeded, match=r"`schemas`: got 3, want at most 2.*TAILORBIRD_MAX_SCHEMAS"):
        quotas.check("schemas", used=2)
