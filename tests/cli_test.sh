#!/usr/bin/env bash
# The command as a program sees it: exit codes, one-line errors, outputs. Usage: cli_test.sh path/to/pumice
set -u
pumice=$1
here=$(cd "$(dirname "$0")" && pwd)
data=$here/data/reference
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0

# expect NAME CODE PATTERN -- COMMAND...: exit code, and a pattern (extended) that stdout or stderr must hold.
expect() {
    local name=$1 code=$2 pattern=$3
    shift 4
    "$@" > "$tmp/out" 2> "$tmp/err" < /dev/null
    local got=$?
    if [ $got -ne "$code" ]; then
        echo "FAILED $name: exit $got, expected $code"; cat "$tmp/err"; failures=$((failures + 1))
    elif [ "$pattern" != - ] && ! cat "$tmp/out" "$tmp/err" | grep -qE "$pattern"; then
        echo "FAILED $name: no match for: $pattern"; head -c 600 "$tmp/out" "$tmp/err"; failures=$((failures + 1))
    elif [ "$code" -ne 0 ] && [ "$(grep -c '^pumice: error: ' "$tmp/err")" -ne 1 ]; then
        echo "FAILED $name: expected one error line"; cat "$tmp/err"; failures=$((failures + 1))
    fi
}

expect "devices"            0 '^reference' -- "$pumice" devices
expect "devices as JSON"    0 '"spec": "cpu"' -- "$pumice" devices --json
expect "no such command"    2 'unknown command: fly' -- "$pumice" fly
expect "no such flag"       2 'unknown flag --wings' -- "$pumice" devices --wings
expect "help"               0 'example: ' -- "$pumice" generate --help
expect "no such model"      3 'nowhere' -- "$pumice" dump nowhere
expect "no such device"     4 'NoSuchGPU' -- "$pumice" run "$data/gpt2" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/o" --device NoSuchGPU
expect "translate"          0 '^一万二千三百零五$' -- "$pumice" translate numbers-en-zh --device cpu "twelve thousand three hundred and five"
expect "translate, beams"   0 '^三点半$' -- "$pumice" translate numbers-en-zh --device cpu --beams 3 "half past three"
expect "unknown word"       2 'zebra' -- "$pumice" translate numbers-en-zh --device cpu "zebra"
expect "generate"           0 '^5,9,2(,[0-9]+){8}$' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 8 --ignore-eos --print ids --device cpu
expect "generate, stats"    0 'n_submits' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 8 --print ids --stats --device cpu
expect "id out of range"    2 '99999999' -- "$pumice" generate "$data/gpt2" --ids 99999999 -n 2 --print ids --device cpu
expect "run"                0 'outputs from' -- "$pumice" run "$data/gpt2" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/o" --device cpu
expect "run, no inputs"     2 'inputs' -- "$pumice" run "$data/gpt2" --outputs "$tmp/o" --device cpu
for stage in built fused planned program; do
    expect "dump $stage"    0 . -- "$pumice" dump numbers-en-zh --stage $stage
    expect "dump $stage, JSON" 0 '^.*[{]' -- "$pumice" dump numbers-en-zh --stage $stage --format json
done
expect "dump planned"       0 '"ratio"' -- "$pumice" dump numbers-en-zh --stage planned --format json
expect "dump program"       0 '"n_barriers"' -- "$pumice" dump numbers-en-zh --stage program --format json
expect "dump dot"           0 'digraph' -- "$pumice" dump numbers-en-zh --stage fused --format dot
expect "dump, no such stage" 2 'cooked' -- "$pumice" dump numbers-en-zh --stage cooked
expect "verify"             0 'all within bounds' -- "$pumice" verify numbers-en-zh --device cpu
for ending in svg html npy json; do
    expect "attend $ending" 0 - -- "$pumice" attend numbers-en-zh "half past three" -o "$tmp/a.$ending" --device cpu
    [ -s "$tmp/a.$ending" ] || { echo "FAILED attend $ending: no file"; failures=$((failures + 1)); }
done
expect "attend, bad ending" 2 'txt' -- "$pumice" attend numbers-en-zh "half past three" -o "$tmp/a.txt" --device cpu
expect "attend, bad layer"  2 'layers 0 to' -- "$pumice" attend numbers-en-zh "half past three" --layer 99 -o "$tmp/a.svg" --device cpu
expect "bench model"        0 'forward' -- "$pumice" bench model numbers-en-zh --device cpu --runs 1 --length 8 -n 4

head -c 200 "$data/gpt2/model.safetensors" > "$tmp/cut" && mkdir "$tmp/m" && cp "$data/gpt2/config.json" "$tmp/m/" && mv "$tmp/cut" "$tmp/m/model.safetensors"
expect "cut weights"        3 'safetensors' -- "$pumice" run "$tmp/m" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/x" --device cpu
cp "$data/gpt2/model.safetensors" "$tmp/m/"
sed 's/"n_embd": *[0-9]*/"n_embd": -4/' "$data/gpt2/config.json" > "$tmp/m/config.json"
expect "absurd config"      3 'n_embd.*-4' -- "$pumice" run "$tmp/m" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/x" --device cpu
[ ! -e "$tmp/x" ] || { echo "FAILED: an output was written in spite of the error"; failures=$((failures + 1)); }

[ $failures -eq 0 ] && echo "all passed"
exit $((failures > 0))
