package archive

import (
	"context"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/archprune/archprune/engine"
)

// IngestAsOther is Ingest as a version of archprune does it that compresses in
// another way.
func IngestAsOther(ctx context.Context, a *Archive, body io.Reader, images []engine.Image, info engine.Info) ([]Ingested, error) {
	in, err := a.newIngest(ctx)
	if err != nil {
		return nil, err
	}
	if in.compressor.tight, err = newEncoder(zstd.SpeedBestCompression); err != nil {
		return nil, err
	}
	if err := in.receive(body, true); err != nil {
		return nil, err
	}
	return in.archive(images, info)
}
