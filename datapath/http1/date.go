package http1

import "time"

const (
	dayNames   = "SunMonTueWedThuFriSat"
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
	gmt        = " GMT"
)

// AppendDate appends a time as HTTP has it (RFC 9110 5.6.7): Sun, 06 Nov 1994 08:49:37 GMT.
func AppendDate(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	w, m := int(t.Weekday())*3, int(month-1)*3
	dst = append(dst, dayNames[w:w+3]...)
	dst = append(dst, ',', ' ', byte('0'+day/10), byte('0'+day%10), ' ')
	dst = append(dst, monthNames[m:m+3]...)
	dst = append(dst, ' ', byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10))
	dst = append(dst, ' ', byte('0'+hour/10), byte('0'+hour%10))
	dst = append(dst, ':', byte('0'+minute/10), byte('0'+minute%10))
	dst = append(dst, ':', byte('0'+second/10), byte('0'+second%10))
	return append(dst, gmt...)
}

// ParseDate reads a time in any of the three forms of RFC 9110 5.6.7. A year of two digits is the last one with those
// that is not more than 50 years after now. The name of the day must be one, and is not held against the date.
func ParseDate(b []byte, now time.Time) (time.Time, bool) {
	d := dateReader{b: b, ok: true}
	switch {
	case len(b) == 29 && b[3] == ',': // Sun, 06 Nov 1994 08:49:37 GMT
		d.name(dayNames)
		d.literal(", ")
		d.day = d.digits(2)
		d.literal(" ")
		d.month = d.name(monthNames)
		d.literal(" ")
		d.year = d.digits(4)
		d.literal(" ")
		d.clock()
		d.literal(gmt)
	case len(b) == 24 && b[3] == ' ': // Sun Nov  6 08:49:37 1994
		d.name(dayNames)
		d.literal(" ")
		d.month = d.name(monthNames)
		d.literal(" ")
		if d.b[0] == ' ' {
			d.literal(" ")
			d.day = d.digits(1)
		} else {
			d.day = d.digits(2)
		}
		d.literal(" ")
		d.clock()
		d.literal(" ")
		d.year = d.digits(4)
	case len(b) >= 30 && len(b) <= 33: // Sunday, 06-Nov-94 08:49:37 GMT
		w := d.name(dayNames)
		if w < 0 {
			return time.Time{}, false
		}
		d.literal([...]string{"day", "day", "sday", "nesday", "rsday", "day", "urday"}[w])
		d.literal(", ")
		d.day = d.digits(2)
		d.literal("-")
		d.month = d.name(monthNames)
		d.literal("-")
		d.year = d.digits(2)
		d.literal(" ")
		d.clock()
		d.literal(gmt)
		d.year += now.UTC().Year()/100*100 + 100
		for limit := now.AddDate(50, 0, 0); d.ok && d.time().After(limit); {
			d.year -= 100
		}
	default:
		return time.Time{}, false
	}
	if !d.ok || len(d.b) != 0 || d.hour > 23 || d.minute > 59 || d.second > 60 { // 60: a leap second
		return time.Time{}, false
	}
	if last := time.Date(d.year, time.Month(d.month+2), 0, 0, 0, 0, 0, time.UTC).Day(); d.day < 1 || d.day > last {
		return time.Time{}, false
	}
	return d.time(), true
}

// A dateReader takes a date apart from its beginning. Once something is wrong it stays so.
type dateReader struct {
	b                                      []byte
	ok                                     bool
	year, month, day, hour, minute, second int
}

func (d *dateReader) time() time.Time {
	return time.Date(d.year, time.Month(d.month+1), d.day, d.hour, d.minute, d.second, 0, time.UTC)
}

func (d *dateReader) take(n int) []byte {
	if len(d.b) < n {
		d.ok = false
		d.b = nil
		return nil
	}
	t := d.b[:n]
	d.b = d.b[n:]
	return t
}

func (d *dateReader) literal(s string) {
	if string(d.take(len(s))) != s {
		d.ok = false
	}
}

func (d *dateReader) digits(n int) (v int) {
	for _, c := range d.take(n) {
		if !digit(c) {
			d.ok = false
			return 0
		}
		v = v*10 + int(c-'0')
	}
	return v
}

// name reads one of the names of three letters, and returns which.
func (d *dateReader) name(names string) int {
	t := d.take(3)
	for i := 0; i < len(names); i += 3 {
		if string(t) == names[i:i+3] {
			return i / 3
		}
	}
	d.ok = false
	return -1
}

func (d *dateReader) clock() {
	d.hour = d.digits(2)
	d.literal(":")
	d.minute = d.digits(2)
	d.literal(":")
	d.second = d.digits(2)
}
