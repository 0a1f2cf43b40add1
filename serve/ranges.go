package serve

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// span is a part of a blob: bytes from up to, and without, to.
type span struct{ from, to int64 }

var errRange = errors.New("no such range")

// rangeOf is the part of a blob that a request wants, and the status to answer
// with. A Range header that is not understood, or that wants several parts, is
// as none (RFC 9110, section 14.2).
func rangeOf(req *http.Request, d string, size int64) (span, int, error) {
	whole := span{0, size}
	header, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes=")
	if !ok || strings.Contains(header, ",") {
		return whole, http.StatusOK, nil
	}
	if tag := req.Header.Get("If-Range"); tag != "" && tag != `"`+d+`"` {
		return whole, http.StatusOK, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(header), "-")
	from, errFrom := strconv.ParseUint(first, 10, 63)
	to, errTo := strconv.ParseUint(last, 10, 63)
	part := whole
	switch {
	case !ok:
		return whole, http.StatusOK, nil
	case first == "" && errTo == nil: // the last bytes
		part.from = max(0, size-int64(to))
	case errFrom == nil && last == "":
		part.from = int64(from)
	case errFrom == nil && errTo == nil && from <= to:
		part = span{int64(from), min(int64(to), size-1) + 1}
	default:
		return whole, http.StatusOK, nil
	}
	if part.from >= part.to {
		return whole, 0, errRange
	}
	return part, http.StatusPartialContent, nil
}
