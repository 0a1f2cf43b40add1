package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pluginName is how the docker command finds a plugin that it calls archprune.
const pluginName = "docker-archprune"

// isPlugin reports whether the docker command started this process.
func isPlugin(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == pluginName
}

// pluginMetadata is what docker wants to know of a plugin before it shows it in
// its help: docker/cli, cli-plugins/metadata.
type pluginMetadata struct {
	SchemaVersion    string
	Vendor           string
	Version          string
	ShortDescription string
}

func writePluginMetadata(w io.Writer) error {
	return json.NewEncoder(w).Encode(pluginMetadata{"0.1.0", "archprune", version, "Archive images, prove the archive, prune; bring them back"})
}

// dockerFlags are docker's own that may stand before a plugin's name, and
// whether they take a value.
var dockerFlags = map[string]bool{
	"--config": true, "--context": true, "-c": true, "--host": true, "-H": true, "--log-level": true, "-l": true,
	"--debug": false, "-D": false,
}

// pluginArgs turns the words behind docker into those behind archprune, and
// docker's own flags into the variables that say the same.
func pluginArgs(words []string) ([]string, error) {
	help := len(words) > 0 && words[0] == "help"
	if help {
		words = words[1:]
	}
	for len(words) > 0 && words[0] != "archprune" {
		name, value, joined := strings.Cut(words[0], "=")
		takes, known := dockerFlags[name]
		if !known {
			return nil, usagef("docker %s: archprune does not know this flag of docker's; DOCKER_HOST and the variables for TLS say the same", name)
		}
		words = words[1:]
		if takes && !joined && len(words) > 0 {
			value, words = words[0], words[1:]
		}
		if err := obeyDocker(name, value); err != nil {
			return nil, err
		}
	}
	if len(words) > 0 {
		words = words[1:]
	}
	if help {
		words = append(slices.Clone(words), "--help")
	}
	return append([]string{"archprune"}, words...), nil
}

// obeyDocker does what a flag of docker's own says. A context that is named wins
// over DOCKER_HOST.
func obeyDocker(name, value string) error {
	switch name {
	case "--config":
		return os.Setenv("DOCKER_CONFIG", value)
	case "--host", "-H":
		return os.Setenv("DOCKER_HOST", value)
	case "--context", "-c":
		if err := os.Unsetenv("DOCKER_HOST"); err != nil {
			return err
		}
		return os.Setenv("DOCKER_CONTEXT", value)
	}
	return nil
}
