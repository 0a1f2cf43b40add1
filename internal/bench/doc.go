// Package bench measures archprune beside what people do without it, on a
// private engine, and keeps the figures, from which internal/bench/tables makes
// tables.
//
//	make bench
//
// Environment variables:
//
//	ARCHPRUNE_TEST_ENGINE  the engine, see enginetest
//	BENCH_RESULTS          folder of the figures; what is there is not measured again
//	BENCH_RUNS             rounds of each job, 5 by default
//	BENCH_WAYS             pattern of the ways that archprune is measured beside; all by default
//	BENCH_SCALE            below 1 makes images smaller and fewer, to try the benchmarks
package bench
