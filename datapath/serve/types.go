package serve

import "strings"

// What a document without a known extension is.
const unknownType = "application/octet-stream"

// contentTypes is the whole table: what a node sends must not depend on the machine's own. Types of text have their
// charset here; packed says that the format is compressed by itself, so that nobody keeps a compressed copy of it.
var contentTypes = map[string]struct {
	name   string
	packed bool
}{
	"html": {"text/html; charset=utf-8", false}, "htm": {"text/html; charset=utf-8", false},
	"xhtml": {"application/xhtml+xml", false}, "css": {"text/css; charset=utf-8", false},
	"js": {"text/javascript; charset=utf-8", false}, "mjs": {"text/javascript; charset=utf-8", false},
	"json": {"application/json", false}, "map": {"application/json", false}, "jsonld": {"application/ld+json", false},
	"webmanifest": {"application/manifest+json", false}, "wasm": {"application/wasm", false},
	"xml": {"text/xml; charset=utf-8", false}, "xsl": {"text/xml; charset=utf-8", false}, "rss": {"application/rss+xml", false},
	"atom": {"application/atom+xml", false}, "txt": {"text/plain; charset=utf-8", false}, "text": {"text/plain; charset=utf-8", false},
	"log": {"text/plain; charset=utf-8", false}, "md": {"text/markdown; charset=utf-8", false},
	"csv": {"text/csv; charset=utf-8", false}, "tsv": {"text/tab-separated-values; charset=utf-8", false},
	"ics": {"text/calendar; charset=utf-8", false}, "vcf": {"text/vcard; charset=utf-8", false},
	"vtt": {"text/vtt; charset=utf-8", false}, "yaml": {"application/yaml", false}, "yml": {"application/yaml", false},
	"toml": {"application/toml", false}, "sh": {"text/plain; charset=utf-8", false}, "rtf": {"application/rtf", false},

	"gif": {"image/gif", true}, "jpg": {"image/jpeg", true}, "jpeg": {"image/jpeg", true}, "png": {"image/png", true},
	"apng": {"image/apng", true}, "webp": {"image/webp", true}, "avif": {"image/avif", true}, "heic": {"image/heic", true},
	"jxl": {"image/jxl", true}, "svg": {"image/svg+xml", false}, "svgz": {"image/svg+xml", true}, "ico": {"image/x-icon", false},
	"bmp": {"image/bmp", false}, "tif": {"image/tiff", false}, "tiff": {"image/tiff", false},

	"woff": {"font/woff", true}, "woff2": {"font/woff2", true}, "ttf": {"font/ttf", false}, "otf": {"font/otf", false},
	"ttc": {"font/collection", false}, "eot": {"application/vnd.ms-fontobject", false},

	"mp3": {"audio/mpeg", true}, "m4a": {"audio/mp4", true}, "aac": {"audio/aac", true}, "oga": {"audio/ogg", true},
	"ogg": {"audio/ogg", true}, "opus": {"audio/ogg", true}, "flac": {"audio/flac", true}, "wav": {"audio/wav", false},
	"mid": {"audio/midi", false}, "weba": {"audio/webm", true},
	"mp4": {"video/mp4", true}, "m4v": {"video/mp4", true}, "m4s": {"video/iso.segment", true}, "webm": {"video/webm", true},
	"ogv": {"video/ogg", true}, "mov": {"video/quicktime", true}, "avi": {"video/x-msvideo", true}, "mkv": {"video/x-matroska", true},
	"mpeg": {"video/mpeg", true}, "mpg": {"video/mpeg", true}, "ts": {"video/mp2t", true}, "3gp": {"video/3gpp", true},
	"flv": {"video/x-flv", true}, "m3u8": {"application/vnd.apple.mpegurl", false}, "mpd": {"application/dash+xml", false},

	"pdf": {"application/pdf", true}, "ps": {"application/postscript", false}, "epub": {"application/epub+zip", true},
	"doc": {"application/msword", false}, "xls": {"application/vnd.ms-excel", false}, "ppt": {"application/vnd.ms-powerpoint", false},
	"docx": {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", true},
	"xlsx": {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", true},
	"pptx": {"application/vnd.openxmlformats-officedocument.presentationml.presentation", true},
	"odt":  {"application/vnd.oasis.opendocument.text", true}, "ods": {"application/vnd.oasis.opendocument.spreadsheet", true},
	"odp": {"application/vnd.oasis.opendocument.presentation", true},

	"zip": {"application/zip", true}, "gz": {"application/gzip", true}, "tgz": {"application/gzip", true},
	"bz2": {"application/x-bzip2", true}, "xz": {"application/x-xz", true}, "zst": {"application/zstd", true},
	"br": {unknownType, true}, "7z": {"application/x-7z-compressed", true}, "rar": {"application/vnd.rar", true},
	"tar": {"application/x-tar", false}, "jar": {"application/java-archive", true}, "deb": {"application/vnd.debian.binary-package", true},
	"rpm": {"application/x-rpm", true}, "iso": {unknownType, true}, "img": {unknownType, true}, "bin": {unknownType, true},
	"exe": {unknownType, true}, "dll": {unknownType, true}, "dmg": {unknownType, true}, "msi": {unknownType, true}, "apk": {"application/vnd.android.package-archive", true},
}

// contentType says what a file is by its name.
func contentType(name string) (ctype string, packed bool) {
	i := strings.LastIndexAny(name, "./")
	if i < 0 || name[i] == '/' || len(name)-i > 16 {
		return unknownType, false
	}
	if t, ok := contentTypes[strings.ToLower(name[i+1:])]; ok {
		return t.name, t.packed
	}
	return unknownType, false
}
