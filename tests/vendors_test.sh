#!/bin/bash
# Every kernel through the shader compilers of AMD, NVIDIA, Qualcomm and Apple GPUs, with no such GPU: Mesa's drivers of Debian sid on
# kernel devices that only pretend. Pipelines are made, nothing runs. Then the operations on sid's lavapipe, which does run.
# Skipped where there is no driver-pack (../shared/tools) or no network to fetch the drivers.
#   usage: vendors_test.sh FOLDER-OF-TESTS FOLDER-FOR-DRIVERS
set -uo pipefail
tests=$1 drivers=$2
pack=${PUMICE_SHARED:-$(dirname "$0")/../../shared}/tools/driver-pack
if [ ! -x "$pack" ]; then
    echo "SKIP: there is no $pack"
    exit 77
fi
if [ ! -x "$drivers/run" ] && ! timeout 300 "$pack" "$drivers" > "$drivers.log" 2>&1; then
    echo "SKIP: the drivers cannot be fetched: $(tail -n 1 "$drivers.log")"
    exit 77
fi
failed=0
compile() { # DRIVER [NAME=CHIP]
    local driver=$1
    shift
    env "$@" timeout 300 "$drivers/run" "$driver" -- "$tests/compile_kernels" || failed=1
}
compile radeon AMDGPU_GPU_ID=navi31
compile radeon AMDGPU_GPU_ID=vega10
compile nouveau NOUVEAU_CHIPSET=190
compile freedreno FD_GPU_ID=740
compile asahi
timeout 600 "$drivers/run" lvp -- "$tests/test_ops_vulkan" > "$drivers.lvp.log" 2>&1 || failed=1
grep -E '^\[  (PASSED|FAILED)' "$drivers.lvp.log" | sed 's/^/lavapipe: /'
exit $failed
