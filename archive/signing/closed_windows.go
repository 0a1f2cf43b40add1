package signing

// closed asks nothing where a file's mode does not say who may read it.
func closed(string) error { return nil }
