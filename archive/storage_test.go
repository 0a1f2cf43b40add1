package archive

// FolderStorage is the storage of a folder, for the conformance suite.
func FolderStorage(path string, opts Options) (Storage, error) { return openFolder(path, opts) }
