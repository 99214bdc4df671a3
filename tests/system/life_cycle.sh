#!/usr/bin/env bash
# The life of a dataset group through the AWS CLI, as somebody would type it: from its creation to its deletion.
#
#   life_cycle.sh ENDPOINT INTERACTIONS SCHEMA
#
# ENDPOINT is the gateway's URL, INTERACTIONS the s3:// place of a CSV file, SCHEMA the file of its Avro schema. AWS names
# the program, of one or more words. Every step says what it does; the first one that fails ends the script.
set -euo pipefail
endpoint=$1 interactions=$2 schema=$3

aws() { ${AWS:-aws} --endpoint-url "$endpoint" --output text "$@"; }
step() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
same() { [ "$1" = "$2" ] || fail "got '$1', want '$2'"; }
contains() { case $'\t'$1$'\t' in *$'\t'"$2"$'\t'*) ;; *) fail "got '$1', want '$2' among them" ;; esac; }

# A call takes about half a second, so that asking again needs no pause.
# until_status STATUS OPERATION OPTION ARN: waits for the status that its Describe operation returns.
until_status() {
  local status want=$1 _
  shift
  for _ in $(seq 200); do
    status=$(aws personalize "$@" --query '*.status')
    case $status in
      "$want") return ;;
      *FAILED*) fail "$* is $status: $(aws personalize "$@" --query '*.failureReason')" ;;
    esac
  done
  fail "$* is still $status"
}

# until_active OPERATION OPTION ARN: the same for ACTIVE.
until_active() { until_status ACTIVE "$@"; }

# until_gone OPERATION OPTION ARN: waits until its Describe operation finds nothing.
until_gone() {
  local message _
  for _ in $(seq 200); do
    if ! message=$(aws personalize "$@" 2>&1); then
      case $message in *ResourceNotFoundException*) return ;; *) fail "$message" ;; esac
    fi
  done
  fail "$* is still there"
}

# items_schema [FIELDS]: the schema of an Items dataset, with further fields.
items_schema() {
  printf '{"type": "record", "name": "Items", "version": "1.0", "fields": [{"name": "ITEM_ID", "type": "string"},
    {"name": "GENRES", "type": ["null", "string"], "categorical": true}%s]}' "${1:-}"
}

step "what is wrong is refused, in AWS's words"
if message=$(aws personalize create-dataset-group --name 'no blanks' 2>&1); then fail "a wrong name was taken"; fi
case $message in
  *"(InvalidInputException)"*"Value 'no blanks' at 'name' failed to satisfy constraint"*) ;;
  *) fail "$message" ;;
esac

step "dataset group, schema, dataset"
group=$(aws personalize create-dataset-group --name cli --tags tagKey=team,tagValue=shop --query datasetGroupArn)
until_active describe-dataset-group --dataset-group-arn "$group"
same "$(aws personalize list-tags-for-resource --resource-arn "$group" --query 'tags[].tagValue')" shop
schema_arn=$(aws personalize create-schema --name cli --schema "file://$schema" --query schemaArn)
dataset=$(aws personalize create-dataset --name cli --dataset-type Interactions --schema-arn "$schema_arn" \
  --dataset-group-arn "$group" --query datasetArn)
until_active describe-dataset --dataset-arn "$dataset"

step "import"
import=$(aws personalize create-dataset-import-job --job-name cli --dataset-arn "$dataset" \
  --data-source "dataLocation=$interactions" --role-arn arn:aws:iam::000000000000:role/personalize \
  --query datasetImportJobArn)
until_active describe-dataset-import-job --dataset-import-job-arn "$import"

step "solution, solution version, metrics"
solution=$(aws personalize create-solution --name cli --dataset-group-arn "$group" --no-perform-auto-training \
  --recipe-arn arn:aws:personalize:::recipe/aws-popularity-count --query solutionArn)
version=$(aws personalize create-solution-version --solution-arn "$solution" --query solutionVersionArn)
until_active describe-solution-version --solution-version-arn "$version"
coverage=$(aws personalize get-solution-metrics --solution-version-arn "$version" --query metrics.coverage)
case $coverage in 0.*) ;; *) fail "a coverage of '$coverage'" ;; esac

