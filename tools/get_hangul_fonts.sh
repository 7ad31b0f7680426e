#!/bin/sh
# The Hangul typefaces of Debian's font packages into the folder given (about 350 MB), without root.
set -eu
packages="fonts-baekmuk fonts-nanum fonts-nanum-eco fonts-nanum-extra fonts-noto-cjk
  fonts-unfonts-core fonts-unfonts-extra fonts-woowa-bm"
mkdir -p "$1" && cd "$1"
[ -e complete ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
  echo "error: apt-get and dpkg-deb not found; expected a Debian or a system like it" >&2; exit 2; }

# shellcheck disable=SC2086
fetch() { apt-get "$@" download $packages >/dev/null 2>&1; }
fetch_with_own_lists() {  # a new machine has no package lists, and the system's need root
  mkdir -p apt/lists/partial apt/cache/archives/partial
  set -- -o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt/cache"
  apt-get "$@" update >/dev/null 2>&1 && fetch "$@"
}
fetch || fetch_with_own_lists || {
  echo "error: the font packages could not be downloaded; expected Debian's packages" \
    $packages >&2; exit 2; }
for package in fonts-*.deb; do dpkg-deb -x "$package" .; done
rm -rf apt fonts-*.deb etc
touch complete
echo "Hangul typefaces: Debian's packages, in $1"
