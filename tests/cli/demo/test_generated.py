"""Generated data."""

from cli.demo import generated


def test_generated_data_is_the_same_each_time():
    assert generated.generate(users=50) == generated.generate(users=50)


def test_generated_users_mostly_choose_one_genre():
    data = generated.generate(users=100)
    shares = []
    for user in data.users:
        genres = [
            data.items[interaction.item].genres[0] for interaction in data.interactions if interaction.user == user
        ]
        shares.append(max(genres.count(genre) for genre in set(genres)) / len(genres))
    assert sum(shares) / len(shares) > 0.7


def test_generated_users_choose_no_item_twice():
    data = generated.generate(users=100)
    assert len({(interaction.user, interaction.item) for interaction in data.interactions}) == len(data.interactions)
