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
    elif [ "$pattern" != - ] && ! cat "$tmp/out" "$tmp/err" | grep -qE -e "$pattern"; then
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
expect "the loop"           0 'loop  *7 of 7 steps without the host$' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 8 --ignore-eos --stats --device cpu
expect "sampling loops"     0 '"no_loop": null' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 8 --seed 1 --json --device cpu
expect "a loop too long"    2 '--loop' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 8 --loop 65 --device cpu
expect "a made Llama"       0 '58464 parameters' -- "$here/../scripts/make-llama" 48 2 61 "$tmp/made" --heads 3
expect "it generates"       0 '^5,9(,[0-9]+){8}$' -- "$pumice" generate "$tmp/made" --ids 5,9 -n 8 --ignore-eos --print ids --device cpu
expect "id out of range"    2 '99999999' -- "$pumice" generate "$data/gpt2" --ids 99999999 -n 2 --print ids --device cpu
expect "run"                0 'outputs from' -- "$pumice" run "$data/gpt2" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/o" --device cpu
expect "run, no inputs"     2 'inputs' -- "$pumice" run "$data/gpt2" --outputs "$tmp/o" --device cpu
for stage in built fused planned program; do
    expect "dump $stage"    0 . -- "$pumice" dump numbers-en-zh --stage $stage
    expect "dump $stage, JSON" 0 '^.*[{]' -- "$pumice" dump numbers-en-zh --stage $stage --format json
done
expect "dump planned, CSV"  0 '^id,lower,upper,size$' -- "$pumice" dump numbers-en-zh --stage planned --format csv
expect "dump fused, CSV"    2 'no such form'         -- "$pumice" dump numbers-en-zh --stage fused --format csv
expect "dump planned"       0 '"ratio"' -- "$pumice" dump numbers-en-zh --stage planned --format json
expect "dump program"       0 '"n_barriers"' -- "$pumice" dump numbers-en-zh --stage program --format json
expect "dump dot"           0 'digraph' -- "$pumice" dump numbers-en-zh --stage fused --format dot
expect "dump --diff, the same" 0 '^0 removed, 0 added, 0 changed' -- bash -c '"$0" dump "$1" --stage fused -o "$2/a" && "$0" dump "$1" --stage fused | sed s/%/%9/g > "$2/b" && "$0" dump --diff "$2/a" "$2/b"' "$pumice" "$data/gpt2" "$tmp"
sed 's/gelu_tanh/relu/' "$tmp/a" > "$tmp/b"
"$pumice" dump --diff "$tmp/a" "$tmp/b" > "$tmp/out"
[ $? -eq 1 ] && grep -q 'attributes {act=gelu_tanh} -> {act=relu}' "$tmp/out" || { echo "FAILED dump --diff, changed"; cat "$tmp/out"; failures=$((failures + 1)); }
expect "dump --diff, one file" 2 'two files' -- "$pumice" dump --diff "$tmp/a"
expect "dump --diff, no graph" 3 'cli_test.sh: graph text, line' -- "$pumice" dump --diff "$tmp/a" "$here/cli_test.sh"
expect "run --trace"        0 'outputs from' -- "$pumice" run "$data/gpt2" --inputs "$data/gpt2/reference.safetensors" --want final --outputs "$tmp/o" --device cpu --trace "$tmp/t.json"
expect "generate --trace"   0 '^5,9,2,' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 8 --print ids --device cpu --trace "$tmp/g.json"
grep -q '"cat": "dispatch"' "$tmp/t.json" && grep -q '"cat": "dispatch"' "$tmp/g.json" || { echo "FAILED: no dispatches in a trace"; failures=$((failures + 1)); }
expect "dump --profile"     0 '^ +us' -- "$pumice" dump "$data/gpt2" --stage program --device cpu --length 11 --profile "$tmp/t.json"
expect "profile of another shape" 2 'no run of this program' -- "$pumice" dump "$data/gpt2" --stage program --device cpu --length 12 --profile "$tmp/t.json"
expect "profile of no stage" 2 'has no dispatches to time' -- "$pumice" dump "$data/gpt2" --stage built --device cpu --profile "$tmp/t.json"
expect "profile is no trace" 3 'traceEvents' -- "$pumice" dump "$data/gpt2" --stage program --device cpu --profile "$data/gpt2/config.json"
expect "dump, no such stage" 2 'cooked' -- "$pumice" dump numbers-en-zh --stage cooked
# A bare graph: what dump prints, compiled again, is the same program.
"$pumice" dump numbers-en-zh --stage built -o "$tmp/graph.txt"
for stage in built fused planned program; do
    "$pumice" dump numbers-en-zh --stage $stage -o "$tmp/dumped"
    expect "compile, $stage" 0 - -- "$pumice" compile "$tmp/graph.txt" --stage $stage -o "$tmp/compiled"
    cmp -s "$tmp/dumped" "$tmp/compiled" || { echo "FAILED compile, $stage: not what dump prints"; failures=$((failures + 1)); }
