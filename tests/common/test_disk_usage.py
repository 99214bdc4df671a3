"""What files take on the disk."""

from __future__ import annotations

from common.disk_usage import DiskUsage, disk_usage


def test_files_of_all_folders_are_counted_and_links_are_not_followed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 20_000)
    linked = disk_usage(tmp_path / "a")
    (tmp_path / "a" / "link").symlink_to(tmp_path)

    usage = disk_usage(tmp_path / "a")

    assert linked.files == 2
    assert usage.files == 3
    assert 30_000 <= linked.bytes <= usage.bytes < 60_000


def test_a_sparse_file_takes_what_is_written(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.write(b"x" * 4096)

    assert disk_usage(path).bytes < 1 << 20


def test_nothing_takes_nothing(tmp_path):
    assert disk_usage(tmp_path / "none") == DiskUsage(0, 0)
