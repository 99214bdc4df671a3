"""The migration that brought recommenders, on each database: what a downgrade forgets with them."""

from __future__ import annotations

from control_plane.domain.jobs import JobKind
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import (
    Campaign,
    Deployment,
    Job,
    JobAttempt,
    Recommender,
    Schedule,
    Solution,
    SolutionVersion,
    Tag,
)
from tests.control_plane.metadata_store.suite import MOMENT, add, arn, attempt, group, group_arn, job, solution
from tests.control_plane.metadata_store.test_migrations import downgrade


def test_recommenders_are_forgotten_with_their_jobs_and_the_rest_stays(url):
    metadata_store = open_metadata_store(url)
    moments = {"creation_date_time": MOMENT, "last_updated_date_time": MOMENT}
    films, hidden = solution("films"), solution("hidden", of_recommender=True)
    hidden.arn = arn("recommender", "films")
    trained = [
        SolutionVersion(
            arn=f"{parent.arn}/1", name="1", solution_arn=parent.arn, artifact_location=parent.name,
            of_recommender=parent.of_recommender, recipe_arn="recipe", dataset_group_arn=group_arn(1),
            training_mode="FULL", **moments,
        )
        for parent in (films, hidden)
    ]  # fmt: skip
    campaign = Campaign(arn=arn("campaign", "films"), name="films", solution_arn=films.arn, **moments)
    recommender = Recommender(
        arn=hidden.arn, name="films", solution_arn=hidden.arn, recipe_arn="recipe", dataset_group_arn=group_arn(1),
        **moments,
    )  # fmt: skip
    add(metadata_store, group(1), films, hidden)
    add(metadata_store, *trained)
    for number, (target, version) in enumerate(zip((campaign, recommender), trained, strict=True)):
        deployment = Deployment(
            id=str(number), target_arn=target.arn, number=1, solution_version_arn=version.arn, min_provisioned_tps=1,
            **moments,
        )  # fmt: skip
        due = {"interval_seconds": 60, "begun_at": MOMENT, "next_run_at": MOMENT}
        add(metadata_store, target, deployment, Schedule(solution_arn=version.solution_arn, **due))
        add(
            metadata_store,
            job(2 * number, kind=JobKind.SOLUTION_VERSION_TRAINING, subject=version.arn),
            job(2 * number + 1, kind=JobKind.STORAGE_REMOVAL, subject=version.solution_arn),
            *(Tag(resource_arn=tagged, tag_key="k", tag_value="v") for tagged in (target.arn, version.arn)),
        )
    add(metadata_store, *(attempt(f"job-{number}", second=number) for number in range(4)))

    downgrade(metadata_store, "0012")
    metadata_store.close()

    def look(unit) -> None:
        assert [row.arn for row in unit.find(Solution)] == [films.arn]
        assert [row.solution_arn for row in unit.find(Schedule)] == [films.arn]
        assert [row.arn for row in unit.find(SolutionVersion)] == [trained[0].arn]
        assert [row.id for row in unit.find(Deployment)] == ["0"]
        assert unit.count(Recommender, limit=9) == 0
        assert [row.id for row in unit.find(Job, order=["id"])] == ["job-0", "job-1"]
        assert {row.job_id for row in unit.find(JobAttempt)} == {"job-0", "job-1"}
        assert {row.resource_arn for row in unit.find(Tag)} == {arn("campaign", "films"), trained[0].arn}

    metadata_store = open_metadata_store(url)
    metadata_store.view(look)
    metadata_store.close()
