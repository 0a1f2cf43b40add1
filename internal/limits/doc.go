// Package limits has no code of its own: its tests run archprune where a machine
// gives little: a disk that is full, read-only or slow, few open files, little
// memory.
package limits
