// Package site makes and lists the documents that load is put on: a tree of 6,200 files after WebBench, the generated
// pages beside it, files of one size, and a real documentation tree that is installed on the machine.
//
// The tree follows what is published of WebBench and its time. HAS 4.2 says: over 6,200 documents in directories of
// different depths, 90 % of the requests static. HAS Table 12 gives 5,773 bytes an answer (825,609 bytes/s at 143
// requests/s). The workload of SPECweb96, from the logs of several servers, has 35 % of the requests below 1 kB, 50 % of
// 1 to 10 kB, 14 % of 10 to 100 kB and 1 % above. A log-normal distribution with a median of 1,750 bytes and sigma 1.55,
// cut at 200 B and 512 kB, has both that mean and those parts; the sizes here are its quantiles, so that every tree has
// them exactly, and each file is asked for as often as any other. That distribution is ours: WebBench's own is not
// published.
package site
