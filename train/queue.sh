#!/usr/bin/env bash
# Every long training, one after another: train/queue.sh DATA [STAGE...]
#
# With the settings of the adapters that are shipped. DATA is a folder with squadshifts/, qamr/ and squad/. A stage whose
# run.json is there is skipped, one that was cut goes on from its last checkpoint, and one that fails does not stop the
# others: its log is runs/logs/<stage>.log. Stages named after DATA are the only ones run. Kill it at any time, and call it
# again. ADAPTERS=runs/next trains a second set beside the one that is in use; PYTHON= and RUNS= move the rest. A base that
# changes leaves its adapters behind: train them anew. Each stage takes at most some 100 minutes on two cores.
set -u
DATA=$(cd "${1:?usage: train/queue.sh DATA [STAGE...]}" && pwd) || exit 2
shift
WANTED=" $* "
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-.venv/bin/python}
ADAPTERS=${ADAPTERS:-adapters}
RUNS=${RUNS:-runs}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
mkdir -p "$RUNS/logs"

# one training at a time: two that share the cores take longer than one after the other. What is started keeps the lock
# open, so that a queue that was killed leaves it to its training
exec 9>"$RUNS/queue.lock"
flock -n 9 || { echo "queue: another one, or its training, is running: it holds $RUNS/queue.lock" >&2; exit 1; }
child=
trap '[ -z "$child" ] || { kill "$child"; wait "$child"; }; echo "queue: stopped" >&2; exit 143' TERM INT

common=(--adapters "$ADAPTERS" --runs "$RUNS" --keep-out "$DATA/squad/dev-v1.1.json" --drop-overlap)
scored=(--validation-file "$DATA/squad/dev-v1.1.json" --questions 1000 --batch-size 8 --max-validation 100)
wiki=(--train-file "$DATA/squadshifts/new_wiki_v1.0.json")
other=(--train-file "$DATA/squadshifts/amazon_reviews_v1.0.json" --train-file "$DATA/squadshifts/reddit_v1.0.json"
       --train-file "$DATA/qamr/qamr_dev_filtered.json")
learn=(--answers sampled --max-validation 300)
failed=0

run() { # NAME MODULE ARGUMENT...
    local name=$1
    shift
    [ "$WANTED" = "  " ] || [[ $WANTED == *" $name "* ]] || return 0
    echo "queue: $name, $(date '+%F %T')"
    "$PYTHON" -m "$@" "${common[@]}" >>"$RUNS/logs/$name.log" 2>&1 &
    child=$!
    wait "$child"
    local status=$?
    child=
    [ $status = 0 ] || { failed=1; echo "queue: $name ended with status $status: $(tail -n 1 "$RUNS/logs/$name.log")"; }
}

stage() { # BACKBONE/VARIANT MODULE ARGUMENT...
    local folder=$1
    shift
    if [ -e "$ADAPTERS/$folder/run.json" ]; then
        echo "queue: ${folder/\//-} is finished"
    else
        run "${folder/\//-}" "$@" --backbone "${folder%/*}" --resume
    fi
}

stage minilm-l6-qa/base          train.base "${other[@]}" --answers sampled --max-validation 500 --epochs 1.4
stage minilm-l6-qa/lora          train.lora "${wiki[@]}" "${learn[@]}" --epochs 2 --learning-rate 7e-4
stage minilm-l6-qa/prompt-tuning train.prompt_tuning "${wiki[@]}" "${learn[@]}" --epochs 3 --learning-rate 1e-2 --head-learning-rate 1e-3
stage minilm-l6-qa/head          train.base --head-only "${wiki[@]}" "${learn[@]}" --epochs 3 --learning-rate 1e-3
stage minilm-l6/base             train.base --head-only "${wiki[@]}" "${other[@]}" "${learn[@]}" --epochs 1 --learning-rate 3e-3
stage minilm-l6/lora             train.lora "${wiki[@]}" "${learn[@]}" --epochs 2 --learning-rate 7e-4 --alpha 64 --init-from "$ADAPTERS/minilm-l6-qa/base"
stage minilm-l6/prompt-tuning    train.prompt_tuning "${wiki[@]}" "${learn[@]}" --virtual-tokens 50 --epochs 3 --learning-rate 3e-2 --head-learning-rate 3e-3
run ablation          train.ablation "${wiki[@]}" "${scored[@]}"
run sample-efficiency train.sample_efficiency "${wiki[@]}" "${scored[@]}" --max-steps 200
stage minilm-l6-qa/full          train.full "${wiki[@]}" "${learn[@]}" --epochs 2
stage minilm-l6-qa/ia3           train.ia3 "${wiki[@]}" "${learn[@]}" --epochs 2 --head-learning-rate 1e-3
stage minilm-l6-qa/prefix-tuning train.prefix_tuning "${wiki[@]}" "${learn[@]}" --epochs 2 --head-learning-rate 1e-3
exit $failed
