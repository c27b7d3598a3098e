#!/bin/bash
# Installs the Debian/Ubuntu packages that purposes need: setup.sh build|test|check|...; names them when it may not.
set -euo pipefail

packages=()
for purpose in "$@"; do
    case $purpose in
    build) packages+=(cmake ninja-build gcc libc6-dev pkg-config libpng-dev libturbojpeg0-dev libdnnl-dev) ;;
    # g++: the public header is compiled as C++ too. abigail-tools, dpkg-dev and file: the interface and the packages.
    # ffmpeg: videos. python3-numpy: the Python example. libgstreamer*, gstreamer1.0-*: the GStreamer element.
    test) packages+=(g++ libcriterion-dev python3 python3-numpy abigail-tools dpkg-dev file ffmpeg libgstreamer1.0-dev
        libgstreamer-plugins-base1.0-dev gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good) ;;
    # python3-pip: for scripts/disassembler.sh.
    check) packages+=(python3 python3-pip clang-format cppcheck) ;;
    # The training recipe, and the comparison with PyTorch.
    recipe) packages+=(python3-torch python3-numpy python3-pil) ;;
    package) packages+=(dpkg-dev file) ;;
    peers) packages+=(python3 python3-venv) ;;
    *) echo "setup.sh: unknown purpose '$purpose'; known: build, test, check, recipe, package, peers" >&2 && exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "setup: no Debian or Ubuntu here; these packages, or their like, are needed: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $EUID -ne 0 ]]; then
    echo "setup: packages are missing; install them with" >&2
    echo "    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install --yes --no-install-recommends "${missing[@]}")
# The lists may be absent or old: fetch them only when the first try fails.
"${install[@]}" </dev/null >/dev/null 2>&1 || { apt-get update -q </dev/null >/dev/null && "${install[@]}" </dev/null; }
