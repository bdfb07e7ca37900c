#!/bin/sh
# Take the ciphers' files out of the kernel source that the distribution's package put into /usr/src. DKMS calls this in
# the build directory with the kernel's release, such as 6.1.0-44-amd64.
set -eu
series=$(printf '%s\n' "$1" | cut -d. -f1,2)
archive=/usr/src/linux-source-$series.tar.xz
[ -f "$archive" ] || { echo "no $archive: install linux-source-$series" >&2; exit 1; }
crypto=linux-source-$series/crypto x86=linux-source-$series/arch/x86/crypto
set -- "$crypto/sm4.c" "$crypto/sm4_generic.c" "$crypto/sm3.c" "$crypto/sm3_generic.c"
if [ "$(uname -m)" = x86_64 ]; then
    set -- "$@" "$x86/sm4-aesni-avx-asm_64.S" "$x86/sm4-aesni-avx2-asm_64.S" "$x86/sm4-avx.h" \
        "$x86/sm4_aesni_avx_glue.c" "$x86/sm4_aesni_avx2_glue.c" "$x86/sm3-avx-asm_64.S" "$x86/sm3_avx_glue.c"
fi
# Every file once, so that tar need not read the archive to its end.
tar -xf "$archive" --occurrence=1 --transform 's|.*/||' "$@"
