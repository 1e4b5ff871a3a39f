// Package nearest finds the word that was probably meant.
package nearest

import "strings"

// Word returns the candidate that the word was probably meant to be, or nothing: the only one that begins with it, or the
// one with the fewest letters to change. A slip is forgiven for each three letters, and one for a short word; a long word
// is no slip of anything.
func Word(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	if c := onlyBeginning(word, candidates); c != "" {
		return c
	}
	best, most := "", max(1, len(word)/3)
	for _, c := range candidates {
		if max(len(c)-len(word), len(word)-len(c)) > most {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= most && d < len(c) {
			if best == "" || d < most {
				best, most = c, d
			}
		}
	}
	return best
}

func onlyBeginning(word string, candidates []string) string {
	found := ""
	for _, c := range candidates {
		if len(word) < 3 || !strings.HasPrefix(c, word) {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
}

// distance counts the letters to put in, take out, replace, or swap with their neighbour to make a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
