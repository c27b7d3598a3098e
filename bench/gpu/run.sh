#!/bin/bash
# Tests and measures on a machine with a GPU what scripts/gpu-bundle.sh collected; nothing else is needed but a driver.
#     ./run.sh [OPTION]... [PART]...      parts: tests sanitizer doctor bench plan torch; all by default, in this order
#     --out DIR       where logs and results go (default: results/ beside this file)
#     --seconds S     measured per benchmark (default 4); the main one always gets --main-seconds S (default 30)
#     --limit S       of one test program (default 600); --sanitizer-limit S of one run under a sanitizer (default 180)
#     --tools "..."   of compute-sanitizer (default: "memcheck racecheck initcheck")
#     --quick         1 s per benchmark, 5 s for the main one, one size, sanitizers for 60 s each
# A part that fails does not stop the next. Exit status: 0 all is fine, 1 something failed, 77 no GPU, so nothing ran.
# The card's settings are read, never changed. Only bash and coreutils are taken for granted.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
here=$PWD
export LC_ALL=C

out=$here/results seconds=4 main_seconds=30 limit=600 sanitizer_limit=180
tools="memcheck racecheck initcheck" sizes="1024x2048 512x1024 256x512" quick=""
known="tests sanitizer doctor bench plan torch"
parts=()

usage() {
    echo "run.sh: $1; see the first lines of run.sh" >&2
    exit 2
}

while (($# > 0)); do
    case $1 in
    --out | --seconds | --main-seconds | --limit | --sanitizer-limit | --tools)
        (($# > 1)) || usage "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --tools) tools=$2 ;;
        *)
            [[ $2 =~ ^[1-9][0-9]*$ ]] || usage "$1 wants a whole number of seconds, not '$2'"
            case $1 in
            --seconds) seconds=$2 ;;
            --main-seconds) main_seconds=$2 ;;
            --limit) limit=$2 ;;
            --sanitizer-limit) sanitizer_limit=$2 ;;
            esac
            ;;
        esac
        shift
        ;;
    --quick) quick=1 seconds=1 main_seconds=5 sanitizer_limit=60 sizes=1024x2048 ;;
    *)
        [[ " $known " == *" $1 "* ]] || usage "unknown argument '$1'; parts are: $known"
        parts+=("$1")
        ;;
    esac
    shift
