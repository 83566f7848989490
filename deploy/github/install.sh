#!/usr/bin/env bash
# Finds or downloads kpromo for the action in action.yml, which sets the variables.
set -euo pipefail

fail() {
  echo "::error title=kpromo::$*"
  exit 1
}

if [[ -n $KPROMO_BINARY ]]; then
  [[ -x $KPROMO_BINARY ]] || fail "the input \`binary\` is $KPROMO_BINARY, which is not an executable file"
  echo "kpromo=$(realpath -- "$KPROMO_BINARY")" >> "$GITHUB_OUTPUT"
  exit 0
fi

[[ $KPROMO_VERSION =~ ^[0-9A-Za-z.+-]+$ ]] || fail "the input \`version\` is not a version such as 0.1.0"
[[ $(uname -s) == Linux ]] || fail "releases are only for Linux: build kpromo, and set the input \`binary\`"
name=kpromo-$KPROMO_VERSION-$(uname -m)-unknown-linux-gnu
url=${KPROMO_URL:-https://github.com/$KPROMO_REPOSITORY/releases/download/v$KPROMO_VERSION}
# Without TLS, only a known checksum proves what was downloaded.
protocols='=https'
[[ -z $KPROMO_SHA256 ]] || protocols='=https,http'

directory=$RUNNER_TEMP/kpromo-install
mkdir -p "$directory"
cd "$directory"
download() {
  curl --fail --silent --show-error --location --proto "$protocols" --proto-redir '=https' \
    --max-time 300 --retry 3 --output "$1" "$url/$1" || fail "downloading $url/$1 failed: does the release $KPROMO_VERSION exist?"
}
download "$name.tar.gz"
if [[ -n $KPROMO_SHA256 ]]; then
  sum=$KPROMO_SHA256
else
  download SHA256SUMS
  sum=$(awk -v name="$name.tar.gz" '$2 == name { print $1 }' SHA256SUMS)
fi
echo "$sum  $name.tar.gz" | sha256sum --check --strict --quiet ||
  fail "$url/$name.tar.gz does not have the checksum ${sum:-that SHA256SUMS should list}"
tar --extract --gzip --file "$name.tar.gz" "$name/kpromo"
echo "kpromo=$directory/$name/kpromo" >> "$GITHUB_OUTPUT"
