"""Themes of planted lists: what the items have in common is said, and who has it is near."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from recipes.components.themes.catalogue import ThemeCatalogue
from recipes.components.themes.phrase_writer import PhraseThemes
from recipes.components.themes.phrases import phrases_of, words_of
from recipes.components.themes.ports import DescribedItem
from recipes.components.themes.stop_words import stop_words
from recipes.components.themes.themes import make_themes

TOPICS = {
    "space station": ("orbit", "astronaut", "rocket"),
    "jazz band": ("trumpet", "piano", "concert"),
    "courtroom drama": ("lawyer", "judge", "trial"),
    "desert island": ("shipwreck", "sailor", "storm"),
}
NO_STOP = frozenset()


def planted(topic, number):
    """An item of a topic, with words that all topics share."""
    words = TOPICS[topic]
    text = f"The story of a {topic} and of the {words[number % 3]}, the {words[(number + 1) % 3]} and friends in town"
    return DescribedItem(f"Title {number}", (text,), ("Film", topic.title()) if number % 2 else ("Film",))


CATALOGUE = [planted(topic, number) for topic in TOPICS for number in range(12)]


def list_of(topic):
    return [planted(topic, number) for number in range(8)]


def write(*lists, writer=PhraseThemes):
    catalogue = ThemeCatalogue.of(CATALOGUE, seed=0)
    return make_themes(lists, catalogue, writer=writer(catalogue))


@pytest.mark.parametrize("topic", TOPICS)
def test_a_list_is_called_by_what_its_items_have_and_others_have_not(topic):
    (theme,) = write(list_of(topic))

    assert topic in theme.text.casefold()
    assert len(theme.text.split()) <= 7


def test_items_of_the_theme_are_nearer_to_it_than_others():
    mixed = [*list_of("jazz band"), planted("courtroom drama", 1)]

    (theme,) = write(mixed)

    assert min(theme.relevance[:8]) > 0.3
    assert theme.relevance[8] < 0.1
    assert all(-1 <= score <= 1 for score in theme.relevance)


def test_lists_that_are_alike_get_different_themes_and_the_same_list_the_same():
    first, second = list_of("space station"), list_of("space station")[:7]

    one, two, again = write(first, second, first)

    assert one.text != two.text
    assert one == again


def test_the_same_seed_gives_the_same_themes():
    assert write(list_of("desert island")) == write(list_of("desert island"))


def test_nothing_is_said_of_items_of_which_nothing_is_known():
    nothing, empty = write([DescribedItem(""), DescribedItem("")], [])

    assert (nothing.text, nothing.relevance) == ("", (0.0, 0.0))
    assert (empty.text, empty.relevance) == ("", ())


def test_a_catalogue_of_one_item_is_enough():
    item = DescribedItem("Blue lamp", ("A lamp of blue glass",))

    catalogue = ThemeCatalogue.of([item], seed=0)
    (theme,) = make_themes([[item]], catalogue, writer=PhraseThemes(catalogue))

    assert "lamp" in theme.text.casefold()


@pytest.mark.parametrize("texts", [["Jazz"], ["Jazz", None], ["Jazz", "Blues", "Rock"], "ab", None])
def test_a_writer_of_anything_but_a_text_for_each_list_is_named(texts):
    class Wrong(Plugged):
        def write(self, lists):
            return texts

    with pytest.raises(InvalidInput, match=r"`TAILORBIRD_THEME_WRITER`: got .*, want a writer that returns 2 texts"):
        write(list_of("jazz band"), list_of("desert island"), writer=Wrong)


class Plugged:
    """A writer as somebody else may plug in, whose words the catalogue does not have."""

    def __init__(self, catalogue):
        assert len(catalogue.items) == len(CATALOGUE)

    def write(self, lists):
        return ["Zzyzx" for _ in lists]


def test_words_of_another_writer_that_nobody_has_learnt_are_compared_by_the_middle_of_the_list():
    (theme,) = write([*list_of("jazz band"), planted("courtroom drama", 1)], writer=Plugged)

    assert theme.text == "Zzyzx"
    assert min(theme.relevance[:8]) > theme.relevance[8]


def test_phrases_begin_and_end_with_words_that_say_something():
    item = DescribedItem("The Old Harbour", ("A storm; harbour of 1999. Jane's sea-wind in 1999",))

    phrases = phrases_of(item, stop=frozenset({"the", "of", "a", "in"}))

    assert set(phrases) == {"old", "old harbour", "harbour", "storm", "jane", "jane sea-wind", "sea-wind"}
    assert phrases["old harbour"] == "Old Harbour"


def test_signs_without_blanks_are_taken_two_to_four_at_a_time():
    assert set(phrases_of(DescribedItem("宇宙船"), stop=NO_STOP)) == {"宇宙", "宙船", "宇宙船"}


def test_a_category_is_a_phrase_as_it_is_and_the_same_as_the_word():
    phrases = phrases_of(DescribedItem("a comedy", (), ("Comedy", "Sci-Fi & Fantasy")), stop=NO_STOP)

    assert phrases == {"comedy": "Comedy", "sci-fi & fantasy": "Sci-Fi & Fantasy"}


def test_stop_words_are_those_of_the_languages_that_are_written():
    english = words_of(DescribedItem("The dog and the cat went to die in the house of the old woman"))
    german = words_of(DescribedItem("Der Hund und die Katze gingen in das Haus des alten Mannes"))

    of_english, of_german = stop_words(english), stop_words(german)

    assert "die" not in of_english
    assert "die" in of_german
    assert "the" in of_english
    assert stop_words([]) == frozenset()


def test_a_text_is_read_to_its_four_hundredth_word():
    phrases = phrases_of(DescribedItem("", (" ".join(["filler"] * 400) + ", afterwards",)), stop=NO_STOP)

    assert "filler" in phrases
    assert "afterwards" not in phrases