done
((${#parts[@]} > 0)) || read -ra parts <<<"$known"
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)

# ---- What happened --------------------------------------------------------------------------------------------------

outcome=() # lines for the summary: what did not pass
declare -A count=([pass]=0 [FAIL]=0 [skip]=0 [cut]=0)

# record KIND NAME SECONDS DETAIL
record() {
    count[$1]=$((count[$1] + 1))
    local line
    line=$(printf '%-4s  %-44s %5s s  %.180s' "$1" "$2" "$3" "$4")
    printf '%s\n' "$line"
    [[ $1 == pass || $1$gpu == skip ]] || outcome+=("$line")
}

# The last line of a file that is not empty.
last_line() {
    local line last=""
    while IFS= read -r line || [[ -n $line ]]; do [[ -z ${line// /} ]] || last=$line; done <"$1"
    printf '%s' "$last"
}

# attempt NAME LIMIT LOG COMMAND...: runs it, keeps what it says, records how it ended. Its exit status.
attempt() {
    local name=$1 most=$2 log=$3 began=$SECONDS code
    shift 3
    printf '%s\n' "\$ $*" >"$log"
    timeout --kill-after=10 "$most" "$@" >>"$log" 2>&1 </dev/null
    code=$?
    local detail took=$((SECONDS - began))
    detail=$(last_line "$log")
    if ((code == 0)); then
        record pass "$name" "$took" "$detail"
    elif ((code == 77)); then
        record skip "$name" "$took" "$detail"
    elif [[ -z $gpu ]]; then
        record skip "$name" "$took" "no GPU: $detail"
    elif ((code == 124 || code == 137)) && [[ $name != test* && $name != bench* ]]; then
        record cut "$name" "$took" "stopped after $most s: $detail"
    else
        record FAIL "$name" "$took" "exit status $code: $detail"
    fi
    return "$code"
}

# ---- The machine ----------------------------------------------------------------------------------------------------

# Reads the state of the card into a file.
card() {
    command -v nvidia-smi >/dev/null || return 0
    local fields=name,driver_version,pstate,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,temperature.gpu
    fields+=,power.draw,power.limit,clocks_throttle_reasons.active,utilization.gpu,memory.used,memory.total
    { date -u +%Y-%m-%dT%H:%M:%SZ && timeout 30 nvidia-smi --query-gpu="$fields" --format=csv; } >>"$out/card.txt" 2>&1
}

machine() {
    echo "== machine"
    [[ -r BUILD ]] && cat BUILD
    uname -srm
    local line
    while IFS= read -r line; do
        [[ $line == "model name"* ]] && echo "cpu ${line#*: }, $(nproc) cores" && break
    done </proc/cpuinfo
    if command -v nvidia-smi >/dev/null; then
        timeout 30 nvidia-smi
        timeout 30 nvidia-smi -q -d CLOCK,PERFORMANCE >"$out/clocks.txt" 2>&1
    else
        echo "nvidia-smi is not there"
    fi
    if [[ -r /proc/driver/nvidia/version ]]; then cat /proc/driver/nvidia/version; fi
}

# Sets FASTSCNN_CUDNN and LD_LIBRARY_PATH when cuDNN lies where the loader does not look.
find_cudnn() {
    local place places=() folder
    shopt -s nullglob
    places=(/usr/lib/x86_64-linux-gnu /usr/lib64 "${CUDA_HOME:-/usr/local/cuda}"/lib{64,} /usr/local/cuda*/lib{64,})
    if command -v python3 >/dev/null; then
        while IFS= read -r folder; do places+=("$folder"/nvidia/cudnn/lib); done \
            < <(python3 -c 'import sys; print("\n".join(p for p in sys.path if p))' 2>/dev/null)
    fi
    for folder in /usr /usr/local "${HOME:-/root}/.local" "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}" /opt/*; do
        [[ -z $folder ]] || places+=("$folder"/lib/python3*/{site,dist}-packages/nvidia/cudnn/lib)
    done
    shopt -u nullglob
    if [[ -n ${FASTSCNN_CUDNN:-} ]]; then
        echo "cuDNN: $FASTSCNN_CUDNN (given)"
        return
    fi
    for place in "${places[@]}"; do
        [[ -e $place/libcudnn.so.9 ]] || continue
        export FASTSCNN_CUDNN=$place/libcudnn.so.9
        # Its parts load each other by name, and some engines a run-time compiler that lies beside it in packages.
        local beside=$place
        for folder in "$place"/../../{cu13,cu12,cuda_nvrtc,cublas}/lib; do
            [[ -d $folder ]] && beside+=:$folder
        done
        export LD_LIBRARY_PATH=$beside${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        echo "cuDNN: $FASTSCNN_CUDNN"
        return
    done
    echo "cuDNN: not found; --kernels auto will be our own kernels alone"
}

# ---- Parts ----------------------------------------------------------------------------------------------------------

run_tests() {
    local program name
    for program in bin/gpu_*; do
        name=${program##*/}
        attempt "test $name" "$limit" "$out/$name.log" "$program"
    done
}

run_sanitizer() {
    local sanitizer="" candidate tool program name
    for candidate in "$(command -v compute-sanitizer)" /usr/local/cuda*/bin/compute-sanitizer \
        /usr/local/cuda*/compute-sanitizer/compute-sanitizer; do
        [[ -x $candidate ]] && sanitizer=$candidate && break
    done
    if [[ -z $sanitizer ]]; then
        record skip sanitizer 0 "compute-sanitizer is not installed"
        return
    fi
    for tool in $tools; do
        for program in bin/gpu_*; do
            name=${program##*/}
            FS_TEST_QUICK=1 attempt "$tool $name" "$sanitizer_limit" "$out/$tool-$name.log" \
                "$sanitizer" --tool "$tool" --error-exitcode 9 "$program"
        done
    done
}

run_doctor() {
    attempt doctor 60 "$out/doctor.log" bin/fastscnn doctor
    if [[ -n $gpu ]] && ! [[ $(<"$out/doctor.log") =~ cuda[[:space:]]+usable ]]; then
        record FAIL "doctor: CUDA backend" 0 "not usable, though the test programs see a GPU; see doctor.log"
    fi
}

# bench NAME SECONDS OPTION...
bench() {
    local name=$1 duration=$2 json
    shift 2
    card
    rm -f "$out/$name.json"
    if attempt "bench $name" $((duration + 240)) "$out/$name.log" bin/fastscnn bench --backend cuda "$@" \
        --duration "$duration" --json "$out/$name.json"; then
        local fps="" p50="" p99=""
        json=""
        [[ ! -r $out/$name.json ]] || json=$(<"$out/$name.json")
        [[ $json =~ \"fps\":\ *([0-9.]+) ]] && fps=${BASH_REMATCH[1]}
        [[ $json =~ \"p50\":\ *([0-9.]+) ]] && p50=${BASH_REMATCH[1]}
        # null: too few frames for it
        [[ $json =~ \"latency_ms\":\ *\{[^}]*\"p99\":\ *([0-9.]+|null) ]] && p99=${BASH_REMATCH[1]}
        if [[ -n $fps && -n $p50 && -n $p99 ]]; then
            figures+=("$(printf '%-44s %10.1f fps  p50 %8.4f ms  p99 %8.8s ms' "$name" "$fps" "$p50" "$p99")")
        else
            record FAIL "bench $name: its JSON" 0 "has no figures"
        fi
    fi
    card
}

run_bench() {
    local size kernels precision io mode flags
    # The main figure: what a camera with its frames on the GPU sees, twice, to show the spread.
    export FASTSCNN_TUNING_CACHE=$out/tactics-auto.txt
    bench main-1 "$main_seconds" --size 1024x2048 --precision fp16 --kernels auto --io device
    bench main-2 "$main_seconds" --size 1024x2048 --precision fp16 --kernels auto --io device
    # A camera's pace, and the paper's table (for bench/results/paper/).
    bench paced-30 "$main_seconds" --size 1024x2048 --precision fp16 --kernels auto --io pinned --mode paced --rate 30
    local task
    for task in labels scores; do
        bench "paper-$task" "$seconds" --size 1024x2048,512x1024,256x512 --task "$task" --weights random:1 \
            --precision fp16 --kernels auto --io device
    done
    for size in $sizes; do
        for precision in fp16 fp32; do
            for kernels in own auto; do
                export FASTSCNN_TUNING_CACHE=$out/tactics-$kernels.txt
                for io in device pinned host; do
                    [[ $precision == fp32 && $io != device ]] && continue
                    for mode in latency throughput; do
                        flags=(--size "$size" --precision "$precision" --kernels "$kernels" --io "$io" --mode "$mode")
                        [[ $mode == throughput ]] && flags+=(--in-flight 4)
                        bench "$size-$precision-$kernels-$io-$mode" "$seconds" "${flags[@]}"
                    done
                done
            done
        done
    done
}

run_plan() {
    local kernels
    for kernels in own auto; do
        export FASTSCNN_TUNING_CACHE=$out/tactics-$kernels.txt
        attempt "plan $kernels" 300 "$out/plan-$kernels.txt" \
            bin/fastscnn plan --backend cuda --precision fp16 --kernels "$kernels" --weights random:1
        timeout 300 bin/fastscnn plan --backend cuda --precision fp16 --kernels "$kernels" --weights random:1 --json \
            >"$out/plan-$kernels.json" 2>/dev/null </dev/null || rm -f "$out/plan-$kernels.json"
    done
}

run_torch() {
    if ! command -v python3 >/dev/null; then
        record skip torch 0 "python3 is not installed"
        return
    fi
    local why
    if ! why=$(python3 -c 'import numpy, torch' 2>&1); then
        record skip torch 0 "${why##*$'\n'}"
        return
    fi
    export FASTSCNN_TUNING_CACHE=$out/tactics-auto.txt
    attempt torch 900 "$out/torch.log" python3 -B python/torch_compare.py --library lib/libfastscnn.so.0 \
        --json "$out/torch.json" ${quick:+--rounds 200}
}

# ---- All of it ------------------------------------------------------------------------------------------------------

figures=()
export FASTSCNN_GOLDEN=$here/tests/golden
machine 2>&1 | tee "$out/machine.txt"
# A test program that is asked for no test looks for a GPU and no more.
gpu=1 reason=""
for probe in bin/gpu_*; do
    reason=$(timeout 120 "$probe" 'no such test' 2>&1 </dev/null)
    (($? == 77)) && gpu=""
    break
done
reason=${reason%%$'\n'*}
echo "GPU: ${reason:-unknown}" | tee -a "$out/machine.txt"
find_cudnn >"$out/cudnn.txt"
tee -a "$out/machine.txt" <"$out/cudnn.txt"
rm "$out/cudnn.txt"
card

for part in "${parts[@]}"; do
    printf '\n== %s\n' "$part"
    "run_$part"
done
card

{
    printf '\n== summary\n'
    ((${#outcome[@]} == 0)) || printf '%s\n' "${outcome[@]}"
    ((${#figures[@]} == 0)) || { printf '\n' && printf '%s\n' "${figures[@]}"; }
    printf '\n%d passed, %d failed, %d cut off, %d skipped in %d s; logs and results are in %s\n' "${count[pass]}" \
        "${count[FAIL]}" "${count[cut]}" "${count[skip]}" "$SECONDS" "$out"
    [[ -n $gpu ]] || echo "NO GPU (${reason:-unknown}): nothing was tested or measured"
} | tee "$out/summary.txt"
if command -v tar >/dev/null; then tar -C "$out/.." -czf "$out.tar.gz" "${out##*/}" && echo "packed: $out.tar.gz"; fi
[[ -n $gpu ]] || exit 77
((count[FAIL] == 0)) || exit 1
