// Package ui renders what the other packages report: tables, --format
// templates, sizes and ages, the confirmation prompt, progress and JSON lines.
//
// It knows no domain: it takes strings, numbers, times and plain rows. Text of
// unknown origin (labels, names, errors of an engine or a registry) passes
// [Clean] before it is written, so that no foreign byte steers the terminal.
package ui
