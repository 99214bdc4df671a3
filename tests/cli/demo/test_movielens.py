"""MovieLens 100K; nothing here touches a network."""

import hashlib
import zipfile

import pytest

from cli.demo import movielens
from cli.demo.items import Interaction, Item, User
from common.errors import CorruptArtifact, Unavailable

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


def test_an_archive_with_another_checksum_is_refused_and_not_cached(archive, tmp_path):
    with pytest.raises(CorruptArtifact, match="SHA-256"):
        movielens.load(tmp_path / "cache", download=fetcher(archive))
    assert not (tmp_path / "cache").exists()


def test_a_damaged_cache_is_replaced(archive, tmp_path):
    movielens.load(tmp_path / "cache", download=fetcher(archive), sha256=digest(archive))
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(b"damaged")
    movielens.load(tmp_path / "cache", download=fetcher(archive), sha256=digest(archive))
    assert digest(cached) == digest(archive)
