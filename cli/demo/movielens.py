"""MovieLens 100K, read from a package of the Python package index that contains its files.

pip downloads the package's archive, without dependencies and without installing it. The archive is checked against its
SHA-256 and stored in the cache. The data is not part of this project.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cli.demo.items import DemoData, Interaction, Item, User
from common.errors import CorruptArtifact, Unavailable

__all__ = ["NOTICE", "WHEEL_SHA256", "load", "pip_download"]

REQUIREMENT: Final = "recbole==1.2.1"
WHEEL_SHA256: Final = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
NOTICE: Final = (
    "MovieLens 100K, by GroupLens Research, University of Minnesota: for research, not to be redistributed without "
    "permission, no endorsement implied. F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: "
    "History and Context. ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19."
)
_FOLDER: Final = "recbole/dataset_example/ml-100k"
_CACHED: Final = "movielens-100k.whl"
_DOWNLOAD_SECONDS: Final = 90
_ARTICLE: Final = re.compile(r"^([^(]+), (The|A|An)(?= \(|$)")

#: Downloads the archive into a folder and returns its path; raises Unavailable when it cannot.
Download = Callable[[Path], Path]


def load(cache: Path, *, download: Download | None = None, sha256: str = WHEEL_SHA256) -> DemoData:
    """Return the data set, from the cache where possible.

    Args:
        cache: Folder for the archive.
        download: Downloads the archive; None for pip.
        sha256: SHA-256 that the archive must have, hexadecimal.

    Raises:
        Unavailable: It is not cached and the index cannot be reached.
        CorruptArtifact: The downloaded archive has another SHA-256.
    """
    archive = cache / _CACHED
    # A damaged file in the cache is downloaded again.
    if not archive.exists() or _digest(archive) != sha256:
        with tempfile.TemporaryDirectory() as folder:
            downloaded = (download or pip_download)(Path(folder))
            actual = _digest(downloaded)
            if actual != sha256:
                raise CorruptArtifact(
                    f"`{REQUIREMENT}`: got an archive with SHA-256 {actual}, want {sha256}: "
                    "the index serves another file"
                )
            cache.mkdir(parents=True, exist_ok=True)
            partial = cache / f"{_CACHED}.part"
            partial.write_bytes(downloaded.read_bytes())
            partial.replace(archive)
    with zipfile.ZipFile(archive) as files:
        return _parse(files)


def pip_download(folder: Path) -> Path:
    """Download the archive with the pip of this environment.

    Raises:
        Unavailable: pip failed or took too long.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--retries=1", "--timeout=10", "--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{REQUIREMENT}`: got no answer from the package index in {_DOWNLOAD_SECONDS} s") from error
    archives = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not archives:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"`{REQUIREMENT}`: the package index cannot be reached ({reason})")
    return archives[0]


def _parse(files: zipfile.ZipFile) -> DemoData:
    interactions = [
        Interaction(user, item, timestamp=int(float(when)), value=float(rating))
        for user, item, rating, when in _rows(files, "inter")
    ]
    items = {
        item_id: Item(
            title=_ARTICLE.sub(r"\2 \1", title),
            genres=tuple(genre for genre in genres.split(" ") if genre != "unknown"),
            year=int(year) if year.isdigit() else None,
        )
        for item_id, title, year, genres in _rows(files, "item")
    }
    users = {
        user_id: User(age=int(age), gender=gender, occupation=occupation)
        for user_id, age, gender, occupation, _ in _rows(files, "user")
    }
    return DemoData(name="movielens-100k", notice=NOTICE, items=items, users=users, interactions=interactions)


def _rows(files: zipfile.ZipFile, kind: str) -> Iterator[list[str]]:
    with files.open(f"{_FOLDER}/ml-100k.{kind}") as raw:
        lines = io.TextIOWrapper(raw, encoding="utf-8")
        next(lines)
        for line in lines:
            yield line.rstrip("\n").split("\t")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
