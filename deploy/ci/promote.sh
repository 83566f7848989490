#!/usr/bin/env bash
# Runs `kpromo cip` in a CI job. Writes plan.json, report.json and summary.md to a directory, and exits with the exit code of kpromo.
#
#   KPROMO_OUTPUT             the directory; files of an earlier run are replaced
#   KPROMO                    the program (default: kpromo)
#   KPROMO_MANIFEST, KPROMO_THIN_MANIFEST_DIR, KPROMO_DIFF_BASE    the flags of these names
#   KPROMO_CONFIG_FILE        the configuration
#   KPROMO_CONFIRM            true: promote; false or empty: show the plan
#   KPROMO_ARGUMENTS          additional flags, one per line
#
# Needs bash and jq.
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

mkdir -p "$KPROMO_OUTPUT"
plan=$KPROMO_OUTPUT/plan.json report=$KPROMO_OUTPUT/report.json summary=$KPROMO_OUTPUT/summary.md
rm -f "$plan" "$report" "$summary"

# kpromo ignores a flag with an empty value.
flags=(
  --manifest="${KPROMO_MANIFEST:-}"
  --thin-manifest-dir="${KPROMO_THIN_MANIFEST_DIR:-}"
  --output-plan="$plan"
  --report="$report"
)
[[ -z ${KPROMO_CONFIG_FILE:-} ]] || flags+=(--config="$KPROMO_CONFIG_FILE")
# The first push of a branch has the base 000… and adds everything.
[[ ${KPROMO_DIFF_BASE:-} =~ ^0*$ ]] || flags+=(--diff-base="$KPROMO_DIFF_BASE")
case ${KPROMO_CONFIRM:-false} in
  true) flags+=(--confirm) ;;
  false) ;;
  *) fail "confirm is \`$KPROMO_CONFIRM\`: it must be true or false" ;;
esac
while IFS= read -r flag; do
  # YAML indentation causes blank lines and spaces around a flag.
  flag="${flag#"${flag%%[![:space:]]*}"}"
  flag="${flag%"${flag##*[![:space:]]}"}"
  [[ -z $flag ]] || flags+=("$flag")
done <<< "${KPROMO_ARGUMENTS:-}"

code=0
"${KPROMO:-kpromo}" cip "${flags[@]}" || code=$?

[[ -f $plan ]] || echo null > "$plan.none"
[[ -f $report ]] || echo null > "$report.none"
jq --null-input --raw-output --argjson code "$code" --arg confirm "${KPROMO_CONFIRM:-false}" \
  --slurpfile plan "$([[ -f $plan ]] && echo "$plan" || echo "$plan.none")" \
  --slurpfile report "$([[ -f $report ]] && echo "$report" || echo "$report.none")" \
  --from-file "$(dirname "${BASH_SOURCE[0]}")/summary.jq" > "$summary"
rm -f "$plan.none" "$report.none"
exit "$code"
