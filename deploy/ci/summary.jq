# Renders the plan and the report of `kpromo cip` as Markdown, for a comment or a job summary. Variables: $plan and $report,
# each a list with one document or null; $code, the exit code; $confirm, "true" or "false".
#
# Names, tags and errors come from manifests and registries, which a change may control. They are shown only as code, in
# which Markdown, HTML and mentions have no effect.

def code:
  tostring | gsub("[\\p{Cc}\\p{Cf}`]"; " ") | if length > 300 then .[:300] + "…" else . end
  | if . == "" then "" else "`" + gsub("\\|"; "\\|") + "`" end;

# Keeps the first lines that fit into $limit bytes, and counts the others.
def fit($limit):
  reduce .[] as $line ({ lines: [], size: 0, left: 0 };
    if .left == 0 and .size + ($line | utf8bytelength) < $limit
    then .lines += [$line] | .size += ($line | utf8bytelength) + 1
    else .left += 1 end)
  | .lines + (if .left > 0 then ["", "… and \(.left) more: see the plan file."] else [] end);

def table($head; $limit):
  if length == 0 then [] else
    ["| " + ($head | join(" | ")) + " |", "|" + ($head | map("---") | join("|")) + "|"] + fit($limit) + [""]
  end;

def details($title; $lines):
  if ($lines | length) == 0 then [] else ["<details><summary>" + $title + "</summary>", ""] + $lines + ["</details>", ""] end;

def destination: .destination + (if .tag then ":" + .tag else "" end);

{
  "0": "done", "2": "the command line is invalid", "10": "a manifest or the configuration is invalid",
  "11": "conflict: a tag would move, or manifests overlap", "12": "policy: an image may not be promoted",
  "20": "a registry, credentials or an identity are unavailable", "30": "some images were not promoted",
  "31": "some images lack a signature or a record", "32": "interrupted while writing", "130": "interrupted before writing"
} as $meanings
| $plan[0] as $plan
| $report[0] as $report
| ($plan.summary.total // $report.plan.total // null) as $total
| [$plan.edges[]? | select(.action != "done")] as $edges
| [$edges[] | select(.action == "copy" or .action == "tag")] as $changes
| [$edges[] | select(.action != "copy" and .action != "tag")] as $others
| [
    "### kpromo: " + (if $confirm == "true" then "promotion" else "plan" end)
      + (if $code == 0 then "" else " failed" end), "",
    (if $code != 0 then "Exit code \($code): " + ($meanings[$code | tostring] // "an error") + "." , ""
     elif $report.outcome == "nothing-to-do" then "There is nothing to do.", ""
     else empty end),
    (if $report.error then $report.error | code | ., "" else empty end),
    (if $total then
      "| edges | copy | tag | sign | record | done | conflicts | failed | lost | refused |",
      "|---|---|---|---|---|---|---|---|---|---|",
      "| " + ([$total | .edges, .copy, .tag, .sign, .record, .done, .conflicts, .failed, .lost, .refused]
              | map(tostring) | join(" | ")) + " |", ""
     else empty end)
  ]
  + ([$others[] | "| \(.action) | \(destination | code) | \(.digest | code) | \(.detail // "" | code) | \(.origin // "" | code) |"]
     | table(["problem", "destination", "digest", "reason", "manifest"]; 12000))
  + ([$report.failed[]? | "| \(.destination | code) | \(.error | code) | \(.advice // "" | code) |"]
     | table(["not promoted", "error", "advice"]; 12000))
  + ([($report.rejected // [])[] | "- " + code] | if length == 0 then [] else ["Left out as invalid:", ""] + fit(4000) + [""] end)
  + details("Changes (\($changes | length))";
      [$changes[] | "| \(.action) | \(destination | code) | \(.source + "@" + .digest | code) |"]
      | table(["action", "destination", "source"]; 20000))
  + details("Signatures and records (\([$plan.images[]?] | length))";
      [$plan.images[]? | "| \(.image | code) | \(.lacks | join(", ") | code) | \(.refused // "" | code) |"]
      | table(["image", "gets", "refused because"]; 8000))
| .[]
