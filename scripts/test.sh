#!/bin/bash
# Builds and runs every test: release, then address and undefined-behaviour sanitizers, then threads under the race
# detector. The last line is "N passed, N failed, N skipped"; the exit status is 0 when none failed.
#     scripts/test.sh [release] [asan] [tsan]     all three by default
set -uo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc)
kinds=("$@")
[[ $# -gt 0 ]] || kinds=(release asan tsan)
results=()
timings=()
broken=0

# run_kind KIND TARGET CTEST_OPTION...: configures, builds TARGET and runs the tests that the options select.
run_kind() {
    local kind=$1 target=$2 folder=build began=$SECONDS built
    shift 2
    [[ $kind == release ]] || folder=build-$kind
    printf '\n== %s: build\n' "$kind"
    rm -rf "$folder/results"
    mkdir -p "$folder/results"
    if ! { cmake --preset "$kind" -DFASTSCNN_TESTS=ON -DFASTSCNN_WERROR=ON >"$folder/results/configure.log" 2>&1 ||
        { cat "$folder/results/configure.log" && false; }; } ||
        ! cmake --build "$folder" --parallel "$jobs" --target "$target"; then
        echo "test: the $kind build failed"
        broken=$((broken + 1))
        return
    fi
    built=$SECONDS
    printf '\n== %s: tests\n' "$kind"
    ctest --test-dir "$folder" --no-tests=error --output-on-failure --parallel "$jobs" \
        --output-junit results/ctest.xml "$@" </dev/null ||
        { echo "test: some $kind tests failed" && touch "$folder/results/failed"; }
    results+=("$kind=$folder/results")
    timings+=("$(printf '%-8s build %4d s, tests %4d s' "$kind" $((built - began)) $((SECONDS - built)))")
}

for kind in "${kinds[@]}"; do
    case $kind in
    release) run_kind release all ;;
    # Checks of the tree and of scripts say nothing new under a sanitizer.
    asan) run_kind asan all --label-exclude 'house|python|slow' ;;
    # Criterion cannot run under the race detector, so this build has the plain threaded programs only.
    tsan) run_kind tsan threaded_tests --label-regex threads ;;
    *) echo "test.sh: unknown kind '$kind'; known: release, asan, tsan" >&2 && exit 2 ;;
    esac
done

printf '\n== summary\n'
((${#timings[@]} == 0)) || printf '%s\n' "${timings[@]}"
printf '%-8s %4d s\n' total "$SECONDS"
python3 scripts/summary.py --broken "$broken" "${results[@]}"
