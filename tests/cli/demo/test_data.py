"""The data of the demo; nothing here touches a network."""

import csv
import hashlib
import zipfile

import pytest

from cli.demo import generated, movielens
from cli.demo.items import DemoData, Interaction, Item, User
from common.avro import AvroSchema
from common.errors import CorruptArtifact, InvalidInput, Unavailable

FOLDER = "recbole/dataset_example/ml-100k"
FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t5\t881250949\n7\t2\t2\t881250950\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tGodfather, The\t1972\tCrime Drama\n2\tUsual Suspects, The (part)\tunkonwn\tunknown\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tM\ttechnician\t85711\n",
}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive.whl"
    with zipfile.ZipFile(path, "w") as files:
        for kind, text in FILES.items():
            files.writestr(f"{FOLDER}/ml-100k.{kind}", text)
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetcher(archive):
    def fetch(folder):
        target = folder / "fetched.whl"
        target.write_bytes(archive.read_bytes())
        return target

    return fetch


def unreachable(folder):
    raise Unavailable("no network")


def test_the_archive_is_read(archive, tmp_path):
    data = movielens.load(tmp_path / "cache", download=fetcher(archive), sha256=digest(archive))
    assert data.interactions == [Interaction("7", "1", 881250949, 5.0), Interaction("7", "2", 881250950, 2.0)]
    assert data.users == {"7": User(24, "M", "technician")}
    assert data.items == {
        "1": Item("The Godfather", ("Crime", "Drama"), 1972),
        "2": Item("The Usual Suspects (part)", (), None),
    }


def test_the_archive_is_downloaded_once(archive, tmp_path):
    movielens.load(tmp_path / "cache", download=fetcher(archive), sha256=digest(archive))
    assert movielens.load(tmp_path / "cache", download=unreachable, sha256=digest(archive)).items


def test_another_archive_than_wanted_is_refused_and_not_cached(archive, tmp_path):
    with pytest.raises(CorruptArtifact, match="SHA-256"):
        movielens.load(tmp_path / "cache", download=fetcher(archive))
    assert not (tmp_path / "cache").exists()


def test_a_damaged_cache_is_replaced(archive, tmp_path):
    movielens.load(tmp_path / "cache", download=fetcher(archive), sha256=digest(archive))
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(b"damaged")
    movielens.load(tmp_path / "cache", download=fetcher(archive), sha256=digest(archive))
    assert digest(cached) == digest(archive)


def test_generated_data_is_the_same_each_time():
    assert generated.generate(users=50) == generated.generate(users=50)


def test_generated_users_watch_mostly_one_genre():
    data = generated.generate(users=100)
    shares = []
    for user in data.users:
        genres = [
            data.items[interaction.item].genres[0] for interaction in data.interactions if interaction.user == user
        ]
        shares.append(max(genres.count(genre) for genre in set(genres)) / len(genres))
    assert sum(shares) / len(shares) > 0.7


def test_generated_users_watch_nothing_twice():
    data = generated.generate(users=100)
    assert len({(interaction.user, interaction.item) for interaction in data.interactions}) == len(data.interactions)


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


def test_showcases_are_different_users_of_different_tastes():
    chosen = generated.generate().strongest_tastes(3)
    assert len({entry.user for entry in chosen}) == len({entry.genre for entry in chosen}) == 3


def test_showcases_that_the_data_does_not_hold_are_refused():
    data = DemoData(
        "tiny", "", items={"1": Item("A", ("War",))}, users={}, interactions=[Interaction("1", "1", 1, 5.0)]
    )
    with pytest.raises(InvalidInput, match="count"):
        data.strongest_tastes(3)


def test_the_other_taste_is_unseen_and_of_another_genre():
    data = generated.generate()
    profile = data.strongest_tastes(1)[0]
    genre, items = data.unfamiliar_genre(profile.user, count=3)
    seen = {interaction.item for interaction in data.interactions if interaction.user == profile.user}
    assert genre != profile.genre
    assert len(items) == 3
    assert seen.isdisjoint(items)
    assert {data.items[item].genres[0] for item in items} == {genre}
