#!/bin/sh
# Fashion-MNIST from Debian's package dataset-fashion-mnist into the folder given, without root.
# Where that cannot be had nothing is lost: keras.datasets downloads the same files when they are
# first needed.
set -u
[ -d /usr/share/datasets/fashion-mnist ] && exit 0
mkdir -p "$1" && cd "$1" || exit 1
[ -d usr/share/datasets/fashion-mnist ] && exit 0

fetch() { apt-get "$@" download dataset-fashion-mnist >/dev/null 2>&1; }
fetch_with_own_lists() {  # a new machine has no package lists, and the system's need root
  mkdir -p apt/lists/partial apt/cache/archives/partial
  set -- -o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt/cache"
  apt-get "$@" update >/dev/null 2>&1 && fetch "$@"
}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && { fetch || fetch_with_own_lists; } \
  && mkdir -p unpacked && dpkg-deb -x dataset-fashion-mnist_*.deb unpacked && mv unpacked/usr usr \
  && echo "Fashion-MNIST: Debian's package, in $1" \
  || echo "Fashion-MNIST: no Debian package to be had; keras.datasets will download it"
rm -rf apt unpacked dataset-fashion-mnist_*.deb