done
expect "compile, max memory" 2 'max memory: stage "fused" gives' -- "$pumice" compile "$tmp/graph.txt" --stage fused --max-memory 5M
expect "compile stdin"      0 '^for cpu: .*dispatches' -- bash -c '"$0" dump numbers-en-zh --stage built | "$0" compile - --device cpu' "$pumice"
expect "compile, time"      0 'matmul.*%$' -- "$pumice" compile "$tmp/graph.txt" --device cpu --time --runs 3
expect "compile, all times" 0 'attention encoder.0' -- "$pumice" compile "$tmp/graph.txt" --device cpu --time --runs 1 --all
expect "compile, verify"    0 'all within bounds' -- "$pumice" compile "$tmp/graph.txt" --device cpu --verify --seed 5
expect "compile, JSON"      0 '"slowest_ms"' -- "$pumice" compile "$tmp/graph.txt" --device cpu --time --verify --json
expect "compile, outputs"   0 'tensors from' -- "$pumice" compile "$tmp/graph.txt" --device cpu --outputs "$tmp/o"
"$pumice" dump "$data/gpt2" --stage built --length 11 -o "$tmp/gpt2.txt"
expect "compile, inputs"    0 'tensors from' -- "$pumice" compile "$tmp/gpt2.txt" --device cpu --outputs "$tmp/compiled" --inputs "$data/gpt2/model.safetensors" --inputs "$data/gpt2/reference.safetensors"
expect "compile, missing"   3 'no tensor transformer' -- "$pumice" compile "$tmp/gpt2.txt" --device cpu --time --inputs "$data/gpt2/reference.safetensors"
expect "compile, missing is random" 0 'median' -- "$pumice" compile "$tmp/gpt2.txt" --device cpu --time --runs 1 --seed 3 --inputs "$data/gpt2/reference.safetensors"
sed 's/f32\[1,11,32\]/f32[1,11,33]/' "$tmp/gpt2.txt" > "$tmp/bad.txt"
expect "compile, bad shape" 3 'bad.txt: graph text, line 4: .*\[1,11,33\]' -- "$pumice" compile "$tmp/bad.txt"
expect "compile, no file"   3 'nowhere' -- "$pumice" compile "$tmp/nowhere"
expect "compile, empty"     3 'stdin: .*line 1' -- "$pumice" compile -
expect "compile, bad param" 2 'position=x' -- "$pumice" compile "$tmp/gpt2.txt" --time --param position=x
expect "compile, no param"  2 'speed' -- "$pumice" compile "$tmp/gpt2.txt" --device cpu --time --param speed=3
expect "compile, stage and time" 2 'runs nothing' -- "$pumice" compile "$tmp/gpt2.txt" --time --stage fused
expect "max memory, enough" 0 '^三点半$' -- "$pumice" translate numbers-en-zh --device cpu --max-memory 64M "half past three"
expect "max memory, too little" 5 '80 weights of numbers-en-zh take 3627964 bytes, at most 1048576' -- "$pumice" translate numbers-en-zh --device cpu --max-memory 1M "half past three"
expect "max memory, shown" 0 'weight "[^"]*", f32, [0-9]* bytes, streamed slot 1$' -- "$pumice" dump numbers-en-zh --stage program --batch 50 --max-memory 5M
for stage in built fused planned; do
    for device in "" "--device cpu"; do
        expect "max memory, $stage" 2 "max memory: stage \"$stage\" gives" -- "$pumice" dump numbers-en-zh --stage $stage $device --max-memory 5M
    done
done
expect "max memory, no number" 2 'lots, expected' -- "$pumice" bench model numbers-en-zh --max-memory lots
expect "max memory, too large" 2 '99999999999G' -- "$pumice" verify numbers-en-zh --max-memory 99999999999G
expect "verify"             0 'all within bounds' -- "$pumice" verify numbers-en-zh --device cpu
for ending in svg html npy json; do
    expect "attend $ending" 0 - -- "$pumice" attend numbers-en-zh "half past three" -o "$tmp/a.$ending" --device cpu
    [ -s "$tmp/a.$ending" ] || { echo "FAILED attend $ending: no file"; failures=$((failures + 1)); }
    for part in "--layer 1" "--head mean" "--layer mean --head 2" "--rollout --map encoder" "--map decoder"; do
        # shellcheck disable=SC2086
        expect "attend $ending $part" 0 - -- "$pumice" attend numbers-en-zh "half past three" $part -o "$tmp/p.$ending" --device cpu
    done
    expect "attend a picture, $ending" 0 - -- "$pumice" attend "$data/../examples/see" "$data/../images/rgb.png" -o "$tmp/v.$ending" --device cpu
    expect "attend a sound, $ending" 0 - -- "$pumice" attend "$data/../speech" "$data/../audio/chirp.wav" -o "$tmp/s.$ending" --device cpu
done
grep -q '"layers":\["layer 0","layer 1"\]' "$tmp/a.json" && grep -q '"\[class\]"' "$tmp/v.json" && grep -q '"0.02 s"' "$tmp/s.json" ||
    { echo "FAILED attend: labels in JSON"; failures=$((failures + 1)); }
# Whatever a text holds, the files stay what they are.
for hostile in $'</script>' $'<b>&"\x27 \x01\t\xe4\xb8'; do
    for ending in svg html json; do
        expect "attend, hostile text in $ending" 0 - -- "$pumice" attend "$data/../examples/match" "$hostile" --map text -o "$tmp/h.$ending" --device cpu
    done
    [ "$(grep -c '</script>' "$tmp/h.html")" -eq 2 ] || { echo "FAILED attend: a script ends early"; failures=$((failures + 1)); }
