// Package docker speaks to a Docker Engine through its API, and is the only
// package that does. It fills in the values of package engine, moves images
// out and in, and removes them.
//
// A removal never takes an image other than the one it was given. Whatever
// could do that, such as removing by a bare tag that may have moved, is not
// used; see [Client.Remove].
package docker

import (
	"sync"
	"time"

	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/docker/client"
)

// userAgent is how the engine's log and audit rules know this program.
const userAgent = "archprune"

// Options choose the engine. Empty fields are resolved as the docker command
// resolves them: the context wins over DOCKER_HOST, that over DOCKER_CONTEXT,
// that over the context chosen by docker context use.
type Options struct {
	Host    string // as docker --host takes it
	Context string // as docker --context takes it; excludes Host

	// Waiting, which may be nil, is called where the engine lets what it is
	// asked about itself wait: one that hangs takes connections all the same.
	Waiting func(endpoint string)
}

// Patience is how long an engine has for that; it takes milliseconds. Nothing but
// tests changes it.
var Patience = 5 * time.Second

// Client is a connection to one engine. Its methods may be called from
// several goroutines.
type Client struct {
	api      *client.Client
	endpoint string // such as unix:///var/run/docker.sock
	source   string // what named the endpoint, such as DOCKER_HOST
	parallel int    // number of calls at the same time
	waiting  func(endpoint string)
	patience time.Duration

	mu    sync.Mutex
	known *traits // nil until the engine was asked
}

// New resolves the endpoint and makes a client for it. It does not connect:
// [Client.Info] tells whether an engine answers.
func New(opts Options) (*Client, error) {
	config, err := loadConfig()
	if err != nil {
		return nil, err
	}
	ep, source, err := resolve(opts, config.CurrentContext)
	if err != nil {
		return nil, err
	}
	api, err := newAPI(ep, config.HTTPHeaders)
	if err != nil {
		return nil, err
	}
	return &Client{api: api, endpoint: ep.Host, source: source, parallel: parallelism(ep.Host), waiting: opts.Waiting, patience: Patience}, nil
}

func newAPI(ep docker.Endpoint, headers map[string]string) (*client.Client, error) {
	opts, err := ep.ClientOpts()
	if err != nil {
		return nil, endpointError(ep.Host, err)
	}
	opts = append(opts, client.WithUserAgent(userAgent))
	if len(headers) > 0 {
		opts = append(opts, client.WithHTTPHeaders(headers))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, endpointError(ep.Host, err)
	}
	return api, nil
}

// Endpoint returns the engine's address for messages.
func (c *Client) Endpoint() string { return c.endpoint }

// Close drops the idle connections.
func (c *Client) Close() error { return c.api.Close() }
