"""CSV files, and the users and items that the demo chooses."""

import csv

import pytest

from cli.demo import generated
from cli.demo.items import DemoData, Interaction, Item
from common.avro import AvroSchema
from common.errors import InvalidInput


@pytest.mark.parametrize("kind", ["Interactions", "Items", "Users"])
def test_files_have_the_columns_of_their_schema(tmp_path, kind):
    from cli.demo.items import SCHEMAS

    path = generated.generate(users=30).write_csv(tmp_path)[kind]
    with path.open(newline="") as file:
        header = next(csv.reader(file))
    assert header == [field.name for field in AvroSchema.parse(SCHEMAS[kind]).fields]


def test_titles_with_commas_survive_the_file(tmp_path):
    data = generated.generate(users=30)
    with data.write_csv(tmp_path)["Items"].open(newline="") as file:
        titles = {row["ITEM_ID"]: row["TITLE"] for row in csv.DictReader(file)}
    assert titles == {item_id: item.title for item_id, item in data.items.items()}


def test_strongest_tastes_are_of_different_users_and_genres():
    chosen = generated.generate().strongest_tastes(3)
    assert len({entry.user for entry in chosen}) == len({entry.genre for entry in chosen}) == 3


def test_more_tastes_than_the_data_has_are_refused():
    data = DemoData(
        "tiny", "", items={"1": Item("A", ("War",))}, users={}, interactions=[Interaction("1", "1", 1, 5.0)]
    )
    with pytest.raises(InvalidInput, match="count"):
        data.strongest_tastes(3)


def test_an_unfamiliar_genre_is_unseen_and_not_the_favourite():
    data = generated.generate()
    profile = data.strongest_tastes(1)[0]
    genre, items = data.unfamiliar_genre(profile.user, count=3)
    seen = {interaction.item for interaction in data.interactions if interaction.user == profile.user}
    assert genre != profile.genre
    assert len(items) == 3
    assert seen.isdisjoint(items)
    assert {data.items[item].genres[0] for item in items} == {genre}
