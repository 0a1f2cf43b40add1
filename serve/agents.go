package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var dockerAgent = regexp.MustCompile(`^docker/((\d+)\.\S*)`)

// firstWithZstd is the first Docker engine that reads zstd layers. Those before
// say no more than "invalid tar header".
const firstWithZstd = 23

// readable is an error where the client is an engine that is known not to read
// the layers of a manifest.
func readable(agent string, m manifest) error {
	found := dockerAgent.FindStringSubmatch(agent)
	if found == nil {
		return nil
	}
	if major, err := strconv.Atoi(found[2]); err != nil || major >= firstWithZstd {
		return nil
	}
	var image ocispec.Manifest
	if err := json.Unmarshal(m.data, &image); err != nil {
		return nil
	}
	for _, l := range image.Layers {
		if strings.HasSuffix(l.MediaType, "zstd") {
			return &failure{http.StatusBadRequest, codeUnsupported,
				fmt.Sprintf("Docker %s reads no zstd layers, which these are: start archprune serve with --gzip", found[1])}
		}
	}
	return nil
}
