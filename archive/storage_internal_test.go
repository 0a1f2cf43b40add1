package archive

// StorageOf is the storage of an archive, for tests that stand between.
func StorageOf(a *Archive) Storage { return a.store }