done
! grep -qE '<b>|[[:cntrl:]]' "$tmp/h.svg" "$tmp/h.html" "$tmp/h.json" || { echo "FAILED attend: a text is not escaped"; failures=$((failures + 1)); }
expect "attend, bad ending" 2 'txt' -- "$pumice" attend numbers-en-zh "half past three" -o "$tmp/a.txt" --device cpu
expect "attend, bad layer"  2 'layers 0 to' -- "$pumice" attend numbers-en-zh "half past three" --layer 99 -o "$tmp/a.svg" --device cpu
attend="$pumice attend $data/gpt2 --ids 5,9 -o $tmp/e.json --device cpu"
expect "attend, bad head"   2 'head is 4, .* 0 to 3' -- $attend --head 4
expect "attend, no number"  2 '\-\-head: two, expected a number' -- $attend --head two
expect "attend, negative layer" 2 '\-\-layer: -1' -- $attend --layer -1
expect "attend, no such map" 2 'map is "cross", expected decoder' -- $attend --map cross
expect "attend, text and ids" 2 'expected one of' -- "$pumice" attend "$data/gpt2" text --ids 5 -o "$tmp/e.json" --device cpu
expect "attend, too long"   2 '65 tokens, expected at most 64' -- "$pumice" attend "$data/gpt2" --ids "$(seq -s, 65 | sed 's/[0-9]*/1/g')" -o "$tmp/e.json" --device cpu
expect "attend, no row"     2 'row is 7, .* 0 to 1' -- "$pumice" attend "$data/bert-mlm" --inputs "$data/bert-mlm/reference.safetensors" --row 7 -o "$tmp/e.json" --device cpu
expect "attend, no query"   2 'query: 400' -- "$pumice" attend "$data/../examples/see" "$data/../images/rgb.png" --query 400 -o "$tmp/e.svg" --device cpu
expect "attend, rollout of cross" 2 'rollout is of tokens to themselves' -- "$pumice" attend numbers-en-zh one --rollout -o "$tmp/e.json" --device cpu
expect "attend, no picture" 3 'nothing.png' -- "$pumice" attend "$data/../examples/see" "$tmp/nothing.png" -o "$tmp/e.json" --device cpu
expect "bench model"        0 'forward' -- "$pumice" bench model numbers-en-zh --device cpu --runs 1 --length 8 -n 4
expect "bench model, no start" 0 'decode' -- "$pumice" bench model "$data/transformer" --device cpu --runs 1 --length 1 -n 2
expect "bench ops, no case" 2 'zzz' -- "$pumice" bench ops --only zzz --device cpu
expect "verify a text"      0 'all within bounds' -- "$pumice" verify numbers-en-zh "half past three" --device cpu
expect "seed 0 samples"     0 - -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 20 --ignore-eos --print ids --device cpu
greedy=$(cat "$tmp/out")
expect "seed 0"             0 - -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 20 --ignore-eos --print ids --device cpu --seed 0
[ "$greedy" != "$(cat "$tmp/out")" ] || { echo "FAILED: --seed 0 is greedy"; failures=$((failures + 1)); }
expect "seed 010"           0 - -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 20 --print ids --device cpu --seed 010
eight=$(cat "$tmp/out")
expect "seed 10"            0 "^$eight\$" -- "$pumice" generate "$data/gpt2" --ids 5,9,2 -n 20 --print ids --device cpu --seed 10
expect "negative seed"      2 'whole number' -- "$pumice" generate "$data/gpt2" --ids 5 --device cpu --seed " -1"
expect "ids without a tokenizer" 0 '^5,9(,[0-9]+)*$' -- "$pumice" generate "$data/gpt2" --ids 5,9 -n 2 --device cpu
expect "text without a tokenizer" 2 'expected --print ids' -- "$pumice" generate "$data/gpt2" --ids 5,9 -n 2 --print text --device cpu
expect "JSON without a tokenizer" 0 '"ids"' -- "$pumice" generate "$data/gpt2" --ids 5,9 -n 2 --json --device cpu
! grep -q '"text"' "$tmp/out" || { echo "FAILED: text without a tokenizer"; failures=$((failures + 1)); }
expect "stop, beams"        0 '^三点$' -- "$pumice" generate numbers-en-zh "half past three" --stop 点 --beams 3 --device cpu
expect "no decoder start"   2 'decoder-start' -- "$pumice" generate "$data/transformer" --ids 5,9 -n 2 --device cpu
expect "decoder start"      0 '^1,[0-9]+,[0-9]+$' -- "$pumice" generate "$data/transformer" --ids 5,9 -n 2 --decoder-start 1 --device cpu
for family in t5 bert-base albert-mlm gpt-oss transfo-xl longformer; do
    expect "attention of $family" 0 - -- timeout 60 "$pumice" attend "$data/$family" --ids 5,9,7 -o "$tmp/e.json" --device cpu
done
expect "attention of a text of CLIP" 0 - -- "$pumice" attend "$data/clip" --ids 5,9,7 -o "$tmp/e.json" --device cpu
for family in vit whisper; do
    expect "attention of $family wants more than ids" 2 'is made from a (picture|sound)' -- "$pumice" attend "$data/$family" --ids 5,9 -o "$tmp/e.json" --device cpu
