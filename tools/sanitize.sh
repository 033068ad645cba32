#!/bin/sh
# The kernels' own tests under AddressSanitizer and UndefinedBehaviorSanitizer, under ThreadSanitizer, and for aarch64
# under QEMU. `tools/sanitize.sh asan tsan` runs those two alone.
set -eu
cd "$(dirname "$0")/.."

need() { # tool, Debian package
    command -v "$1" >/dev/null || {
        echo "$0: $1 is missing (on Debian: apt-get install $2)" >&2
        exit 1
    }
}

build() { # name, compiler flags, more options of CMake
    name=$1 flags=$2
    shift 2
    cmake -S kernels -B "build/sanitize-$name" -DGATECAST_TESTS=ON -DCMAKE_BUILD_TYPE=None \
        -DCMAKE_CXX_FLAGS="-g1 -fno-omit-frame-pointer $flags" "$@" >/dev/null
    cmake --build "build/sanitize-$name" --parallel "${JOBS:-2}" --target kernel_tests
}

run() { # what it is, command
    echo "== $1"
    shift
    "$@"
}

asan() {
    build asan "-fsanitize=address,undefined -fno-sanitize-recover=all"
    run "AddressSanitizer and UndefinedBehaviorSanitizer" \
        env ASAN_OPTIONS=detect_stack_use_after_return=1:strict_init_order=1 UBSAN_OPTIONS=print_stacktrace=1 \
        build/sanitize-asan/tests/kernel_tests
}

tsan() {
    build tsan -fsanitize=thread
    run ThreadSanitizer env TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 build/sanitize-tsan/tests/kernel_tests
}

aarch64() {
    need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
    need qemu-aarch64 qemu-user
    build aarch64 "" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
    run "aarch64 under QEMU" qemu-aarch64 build/sanitize-aarch64/tests/kernel_tests --no-fork
}

need cmake cmake
need c++ g++
[ $# -gt 0 ] || set -- asan tsan aarch64
for each; do
    case $each in
        asan | tsan | aarch64) "$each" ;;
        *) echo "$0: $each is none of asan, tsan, aarch64" >&2 && exit 2 ;;
    esac
done
