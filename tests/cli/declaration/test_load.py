"""A file is checked as a whole, by the contracts' own members, before anything else happens."""

import pytest

from cli.declaration.kinds import Kind
from cli.declaration.load import load
from cli.declaration.members import member_names, members_model, to_members
from common.errors import InvalidInput

GROUP = "datasetGroups:\n  films:\n"


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        (tmp_path / "file.yaml").write_text(text)
        return load(tmp_path / "file.yaml", buckets=None)

    return from_text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("datasetGroup: {}\n", "`datasetGroup (line 1)`: got {}, want no such member"),
        ("version: 2\n", "`version (line 1)`: got 2, want 1"),
        ("- 1\n", "`file (line 1)`: got [1], want a mapping"),
        ("datasetGroups: {a b: {}}\n", "`datasetGroups.a b (line 1)`: got 'a b', want match pattern"),
        (
            GROUP + "    datasets: {Events: {schema: a}}\n",
            "`datasetGroups.films.datasets.Events (line 3)`: got 'Events'",
        ),
        (
            GROUP + "    datasets: {Items: {schema: a}, ITEMS: {schema: b}}\n",
            "`datasetGroups.films.datasets (line 3)`: got Items twice, want one dataset of each type",
        ),
        (GROUP + "    datasets: {Items: {}}\n", "`datasetGroups.films.datasets.Items.schema (line 3)`: got none, want"),
        (
            GROUP + "    datasets: {Items: {schema: a, imports: {x: {}}}}\n",
            "imports.x.dataLocation (line 3)`: got none",
        ),
        (
            GROUP + "    datasets: {Items: {schema: a, datasetGroupArn: x}}\n",
            "datasetGroupArn (line 3)`: got 'x', want no",
        ),
        (GROUP + "    eventTracker: {}\n", "`datasetGroups.films.eventTracker (line 3)`: got no name, want one"),
        (
            GROUP + "    filters: {f: {}}\n",
            "`datasetGroups.films.filters.f (line 3)`: got no filterExpression, want one",
        ),
        (
            GROUP + "    solutions: {s: {performHPO: 1}}\n",
            "solutions.s.performHPO (line 3)`: got 1, want true or false",
        ),
        (GROUP + "    solutions: {s: {train: false, campaigns: {c: {}}}}\n", "got train: false, want true"),
        (
            GROUP + "    solutions: {s: {campaigns: {c: {minProvisionedTPS: 99999999999}}}}\n",
            "minProvisionedTPS (line 3)`: got 99999999999, want less than",
        ),
        (
            GROUP + "    solutions: {s: {solutionConfig: {hpoConfig: {hpoObjectives: {}}}}}\n",
            "solutionConfig.hpoConfig.hpoObjectives (line 3)`: got {}, want no such member",
        ),
        (
            GROUP + "    filters: {f: {filterExpression: x}}\n  plays:\n    filters: {f: {filterExpression: y}}\n",
            "got filter f twice, want names that are unique",
        ),
    ],
    ids=range(16),
)
def test_mistakes_are_told_with_their_place(read, text, problem):
    with pytest.raises(InvalidInput) as caught:
        read(text)
    assert problem in caught.value.message


def test_all_mistakes_are_told_at_once(read):
    with pytest.raises(InvalidInput) as caught:
        read(GROUP + "    filters: {f: {}}\n    recommenders: {r: {}}\n    solution: {}\n")
    assert [item.field for item in caught.value.violations] == [
        "datasetGroups.films.filters.f (line 3)",
        "datasetGroups.films.recommenders.r (line 4)",
        "datasetGroups.films.solution (line 5)",
    ]


def test_an_empty_file_declares_nothing(read):
    assert read("").configuration.dataset_groups == {}


def test_numbers_and_booleans_become_text_where_the_api_has_text(read):
    text = (
        GROUP + "    solutions: {s: {solutionConfig: {algorithmHyperParameters: {epochs: 8, rate: 0.1, bias: true}}}}\n"
    )
    request = read(text).configuration.dataset_groups["films"].solutions["s"].request
    assert to_members(request)["solutionConfig"] == {
        "algorithmHyperParameters": {"bias": "true", "epochs": "8", "rate": "0.1"}
    }


@pytest.mark.parametrize("kind", Kind)
def test_every_member_of_the_contract_can_be_declared(kind):
    fields = members_model(kind.create_request, kind.placed).model_fields
    names = {name for name, field in member_names(kind.create_request).items() if field.name not in kind.placed}
    assert set(fields) == names
    assert kind.placed <= set(kind.create_request.fields_by_name)