done
expect "encoder map"        0 - -- "$pumice" attend "$data/transformer" --ids 5,9 --map encoder -o "$tmp/e.json" --device cpu
expect "help to a full disk" 7 'stdout' -- bash -c '"$0" --help > /dev/full' "$pumice"
expect "version to a full disk" 7 'stdout' -- bash -c '"$0" --version > /dev/full' "$pumice"
expect "outputs to a device" 0 - -- "$pumice" run "$data/gpt2" --inputs "$data/gpt2/reference.safetensors" --outputs /dev/null --device cpu
[ -c /dev/null ] || { echo "FAILED: /dev/null was replaced"; failures=$((failures + 1)); }
expect "output to /dev/stdout" 0 digraph -- bash -c '"$0" dump numbers-en-zh --format dot -o /dev/stdout | cat' "$pumice"
mkfifo "$tmp/pipe"
expect "inputs from a pipe" 3 'not a regular file' -- timeout 20 "$pumice" run "$data/gpt2" --inputs "$tmp/pipe" --outputs "$tmp/o" --device cpu

for stage in built fused planned program; do
    for format in svg html dot; do
        expect "dump $stage as $format" 0 - -- "$pumice" dump numbers-en-zh --stage $stage --format $format -o "$tmp/d.$format"
    done
    grep -q '</svg>' "$tmp/d.svg" && grep -q '</html>' "$tmp/d.html" && grep -q '^}' "$tmp/d.dot" || { echo "FAILED: pictures of $stage"; failures=$((failures + 1)); }
done
expect "no driver, said so" 0 'note: running on the CPU' -- env VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent "$pumice" translate numbers-en-zh "half past three"
expect "positions run out" 0 'note: .*64 positions' -- "$pumice" generate "$data/gpt2" --ids 5 -n 1000 --ignore-eos --print ids --device cpu

long=$(for i in $(seq 60); do printf 'twenty '; done)
expect "a long title"       0 - -- "$pumice" attend numbers-en-zh "$long" --layer 0 --head 0 --map encoder -o "$tmp/a.json" --device cpu
grep -q "$long" "$tmp/a.json" || { echo "FAILED: the title is cut"; failures=$((failures + 1)); }

# Lines of stdin: blank ones stay, bad ones are reported with their number and do not end it.
lines() { printf "$1" | "$pumice" translate numbers-en-zh --device cpu; }
expect "blank lines"        0 - -- lines 'half past three\n\none\n'
[ "$(cat "$tmp/out")" = $'三点半\n\n一' ] || { echo "FAILED: blank lines"; cat "$tmp/out"; failures=$((failures + 1)); }
expect "a bad line"         2 'line 2: .*zebra' -- lines 'half past three\nzebra\none'
[ "$(cat "$tmp/out")" = $'三点半\n\n一' ] || { echo "FAILED: a bad line"; cat "$tmp/out"; failures=$((failures + 1)); }
expect "translate, wrong model" 2 'gpt2.*encoder-decoder' -- bash -c 'printf "a\nb\n" | "$0" translate "$1" --device cpu' "$pumice" "$data/gpt2"
seq 1 40 | sed 's/.*/one hundred and &/; 7s/.*/zebra/; 9s/.*//; s/1[0-9]$/ten/' | sed 's/ 1$/ one/; s/ [2-9][0-9]*$/ two/; s/ 40$/ three/' > "$tmp/many"
expect "in batches"         2 'line 7: .*zebra' -- bash -c '"$0" translate numbers-en-zh --device cpu --batch 8 < "$1"' "$pumice" "$tmp/many"
cp "$tmp/out" "$tmp/batched"
expect "one by one"         2 'line 7: .*zebra' -- bash -c '"$0" translate numbers-en-zh --device cpu --batch 1 < "$1"' "$pumice" "$tmp/many"
cmp -s "$tmp/out" "$tmp/batched" && [ "$(wc -l < "$tmp/out")" -eq 40 ] || { echo "FAILED: batches of lines"; diff "$tmp/out" "$tmp/batched"; failures=$((failures + 1)); }
# Memory for 8 together, not for their caches and those of 3 beside them; for fewer together than a batch.
for batch in 8 24; do
    expect "little memory, $batch" 0 - -- bash -c 'yes "half past three" | head -n 27 | "$0" translate numbers-en-zh --device cpu --max-memory 5200K --batch "$1"' "$pumice" $batch
    [ "$(grep -c '^三点半$' "$tmp/out")" -eq 27 ] || { echo "FAILED: little memory, $batch"; failures=$((failures + 1)); }
done
# Who writes a line and waits gets its answer, blank or not.
coproc "$pumice" translate numbers-en-zh --device cpu
talk_pid=$COPROC_PID
for said in "half past three=三点半" "=" "one=一"; do
    echo "${said%%=*}" >&"${COPROC[1]}"
    read -r -t 60 answer <&"${COPROC[0]}" && [ "$answer" = "${said#*=}" ] || { echo "FAILED: a talk: $said"; failures=$((failures + 1)); break; }
done
kill "$talk_pid"; wait "$talk_pid" 2> /dev/null
expect "no such batch"      2 '--batch' -- "$pumice" translate numbers-en-zh --batch 257 "one"

