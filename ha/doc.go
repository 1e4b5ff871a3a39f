// Package ha is the way of a failure. Its steps, and where each one lives:
//
//	1 notice    member/      a report is missed, a check fails, an operator wishes: one picture of node states
//	2 decide    member/      active, standby, in-transition or out, with the reason; everything follows it
//	3 mend      supervise/   an application that died is started again, one that does not answer is restarted
package ha
