package packet

// The objects are committed: neither building nor testing needs a compiler for them. .ci/generated makes them anew with
// the same compiler and compares.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -type service -type node -type way -type flow_key -type flow -type front -type table -type member -type node_count -type service_count -type rate_key -type event -type source_key -type vlan_key -type port -type datagram -type bucket -type first -type entrance -type dispatch -type pick -type lost -type flow_state -type flow_flag -type service_flag -type node_flag -type reason -type event_kind director bpf/director.c -- -O2 -g -mcpu=v3 -fno-strict-aliasing -Wall -Wextra -Werror -Wno-unused-parameter -I/usr/include/x86_64-linux-gnu