# Several prompts: as one after the other, in their order.
printf '5,9,2\n7\n1,2,3,4,5,6\n30,31\n9\n' > "$tmp/prompts"
while read -r ids; do "$pumice" generate "$data/gpt2" --ids "$ids" -n 20 --ignore-eos --device cpu; done < "$tmp/prompts" > "$tmp/alone"
for batch in 1 2 3 8; do
    expect "a batch of $batch" 0 - -- "$pumice" generate "$data/gpt2" --file "$tmp/prompts" -n 20 --ignore-eos --device cpu --batch $batch
    cmp -s "$tmp/out" "$tmp/alone" || { echo "FAILED: a batch of $batch"; diff "$tmp/out" "$tmp/alone"; failures=$((failures + 1)); }
done
expect "several --ids"      0 '^7(,[0-9]+){4}$' -- "$pumice" generate "$data/gpt2" --ids 5,9,2 --ids 7 -n 4 --ignore-eos --device cpu
[ "$(wc -l < "$tmp/out")" -eq 2 ] || { echo "FAILED: several --ids"; failures=$((failures + 1)); }
expect "prompts of stdin"   0 '"n_prompt": 6' -- bash -c '"$0" generate "$1" --file - -n 4 --ignore-eos --device cpu --json < "$2"' "$pumice" "$data/gpt2" "$tmp/prompts"
[ "$(grep -c '^{.*}$' "$tmp/out")" -eq 5 ] || { echo "FAILED: a JSON object a prompt"; failures=$((failures + 1)); }
expect "stats of a batch"   0 '^decode  *95 steps' -- "$pumice" generate "$data/gpt2" --file "$tmp/prompts" -n 20 --ignore-eos --device cpu --stats
# An error names the prompt among all, not within its batch.
mkdir "$tmp/nan" && cp "$data/llama/config.json" "$tmp/nan/"
python3 - "$data/llama/model.safetensors" "$tmp/nan/model.safetensors" <<'END'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", data[:8])[0]
name = [k for k in json.loads(data[8:8 + n]) if k.endswith("embed_tokens.weight")][0]
at = 8 + n + json.loads(data[8:8 + n])[name]["data_offsets"][0] + 7 * 32 * 4
data[at:at + 4] = struct.pack("<f", float("nan"))
open(sys.argv[2], "wb").write(data)
END
printf '5,9\n3\n2\n5,7\n' > "$tmp/nan/prompts"
for batch in 1 3 8; do
    expect "no number, $batch" 7 'line 4: generation: none of' -- "$pumice" generate "$tmp/nan" --file "$tmp/nan/prompts" -n 3 --batch $batch --device cpu
done
expect "no number, beams"   7 '--ids 3: generation: none of' -- "$pumice" generate "$tmp/nan" --ids 5,9 --ids 3 --ids 5,7 -n 3 --beams 2 --batch 2 --device cpu
at_a_time() { "$pumice" generate "$data/$1" --file "$tmp/prompts" -n 4 --device cpu --stats "${@:2}"; }
expect "all at a time"      0 '^prompts  *5, 5 at a time' -- at_a_time gpt2
expect "two at a time"      0 '^prompts  *5, 2 at a time' -- at_a_time gpt2 --batch 2
expect "beams at a time"    0 '^prompts  *5, 1 at a time' -- at_a_time gpt2 --beams 2
expect "one at a time"      0 '^prompts  *5, 1 at a time' -- at_a_time transfo-xl
bad() { printf "$1" | "$pumice" generate "$data/gpt2" --file - -n 4 --device cpu; }
expect "an empty line"      2 'line 2: is empty' -- bad '5,9\n\n7\n'
expect "a line of no ids"   2 'line 2: number 2 of "7,x"' -- bad '5,9\n7,x\n'
expect "a line of no id"    2 'line 1: ids: id 61 at 1, expected 0..60' -- bad '5,61\n7\n'
expect "a line too long"    2 'line 3: ids: the prompt has 65 ids, the model has 64 positions' -- bad "1\\n2\\n$(printf '3%.0s,' $(seq 64))4\\n"
expect "no lines"           2 'stdin: has no lines' -- bad ''
expect "no file of prompts" 3 'cannot be opened' -- "$pumice" generate "$data/gpt2" --file "$tmp/nowhere"
expect "a file and ids"     2 'both --file and --ids' -- "$pumice" generate "$data/gpt2" --file "$tmp/prompts" --ids 3
expect "a NUL in a line"    2 'line 1: .*NUL' -- lines 'ha\0lf\none\n'
expect "a NUL, as JSON"     2 'line 2: .*NUL' -- bash -c 'printf "seven\nha\0lf\none\n" | "$0" translate numbers-en-zh --device cpu --json' "$pumice"
[ "$(sed -n 2p "$tmp/out")" = '{"source": null, "translation": null}' ] && [ "$(wc -l < "$tmp/out")" -eq 3 ] || { echo "FAILED: a NUL, as JSON"; cat "$tmp/out"; failures=$((failures + 1)); }

