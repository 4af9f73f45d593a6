#!/bin/sh
# Every symbol that the library gives to a linker begins with pm_. Others are volk's function pointers, which the shared library
# hides, and names that C keeps for compilers (sanitizers make some).   usage: symbols.sh NM LIBRARY
command -v "$1" > /dev/null || { echo "SKIP    no nm"; exit 77; }
case $2 in *.a) dynamic= ;; *) dynamic=-D ;; esac
# shellcheck disable=SC2086
"$1" -g $dynamic --defined-only "$2" | awk '
    NF != 3 { next }
    $3 ~ /^pm_/ { ours++; next }
    $3 !~ /^(vk[A-Z]|volk[A-Z]|__)/ { print $3 ": expected pm_..."; others++ }
    END { print ours + 0, "symbols,", others + 0, "others"; exit !ours || others }'
