package registry

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Location is where in which registry an archive is.
type Location struct {
	host   string // with the port, where one is given
	prefix string
}

const (
	scheme = "docker://" // begins a location in --archive
	wanted = "docker://HOST[:PORT]/PREFIX, such as docker://registry.example.com/rollback"
)

// component is a part of a repository's name, in the grammar of the OCI
// distribution specification.
const component = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`

var prefixPattern = regexp.MustCompile(`^` + component + `(/` + component + `)*$`)

// ParseLocation reads HOST[:PORT]/PREFIX, with or without docker:// before it.
// The error does not repeat credentials that stand in it.
func ParseLocation(s string) (Location, error) {
	rest := strings.TrimPrefix(s, scheme)
	host, prefix, _ := strings.Cut(rest, "/")
	if strings.Contains(host, "@") {
		_, host, _ = strings.Cut(host, "@")
		return Location{}, fmt.Errorf("a registry's credentials don't belong here: 'docker login %s' keeps them for archprune too", host)
	}
	if u, err := url.Parse("//" + host); err != nil || u.Host != host || u.Hostname() == "" {
		return Location{}, errors.New("the registry's name is not a host: want " + wanted)
	}
	if prefix == "" {
		return Location{}, errors.New("a name in the registry is missing: want " + wanted)
	}
	if !prefixPattern.MatchString(prefix) {
		return Location{}, fmt.Errorf("%q is no name in a registry, which is made of a-z, 0-9, and . _ - between them, and has no tag", prefix)
	}
	if _, err := name.NewRepository(host+"/"+prefix+"/"+truthRepo, name.StrictValidation); err != nil {
		return Location{}, err
	}
	return Location{host: strings.ToLower(host), prefix: prefix}, nil
}

// String is the location as --archive takes it.
func (l Location) String() string { return scheme + l.host + "/" + l.prefix }

// Image is where other tools find a reference of the archive: how docker names
// it.
func (l Location) Image(reference string) (string, error) {
	repo, tag, err := ViewOf(reference)
	return l.host + "/" + l.prefix + "/" + repo + ":" + tag, err
}
