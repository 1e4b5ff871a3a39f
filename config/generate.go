//go:build ignore

// This program writes docs/configuration.md; run it with `go generate ./config`.
package main

import (
	"log"
	"os"

	"muster/config"
)

func main() {
	if err := os.WriteFile("../docs/configuration.md", config.Reference(), 0o644); err != nil {
		log.Fatal(err)
	}
}
