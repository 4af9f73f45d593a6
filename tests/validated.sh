#!/bin/sh
# Runs a test program with the Vulkan validation layer, synchronization validation included, in every instance that it
# makes; any message of the layer fails it, and so does a layer that never came up although the machine has it.
#   tests/validated.sh PROGRAM [ARGUMENTS]
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/vk_layer_settings.txt" <<EOF
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn,perf,info
khronos_validation.log_filename = stdout
EOF
VK_LAYER_SETTINGS_PATH="$folder" VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation "$@" > "$folder/out" 2>&1
status=$?
cat "$folder/out"
[ $status -ne 0 ] && exit $status
grep -q 'Khronos Validation Layer Active' "$folder/out" || {
    grep -qi '^\[  SKIP    \].*vulkan' "$folder/out" && exit 0 # nothing to watch; the test says what it left out
    echo "$1: the validation layer did not come up"
    exit 1
}
messages=$(grep 'MessageID' "$folder/out" | grep -vc '(INFO / ') # information: that it is active, its cache, ...
[ "$messages" -eq 0 ] || {
    echo "$1: $messages messages of the validation layer"
    exit 1
}
