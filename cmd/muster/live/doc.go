// Package live shows what a cluster is doing: once as text, or as a table on the terminal that follows it.
package live
