#!/usr/bin/env bash
# Every long training, one after another: train/queue.sh DATA [RECIPE...]
#
# DATA holds the files that the recipes in train/recipes/ name; recipes named after DATA are the only ones run. One whose
# run.json is there is skipped, one that was cut goes on from its last checkpoint, and one that fails does not stop the
# others: its log is runs/logs/<backbone>-<variant>.log. Kill it at any time, and call it again. ADAPTERS=runs/next trains
# a second set beside the one that is in use; PYTHON= and RUNS= move the rest. A base that changes leaves its adapters
# behind: train them anew.
set -u
DATA=$(cd "${1:?usage: train/queue.sh DATA [RECIPE...]}" && pwd) || exit 2
shift
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-.venv/bin/python}
ADAPTERS=${ADAPTERS:-adapters}
RUNS=${RUNS:-runs}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
mkdir -p "$RUNS/logs"

# One training at a time: two that share the cores take longer than one after the other. What is started keeps the lock
# open, so that a queue that was killed leaves the lock to its training.
exec 9>"$RUNS/queue.lock"
flock -n 9 || { echo "queue: another queue, or its training, is running: it holds $RUNS/queue.lock" >&2; exit 1; }
child=
trap '[ -z "$child" ] || { kill "$child"; wait "$child"; }; echo "queue: stopped" >&2; exit 143' TERM INT

[ $# -gt 0 ] || mapfile -t all < <("$PYTHON" -m train.recipe)
failed=0
for name in "${@:-"${all[@]}"}"; do
    if [ -e "$ADAPTERS/$name/run.json" ]; then
        echo "queue: $name is finished"
        continue
    fi
    echo "queue: $name, $(date '+%F %T')"
    log="$RUNS/logs/${name//\//-}.log"
    "$PYTHON" -m train.recipe "$name" --data "$DATA" --adapters "$ADAPTERS" --runs "$RUNS" --resume >>"$log" 2>&1 &
    child=$!
    wait "$child"
    status=$?
    child=
    [ $status = 0 ] || { failed=1; echo "queue: $name ended with status $status: $(tail -n 1 "$log")"; }
done
exit $failed
