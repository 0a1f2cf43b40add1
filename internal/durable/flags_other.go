//go:build !unix

package durable

// Windows has no files that are waited for.
const asFile, asFolder = 0, 0
