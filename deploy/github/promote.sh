#!/usr/bin/env bash
# Runs kpromo for the action in action.yml, and sets the outputs of the action.
set -euo pipefail

export KPROMO_OUTPUT=$RUNNER_TEMP/kpromo-${GITHUB_ACTION:-promote}
code=0
bash "$(dirname "${BASH_SOURCE[0]}")/../ci/promote.sh" || code=$?

if [[ -f $KPROMO_OUTPUT/summary.md ]]; then
  cat "$KPROMO_OUTPUT/summary.md" >> "$GITHUB_STEP_SUMMARY"
  echo "summary=$KPROMO_OUTPUT/summary.md" >> "$GITHUB_OUTPUT"
fi
for file in plan report; do
  [[ ! -f $KPROMO_OUTPUT/$file.json ]] || echo "$file=$KPROMO_OUTPUT/$file.json" >> "$GITHUB_OUTPUT"
done
echo "exit-code=$code" >> "$GITHUB_OUTPUT"
exit "$code"
