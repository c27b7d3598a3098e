#!/bin/bash
# Builds for one GPU architecture and collects what a machine with that GPU needs to test and measure: one folder.
#     scripts/gpu-bundle.sh [ARCH=90] [OUT=build-gpu/bundle]     ARCH: 75, 80, 86, 89, 90, 100 or 120
# The other machine needs the NVIDIA driver, bash and coreutils; cuDNN, compute-sanitizer and PyTorch are used where it
# has them. There: OUT/run.sh (see its first lines). This machine needs nvcc and what `make build` needs, no GPU.
# Variables: BUILD (the build folder, build-gpu), JOBS (parallel compilers).
set -euo pipefail
cd "$(dirname "$0")/.."

arch=90 out=""
for argument in "$@"; do
    case $argument in
    ARCH=*) arch=${argument#ARCH=} ;;
    OUT=*) out=${argument#OUT=} ;;
    *) echo "gpu-bundle: unknown argument '$argument'; known: ARCH=, OUT=" >&2 && exit 2 ;;
    esac
done
[[ $arch =~ ^[0-9]+a?$ ]] || { echo "gpu-bundle: ARCH is '$arch', not a compute capability such as 90" >&2 && exit 2; }
build=${BUILD:-build-gpu}
out=${out:-$build/bundle}
mkdir -p "$build"
build=$(cd "$build" && pwd)

# All GPU tests are plain programs, but the tests' configuration asks for Criterion: an empty package will do.
if ! pkg-config --exists criterion; then
    mkdir -p "$build/empty"
    printf 'Name: criterion\nDescription: stands in where only GPU tests are built\nVersion: 2.4\n' \
        >"$build/empty/criterion.pc"
    export PKG_CONFIG_PATH=$build/empty${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
fi

# The old kind of search path also holds for the libraries of libraries. oneDNN is 40 MB and has no part in this.
# $ORIGIN is the loader's, not this shell's.
# shellcheck disable=SC2016
cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DFASTSCNN_TESTS=ON -DFASTSCNN_CUDA=ON \
    -DFASTSCNN_ONEDNN=OFF -DFASTSCNN_CUDA_ARCHS="$arch" -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/../lib' \
    -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--disable-new-dtags \
    -DCMAKE_MODULE_LINKER_FLAGS=-Wl,--disable-new-dtags >"$build/configure.log" ||
    { cat "$build/configure.log" && exit 1; }
targets=$(ninja -C "$build" -t targets all)
if ! grep -q '^fastscnn_cuda:' <<<"$targets"; then
    grep -i 'cuda\|nvcc' "$build/configure.log" >&2 || true
    echo "gpu-bundle: the CUDA backend cannot be built here: install the CUDA toolkit (nvcc, cudart)" >&2
    exit 1
fi
mapfile -t tests < <(grep -oE '^gpu_[a-z0-9_]+(:)' <<<"$targets" | tr -d : | sort -u)
((${#tests[@]} > 0)) || { echo "gpu-bundle: the build has no GPU tests" >&2 && exit 1; }
cmake --build "$build" --parallel "${JOBS:-$(nproc)}" --target fastscnn_cli fastscnn_cuda "${tests[@]}"

rm -rf "$out"
mkdir -p "$out"/{bin,lib,tests/golden,python}
cp "$build/bin/fastscnn" "${tests[@]/#/$build/bin/}" "$out/bin/"
cp -L "$build/lib/libfastscnn.so.0" "$build/lib/libfastscnn-cuda.so" "$out/lib/"
cp tests/golden/index.json tests/golden/*.safetensors "$out/tests/golden/"
cp bench/gpu/run.sh "$out/"
cp bench/gpu/torch_compare.py examples/python/fastscnn.py weights/{formula,safetensors_io}.py "$out/python/"
if compgen -G 'weights/models/*' >/dev/null; then
    mkdir -p "$out/share/fastscnn"
    cp weights/models/* "$out/share/fastscnn/"
fi

# Every shared library that is needed and that is not the system's or the driver's own.
system='linux-vdso|ld-linux.*|libc|libm|libpthread|libdl|librt|libutil|libresolv|libcuda|libnvidia-.*'
ldd "$out"/bin/* "$out"/lib/*.so* >"$build/ldd.txt"
if grep 'not found' "$build/ldd.txt"; then
    echo "gpu-bundle: the libraries above are missing" >&2
    exit 1
fi
sed -nE 's/^\s+(\S+) => (\/\S+) .*/\1 \2/p' "$build/ldd.txt" | sort -u | while read -r name path; do
    [[ ${name%%.so*} =~ ^($system)$ || -e $out/lib/$name ]] || cp -L "$path" "$out/lib/$name"
done
strip --strip-unneeded "$out"/bin/* "$out"/lib/*
chmod -R u+w "$out"
{
    printf 'commit %s\n' "$(git rev-parse HEAD 2>/dev/null || echo unknown)$(
        git diff --quiet HEAD 2>/dev/null || echo ', changed')"
    printf 'built %s for compute capability %s\n' "$(date -u +%Y-%m-%dT%H:%MZ)" "$arch"
    "$(sed -n 's/^FS_NVCC:FILEPATH=//p' "$build/CMakeCache.txt")" --version | tail -n 1
} >"$out/BUILD"

printf 'gpu-bundle: %s: %d tests, libraries: %s\n' "$out" "${#tests[@]}" "$(cd "$out/lib" && echo ./* | sed 's|\./||g')"
bytes=$(du -sb "$out" | cut -f 1)
printf 'gpu-bundle: %d.%d MB in all\n' $((bytes / 1000000)) $((bytes / 100000 % 10))
if ((bytes > 48000000)); then
    echo "gpu-bundle: over 48 MB, which is more than it should need" >&2
    exit 1
fi