speech="$data/../speech" chirp="$data/../audio/chirp.wav"
expect "transcribe"         0 . -- "$pumice" transcribe "$speech" "$chirp" --language en --device cpu
expect "transcribe, times"  0 '^\[00:00\.160 --> 00:00\.940\] ' -- "$pumice" transcribe "$speech" "$chirp" --timestamps --device cpu
expect "transcribe, ids"    0 '^319,148,358,358$' -- "$pumice" transcribe "$speech" "$chirp" --timestamps --print ids --device cpu
expect "transcribe, JSON"   0 '"language": "[a-z]*", "seconds": 1.0, "text": ".*"segments": \[{"start": 0.16, "end": 0.94, "text": .*"ids": \[319, 148, 358, 358\]}' -- "$pumice" transcribe "$speech" "$chirp" --timestamps --json --device cpu
expect "transcribe, beams"  0 '^319,256,358,358$' -- "$pumice" transcribe "$speech" "$chirp" --timestamps --beams 3 --print ids --device cpu
expect "transcribe two"     0 - -- "$pumice" transcribe "$speech" "$chirp" "$chirp" --device cpu -n 3
expect "transcribe nothing" 2 'arguments' -- "$pumice" transcribe "$speech"
expect "no sound"           3 'config.json: is not a sound file' -- "$pumice" transcribe "$speech" "$speech/config.json" --device cpu
expect "no such sound"      3 'nowhere.wav' -- "$pumice" transcribe "$speech" "$tmp/nowhere.wav" --device cpu
expect "no such language"   2 'expected one of: en, de, fr, yue' -- "$pumice" transcribe "$speech" "$chirp" --language xx --device cpu
expect "no such task"       2 'transcribe or translate' -- "$pumice" transcribe "$speech" "$chirp" --task sing --device cpu
expect "no Whisper"         2 'gpt2 model, expected whisper' -- "$pumice" transcribe "$data/gpt2" "$chirp" --device cpu
expect "Whisper without a tokenizer" 2 'print ids' -- "$pumice" transcribe "$data/whisper" "$chirp" --device cpu
expect "its ids"            0 '^[0-9,]*$' -- "$pumice" transcribe "$data/whisper" "$chirp" --print ids --device cpu
expect "ids into Whisper"   2 'takes input_features' -- "$pumice" generate "$data/whisper" --ids 3,4 --device cpu
expect "features"           0 - -- "$pumice" transcribe "$data/whisper" "$chirp" --features "$tmp/f.safetensors" --device cpu
expect "their shape"        0 '"in.input_features":{"dtype":"F32","shape":\[1,16,100\]' -- head -c 200 "$tmp/f.safetensors"
head -c 20 "$chirp" > "$tmp/cut.wav"
expect "a cut sound"        3 'cut.wav: is not a sound file' -- "$pumice" transcribe "$speech" "$tmp/cut.wav" --device cpu

head -c 200 "$data/gpt2/model.safetensors" > "$tmp/cut" && mkdir "$tmp/m" && cp "$data/gpt2/config.json" "$tmp/m/" && mv "$tmp/cut" "$tmp/m/model.safetensors"
expect "cut weights"        3 'safetensors' -- "$pumice" run "$tmp/m" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/x" --device cpu
cp "$data/gpt2/model.safetensors" "$tmp/m/"
sed 's/"n_embd": *[0-9]*/"n_embd": -4/' "$data/gpt2/config.json" > "$tmp/m/config.json"
expect "absurd config"      3 'n_embd.*-4' -- "$pumice" run "$tmp/m" --inputs "$data/gpt2/reference.safetensors" --outputs "$tmp/x" --device cpu
[ ! -e "$tmp/x" ] || { echo "FAILED: an output was written in spite of the error"; failures=$((failures + 1)); }

mkdir "$tmp/adapter"
expect "no adapter there"   3 'adapter_config.json' -- "$pumice" generate "$data/llama" --ids 5 -n 1 --lora "$tmp/adapter" --device cpu
echo '{"peft_type":"LORA","r":4,"lora_alpha":8}' > "$tmp/adapter/adapter_config.json"
expect "an adapter as MODEL" 3 'LoRA adapter.*--lora' -- "$pumice" generate "$tmp/adapter" --ids 5 -n 1 --device cpu
expect "an adapter without weights" 3 'adapter_model.safetensors' -- "$pumice" dump "$data/llama" --lora "$tmp/adapter"
expect "--lora of no model" 2 'unknown flag --lora' -- "$pumice" devices --lora "$tmp/adapter"