same "$(aws personalize update-solution --solution-arn "$solution" --query solutionArn \
  --solution-update-config 'autoTrainingConfig={schedulingExpression=rate(30 days)}')" "$solution"
same "$(aws personalize describe-solution --solution-arn "$solution" \
  --query 'solution.latestSolutionUpdate.solutionUpdateConfig.autoTrainingConfig.schedulingExpression')" "rate(30 days)"

step "filter, metric attribution, another schema"
filter=$(aws personalize create-filter --name cli --dataset-group-arn "$group" --query filterArn \
  --filter-expression 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")')
until_active describe-filter --filter-arn "$filter"
metrics=$(aws personalize create-metric-attribution --name cli --dataset-group-arn "$group" \
  --metrics 'metricName=views,eventType=watch,expression=SAMPLECOUNT()' --query metricAttributionArn \
  --metrics-output-config roleArn=arn:aws:iam::000000000000:role/personalize)
aws personalize update-metric-attribution --metric-attribution-arn "$metrics" --remove-metrics views \
  --add-metrics 'metricName=clicks,eventType=click,expression=SAMPLECOUNT()' > /dev/null
same "$(aws personalize list-metric-attribution-metrics --metric-attribution-arn "$metrics" \
  --query 'metrics[].metricName')" clicks
items_schema=$(aws personalize create-schema --name cli-items --schema "$(items_schema)" --query schemaArn)
more_schema=$(aws personalize create-schema --name cli-more --query schemaArn \
  --schema "$(items_schema ', {"name": "PRICE", "type": ["null", "float"]}')")
items_dataset=$(aws personalize create-dataset --name cli-items --dataset-type Items --schema-arn "$items_schema" \
  --dataset-group-arn "$group" --query datasetArn)
aws personalize update-dataset --dataset-arn "$items_dataset" --schema-arn "$more_schema" > /dev/null
same "$(aws personalize describe-dataset --dataset-arn "$items_dataset" \
  --query 'dataset.[schemaArn,latestDatasetUpdate.status]')" "$more_schema"$'\t'ACTIVE

step "campaign, recommendations"
campaign=$(aws personalize create-campaign --name cli --solution-version-arn "$version" --min-provisioned-tps 1 \
  --query campaignArn)
until_active describe-campaign --campaign-arn "$campaign"
items=$(aws personalize-runtime get-recommendations --campaign-arn "$campaign" --user-id user-0001 --num-results 5 \
  --query 'length(itemList)')
same "$items" 5

step "recommender of a domain"
videos=$(aws personalize create-dataset-group --name cli-videos --domain VIDEO_ON_DEMAND --query datasetGroupArn)
videos_schema=$(aws personalize create-schema --name cli-videos --domain VIDEO_ON_DEMAND --schema "file://$schema" \
  --query schemaArn)
videos_dataset=$(aws personalize create-dataset --name cli-videos --dataset-type Interactions \
  --schema-arn "$videos_schema" --dataset-group-arn "$videos" --query datasetArn)
import=$(aws personalize create-dataset-import-job --job-name cli-videos --dataset-arn "$videos_dataset" \
  --data-source "dataLocation=$interactions" --role-arn arn:aws:iam::000000000000:role/personalize \
  --query datasetImportJobArn)
until_active describe-dataset-import-job --dataset-import-job-arn "$import"
recommender=$(aws personalize create-recommender --name cli --dataset-group-arn "$videos" --query recommenderArn \
  --recipe-arn arn:aws:personalize:::recipe/aws-vod-most-popular)
until_active describe-recommender --recommender-arn "$recommender"
coverage=$(aws personalize describe-recommender --recommender-arn "$recommender" \
  --query recommender.modelMetrics.coverage)
case $coverage in 0.*) ;; *) fail "a coverage of '$coverage'" ;; esac
items=$(aws personalize-runtime get-recommendations --recommender-arn "$recommender" --user-id user-0001 \
  --num-results 5 --query 'length(itemList)')
same "$items" 5

aws personalize update-recommender --recommender-arn "$recommender" \
  --recommender-config minRecommendationRequestsPerSecond=2 > /dev/null
