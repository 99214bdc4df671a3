"""The page on events says what the table of members says."""

from pathlib import Path

from events_service.domain.members import MEMBERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"


def test_page_shows_the_table_of_members():
    rows = [
        f"| `{member.column}` | `{member.name}` | {'always' if member.required else 'no'} "
        f"| {member.in_properties.value} |"
        for member in MEMBERS
    ]

    assert [line for line in PAGE.read_text().splitlines() if line.startswith("| `")] == rows
