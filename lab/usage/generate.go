package usage

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -type whose -type spent softirq bpf/softirq.c -- -O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -I/usr/include/x86_64-linux-gnu
