package site

import "strings"

// Pages are the generated tenth of the requests: /page/0 to /page/99. Their text depends on the number in their path, so
// a server has to make each answer, and a client can check every byte.
const Pages = 100

// PagePath is what the path of a generated page begins with; its number follows.
const PagePath = "/page/"

// PageType is the media type of a generated page.
const PageType = "text/html"

// PageTemplate is the text of a generated page; each occurrence of mark stands for its number. It has neither quotes nor
// backslashes nor dollar signs, so that it can stand in the configuration of a server.
func PageTemplate(mark string) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html><head><title>Page " + mark + "</title></head><body><h1>Page " + mark + "</h1><table>")
	for range 24 {
		b.WriteString("<tr><td>" + mark + "</td><td><a href=/page/" + mark + ">item " + mark + "</a></td><td>generated for this request</td></tr>")
	}
	b.WriteString("</table></body></html>")
	return b.String()
}

// pieces are what stands between the numbers of a page.
var pieces = strings.Split(PageTemplate("\x00"), "\x00")

// Page returns the generated page for a path, or false if the path is not one's.
func Page(path string) ([]byte, bool) {
	n, ok := strings.CutPrefix(path, PagePath)
	if !ok || n == "" || len(n) > 6 || strings.Trim(n, "0123456789") != "" {
		return nil, false
	}
	size := (len(pieces) - 1) * len(n)
	for _, p := range pieces {
		size += len(p)
	}
	page := append(make([]byte, 0, size), pieces[0]...)
	for _, p := range pieces[1:] {
		page = append(append(page, n...), p...)
	}
	return page, true
}

// Dynamic is Page as the built-in web server asks for it.
func Dynamic(path, _ string) (body []byte, contentType string, ok bool) {
	body, ok = Page(path)
	return body, PageType, ok
}