# Pictures.
images=$(dirname "$data")/images
mkdir "$tmp/vit" "$tmp/clip" && cp "$data/vit/"*.json "$data/vit/model.safetensors" "$tmp/vit/" && cp "$data/clip/"*.json "$data/clip/model.safetensors" "$tmp/clip/"
echo '{"size":32}' > "$tmp/vit/preprocessor_config.json" && cp "$tmp/vit/preprocessor_config.json" "$tmp/clip/"
expect "see"                0 "^$images/rgb.jpg	0\.[0-9]{4}	LABEL_[0-4]\$" -- "$pumice" see "$tmp/vit" "$images/rgb.png" "$images/rgb.jpg" --top 1 --device cpu
best=$(head -n 1 "$tmp/out" | cut -f 3)
[ "$(wc -l < "$tmp/out")" -eq 2 ] || { echo "FAILED see: one line a picture"; failures=$((failures + 1)); }
expect "see, JSON"          0 '"label": "LABEL_' -- "$pumice" see "$tmp/vit" "$images/rgb.png" --json --device cpu
printf '%s\t%s\n' "$images/rgb.png" "$best" "$images/rgb.png" "$(( (${best#LABEL_} + 1) % 5 ))" > "$tmp/known.tsv"
expect "see, scores"        0 '^accuracy 0.5000 .1 of 2.$' -- "$pumice" see "$tmp/vit" --scores "$tmp/known.tsv" --batch 1 --device cpu
printf '%s\tLABEL_5\n' "$images/rgb.png" > "$tmp/known.tsv"
expect "see, no such class" 3 'LABEL_5' -- "$pumice" see "$tmp/vit" --scores "$tmp/known.tsv" --device cpu
expect "see, no picture"    2 'no picture' -- "$pumice" see "$tmp/vit" --device cpu
expect "see, wrong model"   2 'expected a classifier of pictures' -- "$pumice" see "$data/gpt2" "$images/rgb.png" --device cpu
expect "see, no rules"      3 'preprocessor_config.json' -- "$pumice" see "$data/vit" "$images/rgb.png" --device cpu
head -c 1000 "$images/rgb.png" > "$tmp/cut.png"
expect "see, a cut picture" 3 'cut.png: is cut short' -- "$pumice" see "$tmp/vit" "$tmp/cut.png" --device cpu
expect "match"              0 '^0\.[0-9]{4}	-?0\.[0-9]{4}	1,7,60$' -- "$pumice" match "$tmp/clip" "$images/rgb.png" --ids 1,5,9,60 --ids 1,7,60 --device cpu
expect "match, no tokenizer" 2 'tokenizer' -- "$pumice" match "$tmp/clip" "$images/rgb.png" "a cat" --device cpu
expect "match, no text"     2 'no text' -- "$pumice" match "$tmp/clip" "$images/rgb.png" --device cpu
# Texts: small models with a vocabulary of letters and a few words.
text_model() { # NAME LABELS...: in the place of LABEL_0, LABEL_1, ...
    local name=$1 i=0 edits=()
    shift
    for label in "$@"; do edits+=(-e "s/\"LABEL_$i\"/\"$label\"/"); i=$((i + 1)); done
    mkdir "$tmp/$name" && cp "$data/$name/model.safetensors" "$data/../texts/vocab.txt" "$tmp/$name/"
    sed -e '' "${edits[@]}" "$data/$name/config.json" > "$tmp/$name/config.json"
}
text_model bert-classify bad so-so good
text_model bert-ner O B-PER I-PER B-ORG I-ORG B-LOC I-LOC X B-MISC
text_model bert-mlm
text_model bert-base
expect "classify"           0 '^so-so.0\.3905.*good.0\.3872.*bad.0\.2222' -- "$pumice" classify "$tmp/bert-classify" "the city of abc" --device cpu
expect "classify, JSON"     0 '"labels":\[\{"label":"good".*"pair":"b"' -- "$pumice" classify "$tmp/bert-classify" $'a\tb' --json --device cpu
expect "classify, lines"    0 '^good' -- bash -c 'printf "x\nThe City, of ZZtop.\n" | "$0" classify "$1" --top 1 --device cpu' "$pumice" "$tmp/bert-classify"
expect "classify, wrong task" 2 'its task is "tag", expected "classify"' -- "$pumice" classify "$tmp/bert-ner" x --device cpu
long=$(for i in $(seq 80); do printf 'city '; done)
expect "classify, too long" 2 'text 1: has 82 tokens, the model has 64 positions' -- "$pumice" classify "$tmp/bert-classify" "$long" --device cpu
expect "classify, cut"      0 - -- "$pumice" classify "$tmp/bert-classify" "$long" --truncate --device cpu
printf 'the city of abc\tso-so\nx\tgood\nThe City, of ZZtop.\tbad\n' > "$tmp/labelled.tsv"
expect "classify, scores"   0 'accuracy 0\.6667 of 3 texts' -- "$pumice" classify "$tmp/bert-classify" --scores "$tmp/labelled.tsv" --device cpu
printf 'x\tsplendid\n' > "$tmp/wrong.tsv"
expect "classify, unknown label" 3 'line 1: "splendid"' -- "$pumice" classify "$tmp/bert-classify" --scores "$tmp/wrong.tsv" --device cpu
expect "classify, no file"  3 'nowhere.tsv' -- "$pumice" classify "$tmp/bert-classify" --scores "$tmp/nowhere.tsv" --device cpu
expect "classify, JSON of bytes" 0 '"text":"a�b' -- "$pumice" classify "$tmp/bert-classify" $'a\xffb' --json --device cpu
expect "stdin with a NUL"   3 'stdin: has a NUL byte after 1 bytes' -- bash -c 'printf "a\0b" | "$0" classify "$1" --device cpu' "$pumice" "$tmp/bert-classify"
expect "tag"                0 '^9.11.ORG.0\.3052.*of$' -- "$pumice" tag "$tmp/bert-ner" "the city of abc" --device cpu
expect "tag, JSON"          0 '"entities":\[\{"begin":0,"end":3,"label":"LOC"' -- "$pumice" tag "$tmp/bert-ner" "the city" --json --device cpu
printf -- '-DOCSTART- O\n\nthe DT B-ORG\ncity NN B-ORG\nof IN O\n\nx NN B-PER\n' > "$tmp/words.conll"
expect "tag, scores"        0 'accuracy 0\.5000 of 4 words' -- "$pumice" tag "$tmp/bert-ner" --scores "$tmp/words.conll" --device cpu
expect "tag, scores as JSON" 0 '"support": 3' -- "$pumice" tag "$tmp/bert-ner" --scores "$tmp/words.conll" --json --device cpu
printf 'alone\n' > "$tmp/bad.conll"
expect "tag, one column"    3 'line 1: has one column' -- "$pumice" tag "$tmp/bert-ner" --scores "$tmp/bad.conll" --device cpu
expect "fill"               0 '^2\b' -- "$pumice" fill "$tmp/bert-mlm" "[MASK] city [MASK] xyz" --device cpu
expect "fill, JSON"         0 '"masks":\[\[\{"id":' -- "$pumice" fill "$tmp/bert-mlm" "the [MASK] of abc" --json --device cpu
expect "fill, no mask"      2 'has no mask, expected \[MASK\]' -- "$pumice" fill "$tmp/bert-mlm" "no mask" --device cpu
expect "embed"              0 '^-?[0-9.e-]+( -?[0-9.e-]+)+$' -- "$pumice" embed "$tmp/bert-base" "the city" --pooling cls --normalize --device cpu
expect "embed, JSON"        0 '"vector":\[' -- "$pumice" embed "$tmp/bert-base" "the city" --json --device cpu
expect "embed, npy"         0 - -- "$pumice" embed "$tmp/bert-base" "the city" abc -o "$tmp/v.npy" --device cpu
[ "$(head -c 6 "$tmp/v.npy" | tail -c 5)" = NUMPY ] || { echo "FAILED: v.npy"; failures=$((failures + 1)); }
expect "embed, no such pooling" 2 'median, expected mean, cls or last' -- "$pumice" embed "$tmp/bert-base" x --pooling median
expect "texts without a tokenizer" 2 'has no tokenizer' -- "$pumice" classify "$data/bert-classify" x --device cpu
# The example of each command's help, from the source's root; on the CPU, and of the benchmark one case.
mkdir "$tmp/root" && ln -s "$here" "$tmp/root/tests"
"$pumice" --help | sed -n 's/^  \([a-z]*\) .*/\1/p' > "$tmp/commands"
[ "$(wc -l < "$tmp/commands")" -ge 16 ] || { echo "FAILED: commands in --help"; failures=$((failures + 1)); }
while read -r command; do
    example=$("$pumice" $command --help | sed -n 's/^example: pumice //p' | sed 's/--device vulkan/--device cpu/')
    [ $command != bench ] || example="$example --only softmax --runs 1"
    expect "example of $command" 0 . -- bash -c 'cd "$1" && pumice() { "$0" "$@"; } && eval "pumice $2"' "$pumice" "$tmp/root" "$example"
