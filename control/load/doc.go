// Package load measures how much room a node has, from /proc and /sys.
//
// It gives two indexes; larger is more room, and a node that measures itself never says 0, which is kept for "the
// application does not answer" (HAS 3.22). The first is the one of HAS 3.22.6, as published:
//
//	Index = CPU * RAM / RAMx
//
//	CPU   BogoMIPS of all processors of the node together, read once   /proc/cpuinfo
//	RAM   free RAM of the node                                         /proc/meminfo
//	RAMx  total RAM of the cluster's node with the least RAM; the node's own until it is told
//
// HAS read MemFree. A web server's pages fill the page cache, so on a node that has run for a day MemFree is what the
// kernel keeps back, the same few MB on an idle node and on a full one. RAM is therefore MemAvailable, what programs can
// still get without swapping; MemFree where the kernel does not say (before 3.14) or Config.MemFree asks for it.
//
// The second, for the schedule `load`, takes in what else can be short (HAS names bandwidth as future work):
//
//	Room = 1000 * CPU * idle * queue * calm * RAM/RAMx * ease * link
//
//	idle    1 - CPU time in use                          0.01 to 1   /proc/stat
//	queue   1 / (1 + runnable tasks for each processor)  0.01 to 1   /proc/loadavg
//	calm    1 - part of the time in which a task waited
//	        for a processor                              0.01 to 1   /proc/pressure/cpu, "some"
//	RAM/RAMx  as above, always of MemAvailable           from 0      /proc/meminfo
//	ease    1 - part of the time in which a task waited
//	        for memory                                   0.01 to 1   /proc/pressure/memory, "some"
//	link    F / (F + 100 Mbit/s), F the free bandwidth
//	        in bits per second of all links together     0.01 to 1   /proc/net/dev, /sys/class/net/*/speed
//
// What is a rate is taken over the time since the last reading and smoothed over about a second. A link counts in its
// busier direction. Links are the interfaces that have hardware, or where there are none (containers), all but lo; one
// that does not know its speed has Config.Speed.
//
// A node whose control group limits its processor time (cgroups, version 1 or 2; containers) has that part of the machine's
// processors: its CPU is the same part of the BogoMIPS, and its idle that of the machine or of its limit, whichever is less.
//
// Busy is the fullest of processors, memory and the fullest link, in per mille.
//
// A term whose file is missing is left out, as if there were no shortage of it, and the reading says so.
//
// The files are kept open and parsed here, not by the procfs library: five readings a second take 0.02 % of a core and
// leave no garbage, a fifth of what they took with it.
package load
