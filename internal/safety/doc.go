// Package safety takes away, one by one, the lines of archprune that keep an
// image or an archive from harm, and proves that a test notices.
//
// A line is changed in a copy of its file that go test takes for the file (its
// flag -overlay), so that nothing of the source is touched. The table of lines
// is in sources_*_test.go; doc/safety.md shows it.
//
//	make safety                              changes every line in turn
//	go test ./internal/safety                looks whether the table is true to the source
//	go test ./internal/safety -update        writes doc/safety.md
package safety