done < "$tmp/commands"
# Text from a decoder, and its chat template.
mkdir "$tmp/chat" && cp "$data/llama/model.safetensors" "$data/llama/config.json" "$data/../texts/vocab.txt" "$tmp/chat/"
expect "generate from nothing" 0 - -- "$pumice" generate "$data/llama" -n 3 --print ids --ignore-eos --device cpu
expect "generate a text"    0 '^the city' -- "$pumice" generate "$tmp/chat" "the city" -n 4 --ignore-eos --device cpu
expect "generate, too long" 2 'has [0-9]* ids, the model has' -- "$pumice" generate "$tmp/chat" "$long$long" --device cpu
[ ! -s "$tmp/out" ] || { echo "FAILED: a prompt that is not continued was printed"; failures=$((failures + 1)); }
expect "no repetition"      0 - -- "$pumice" generate "$data/gpt2" --ids 5,9 -n 20 --no-repeat-ngram 1 --ignore-eos --print ids --device cpu
[ -z "$(tr , '\n' < "$tmp/out" | sort | uniq -d)" ] || { echo "FAILED: an id came twice"; failures=$((failures + 1)); }
expect "no chat template"   2 'has no chat template' -- "$pumice" generate "$tmp/chat" hi --chat --device cpu
echo '{{ messages }}' > "$tmp/chat/chat_template.jinja"
expect "unknown template"   3 'markers of no known family' -- "$pumice" generate "$tmp/chat" hi --chat --device cpu
echo "{% for m in messages %}<|im_start|>{% endfor %}" > "$tmp/chat/chat_template.jinja"
expect "chat"               0 - -- "$pumice" generate "$tmp/chat" hi --chat --system "of the city" -n 4 --device cpu
expect "system without chat" 2 'goes with --chat' -- "$pumice" generate "$tmp/chat" hi --system x --device cpu
mkdir "$tmp/bart" && cp "$data/bart/model.safetensors" "$data/bart/config.json" "$data/../texts/vocab.txt" "$tmp/bart/"
expect "no such language"   2 'no token for "fr"' -- "$pumice" translate "$tmp/bart" hi --to fr --device cpu

[ $failures -eq 0 ] && echo "all passed"
exit $((failures > 0))
