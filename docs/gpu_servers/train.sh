#!/bin/bash
# Submits the training of a model, each part when the one before has succeeded:
#   [AFTER=<job>] docs/gpu_servers/train.sh teacher|student [arguments of kedro run]
# Prints the last job's id. Submitted again it trains what is not trained yet.
set -euo pipefail
here=$(dirname "$0") model=$1
shift

submit() { # after which job, then as sbatch
    local after=$1
    shift
    sbatch --parsable ${after:+--dependency=afterok:$after} "$@"
}

prepared=$(submit "${AFTER-}" "$here/step.sbatch" --pipelines "$model" \
    --to-nodes "$model.plan_and_preprocess,$model.split_folds" "$@")
# A cascade fold reads the predictions of all five lowres folds.
lowres=$(submit "$prepared" --array=0-4 "$here/fold.sbatch" "$model" lowres "$@")
cascade=$(submit "$lowres" --array=0-4 "$here/fold.sbatch" "$model" cascade "$@")
submit "$cascade" "$here/step.sbatch" --pipelines "$model" \
    --nodes "$model.collect_model,$model.describe_training" "$@"
