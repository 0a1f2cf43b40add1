package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	dcontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/cli/opts"
	"github.com/docker/docker/client"
)

const (
	defaultContext = "default" // the context made of DOCKER_HOST and the TLS variables
	envContext     = "DOCKER_CONTEXT"
	envTLS         = "DOCKER_TLS"
)

// PruneFilters returns the filters that the user's docker configuration adds
// to every prune.
func PruneFilters() ([]string, error) {
	config, err := loadConfig()
	if err != nil {
		return nil, err
	}
	return config.PruneFilters, nil
}

// loadConfig reads the user's docker configuration. The docker command goes
// on after a warning when it can't be read; a program that removes images
// does not, since it might go on with another engine or without a filter.
func loadConfig() (*configfile.ConfigFile, error) {
	file, err := config.Load(configDir())
	if err != nil {
		return nil, fmt.Errorf("reading the docker configuration: %w", err)
	}
	return file, nil
}

// configDir is where the docker configuration lies. The library remembers
// its first answer for good; the environment is what counts.
func configDir() string {
	if dir := os.Getenv(config.EnvOverrideConfigDir); dir != "" {
		return dir
	}
	return config.Dir()
}

// resolve finds the endpoint and says what named it.
func resolve(o Options, current string) (docker.Endpoint, string, error) {
	if o.Host != "" && o.Context != "" {
		return docker.Endpoint{}, "", errors.New("--host and --context exclude each other")
	}
	name, source := contextName(o, current)
	if name != defaultContext {
		ep, err := fromContext(name)
		if err != nil {
			return docker.Endpoint{}, "", fmt.Errorf("resolving %s: %w", source, err)
		}
		return ep, source, nil
	}
	host := o.Host
	if host == "" {
		host = os.Getenv(client.EnvOverrideHost)
	}
	ep, err := fromHost(host)
	if err != nil {
		return docker.Endpoint{}, "", fmt.Errorf("resolving the engine's address %q: %w", host, err)
	}
	return ep, source, nil
}

// contextName chooses the context as the docker command does, and says what
// made the choice.
func contextName(o Options, current string) (name, source string) {
	env := os.Getenv(envContext)
	switch {
	case o.Context != "":
		name, source = o.Context, "--context "+o.Context
	case o.Host != "":
		return defaultContext, "--host"
	case os.Getenv(client.EnvOverrideHost) != "":
		name = defaultContext
	case env != "":
		name, source = env, envContext+" "+env
	case current != "":
		name, source = current, "current context "+current
	default:
		name = defaultContext
	}
	if name == defaultContext {
		// Whatever chose the default context, its address is from here.
		source = "default address"
		if os.Getenv(client.EnvOverrideHost) != "" {
			source = client.EnvOverrideHost
		}
	}
	return name, source
}

// fromContext reads an endpoint out of the user's context store.
func fromContext(name string) (docker.Endpoint, error) {
	endpoints := store.EndpointTypeGetter(docker.DockerEndpoint, func() any { return &docker.EndpointMeta{} })
	contexts := store.New(
		filepath.Join(configDir(), "contexts"),
		// Of a context's own metadata nothing is needed.
		store.NewConfig(func() any { return &map[string]any{} }, endpoints),
	)
	meta, err := contexts.GetMetadata(name)
	if err != nil {
		return docker.Endpoint{}, err
	}
	ep, err := docker.EndpointFromContext(meta)
	if err != nil {
		return docker.Endpoint{}, err
	}
	return docker.WithTLSData(contexts, name, ep)
}

// fromHost makes the endpoint of the default context. Like the docker
// command, it uses TLS when one of the variables asks for it, and checks the
// engine's certificate only when DOCKER_TLS_VERIFY does.
func fromHost(host string) (docker.Endpoint, error) {
	verify := os.Getenv(client.EnvTLSVerify) != ""
	secure := verify || os.Getenv(envTLS) != ""
	addr, err := opts.ParseHost(secure, host)
	if err != nil {
		return docker.Endpoint{}, err
	}
	ep := docker.Endpoint{EndpointMeta: docker.EndpointMeta{Host: addr}}
	if !secure {
		return ep, nil
	}
	dir := os.Getenv(client.EnvOverrideCertPath)
	if dir == "" {
		dir = configDir()
	}
	ep.SkipTLSVerify = !verify
	ep.TLSData, err = dcontext.TLSDataFromFiles(
		filepath.Join(dir, "ca.pem"),
		ifPresent(filepath.Join(dir, "cert.pem")),
		ifPresent(filepath.Join(dir, "key.pem")),
	)
	return ep, err
}

// ifPresent returns the name of a file that exists, else nothing: a client
// certificate is optional.
func ifPresent(name string) string {
	if _, err := os.Stat(name); os.IsNotExist(err) {
		return ""
	}
	return name
}

// parallelism is the number of calls to make at the same time. Each idle
// connection over ssh is an ssh process, of which only two are kept for the
// next call, and sshd refuses a burst of new ones.
func parallelism(host string) int {
	if strings.HasPrefix(host, "ssh://") {
		return 2
	}
	return 8
}
