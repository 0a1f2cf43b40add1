package main

import (
	"os"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/archprune/archprune/internal/registrytest"
)

func init() {
	scriptCommands["registry"] = positive(0, cmdRegistry)
	scriptCommands["registry-kill"] = positive(0, cmdRegistryKill)
	scriptCommands["registry-start"] = positive(0, cmdRegistryStart)
	volatile = append(volatile, struct {
		find *regexp.Regexp
		put  string
	}{regexp.MustCompile(`127\.0\.0\.1:\d+`), "REGISTRY"})
}

// cmdRegistry starts a registry: registry [login] [tls] [delete]. Its address is
// $REGISTRY, the file of its CA $REGISTRY_CA. With a login, docker's config has
// it.
func cmdRegistry(ts *testscript.TestScript, args []string) {
	var opts registrytest.Options
	for _, arg := range args {
		switch arg {
		case "login":
			opts.User, opts.Password = "archiver", "sesame"
		case "tls":
			opts.TLS = true
		case "delete":
			opts.Delete = true
		default:
			ts.Fatalf("no such kind of registry: %q", arg)
		}
	}
	a := arrange(ts)
	a.registry = registrytest.Start(a, opts)
	ts.Setenv("REGISTRY", a.registry.Addr)
	ts.Setenv("REGISTRY_CA", a.registry.CA)
	if opts.User != "" {
		ts.Setenv("DOCKER_CONFIG", a.registry.DockerConfig(a))
	}
}

// cmdRegistryKill ends the registry as a crash does.
func cmdRegistryKill(ts *testscript.TestScript, _ []string) { arrange(ts).registry.Kill() }

// cmdRegistryStart starts it again with what it had: registry-start [later].
func cmdRegistryStart(ts *testscript.TestScript, args []string) {
	if len(args) == 1 && args[0] == "later" {
		time.Sleep(time.Second) // in which the command under test meets no registry
	}
	a := arrange(ts)
	a.registry.Restart(a)
}

// patience is how long the command under test waits for a registry: it is
// $PATIENCE, where that is set.
func patience() time.Duration {
	d, err := time.ParseDuration(os.Getenv("PATIENCE"))
	if err != nil && os.Getenv("PATIENCE") != "" {
		panic(err)
	}
	return d
}
