// Package config reads cluster.yaml, the one file that describes a cluster: it checks all of it, fills in what the file
// leaves out, and says of each fault where it is and what to write instead.
//
// The struct tags of File and of the types below it are the only description of the file. One walk over them serves
// every use, so nothing is stated twice:
//
//	decode.go      YAML into a File, with the position of every value   (Read, Parse)
//	fill.go        what the file leaves out
//	print.go       the effective file, and all defaults with comments   (File.Show, Defaults)
//	schema.go      a JSON Schema for editors                            (Schema)
//	reference.go   the page docs/configuration.md                       (Reference)
//	diff.go        what a reload changes                                (Diff)
//
// The tags:
//
//	key       the key's name in the file; then ",required", or ",shown": printed by Defaults though it has no default
//	default   what an absent key means; of a list, with commas
//	from      the key at the top of the file whose value an absent key takes
//	eg        an example, where there is no default
//	range     the least and the greatest value; of a list, of each element
//	count     the least and the greatest number of elements or entries
//	zero      what 0 means, where 0 is allowed beside the range
//	as        how text is read: name, path (made absolute), output (a path, or -), text (may have line breaks)
//	only      the kinds and the ways of dispatch for which the key has a meaning
//	ref       the section that must have an entry of this name
//	repeat    "yes": a list may name the same thing twice
//	alone     the word that may stand in place of a list, and means the list of it
//	doc       what the key means
//
// The rules that join several keys are plain code: refer.go, combine.go and collide.go. What can only be seen on the
// machine itself, such as a missing file, is left to File.CheckHost.
package config

//go:generate go run generate.go
