// Package control is the way of a load report. Its steps, and where each one lives:
//
//	1 measure   load/                how much room has this node?
//	2 check     check/               does its application answer?
//	3 report    report/reporter.go   one datagram to every director
//	4 receive   report/receiver.go   kept, or missed
//	5 schedule  schedule/            shares for the nodes, by policy
//	6 table     share/               shares -> slots, which the data path follows
package control
