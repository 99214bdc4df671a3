"""Indexes find the largest inner products, say truly when that is proven, and refuse files of another catalogue."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CorruptArtifact
from recipes.retrieval.annoy import AnnoyIndex, build_annoy, with_extra_coordinate
from recipes.retrieval.exact import ExactIndex
from recipes.retrieval.lists import ListIndex, build_lists
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.scan import ScanIndex, build_scan
from recipes.retrieval.transforms import TRANSFORMS, Transform

N_ITEMS, WIDTH = 3000, 17


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(1)
    centres = random.standard_normal((30, WIDTH))
    # Clustered and of very different lengths, as trained vectors are.
    drawn = centres[random.integers(0, 30, N_ITEMS)] + 0.4 * random.standard_normal((N_ITEMS, WIDTH))
    return (drawn * random.lognormal(0, 0.5, (N_ITEMS, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def users():
    # Some directions are asked for more than others, and one in common.
    drawn = np.random.default_rng(3).standard_normal((400, WIDTH), np.float32) * np.linspace(0.2, 2, WIDTH)
    return (drawn + np.eye(WIDTH)[0] * 3).astype(np.float32)


@pytest.fixture(scope="module")
def queries(users):
    return users[:60]


def whitened(vectors, users):
    return Transform.fit("whitened", item_vectors=vectors, user_vectors=users[60:])


@pytest.fixture(scope="module")
def folder(vectors, users, tmp_path_factory):
    made = tmp_path_factory.mktemp("index")
    build_annoy(vectors, made, transform=whitened(vectors, users), seed=1, head=50)
    build_scan(vectors, made, user_vectors=users[60:])
    build_lists(vectors, users[60:], made, transform=whitened(vectors, users), clusters=40, length=300, seed=1)
    return made


def best(vectors, query, limit, allowed=None):
    """Return the best items by a full sort, of those that are allowed."""
    products = vectors.astype(np.float64) @ query
    items = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    return set(items[np.argsort(-products[items], kind="stable")[:limit]].tolist())


def recall(vectors, index, queries, limit=25):
    hits = [len(best(vectors, query, limit) & set(index.nearest(query, limit).items.tolist())) for query in queries]
    return sum(hits) / limit / len(queries)


def test_exact_search_is_a_full_sort(vectors, queries):
    nearest = ExactIndex(vectors).nearest(queries[0], 25)
    assert nearest.items.tolist() == np.argsort(-(vectors @ queries[0]), kind="stable")[:25].tolist()
    assert nearest.proven
    assert nearest.items.dtype == np.int32


def test_exact_search_scores_as_requests_are_scored(queries):
    # Items that differ by no more than what rounding makes of their products.
    random = np.random.default_rng(5)
    twins = (queries[1] + 1e-6 * random.standard_normal((2000, len(queries[1])))).astype(np.float32)
    products = inner_products(twins, np.arange(len(twins), dtype=np.int32), queries[0])
    expected = np.argsort(-products, kind="stable")[:25]
    assert expected.tolist() != np.argsort(-(twins @ queries[0]), kind="stable")[:25].tolist()
    assert ExactIndex(twins).nearest(queries[0], 25).items.tolist() == expected.tolist()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transformations_keep_the_order_of_products(vectors, users, name):
    transform = Transform.fit(name, item_vectors=vectors, user_vectors=users)
    products = vectors @ users[:5].T
    moved = transform.items(vectors) @ transform.queries(users[:5]).T
    lowered = products - transform.mean @ users[:5].T
    np.testing.assert_allclose(moved, lowered, rtol=1e-4, atol=1e-4)


def test_whitened_users_ask_for_all_directions_alike(vectors, users):
    moved = Transform.fit("whitened", item_vectors=vectors, user_vectors=users).queries(users)
    np.testing.assert_allclose(moved.T @ moved / len(users), np.eye(WIDTH), atol=0.03)


def test_inner_products_do_not_depend_on_what_else_is_scored(vectors, queries):
    all_scores = inner_products(vectors, np.arange(N_ITEMS, dtype=np.int32), queries[0])
    np.testing.assert_allclose(all_scores, vectors @ queries[0], rtol=1e-4, atol=1e-4)
    for item in (0, 7, N_ITEMS - 1):
        assert inner_products(vectors, np.array([item], np.int32), queries[0])[0] == all_scores[item]


def test_scan_has_the_best_for_certain_and_little_else(vectors, queries, folder):
    scan = ScanIndex.open(folder, vectors)
    for query in queries:
        nearest = scan.nearest(query, 25)
        candidates = set(nearest.items.tolist())
        assert best(vectors, query, 25) <= candidates
        assert len(candidates) == len(nearest.items) < 60
        assert nearest.proven


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1000), limit=st.integers(1, 200), passing=st.integers(0, N_ITEMS), common=st.floats(0, 50))
def test_scan_has_the_best_of_what_is_allowed_whoever_asks(vectors, folder, seed, limit, passing, common):
    random = np.random.default_rng(seed)
    # Unlike the users that it was made for.
    drawn = random.standard_normal((2, WIDTH)) * [[random.lognormal(0, 2)], [common]]
    query = drawn.sum(axis=0).astype(np.float32)
    allowed = np.zeros(N_ITEMS, bool)
    allowed[random.choice(N_ITEMS, passing, replace=False)] = True

    items = ScanIndex.open(folder, vectors).nearest(query, limit, allowed).items

    assert best(vectors, query, limit, allowed) <= set(items.tolist())
    assert allowed[items].all()
    assert len(set(items.tolist())) == len(items)


@pytest.mark.parametrize("common", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("limit", [25, 100])
def test_no_item_that_a_scan_leaves_out_is_beyond_its_bound(vectors, tmp_path, common, limit):
    # As biases of items in a coordinate that all users have 1 in: the mean of the items is far from zero.
    biased = np.concatenate([vectors, np.full((N_ITEMS, 1), common, np.float32)], axis=1)
    asking = np.random.default_rng(5).standard_normal((50, WIDTH + 1), np.float32)
    asking[:, -1] = 1.0
    build_scan(biased, tmp_path, user_vectors=asking[20:])
    scan = ScanIndex.open(tmp_path, biased)
    for query in asking[:20]:
        nearest, products = scan.nearest(query, limit), biased.astype(np.float64) @ query
        left_out = np.delete(products, nearest.items)
        assert left_out.max() <= nearest.bound <= np.sort(products)[-limit] + 0.1


def test_scan_of_items_that_differ_in_few_directions_reads_little_of_each_and_is_exact(tmp_path):
    random = np.random.default_rng(7)
    mixed = np.linalg.qr(random.standard_normal((40, 40)))[0]
    vectors = ((random.standard_normal((9_000, 40)) * 0.6 ** np.arange(40)) @ mixed).astype(np.float32)
    asking = random.standard_normal((120, 40)).astype(np.float32)
    build_scan(vectors, tmp_path, user_vectors=asking[20:])
    scan = ScanIndex.open(tmp_path, vectors)
    assert scan.parts.codes.shape[1] < 40
    allowed = random.random(len(vectors)) < 0.3
    for query in asking[:20]:
        for limit, passing in itertools.product((1, 100, 600), (None, allowed)):
            nearest = scan.nearest(query, limit, passing)
            assert best(vectors, query, limit, passing) <= set(nearest.items.tolist())
            assert len(nearest.items) < 2 * limit + 10


@pytest.mark.parametrize("passing", [0, 1, 128, 1_000, N_ITEMS])
def test_narrowed_scan_has_the_best_of_what_it_is_narrowed_to(vectors, queries, folder, passing):
    allowed = np.zeros(N_ITEMS + 3, bool)
    allowed[np.random.default_rng(8).choice(N_ITEMS, passing, replace=False)] = True
    narrowed = ScanIndex.open(folder, vectors).narrowed(allowed)

    assert narrowed.size == passing
    of_model = allowed[:N_ITEMS]
    for query in queries[:10]:
        nearest, products = narrowed.nearest(query, 25), vectors.astype(np.float64) @ query
        assert best(vectors, query, 25, of_model) <= set(nearest.items.tolist())
        assert of_model[nearest.items].all()
        left_out = of_model.copy()
        left_out[nearest.items] = False
        assert products[left_out].max(initial=-np.inf) <= nearest.bound


def test_scan_finds_all_of_many_equal_items(tmp_path):
    vectors = np.ones((3_000, 4), np.float32)
    build_scan(vectors, tmp_path, user_vectors=np.ones((2, 4), np.float32))
    items = ScanIndex.open(tmp_path, vectors).nearest(np.ones(4, np.float32), 10).items
    assert sorted(items.tolist()) == list(range(3_000))


@pytest.mark.parametrize("n_items", [1, 5, 128, 129])
def test_scan_of_few_items_and_of_nobody(tmp_path, n_items):
    vectors = np.random.default_rng(5).standard_normal((n_items, 3)).astype(np.float32)
    vectors[0] = 0.0
    build_scan(vectors, tmp_path, user_vectors=np.empty((0, 3), np.float32))
    scan = ScanIndex.open(tmp_path, vectors)
    for query in (np.array([1, 2, 3], np.float32), np.zeros(3, np.float32)):
        assert sorted(scan.nearest(query, 200).items.tolist()) == list(range(n_items))
    assert best(vectors, np.array([1, 2, 3], np.float32), 1) <= set(
        scan.nearest(np.array([1, 2, 3], np.float32), 1).items.tolist()
    )


def test_lists_find_nearly_all_of_it_and_more_lists_find_more(vectors, queries, folder):
    recalls = [recall(vectors, ListIndex.open(folder, vectors, probes=probes), queries) for probes in (1, 2, 8)]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]
    assert recalls[-1] >= 0.95


def test_forest_finds_nearly_all_of_it_and_more_nodes_find_more(vectors, queries, folder):
    few, many = (recall(vectors, AnnoyIndex(folder, vectors, search_k=search_k), queries) for search_k in (50, 20_000))
    assert few < many
    assert many >= 0.95


def test_all_items_differ_whatever_is_asked_for(vectors, queries, folder):
    for index in (
        ListIndex.open(folder, vectors, probes=40),
        AnnoyIndex(folder, vectors, search_k=20_000),
        ScanIndex.open(folder, vectors),
    ):
        for limit in (1, 100, N_ITEMS, 2 * N_ITEMS):
            items = index.nearest(queries[0], limit).items
            assert len(np.unique(items)) == len(items)
            assert items.dtype == np.int32


def planted(head):
    """Return items of which a few are far longer than the rest, in the direction of a query, and the query."""
    random = np.random.default_rng(6)
    vectors = 0.05 * random.standard_normal((2000, WIDTH))
    vectors[:head, 0] += 5
    query = np.eye(WIDTH, dtype=np.float32)[0]
    users = (query + 0.1 * random.standard_normal((200, WIDTH))).astype(np.float32)
    return vectors.astype(np.float32), users, query


def test_an_answer_is_proven_where_nothing_else_can_be_as_good(tmp_path):
    vectors, users, query = planted(head=40)
    transform = Transform.fit("raw", item_vectors=vectors, user_vectors=users)
    build_annoy(vectors, tmp_path, transform=transform, seed=1, head=40)
    build_lists(vectors, users, tmp_path, transform=transform, clusters=4, length=100, seed=1)
    for index in (AnnoyIndex(tmp_path, vectors, search_k=500), ListIndex.open(tmp_path, vectors, probes=1)):
        nearest = index.nearest(query, 40)
        assert nearest.proven
        assert set(nearest.items.tolist()) == best(vectors, query, 40)
        # Of the short ones any may be better than what is found of them.
        assert not index.nearest(query, 60).proven
        assert not index.nearest(-query, 40).proven


def test_proofs_are_never_wrong(tmp_path):
    random = np.random.default_rng(8)
    vectors, users, query = planted(head=60)
    vectors[:60, 0] *= random.uniform(0.2, 1.0, 60).astype(np.float32)
    proven = 0
    for name in TRANSFORMS:
        made = tmp_path / name
        made.mkdir()
        transform = Transform.fit(name, item_vectors=vectors, user_vectors=users)
        build_annoy(vectors, made, transform=transform, seed=1, trees=4, head=30)
        build_lists(vectors, users, made, transform=transform, clusters=8, length=70, seed=1)
        for index in (AnnoyIndex(made, vectors, search_k=200), ListIndex.open(made, vectors, probes=2)):
            for turn in np.linspace(0, 1, 40):
                turned = (query + turn * random.standard_normal(WIDTH)).astype(np.float32)
                nearest = index.nearest(turned, 20)
                if nearest.proven:
                    proven += 1
                    assert set(nearest.items.tolist()) == best(vectors, turned, 20)
    assert proven > 20


def test_the_extra_coordinate_gives_one_length_and_leaves_products_alone(vectors, queries):
    extended = with_extra_coordinate(vectors)
    lengths = np.linalg.norm(extended, axis=1)
    np.testing.assert_allclose(lengths, lengths.max(), rtol=1e-5)
    np.testing.assert_allclose(extended @ np.append(queries[0], 0), vectors @ queries[0], rtol=1e-4, atol=1e-4)


def test_the_same_vectors_and_seed_build_the_same_bytes(vectors, users, folder, tmp_path):
    build_annoy(vectors, tmp_path, transform=whitened(vectors, users), seed=1, head=50)
    build_scan(vectors, tmp_path, user_vectors=users[60:])
    build_lists(vectors, users[60:], tmp_path, transform=whitened(vectors, users), clusters=40, length=300, seed=1)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("n_items", [1, 3])
def test_small_catalogues_are_found_whole(n_items, tmp_path):
    vectors = np.eye(3, dtype=np.float32)[:n_items]
    users = np.ones((2, 3), np.float32)
    transform = Transform.fit("centred", item_vectors=vectors, user_vectors=users)
    build_annoy(vectors, tmp_path, transform=transform, seed=1)
    build_lists(vectors, users, tmp_path, transform=transform, clusters=2, length=25, seed=1)
    query = np.array([1, 2, 3], np.float32)
    for index in (AnnoyIndex(tmp_path, vectors, search_k=1000), ListIndex.open(tmp_path, vectors, probes=2)):
        nearest = index.nearest(query, 25)
        assert sorted(nearest.items.tolist()) == list(range(n_items))
        assert nearest.proven


def openers(folder, vectors):
    return {
        "scan": lambda: ScanIndex.open(folder, vectors),
        "lists": lambda: ListIndex.open(folder, vectors, probes=1),
        "annoy": lambda: AnnoyIndex(folder, vectors, search_k=100),
    }


@pytest.mark.parametrize("kind", ["scan", "lists", "annoy"])
@pytest.mark.parametrize("difference", ["fewer", "narrower"])
def test_the_index_of_another_catalogue_is_corrupt(vectors, folder, kind, difference):
    another = vectors[:-200] if difference == "fewer" else np.ascontiguousarray(vectors[:, :-4])
    with pytest.raises(CorruptArtifact, match=r"got .*, want "):
        openers(folder, another)[kind]()


def test_lists_of_which_none_is_looked_at_are_corrupt(vectors, folder):
    with pytest.raises(CorruptArtifact, match="`probes`: got 0, want 1 at least"):
        ListIndex.open(folder, vectors, probes=0)


@pytest.mark.parametrize("kind", ["scan", "lists", "annoy"])
def test_a_missing_index_is_corrupt(vectors, tmp_path, kind):
    with pytest.raises(CorruptArtifact, match="array `"):
        openers(tmp_path, vectors)[kind]()


@pytest.mark.parametrize(
    ("kind", "name"), [("scan", "scan_items"), ("lists", "lists_items"), ("annoy", "forest_items")]
)
def test_items_out_of_range_are_corrupt(vectors, folder, tmp_path, kind, name):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    items = np.load(tmp_path / f"{name}.npy")
    items.flat[0] = N_ITEMS
    np.save(tmp_path / f"{name}.npy", items)
    with pytest.raises(CorruptArtifact, match=rf"`{name}\.npy`: got"):
        openers(tmp_path, vectors)[kind]()