for _ in $(seq 200); do
  update=$(aws personalize describe-recommender --recommender-arn "$recommender" \
    --query 'recommender.latestRecommenderUpdate.status')
  case $update in ACTIVE | *FAILED*) break ;; esac
done
same "$update" ACTIVE
same "$(aws personalize describe-recommender --recommender-arn "$recommender" \
  --query recommender.recommenderConfig.minRecommendationRequestsPerSecond)" 2

aws personalize stop-recommender --recommender-arn "$recommender" > /dev/null
until_status INACTIVE describe-recommender --recommender-arn "$recommender"
if message=$(aws personalize-runtime get-recommendations --recommender-arn "$recommender" --user-id u 2>&1); then
  fail "a stopped recommender answered"
fi
case $message in *ResourceNotFoundException*) ;; *) fail "$message" ;; esac
aws personalize start-recommender --recommender-arn "$recommender" > /dev/null
until_active describe-recommender --recommender-arn "$recommender"

step "events"
read -r tracker tracking_id <<< "$(aws personalize create-event-tracker --name cli --dataset-group-arn "$group" \
  --query '[eventTrackerArn,trackingId]')"
until_active describe-event-tracker --event-tracker-arn "$tracker"
aws personalize-events put-events --tracking-id "$tracking_id" --user-id user-0001 --session-id cli \
  --event-list "eventType=watch,itemId=film-0001,sentAt=$(date +%s)"

step "lists"
contains "$(aws personalize list-dataset-groups --query 'datasetGroups[].datasetGroupArn')" "$group"
contains "$(aws personalize list-schemas --query 'schemas[].schemaArn')" "$schema_arn"
contains "$(aws personalize list-datasets --dataset-group-arn "$group" --query 'datasets[].datasetArn')" "$dataset"
contains "$(aws personalize list-dataset-import-jobs --query 'datasetImportJobs[].datasetImportJobArn')" "$import"
contains "$(aws personalize list-solutions --query 'solutions[].solutionArn')" "$solution"
contains "$(aws personalize list-solution-versions --query 'solutionVersions[].solutionVersionArn')" "$version"
contains "$(aws personalize list-campaigns --query 'campaigns[].campaignArn')" "$campaign"
contains "$(aws personalize list-recommenders --dataset-group-arn "$videos" --query 'recommenders[].recommenderArn')" \
  "$recommender"
contains "$(aws personalize list-filters --dataset-group-arn "$group" --query 'Filters[].filterArn')" "$filter"
contains "$(aws personalize list-metric-attributions --query 'metricAttributions[].metricAttributionArn')" "$metrics"
contains "$(aws personalize list-event-trackers --query 'eventTrackers[].eventTrackerArn')" "$tracker"
[ "$(aws personalize list-recipes --page-size 5 --query 'recipes[].name' | wc -w)" -gt 10 ] || fail "pages are missing"

step "deletion"
aws personalize delete-campaign --campaign-arn "$campaign"
until_gone describe-campaign --campaign-arn "$campaign"
aws personalize delete-recommender --recommender-arn "$recommender"
until_gone describe-recommender --recommender-arn "$recommender"
aws personalize delete-solution --solution-arn "$solution"
until_gone describe-solution --solution-arn "$solution"
aws personalize delete-event-tracker --event-tracker-arn "$tracker"
until_gone describe-event-tracker --event-tracker-arn "$tracker"
aws personalize delete-filter --filter-arn "$filter"
aws personalize delete-metric-attribution --metric-attribution-arn "$metrics"
aws personalize delete-dataset --dataset-arn "$items_dataset"
aws personalize delete-dataset --dataset-arn "$dataset"
until_gone describe-dataset --dataset-arn "$dataset"
until_gone describe-dataset --dataset-arn "$items_dataset"
aws personalize delete-dataset --dataset-arn "$videos_dataset"
until_gone describe-dataset --dataset-arn "$videos_dataset"
for arn in "$schema_arn" "$items_schema" "$more_schema" "$videos_schema"; do
  aws personalize delete-schema --schema-arn "$arn"
done
aws personalize delete-dataset-group --dataset-group-arn "$videos"
aws personalize delete-dataset-group --dataset-group-arn "$group"
until_gone describe-dataset-group --dataset-group-arn "$group"
step "done"
