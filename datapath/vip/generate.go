package vip

// The objects are committed: neither building nor testing needs a compiler for them. .ci/generated makes them anew with
// the same compiler and compares.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -type addr -type vip -type count -type fate decap bpf/decap.c -- -O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -I/usr/include/x86_64-linux-gnu
