#!/bin/sh
# Every symbol that the library gives to a linker begins with pm_. Others are names that C keeps for compilers (sanitizers make
# some), and in the archive volk's, which the shared library hides.   usage: symbols.sh NM LIBRARY
command -v "$1" > /dev/null || { echo "SKIP    no nm"; exit 77; }
case $2 in *.a) dynamic= volk='|vk[A-Z]|volk[A-Z]' ;; *) dynamic=-D volk= ;; esac
# shellcheck disable=SC2086
"$1" -g $dynamic --defined-only "$2" | awk -v other="^(__$volk)" '
    NF != 3 { next }
    $3 ~ /^pm_/ { ours++; next }
    $3 !~ other { print $3 ": expected pm_..."; others++ }
    END { print ours + 0, "symbols,", others + 0, "others"; exit !ours || others }'
